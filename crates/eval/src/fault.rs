//! Injected faults: where and when something was made slow on purpose.

use spanwise_model::Timestamp;

/// How long an injected fault acts: 180 s, and what was in flight.
const EFFECT_NS: u64 = 210 * SECOND_NS;
/// Around an injection nothing is quiet: 5 s before it up to 420 s after.
const UNQUIET_BEFORE_NS: u64 = 5 * SECOND_NS;
const UNQUIET_AFTER_NS: u64 = 420 * SECOND_NS;
const SECOND_NS: u64 = 1_000_000_000;

/// One injection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When it began.
    pub begin: Timestamp,
    /// What was injected, such as `network_delay`.
    pub kind: String,
    /// Into which service.
    pub service: String,
}

impl Fault {
    /// Whether a span that starts then lies in the fault's window.
    pub fn is_active(&self, start: Timestamp) -> bool {
        start >= self.begin && start < self.begin.plus_ns(EFFECT_NS)
    }

    /// Whether a span that starts then is too close to the injection to count as quiet.
    pub fn disturbs(&self, start: Timestamp) -> bool {
        let begin = self.begin.minus_ns(UNQUIET_BEFORE_NS);
        start >= begin && start < self.begin.plus_ns(UNQUIET_AFTER_NS)
    }
}

/// The fault in whose window a span starts; of several the one that began last.
pub(crate) fn active(faults: &[Fault], start: Timestamp) -> Option<usize> {
    let active = faults.iter().enumerate().filter(|(_, fault)| fault.is_active(start));
    active.max_by_key(|(_, fault)| fault.begin).map(|(idx, _)| idx)
}

/// The service of a pod: its name without the suffixes of replica set and pod.
pub fn service_of_pod(pod: &str) -> &str {
    let is_suffix = |text: &str, lengths: std::ops::RangeInclusive<usize>| {
        let is_tame = |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase();
        lengths.contains(&text.len()) && text.bytes().all(is_tame)
    };
    let Some((rest, last)) = pod.rsplit_once('-') else { return pod };
    let Some((service, set)) = rest.rsplit_once('-') else { return pod };
    if is_suffix(last, 5..=5) && is_suffix(set, 8..=10) { service } else { pod }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_named_after_its_service() {
        let check = |pod: &str, service: &str| assert_eq!(service_of_pod(pod), service);
        check("frontend-579b9bff58-t2dbm", "frontend");
        check("ts-order-service-5b7c9d8f6d-x2x9z", "ts-order-service");
        check("frontend", "frontend");
        check("cart-service", "cart-service");
        check("cart-579b9bff58-t2dbmx", "cart-579b9bff58-t2dbmx");
        check("cart-a-b-c", "cart-a-b-c");
    }

    #[test]
    fn windows_include_their_begin_and_not_their_end() {
        let begin = Timestamp::from_secs(1000);
        let fault = Fault { begin, kind: String::new(), service: String::new() };
        let at = |secs| Timestamp::from_secs(secs);
        assert!(fault.is_active(at(1000)) && fault.is_active(at(1209)));
        assert!(!fault.is_active(at(999)) && !fault.is_active(at(1210)));
        assert!(fault.disturbs(at(995)) && fault.disturbs(at(1419)));
        assert!(!fault.disturbs(at(994)) && !fault.disturbs(at(1420)));
    }

    #[test]
    fn of_overlapping_windows_the_later_counts() {
        let fault = |secs| Fault {
            begin: Timestamp::from_secs(secs),
            kind: String::new(),
            service: String::new(),
        };
        let faults = [fault(100), fault(200)];
        let check = |secs, expected| {
            assert_eq!(active(&faults, Timestamp::from_secs(secs)), expected);
        };
        check(99, None);
        check(150, Some(0));
        check(250, Some(1));
        check(500, None);
    }
}
