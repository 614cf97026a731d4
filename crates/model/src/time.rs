//! Points in time: nanoseconds since the Unix epoch, in 64 bits, as OTLP carries them.
//!
//! One type serves event time (from spans, not trusted) and *now* (from the application, which
//! sees to it that it never goes backwards). Lengths of time are plain `u64` nanoseconds whose
//! names end in `_ns`.

use std::time::Duration;

/// Nanoseconds since 1970-01-01T00:00:00Z. 0 is what OTLP uses for "not set".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// A timestamp of whole seconds; saturates at the end of the range (year 2554).
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// A timestamp of whole milliseconds; saturates.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Nanoseconds from `earlier` to `self`, 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time plus `ns` nanoseconds; saturates.
    #[must_use]
    pub const fn plus_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// This time minus `ns` nanoseconds; saturates at the epoch.
    #[must_use]
    pub const fn minus_ns(self, ns: u64) -> Self {
        Self(self.0.saturating_sub(ns))
    }

    /// This time plus a [`Duration`]; saturates.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        self.plus_ns(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Timestamp(5).since(Timestamp(7)), 0);
        assert_eq!(Timestamp(u64::MAX).plus_ns(1), Timestamp(u64::MAX));
        assert_eq!(Timestamp(3).minus_ns(9), Timestamp(0));
        assert_eq!(Timestamp::from_secs(u64::MAX), Timestamp(u64::MAX));
    }
}
