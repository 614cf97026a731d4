//! Receiving OTLP over gRPC (4317) and HTTP (4318): async shells over [`crate::decode()`].
//!
//! Both servers do the same with what they read: charge the door
//! ([`Admission`](crate::admission::Admission)), decompress under the limits, decode, hand the batch
//! to the application through [`Ingest`], and answer with what OTLP prescribes. They differ in
//! framing alone, which is all their modules hold. The application spawns the futures returned here
//! and owns the queue behind [`Ingest`].
//!
//! Not here: TLS and authentication. A listener on another address than loopback must be asked for
//! with `insecure: true` ([`check_bind`]).

mod activity;
mod bind;
mod config;
mod connections;
pub mod grpc;
pub mod http;
mod inflate;
mod intake;
mod port;
mod preface;
mod refusal;

pub use bind::{BindError, bind, check_bind};
pub use config::{Config, Ports};
pub use intake::Intake;
pub use port::{
    ConnectionEnd, Ingest, NotTaken, Outcome, Overloaded, Protocol, ReceiverEvent, RequestMeta,
    RequestOutcome,
};
