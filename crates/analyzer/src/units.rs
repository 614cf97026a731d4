//! Lengths of time and sizes as people write them: `250ms`, `30s`, `5m`, `512MiB`.
//!
//! Exact integer arithmetic: `1.5s` is 1,500,000,000 ns and nothing else. A number without a unit is
//! refused, because nobody remembers whether it meant seconds or milliseconds.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// A length of time in nanoseconds. Text: a decimal number and one of ns, us, ms, s, m, h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DurationNs(pub u64);

/// A size in bytes. Text: a decimal number and one of B, kB, MB, GB, KiB, MiB, GiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SizeBytes(pub u64);

/// Text that is not a quantity. The message carries the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} `{text}`: write a number and a unit, such as {examples}")]
pub struct UnitError {
    /// `duration` or `size`.
    pub what: &'static str,
    /// The text as given, cut to 40 characters.
    pub text: String,
    /// Examples of what is accepted.
    pub examples: &'static str,
}

const TIME_UNITS: [(&str, u64); 7] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];
const TIME_EXAMPLES: &str = "250ms, 30s or 5m";
const SIZE_EXAMPLES: &str = "512MiB or 2GB";

impl DurationNs {
    /// Parses `250ms`, `1.5s`, `5m`. A fraction finer than a nanosecond is cut off.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        parse(text, &TIME_UNITS).map(Self).ok_or_else(|| error("duration", text, TIME_EXAMPLES))
    }

    /// Whole seconds, rounded up.
    pub const fn secs_ceil(self) -> u64 {
        self.0.div_ceil(1_000_000_000)
    }
}

impl SizeBytes {
    /// Parses `512MiB`, `2GB`. A fraction of a byte is cut off.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        parse(text, &SIZE_UNITS).map(Self).ok_or_else(|| error("size", text, SIZE_EXAMPLES))
    }
}

impl fmt::Display for DurationNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(self.0, &TIME_UNITS, "0s", f)
    }
}

impl fmt::Display for SizeBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(self.0, &SIZE_UNITS, "0B", f)
    }
}

impl Serialize for DurationNs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for SizeBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DurationNs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(Quantity("duration", TIME_EXAMPLES))?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for SizeBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(Quantity("size", SIZE_EXAMPLES))?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// Reads a scalar as text, so that a bare number is refused with the remedy, not with a type error.
struct Quantity(&'static str, &'static str);

impl Visitor<'_> for Quantity {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} such as {}", self.0, self.1)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

/// The quantity in the smallest unit; `None` if the text is not one or does not fit.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = (&text[..unit_at], text[unit_at..].trim_start());
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 18 || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let digits = whole.parse::<u64>().ok()?;
    let fine = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()? };
    let scale = 10_u128.pow(fraction.len() as u32);
    let total =
        u128::from(digits) * u128::from(factor) + u128::from(fine) * u128::from(factor) / scale;
    u64::try_from(total).ok()
}

/// The largest unit that divides the value, so that text parses back to the same value.
fn display(
    value: u64,
    units: &[(&str, u64)],
    zero: &str,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    if value == 0 {
        return f.write_str(zero);
    }
    match units.iter().find(|(_, factor)| value.is_multiple_of(*factor)) {
        Some((name, factor)) => write!(f, "{}{name}", value / factor),
        None => write!(f, "{value}"),
    }
}

fn error(what: &'static str, text: &str, examples: &'static str) -> UnitError {
    UnitError { what, text: text.chars().take(40).collect(), examples }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(DurationNs::parse(text).ok().map(|d| d.0), expected, "{text}");
    }

    #[test]
    fn durations_are_read_exactly() {
        check("250ms", Some(250_000_000));
        check("1.5s", Some(1_500_000_000));
        check("5m", Some(300_000_000_000));
        check("0s", Some(0));
        check("0.0000000001s", Some(0));
        check("7 us", Some(7_000));
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["", "30", "s", "-5s", "1..5s", "1.s", ".5s", "5 parsecs", "1e3s", "NaN"] {
            check(text, None);
        }
        check("99999999999999999999s", None);
        check("18446744073709551615s", None);
    }

    #[test]
    fn the_error_names_the_remedy() {
        let text = DurationNs::parse("30").unwrap_err().to_string();
        assert_eq!(
            text,
            "invalid duration `30`: write a number and a unit, such as 250ms, 30s or 5m"
        );
    }

    #[test]
    fn text_parses_back_to_the_same_value() {
        for ns in [0, 1, 999, 1_000, 80_000_000, 90_000_000_000, 3_600_000_000_000] {
            assert_eq!(DurationNs::parse(&DurationNs(ns).to_string()), Ok(DurationNs(ns)));
        }
        for bytes in [0, 1, 1_000, 1_024, 512 << 20, 3_000_000_000] {
            assert_eq!(SizeBytes::parse(&SizeBytes(bytes).to_string()), Ok(SizeBytes(bytes)));
        }
    }
}
