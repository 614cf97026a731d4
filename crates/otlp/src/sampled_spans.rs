//! `spanwise.v1.SampledSpans`: the stream of sampled spans, SCALE's second RPC.
//!
//! [`Hub`] is the synchronous core: spans and counts go in, each subscriber's queue is bounded, and
//! what a slow one loses is counted and told to it. [`Service`] puts a subscription on the wire,
//! [`subscribe`] is the other side, and [`Ledger`] checks there that nothing is unaccounted for.
//! Spans are never changed on the way.
//!
//! The wire format is `proto/spanwise/v1/sampled_spans.proto`; `cargo run` in `proto/generate`
//! makes `generated.rs` from it.

mod client;
mod convert;
mod examples;
#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub, reason = "generated code")]
mod generated;
mod hub;
mod ledger;
mod queue;
mod service;

pub use client::{Client, ReceivedBatch, SampleReason, SubscribeError, subscribe};
pub use examples::CountReport;
pub use hub::{
    Hub, HubConfig, RuleSet, RuleSetId, StreamTotals, SubscribeRequest, SubscriberStats,
    Subscription,
};
pub use ledger::{Ledger, LedgerError, Progress};
pub use service::{CheckRules, Service};

/// The service's full name, as in gRPC health.
pub const SERVICE: &str = "spanwise.v1.SampledSpans";
/// The method's path.
pub(crate) const SUBSCRIBE: &str = "/spanwise.v1.SampledSpans/Subscribe";
