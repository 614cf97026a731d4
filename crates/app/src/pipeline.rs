//! The pipeline: the stages wired together, and the tasks that drive them.
//!
//! [`core::Core`] is everything up to sampled spans and rule counts, synchronous and on one thread,
//! or on several, each with its part of the traces ([`shards`]);
//! [`processor`] is everything from rule counts to scaled workloads. In one process they are
//! joined by a channel, in split mode by the stream of sampled spans; what crosses is the same.

pub mod core;
pub mod fanout;
pub mod forward;
pub mod governor;
pub mod inspector;
pub mod keeper;
pub mod known;
pub mod outlets;
pub mod panics;
pub mod processor;
pub mod records;
pub mod remote;
pub mod shards;
mod shelf;
pub mod span_queue;
pub mod spares;
pub mod stored;
pub mod traces;
pub mod windows;
pub mod worker;
