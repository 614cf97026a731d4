//! From clusters to probabilities under a budget: the two regimes.
//!
//! Rare clusters come first. While they do not fit, only they are kept, rarest first, the last one
//! in part; when they fit, all of them are, and what is left goes to the others in equal absolute
//! quotas (filled like water, since a small cluster may not need its whole quota). Either way the
//! probabilities add up to the budget, so nothing jumps where it equals the share of the rare.

/// A cluster as quotas see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stratum {
    /// The lower, the rarer.
    pub(super) level: f64,
    /// Share of all traces, in [0, 1].
    pub(super) share: f64,
    /// Whether it counts as rare.
    pub(super) is_rare: bool,
}

/// The probability of a keep in each stratum, so that sum(p share) = min(budget, sum of shares).
pub(super) fn probabilities(strata: &[Stratum], budget: f64) -> Vec<f64> {
    let mut p = vec![0.0; strata.len()];
    let mut rare: Vec<usize> = (0..strata.len()).filter(|&i| strata[i].is_rare).collect();
    rare.sort_by(|&a, &b| strata[a].level.total_cmp(&strata[b].level).then(a.cmp(&b)));
    let mut left = budget;
    for i in rare {
        p[i] = (left / strata[i].share.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
        left -= p[i] * strata[i].share;
    }
    let common: Vec<usize> = (0..strata.len()).filter(|&i| !strata[i].is_rare).collect();
    fill(strata, common, left, &mut p);
    p
}

/// Equal absolute quotas among some strata, none more than it has.
pub(super) fn fill(strata: &[Stratum], mut among: Vec<usize>, mut left: f64, p: &mut [f64]) {
    // The smallest first: what it does not need is shared among the rest.
    among.sort_by(|&a, &b| strata[a].share.total_cmp(&strata[b].share).then(a.cmp(&b)));
    for (nth, &i) in among.iter().enumerate() {
        let quota = left.max(0.0) / (among.len() - nth) as f64;
        p[i] = (quota / strata[i].share.max(f64::MIN_POSITIVE)).min(1.0);
        left -= p[i] * strata[i].share;
    }
}

/// Probabilities in proportion to weight over share (`level` is the weight), none above 1, that
/// spend the budget: p = min(1, lambda weight / share).
pub(super) fn probabilities_of_weights(strata: &[Stratum], budget: f64) -> Vec<f64> {
    let mut p = vec![0.0; strata.len()];
    let mut order: Vec<usize> = (0..strata.len()).filter(|&i| strata[i].share > 0.0).collect();
    // Who reaches 1 first comes first; lambda is set by those who do not.
    let ratio = |i: usize| strata[i].level / strata[i].share;
    order.sort_by(|&a, &b| ratio(b).total_cmp(&ratio(a)).then(a.cmp(&b)));
    let mut weight: f64 = order.iter().map(|&i| strata[i].level).sum();
    let mut left = budget;
    for i in order {
        let lambda = left.max(0.0) / weight.max(f64::MIN_POSITIVE);
        p[i] = (lambda * ratio(i)).min(1.0);
        left -= p[i] * strata[i].share;
        weight -= strata[i].level;
    }
    p
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strata(list: &[(f64, f64, bool)]) -> Vec<Stratum> {
        let stratum = |&(level, share, is_rare)| Stratum { level, share, is_rare };
        list.iter().map(stratum).collect()
    }

    fn check(list: &[(f64, f64, bool)], budget: f64, expected: &[f64]) {
        let found = probabilities(&strata(list), budget);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{list:?} {budget}: {found} {expected}");
        }
    }

    #[test]
    fn below_the_share_of_the_rare_only_they_are_kept() {
        let list = [(9.0, 0.9, false), (1.0, 0.04, true), (2.0, 0.06, true)];
        check(&list, 0.05, &[0.0, 1.0, 1.0 / 6.0]);
        check(&list, 0.02, &[0.0, 0.5, 0.0]);
        check(&list, 0.10, &[0.0, 1.0, 1.0]);
    }

    #[test]
    fn above_it_the_others_share_the_rest_evenly() {
        let list = [(9.0, 0.6, false), (8.0, 0.3, false), (7.0, 0.01, false), (1.0, 0.09, true)];
        // 0.11 is left: the small one takes all it has, the two others half of 0.10 each.
        check(&list, 0.20, &[0.05 / 0.6, 0.05 / 0.3, 1.0, 1.0]);
    }

    #[test]
    fn weights_are_followed_until_a_stratum_is_kept_whole() {
        let list = [(0.5, 0.9, false), (0.25, 0.09, false), (0.25, 0.01, false)];
        let found = probabilities_of_weights(&strata(&list), 0.07);
        for (found, expected) in found.iter().zip([0.04 / 0.9, 0.02 / 0.09, 1.0]) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }

    proptest! {
        #[test]
        fn probabilities_spend_the_budget_exactly_and_never_jump(
            list in proptest::collection::vec((0.0..9.0_f64, 0.001..1.0_f64, any::<bool>()), 1..20),
            budget in 0.001..1.0_f64,
        ) {
            let total: f64 = list.iter().map(|(_, share, _)| share).sum();
            let strata: Vec<Stratum> = list
                .iter()
                .map(|&(level, share, is_rare)| Stratum { level, share: share / total, is_rare })
                .collect();
            let spent = |budget: f64| -> Vec<f64> {
                let p = probabilities(&strata, budget);
                p.iter().zip(&strata).map(|(p, stratum)| p * stratum.share).collect()
            };
            let now = spent(budget);
            prop_assert!((now.iter().sum::<f64>() - budget.min(1.0)).abs() < 1e-9);
            for (a, b) in now.iter().zip(spent(budget + 1e-6)) {
                prop_assert!((a - b).abs() < 2e-6, "{a} {b}");
            }
        }
    }
}
