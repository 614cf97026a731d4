//! Which versions of each service run: a version that was not there lately is a deployment, after
//! which the service's latencies may be others for good.
//!
//! Versions that take turns, as in a rolling deployment or a canary, are told once each.

use std::hash::Hasher as _;

use rustc_hash::FxHasher;
use spanwise_model::{ServiceId, Timestamp};

/// A version that sent nothing for this long, while another one did, is new again when it comes back.
const ABSENT_NS: u64 = 3600 * 1_000_000_000;
/// Versions remembered of one service; beyond that the one not seen for longest is forgotten.
const N_VERSIONS_MAX: usize = 8;

/// Versions by service: hash, and when it was last seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions(Vec<Vec<(u64, Timestamp)>>);

impl Versions {
    /// Notes a version; whether it is new, where another one was known before.
    pub(crate) fn see(&mut self, service: ServiceId, version: &[u8], now: Timestamp) -> bool {
        let idx = service.0 as usize;
        if self.0.len() <= idx {
            self.0.resize_with(idx + 1, Vec::new);
        }
        let known = &mut self.0[idx];
        let mut hasher = FxHasher::default();
        hasher.write(version);
        let hash = hasher.finish();
        if let Some(at) = known.iter().position(|(known, _)| *known == hash) {
            let before = std::mem::replace(&mut known[at].1, now);
            // Another one ran meanwhile: a roll-back, and not the end of a silent night.
            let other_ran = known.iter().any(|(other, seen)| *other != hash && *seen > before);
            return other_ran && now.since(before) >= ABSENT_NS;
        }
        let is_first = known.is_empty();
        if known.len() == N_VERSIONS_MAX {
            known.sort_unstable_by_key(|(_, seen)| *seen);
            known.remove(0);
        }
        known.push((hash, now));
        !is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_that_was_not_there_lately_is_new() {
        let mut versions = Versions::default();
        let mut check = |hour: u64, version: &str, expected| {
            let now = Timestamp::from_secs(1_000_000 + hour * 3600);
            let found = versions.see(ServiceId(3), version.as_bytes(), now);
            assert_eq!(found, expected, "{version} in hour {hour}");
        };
        check(0, "1", false);
        check(0, "1", false);
        check(0, "2", true);
        check(0, "1", false);
        check(0, "2", false);
        check(2, "2", false);
        check(2, "1", true);
        for n in 0..100 {
            check(3, &format!("nightly-{n}"), true);
        }
    }

    #[test]
    fn a_single_version_after_a_silent_night_is_no_deployment() {
        let mut versions = Versions::default();
        for hour in [0, 9, 33] {
            let now = Timestamp::from_secs(hour * 3600);
            assert!(!versions.see(ServiceId(0), b"1", now), "hour {hour}");
        }
    }
}
