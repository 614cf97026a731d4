//! What a sampler that knows the truth would keep under the same bound.
//!
//! It keeps every anomalous trace for which there is budget, and at the end of the bound's horizon
//! spends what is left on others: a sampler that fills its budget cannot be more precise.

use super::Bound;
use super::tally::WINDOW_NS;
use super::truth::Truth;
use spanwise_model::Timestamp;

/// Coverage and precision of the oracle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Oracle {
    /// Share of the anomalous traces that are kept; `None` without any.
    pub(super) coverage: Option<f64>,
    /// Share of the kept traces that are anomalous; `None` if none is kept.
    pub(super) precision: Option<f64>,
}

/// Runs the oracle over the judged traces in their order.
pub(super) fn oracle(
    judged: impl Iterator<Item = (Truth, Timestamp)>,
    budget: f64,
    bound: Bound,
) -> Oracle {
    let (mut n_anomalous, mut kept, mut filled) = (0_u64, 0_u64, 0_u64);
    let (mut window, mut seen, mut spent) = (0, 0_u64, 0_u64);
    for (truth, now) in judged {
        let here = if bound == Bound::Total { 0 } else { now.as_ns() / WINDOW_NS };
        if here != window {
            filled += (budget * seen as f64) as u64;
            (window, seen, spent) = (here, 0, 0);
        }
        seen += 1;
        if truth.is_anomalous() {
            n_anomalous += 1;
            if (spent + 1) as f64 <= budget * seen as f64 {
                spent += 1;
                kept += 1;
            }
        }
    }
    filled += (budget * seen as f64) as u64;
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    Oracle { coverage: share(kept, n_anomalous), precision: share(kept, filled.max(kept)) }
}
