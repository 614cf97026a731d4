//! Reasons to leave a target alone that have nothing to do with how much is asked for: who owns it,
//! whether it is paused, settled, ready, or resting. Pure; the first reason found is the answer.

use spanwise_model::{Bound, Observed, Reason, Timestamp};

use crate::text;

/// Share of desired replicas that must be ready before more are added, in percent: adding replicas
/// to a target that cannot start the ones it has only makes things worse.
const READY_PERCENT_MIN: u64 = 80;

/// Why a target must not be touched now, judging from what its backend says.
pub(crate) fn observed(observed: &Observed) -> Option<Bound> {
    let hold = |reason, detail: String| Some(Bound { reason, detail });
    if observed.desired == 0 {
        let detail = "has 0 replicas: somebody switched it off".to_owned();
        return hold(Reason::Paused, detail);
    }
    if observed.paused {
        return hold(Reason::Paused, "scaling is paused on the object".to_owned());
    }
    if let Some(owner) = &observed.owner {
        return hold(Reason::OtherControllerOwns, format!("{owner} scales it"));
    }
    if observed.settled == Some(false) {
        return hold(Reason::Stabilizing, "a rollout is in progress".to_owned());
    }
    if let Some(ready) = observed.ready
        && u64::from(ready) * 100 < u64::from(observed.desired) * READY_PERCENT_MIN
    {
        let detail = format!(
            "{ready} of {} replicas are ready, {READY_PERCENT_MIN} % are needed",
            observed.desired
        );
        return hold(Reason::Stabilizing, detail);
    }
    None
}

/// Why a target rests, if it does: `last` is its last action.
pub(crate) fn cooldown(last: Option<Timestamp>, cooldown_ns: u64, now: Timestamp) -> Option<Bound> {
    let rest_ns = last?.plus_ns(cooldown_ns).since(now);
    if rest_ns == 0 {
        return None;
    }
    // Whole seconds, rounded up, so that a record never says "0s".
    let rest = text::duration(rest_ns.div_ceil(1_000_000_000) * 1_000_000_000);
    let whole = text::duration(cooldown_ns);
    let detail = format!("rests for {rest} more of {whole} after its last action");
    Some(Bound { reason: Reason::Cooldown, detail })
}

/// Why a fresh process does not act yet: it observes for two windows of the rule, since a restart
/// may have lost what made it hold back.
pub(crate) fn starting(started: Timestamp, window_ns: u64, now: Timestamp) -> Option<Bound> {
    let observe_ns = window_ns.saturating_mul(2);
    if now.since(started) >= observe_ns {
        return None;
    }
    let detail = format!(
        "started {} ago, observes for two windows ({}) first",
        text::duration(now.since(started) / 1_000_000_000 * 1_000_000_000),
        text::duration(observe_ns)
    );
    Some(Bound { reason: Reason::ObserveOnly, detail })
}

#[cfg(test)]
mod tests {
    use spanwise_model::Owner;

    use super::*;

    fn healthy() -> Observed {
        Observed { desired: 5, ready: Some(5), settled: Some(true), ..Observed::default() }
    }

    #[test]
    fn a_target_is_left_alone_for_the_first_reason_found() {
        let check = |change: &dyn Fn(&mut Observed), expected: Option<(Reason, &str)>| {
            let mut state = healthy();
            change(&mut state);
            let bound = observed(&state);
            let found = bound.as_ref().map(|b| (b.reason, b.detail.as_str()));
            assert_eq!(found, expected);
        };
        check(&|_| {}, None);
        check(&|o| o.ready = None, None);
        check(&|o| o.settled = None, None);
        check(&|o| o.ready = Some(4), None);
        let ready = "3 of 5 replicas are ready, 80 % are needed";
        check(&|o| o.ready = Some(3), Some((Reason::Stabilizing, ready)));
        let rollout = "a rollout is in progress";
        check(&|o| o.settled = Some(false), Some((Reason::Stabilizing, rollout)));
        let paused = "scaling is paused on the object";
        check(&|o| o.paused = true, Some((Reason::Paused, paused)));
        let off = "has 0 replicas: somebody switched it off";
        check(&|o| o.desired = 0, Some((Reason::Paused, off)));
        let owner = Some(Owner::HorizontalPodAutoscaler("web".to_owned()));
        let owned = "HorizontalPodAutoscaler web scales it";
        let owned = Some((Reason::OtherControllerOwns, owned));
        check(&|o| o.owner.clone_from(&owner), owned);
    }

    #[test]
    fn a_rest_ends_exactly_after_its_cooldown() {
        let at = Timestamp::from_secs(100);
        let rest = |now_s| cooldown(Some(at), 60_000_000_000, Timestamp::from_secs(now_s));
        assert!(cooldown(None, u64::MAX, at).is_none());
        assert!(rest(160).is_none());
        assert_eq!(
            rest(159).map(|b| b.detail).as_deref(),
            Some("rests for 1s more of 1m after its last action")
        );
    }

    #[test]
    fn a_fresh_process_observes_for_two_windows() {
        let at = Timestamp::from_secs(100);
        let starts = |now_s| starting(at, 30_000_000_000, Timestamp::from_secs(now_s));
        assert!(starts(159).is_some_and(|b| b.reason == Reason::ObserveOnly));
        assert!(starts(160).is_none());
    }
}
