//! What spans are ranked by.

use spanwise_sampler::CloseScores;

use crate::error::Error;

/// A figure of the default profile by which spans are ranked. Those known when a trace closes are
/// taken at its close; durations are scored on arrival, before they are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// Duration at its call site.
    SiteDur,
    /// Self time at its call site.
    SiteSelf,
    /// Where the time was lost.
    Cause,
    /// On the way from a cause up to the root.
    Impact,
    /// Self time against the last window of its call site.
    Transient,
    /// Trusted and adaptive reference together.
    Sum,
    /// The rarer of the durations at its call site and among all sites.
    MaxDur,
    /// The duration itself, no model at all: the referee.
    Duration,
}

/// Which sampler ranks, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    /// The default profile by one of its scores.
    Default(Score),
    /// The SCALE paper's sampler as published, in its strongest known setting (25 trees, height 8,
    /// limit 1 s), frozen after its training.
    Scale,
}

impl Score {
    /// Every score.
    pub const ALL: [Self; 8] = [
        Self::SiteDur,
        Self::SiteSelf,
        Self::Cause,
        Self::Impact,
        Self::Transient,
        Self::Sum,
        Self::MaxDur,
        Self::Duration,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SiteDur => "site_dur",
            Self::SiteSelf => "site_self",
            Self::Cause => "cause",
            Self::Impact => "impact",
            Self::Transient => "transient",
            Self::Sum => "sum",
            Self::MaxDur => "max_dur",
            Self::Duration => "duration",
        }
    }

    /// The score of a name.
    ///
    /// # Errors
    /// There is none, with those there are.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|score| score.as_str() == name);
        found.ok_or_else(|| Error::Unknown {
            what: "score",
            name: name.to_owned(),
            known: Self::ALL.map(Self::as_str).join(", "),
        })
    }

    /// Its value when a trace closes; `None` for those known on arrival.
    pub(crate) fn at_close(self, scores: &CloseScores) -> Option<f64> {
        let bits = match self {
            Self::SiteSelf => scores.site_self,
            Self::Cause => scores.cause,
            Self::Impact => scores.impact,
            Self::Transient => scores.transient,
            Self::Sum => scores.sum(),
            Self::SiteDur | Self::MaxDur | Self::Duration => return None,
        };
        Some(f64::from(bits))
    }
}

impl Judge {
    /// The name of what it ranks by.
    pub const fn score_name(self) -> &'static str {
        match self {
            Self::Default(score) => score.as_str(),
            Self::Scale => "river",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_wrong_ones_answered_with_the_right_ones() {
        for score in Score::ALL {
            assert_eq!(Score::from_name(score.as_str()).unwrap(), score);
        }
        assert_eq!(
            Score::from_name("best").unwrap_err().to_string(),
            "unknown score `best`, give one of: site_dur, site_self, cause, impact, transient, \
             sum, max_dur, duration"
        );
    }
}
