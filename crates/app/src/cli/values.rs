//! Values of flags that are checked while the command line is read, so that a mistake names its flag
//! and not the configuration it would end up in.

use std::net::SocketAddr;

use crate::config::built::address_of;

/// An address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    address_of(text).map_err(|error| format!("{error}; write an ip address, 127.0.0.1:4317"))
}

/// How far scaling may go.
pub(super) fn mode(text: &str) -> Result<String, String> {
    match text {
        "observe" | "recommend" | "act" => Ok(text.to_owned()),
        _ => Err("write observe, recommend or act (SPANWISE_MODE is read too)".to_owned()),
    }
}

/// What is kept of the spans.
pub(super) fn budget(text: &str) -> Result<String, String> {
    text.parse::<spanwise_sampler::Budget>()
        .map(|_| text.to_owned())
        .map_err(|error| format!("{error}; write 1% or 200/s (SPANWISE_BUDGET is read too)"))
}

/// A budget of whole traces.
pub(super) fn shadow(text: &str) -> Result<String, String> {
    text.parse::<spanwise_sampler::trace::Budget>()
        .map(|_| text.to_owned())
        .map_err(|error| format!("{error}; write 1%,10% (SPANWISE_SHADOW is read too)"))
}
