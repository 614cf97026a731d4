//! The scores of a span and how the final ones follow from the parts. All are in bits, logarithms
//! of odds, so that evidence adds without weights; high = anomalous, around 0 and above = never
//! seen before.
//!
//! `cause = site_self + crowd + transient + share`:
//! - *`site_self`*: how rare the self time is at its site by the standards of the last day (trusted
//!   reference), -16 .. 26;
//! - *crowd*: its site has been slow for seconds, so it belongs to an incident and is no accident,
//!   0 .. 3.6;
//! - *transient*, here within -4 .. 0: what is usual even among the last few hundred spans of the
//!   site is no news; the beginning of an incident says more than its tenth minute;
//! - *share*: how much of the whole request the span's own time is, below 0. It also keeps tiny
//!   spans out: from 40 to 400 microseconds is no incident in a request of 100 ms.
//!
//! What is long among all sites is no part of it: it would keep what is slow by nature.
//!
//! `impact` follows the blame upwards: the greatest `cause` among the span and what it waited for,
//! less one bit for every level between. It needs no model of durations: an ancestor is slow because
//! a descendant is.

/// Scores known when a span arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ArrivalScores {
    /// Duration at its call site.
    pub site_dur: f32,
    /// Duration among all call sites.
    pub global_dur: f32,
    /// The call site has no reference of its own yet: `site_dur` comes from its service or from
    /// all sites.
    pub cold: bool,
    /// Not even all call sites together have a reference: the scores say nothing.
    pub unknown: bool,
}

/// Scores known when its trace has closed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CloseScores {
    /// Self time at its call site.
    pub site_self: f32,
    /// Self time among all call sites.
    pub global_self: f32,
    /// Self time against the last window of its call site.
    pub transient: f32,
    /// Share of slow spans at its call site in the last 15 s over 8 %, where it is more: 0 ..= 3.6.
    pub crowd: f32,
    /// Self time over the duration of the outermost span above it, at most 0.
    pub share: f32,
    /// Where the time was lost.
    pub cause: f32,
    /// On the way from a cause up to the root.
    pub impact: f32,
    /// The call site has no reference of its own yet.
    pub cold: bool,
    /// Nor have all call sites together: the scores say nothing.
    pub unknown: bool,
}

/// As common as this in the last window is usual there, and cannot be more so.
const TRANSIENT_MIN: f32 = -4.0;
/// What blame loses on each level upwards.
pub(crate) const IMPACT_STEP: f32 = 1.0;
/// The score of a span about which nothing is known yet, or that is not slow.
pub(crate) const NOT_SLOW: f32 = crate::bits::SCORE_MIN;

impl ArrivalScores {
    /// The rarer of the two durations: what early keeps are decided on.
    pub fn max_dur(&self) -> f32 {
        self.site_dur.max(self.global_dur)
    }
}

impl CloseScores {
    /// Rare at its site, rare among all and rare in the last window, together: good at single
    /// shocks in calm traffic, above all at great ones.
    pub fn sum(&self) -> f32 {
        self.site_self + self.global_self + self.transient
    }

    /// Sets `cause` from the parts, and `impact` to the span's own cause.
    pub(crate) fn conclude(&mut self) {
        let transient = self.transient.clamp(TRANSIENT_MIN, 0.0);
        self.cause = self.site_self + self.crowd + transient + self.share;
        self.impact = self.cause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_adds() {
        let mut scores = CloseScores { site_self: 1.0, global_self: -3.0, ..Default::default() };
        (scores.crowd, scores.transient, scores.share) = (3.0, -9.0, -2.0);
        scores.conclude();
        assert!((scores.cause - (1.0 + 3.0 - 4.0 - 2.0)).abs() < 1e-6);
        assert!((scores.impact - scores.cause).abs() < 1e-6);
        assert!((scores.sum() + 11.0).abs() < 1e-6);
    }
}
