//! Settings of the window, and their limits.

use crate::error::ConfigError;

const SECOND_NS: u64 = 1_000_000_000;
const MIB: u64 = 1 << 20;
/// Least memory of a window.
pub(crate) const MEMORY_BYTES_MIN: u64 = MIB;

/// How long and how much the window holds. Every length of time is in nanoseconds of `now`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of retained requests and of the index together. 1 MiB to 128 GiB, default 128 MiB.
    pub memory_bytes: u64,
    /// Bytes of requests that still have the bytes of their spans. Above it, the oldest that are
    /// stored elsewhere lose them; the rest counts against `memory_bytes` as before. Default: no
    /// limit.
    pub full_bytes: u64,
    /// Wait after the root arrived, for children that come late. Default 1 s; 0 closes at once.
    pub grace_ns: u64,
    /// Close when no span of the trace came for this long and no root was seen. Default 10 s.
    pub idle_ns: u64,
    /// Close at this age in any case. Default 60 s.
    pub age_ns: u64,
    /// Spans of one trace, duplicates included, before a part of it closes. 1 to 1,000,000, default
    /// 50,000.
    pub n_spans_per_trace: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memory_bytes: 128 * MIB,
            full_bytes: u64::MAX,
            grace_ns: SECOND_NS,
            idle_ns: 10 * SECOND_NS,
            age_ns: 60 * SECOND_NS,
            n_spans_per_trace: 50_000,
        }
    }
}

impl Config {
    /// Checks every range.
    ///
    /// # Errors
    /// The first setting outside its range, with the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let ranges = [
            // The upper limit keeps every slot number of the index within 32 bits.
            ("memory_bytes", self.memory_bytes, MEMORY_BYTES_MIN, 128 << 30),
            ("idle_ns", self.idle_ns, 1, u64::MAX),
            ("age_ns", self.age_ns, 1, u64::MAX),
            ("n_spans_per_trace", u64::from(self.n_spans_per_trace), 1, 1_000_000),
        ];
        for (setting, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(ConfigError::OutOfRange { setting, value, min, max });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_outside_their_range_are_named() {
        let check = |config: Config, expected: &str| {
            assert_eq!(config.validate().unwrap_err().to_string(), expected);
        };
        assert_eq!(Config::default().validate(), Ok(()));
        check(
            Config { memory_bytes: 5, ..Config::default() },
            "assembler setting memory_bytes is 5, give 1048576 to 137438953472",
        );
        check(
            Config { n_spans_per_trace: 0, ..Config::default() },
            "assembler setting n_spans_per_trace is 0, give 1 to 1000000",
        );
    }
}
