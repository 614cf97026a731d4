//! Kubernetes quantities: `250m`, `0.5`, `512Mi`, `1e3`.

/// Factors of the suffixes, two-letter ones first.
const SUFFIXES: [(&str, f64); 15] = [
    ("Ki", binary(1)),
    ("Mi", binary(2)),
    ("Gi", binary(3)),
    ("Ti", binary(4)),
    ("Pi", binary(5)),
    ("Ei", binary(6)),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];
/// A figure this close to a whole number is that number: 0.1 x 1000 is not exactly 100.
const ROUNDING: f64 = 1e-6;

/// Millicores of a CPU quantity, rounded up as the server does. `None` if it is none.
pub(super) fn cpu_millis(text: &str) -> Option<u64> {
    whole(parse(text)? * 1000.0)
}

/// Bytes of a memory quantity, rounded up. `None` if it is none.
pub(super) fn memory_bytes(text: &str) -> Option<u64> {
    whole(parse(text)?)
}

/// 1024 to the power of `n`, exactly.
const fn binary(n: u32) -> f64 {
    (1_u64 << (10 * n)) as f64
}

fn parse(text: &str) -> Option<f64> {
    let suffix = SUFFIXES.into_iter().find(|(suffix, _)| text.ends_with(suffix));
    let (digits, factor) = match suffix {
        Some((suffix, factor)) => (text.strip_suffix(suffix)?, factor),
        None => (text, 1.0),
    };
    // Rust's own reader also takes words such as `inf`.
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    let value: f64 = if digits.bytes().all(plain) { digits.parse().ok()? } else { return None };
    (value.is_finite() && value >= 0.0).then_some(value * factor)
}

fn whole(value: f64) -> Option<u64> {
    let nearest = value.round();
    let value = if (value - nearest).abs() < ROUNDING { nearest } else { value.ceil() };
    (value < u64::MAX as f64).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_read_in_millicores() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(cpu_millis(text), expected, "{text}");
        };
        check("250m", Some(250));
        check("1", Some(1000));
        check("0.1", Some(100));
        check("1.5", Some(1500));
        check("100u", Some(1));
        check("", None);
        check("-1", None);
        check("inf", None);
        check("1x", None);
        check("1e400", None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(memory_bytes(text), expected, "{text}");
        };
        check("512Mi", Some(512 << 20));
        check("1Gi", Some(1 << 30));
        check("1G", Some(1_000_000_000));
        check("128974848", Some(128_974_848));
        check("129e6", Some(129_000_000));
        check("1E", Some(1_000_000_000_000_000_000));
        check("1.5Ki", Some(1536));
        check("lots", None);
        check("99E", None);
    }
}
