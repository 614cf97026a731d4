//! What comes out: a verdict on each trace, and why.

use spanwise_model::CallSiteId;

/// Why a trace was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// One of its spans took unusually long by itself.
    Latency,
    /// It is built unusually.
    Structure,
    /// A span failed where failures are rare.
    Error,
    /// Its cluster is rarely seen.
    Cluster,
    /// By chance: it stands for others like it.
    Probability,
    /// A policy voted for it; [`Claim::source`] is its position in the list.
    Policy,
}

/// A number that stands for a trace in one respect, and what it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    /// High = should be kept; in bits, except for `slowest` and `uniform`.
    pub bits: f32,
    /// What it comes from: the hash of a word, the number of a cluster, of a call site.
    pub source: u64,
    /// The call site it points to; [`CallSiteId::UNSET`] if none.
    pub site: CallSiteId,
}

/// Why and how a trace is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keep {
    /// Why.
    pub reason: Reason,
    /// Score, word or cluster, and call site.
    pub claim: Claim,
    /// Share of recent traces that score at least as high in this respect, in (0, 1]; for keeps by
    /// chance their probability.
    pub tail: f64,
    /// Rejection threshold out of 2^56 that the keep adds; 0 for keeps by content, which leave what
    /// came in. See [`super::threshold::outgoing`].
    pub threshold: u64,
    /// Its probability is not known, so that a threshold that came in must go.
    pub erase_threshold: bool,
}

/// A trace whose verdict is not final yet; the caller holds its bytes under this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What becomes of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It is kept.
    Keep(Keep),
    /// It is dropped.
    Drop,
    /// Its bytes are to be held until a [`Settled`] with this ticket comes.
    Hold(Ticket),
}

/// The end of a [`Verdict::Hold`]: kept after all, or dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settled {
    /// Which trace.
    pub ticket: Ticket,
    /// Why it is kept; `None` = dropped.
    pub keep: Option<Keep>,
}

impl Reason {
    /// Lower-case name as it stands in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Structure => "structure",
            Self::Error => "error",
            Self::Cluster => "cluster",
            Self::Probability => "probability",
            Self::Policy => "policy",
        }
    }
}

impl Claim {
    /// No claim to anything.
    pub(super) const NONE: Self =
        Self { bits: f32::NEG_INFINITY, source: 0, site: CallSiteId::UNSET };

    /// The greater of this claim and that of a span, whose source is its call site; of equal ones that of
    /// the call site with the least number: the order of spans does not matter.
    #[inline]
    pub(super) fn or(self, bits: f32, site: CallSiteId) -> Self {
        if bits > self.bits || (bits >= self.bits && site.0 < self.site.0) {
            return Self { bits, source: u64::from(site.0), site };
        }
        self
    }
}
