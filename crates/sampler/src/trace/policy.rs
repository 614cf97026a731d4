//! Policies: what somebody wants kept or dropped whatever the sampler thinks of it.
//!
//! They stand before the learned sampler and mean what the policies of the `OpenTelemetry`
//! Collector's `tail_sampling` processor mean, as of contrib 0.159.0: all are asked, a `drop` that
//! matches wins over everything, else the trace is kept if any policy votes for it, and the first in
//! the list that did gives its name. Since 0.156 a policy with `invert_match` only turns its own vote
//! around; it vetoes nothing.
//!
//! Where the Collector's verdict hangs on the order in which spans came, or on a hash that no other
//! sampler shares, ours does not: see [`Rule`].

mod attribute;
mod chance;
mod composite;
mod error;
mod facts;
mod limiter;
mod pattern;
mod rule;
mod set;
mod trace_state;

pub use attribute::{Attribute, Test};
pub use chance::Chance;
pub use composite::{Composite, Part};
pub use error::Error;
pub use limiter::Limiter;
pub use pattern::{PATTERN_BYTES_MAX, VALUE_BYTES_MAX, Values};
pub use rule::{Latency, Rule, StateMember, Statuses};
pub use set::{
    Action, DEPTH_MAX, N_RULES_MAX, N_VALUES_MAX, Payment, Policy, PolicyKeep, PolicySet, Rest,
    Ruling,
};
