//! The scores of a span and how the final ones follow from the parts. All are in bits, logarithms
//! of odds, so that independent evidence adds; high = anomalous, about 0 = never seen before.
//!
//! - *surprise*: the rarer of self time at its site and self time among all sites, against the
//!   trusted reference: an unusual span by the standards of the last day;
//! - *crowd*: its site has been slow for seconds: an incident rather than an accident;
//! - *transient*: rare even among the last few hundred spans of the site: the incident is young;
//! - *share*: how much of the whole request the span's own time is.
//!
//! `cause = surprise + (crowd + max(transient, -5) + share) / 2`: surprise is evidence about the
//! span, the rest about its circumstances, and is believed half. That weight was chosen on one
//! recorded day (docs/evaluation.md), is the same for every site, and is not a setting.
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
    /// Share of slow spans at its call site in the last 15 s over the usual 1 %: -1 ..= 7.
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

/// How far the circumstances are believed.
const CIRCUMSTANCE_WEIGHT: f32 = 0.5;
/// Below this novelty says nothing more: a span as common as that in the last window is simply
/// usual there, in an incident too.
const TRANSIENT_MIN: f32 = -5.0;
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
    /// Unusual by the standards of the last day, whatever the context.
    pub fn surprise(&self) -> f32 {
        self.site_self.max(self.global_self)
    }

    /// Trusted and adaptive reference together: good at single shocks in calm traffic.
    pub fn sum(&self) -> f32 {
        self.surprise() + self.transient
    }

    /// Sets `cause` from the parts, and `impact` to the span's own cause.
    pub(crate) fn conclude(&mut self) {
        let circumstances = self.crowd + self.transient.max(TRANSIENT_MIN) + self.share;
        self.cause = self.surprise() + CIRCUMSTANCE_WEIGHT * circumstances;
        self.impact = self.cause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_adds() {
        let mut scores = CloseScores { site_self: 1.0, global_self: -3.0, ..Default::default() };
        (scores.crowd, scores.transient, scores.share) = (4.0, -9.0, -2.0);
        scores.conclude();
        assert!((scores.cause - (1.0 + 2.0 - 2.5 - 1.0)).abs() < 1e-6);
        assert!((scores.impact - scores.cause).abs() < 1e-6);
        assert!((scores.sum() + 8.0).abs() < 1e-6);
    }
}
