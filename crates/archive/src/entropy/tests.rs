use proptest::prelude::*;

use super::*;

/// A walk over everything a coder offers; a reader returns what the writer was given.
fn walk<C: Coder>(coder: &mut C, values: &[i64]) -> Vec<i64> {
    let mut model = Model::new(8);
    let mut last = 0;
    let mut read = Vec::new();
    for &value in values {
        let contexts = [hash(1, 0), hash(2, last)];
        let (number, class) = model.signed(coder, &contexts, (0, 2), value);
        let byte = model.byte(coder, &contexts, 9, value as u32 & 0xff);
        let low = model.nibble(coder, &contexts, 5, value as u32 & 15);
        let raw = coder.raw(37, value.cast_unsigned() & 0x1f_ffff_ffff);
        assert_eq!((byte, low), (number as u32 & 0xff, number as u32 & 15));
        assert_eq!(raw, number.cast_unsigned() & 0x1f_ffff_ffff);
        last = class;
        read.push(number);
    }
    read
}

fn encoded(values: &[i64]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    assert_eq!(walk(&mut encoder, values), values);
    encoder.finish()
}

proptest! {
    #[test]
    fn numbers_come_back(values: Vec<i64>) {
        let bytes = encoded(&values);
        let mut decoder = Decoder::new(&bytes);
        prop_assert_eq!(walk(&mut decoder, &values), values);
        prop_assert!(!decoder.is_overrun());
    }
}

#[test]
fn the_ends_of_the_range_come_back() {
    let values = [i64::MIN, i64::MAX, 0, -1, 1, i64::MIN + 1, 255, -256];
    let bytes = encoded(&values);
    assert_eq!(walk(&mut Decoder::new(&bytes), &values), values);
}

#[test]
fn reading_on_behind_the_end_is_noticed() {
    let mut decoder = Decoder::new(&[]);
    for _ in 0..20 {
        decoder.raw(16, 0);
    }
    assert!(decoder.is_overrun());
}

#[test]
fn bits_of_given_probability_take_their_ideal_length() {
    let mut encoder = Encoder::measuring();
    let symbols: Vec<u32> = (0..16_000).map(|i| u32::from(i % 16 == 3)).collect();
    for &rare in &symbols {
        encoder.bit(4096, rare);
    }
    let ideal = encoder.ideal_bits() / 8.0;
    let bytes = encoder.finish();
    // 16,000 times the entropy of 1/16: .3373 bits.
    assert!((674.0..675.0).contains(&ideal), "{ideal}");
    assert!((bytes.len() as f64 - ideal).abs() < 4.0, "{}", bytes.len());
    let mut decoder = Decoder::new(&bytes);
    for &rare in &symbols {
        assert_eq!(decoder.bit(4096, 0), rare);
    }
}

#[test]
fn what_repeats_costs_next_to_nothing() {
    let mut encoder = Encoder::new();
    let mut model = Model::new(8);
    for _ in 0..10_000 {
        model.byte(&mut encoder, &[hash(0, 1), hash(0, 2)], 0, 77);
    }
    assert!(encoder.finish().len() < 40);
}
