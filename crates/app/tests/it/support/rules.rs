//! A rule that an incident of a few thousand purchases fires, and what it has decided.

use std::net::SocketAddr;

use super::http::get_json;

/// Scales the cart when a thousand of its reads were slow within half a minute.
pub(crate) const RULES: &str = "scaler:
  targets:
    - {service: cart, orchestrator: recorder, max: 5}
  rules:
    - name: cart-slow
      when: {service: cart, op: GetCart, kind: server, over: 60ms, count: 1000, window: 30s}
      cooldown: 1s
      do: {scale: cart, by: 1}
";

/// Decisions on the cart that an API lists; 0 while nobody listens.
pub(crate) fn n_decisions(api: SocketAddr) -> usize {
    let list = get_json(api, "/api/v1/decisions?target=cart&limit=200");
    list.map_or(0, |list| list["items"].as_array().unwrap().len())
}
