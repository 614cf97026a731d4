//! What receiving and sending over the network share: tasks handed to the application, gRPC
//! framing and status codes, client connections.
//!
//! gRPC is spoken directly on HTTP/2 (`h2`) instead of through a framework: the messages here are
//! opaque bytes, OTLP prescribes the status codes to the letter, and every limit has to be ours. A
//! framework's client and server stand on the other side in the tests.

pub(crate) mod base64;
pub(crate) mod call;
mod channel;
mod code;
mod compression;
mod connect;
mod endpoint;
pub(crate) mod frame;
mod keepalive;
pub(crate) mod pace;
mod rpc_status;
mod shutdown;
mod spawn;
mod tls;

pub(crate) use channel::Replies;
pub use channel::{Channel, ChannelError, ChannelLimits};
pub use code::Code;
pub use compression::Compression;
pub use connect::ConnectError;
pub(crate) use connect::connect;
pub use endpoint::{Endpoint, EndpointError, Scheme};
pub use rpc_status::RpcStatus;
pub use shutdown::{Phase, Shutdown, ShutdownHandle, shutdown_channel};
pub use spawn::Spawn;
pub(crate) use spawn::offload;
pub(crate) use tls::Alpn;
pub use tls::Tls;

/// How we name ourselves to servers.
pub(crate) const USER_AGENT: &str = concat!("spanwise/", env!("CARGO_PKG_VERSION"));
