//! One call to the API server: paced, under a deadline, with a bounded reply, and its failure
//! sorted by what it means for a decision.
//!
//! Sorted by HTTP code, not by the Status object: an absent API group and proxies in between answer
//! in plain text.

use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::pace::Pace;
use crate::error::OrchError;

/// A call that takes longer is given up. Far above a healthy server's 99th percentile of 1 s, and
/// short enough that a hung server costs one decision, not its successor.
const DEADLINE: Duration = Duration::from_secs(5);
/// Largest reply that is read: a page of 250 objects of 32 KiB.
const REPLY_BYTES_MAX: usize = 8 << 20;
/// What is quoted of a server's own words.
const QUOTE_BYTES_MAX: usize = 256;
/// Longest wait a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);
/// Wait where the server names none, and the least wait in any case.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// The client with its pace.
pub(super) struct Api {
    client: Client,
    pace: Pace,
}

/// One request, with the words that a refusal is reported in.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// `get`, `list` or `patch`.
    pub(super) verb: &'static str,
    /// The resource as rights are written: `deployments/scale`.
    pub(super) resource: String,
    /// Path and query.
    pub(super) path: String,
    /// Merge patch to send.
    pub(super) patch: Option<Vec<u8>>,
}

/// Why a call failed, sorted by what to do.
#[derive(Debug)]
pub(super) enum Failure {
    /// 409: read again and judge again.
    Moved(String),
    /// 429: wait, then read and judge again.
    Busy(Duration),
    /// Nothing to do here.
    Final(OrchError),
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
}

impl Api {
    pub(super) fn new(client: Client, calls_per_s: u32) -> Self {
        Self { client, pace: Pace::new(calls_per_s) }
    }

    /// Waits until another call may be made; see [`Pace`].
    pub(super) async fn turn(&self) {
        self.pace.turn().await;
    }

    /// Waits for its turn, then reads.
    pub(super) async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, Failure> {
        self.turn().await;
        self.send(call).await
    }

    /// Sends a call whose turn it is, and reads the reply as JSON.
    pub(super) async fn send<T: DeserializeOwned>(&self, call: Call) -> Result<T, Failure> {
        let request = call.request()?;
        let exchange = async {
            let response = self.client.send(request).await.map_err(|error| error.to_string())?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, REPLY_BYTES_MAX).collect().await;
            body.map(|body| (head, body.to_bytes())).map_err(|error| error.to_string())
        };
        let (head, body) = match tokio::time::timeout(DEADLINE, exchange).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => return Err(call.lost(&format!("failed: {error}"))),
            Err(_) => return Err(call.lost(&format!("had no answer within {DEADLINE:?}"))),
        };
        if !head.status.is_success() {
            return Err(call.sort(head.status, &head.headers, &body));
        }
        serde_json::from_slice(&body)
            .map_err(|error| call.lost(&format!("had an answer that cannot be read: {error}")))
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Call {
    /// A read of one object.
    pub(super) fn get(resource: impl Into<String>, path: String) -> Self {
        Self { verb: "get", resource: resource.into(), path, patch: None }
    }

    fn request(&self) -> Result<Request<Body>, Failure> {
        let builder = Request::builder().uri(&self.path).header(header::ACCEPT, "application/json");
        let request = match &self.patch {
            None => builder.method(Method::GET).body(Body::empty()),
            Some(patch) => builder
                .method(Method::PATCH)
                .header(header::CONTENT_TYPE, "application/merge-patch+json")
                .body(Body::from(patch.clone())),
        };
        request.map_err(|error| {
            Failure::Final(OrchError::invalid(format!("no valid path {}: {error}", self.path)))
        })
    }

    /// The call got no usable answer; if it was a write, it may have been carried out.
    fn lost(&self, what: &str) -> Failure {
        self.transient(what, self.patch.is_some())
    }

    fn transient(&self, what: &str, maybe_applied: bool) -> Failure {
        let detail = format!("{} {} {what}", self.verb, self.resource);
        Failure::Final(OrchError::Transient { detail, maybe_applied })
    }

    fn sort(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        let message = quote(body);
        match status {
            StatusCode::CONFLICT => Failure::Moved(message),
            StatusCode::TOO_MANY_REQUESTS => Failure::Busy(retry_after(headers)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Failure::Final(OrchError::Forbidden {
                    verb: self.verb.to_owned(),
                    resource: self.resource.clone(),
                    detail: message,
                })
            }
            StatusCode::NOT_FOUND => Failure::Final(OrchError::NotFound { what: message }),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GONE => {
                self.transient(&format!("answered {status}: {message}"), false)
            }
            status if status.is_server_error() => {
                self.lost(&format!("answered {status}: {message}"))
            }
            status => Failure::Final(OrchError::invalid(format!(
                "{} {} answered {status}: {message}",
                self.verb, self.resource
            ))),
        }
    }
}

impl From<OrchError> for Failure {
    fn from(error: OrchError) -> Self {
        Self::Final(error)
    }
}

impl From<Failure> for OrchError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Moved(message) => Self::conflict(message),
            Failure::Busy(wait) => Self::transient(format!("the server is busy for {wait:?}")),
            Failure::Final(error) => error,
        }
    }
}

/// The server's words: the message of a Status object, else the body as it is; cut and cleaned,
/// because it ends up in logs and records.
fn quote(body: &[u8]) -> String {
    let status = serde_json::from_slice::<Status>(body);
    let text = status.map_or_else(|_| String::from_utf8_lossy(body).into_owned(), |s| s.message);
    let mut end = text.len().min(QUOTE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The wait of a `Retry-After` in seconds, within bounds. The API server never sends a date.
fn retry_after(headers: &HeaderMap) -> Duration {
    let value = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = value.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    seconds.unwrap_or(RETRY_AFTER_MIN).clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_bounded_whatever_the_server_says() {
        let check = |value: Option<&str>, expected_s: u64| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            }
            assert_eq!(retry_after(&headers), Duration::from_secs(expected_s), "{value:?}");
        };
        check(None, 1);
        check(Some("7"), 7);
        check(Some("0"), 1);
        check(Some("999999999"), 300);
        check(Some("Wed, 21 Oct 2015 07:28:00 GMT"), 1);
    }

    #[test]
    fn the_servers_words_are_cut_and_cleaned() {
        assert_eq!(quote(br#"{"kind":"Status","message":"no\nsuch"}"#), "no such");
        assert_eq!(quote(b"404 page not found\n"), "404 page not found");
        assert_eq!(quote("\u{e4}".repeat(400).as_bytes()).len(), 256);
    }
}
