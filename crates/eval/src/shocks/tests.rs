use spanwise_sim::synthetic::Scenario;

use super::*;

fn calm() -> (Stream, Vec<u32>) {
    let stream = Stream::synthetic(Scenario::Unimodal, 1).unwrap();
    let mut order = stream.by_end(0..stream.len() as u32);
    order.truncate(N_WARM_UP + N_JUDGED);
    (stream, order)
}

const fn question(plant: Plant, every: u32) -> Question<'static> {
    Question { plant, every, score: Score::Cause, faults: &[] }
}

#[test]
fn every_kth_judged_span_is_planted_as_often_as_published() {
    let (stream, order) = calm();
    for (every, n_positives) in [(20, 2895), (60, 965)] {
        for kind in [Plant::R1, Plant::R2] {
            let shocks = plant(&stream, &order, &question(kind, every), 1);
            assert_eq!(shocks.len(), n_positives);
            let is_planted = |position: usize| shocks.contains_key(&order[position]);
            assert!(is_planted(N_WARM_UP + every as usize - 1));
            assert!(!(0..N_WARM_UP + every as usize - 1).any(is_planted));
        }
        let random = plant(&stream, &order, &question(Plant::R3, every), 1).len() as f64;
        let expected = N_JUDGED as f64 / f64::from(every);
        assert!((random - expected).abs() < 4.0 * expected.sqrt(), "{random}");
    }
}

#[test]
fn shocks_are_as_long_as_the_protocol_says() {
    let (stream, order) = calm();
    let p99 = quantile(order.iter().map(|&row| stream.dur_ns(row)).collect(), 0.99);
    let check = |kind: Plant, in_range: &dyn Fn(f64, f64) -> bool| {
        for (row, planted) in plant(&stream, &order, &question(kind, 20), 3) {
            let dur = stream.dur_ns(row) as f64;
            assert!(in_range(dur, planted as f64), "{kind:?} {dur} {planted}");
        }
    };
    check(Plant::R1, &|_, planted| (10.0 * p99..20.0 * p99).contains(&planted));
    check(Plant::R2, &|dur, planted| (planted - 10.0 * dur - 50e6).abs() < 1.0);
    check(Plant::R3, &|dur, planted| {
        let factor = planted / (dur + 5e6);
        (factor - factor.round()).abs() < 1e-6 && (15.0..=19.0).contains(&factor.round())
    });
}

#[test]
fn seeds_decide_who_is_shocked_at_random() {
    let (stream, order) = calm();
    let planted = |seed| {
        let shocks = plant(&stream, &order, &question(Plant::R3, 20), seed);
        let mut rows: Vec<(u32, u64)> = shocks.into_iter().collect();
        rows.sort_unstable();
        rows
    };
    assert_eq!(planted(1), planted(1));
    assert_ne!(planted(1), planted(2));
}

#[test]
fn quantiles_are_interpolated() {
    let check = |values: &[u64], q: f64, expected: f64| {
        assert!((quantile(values.to_vec(), q) - expected).abs() < 1e-9, "{values:?} {q}");
    };
    check(&[4, 1, 3, 2], 0.5, 2.5);
    check(&[4, 1, 3, 2], 1.0, 4.0);
    check(&[7], 0.99, 7.0);
    check(&[], 0.99, 0.0);
}
