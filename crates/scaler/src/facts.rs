//! What surrounds a decision: read once, then passed to those who judge and to those who check.

use spanwise_model::{Mode, Observed, Timestamp};

use crate::config::Target;
use crate::limits::Room;

/// Everything a judgement depends on, beside the findings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) target: &'a Target,
    pub(crate) mode: Mode,
    pub(crate) observed: &'a Observed,
    pub(crate) room: Room,
    pub(crate) acted_at: Option<Timestamp>,
    pub(crate) started: Timestamp,
    pub(crate) now: Timestamp,
}

/// Where the evidence of a plan comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    /// When the decisive rule fired.
    pub(crate) at: Timestamp,
    /// The longest window of the rules.
    pub(crate) window_ns: u64,
}
