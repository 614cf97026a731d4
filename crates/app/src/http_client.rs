//! A GET over HTTP/1.1 to the API of a running spanwise: for `decisions`, `explain`, `traces` and the
//! demo, nothing else.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer.
const BODY_BYTES_MAX: usize = 16 << 20;

/// What the API answered in place of what was asked for.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The status.
    pub(crate) status: StatusCode,
    /// One sentence and the remedy.
    text: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refused {}

/// The API's errors.
#[derive(Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    hint: String,
}

/// The body of an answer with status 200; any other answer is [`Refused`]. The scheme may be left out.
pub(crate) async fn get(url: &str) -> Result<Bytes> {
    let with_scheme = format!("http://{url}");
    let url = if url.contains("://") { url } else { &with_scheme };
    let uri: http::Uri = url
        .parse()
        .with_context(|| format!("`{url}` is no address\n  fix: write http://host:port"))?;
    if uri.scheme_str() != Some("http") {
        bail!("`{url}`: only http is spoken here\n  fix: write http://host:port");
    }
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = async {
        let response = client.get(uri).await.with_context(|| {
            format!("no answer from {url}\n  fix: start `spanwise serve`, or name it with --url")
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!("{url}: {error}"))?
            .to_bytes();
        anyhow::Ok((status, body))
    };
    let (status, body) = tokio::time::timeout(TIMEOUT, answer)
        .await
        .with_context(|| format!("no answer from {url} within {} s", TIMEOUT.as_secs()))??;
    if !status.is_success() {
        bail!(Refused { status, text: said(url, status, &body) });
    }
    Ok(body)
}

/// The sentence and the remedy of a problem; of another server the status.
fn said(url: &str, status: StatusCode, body: &[u8]) -> String {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if problem.hint.is_empty() => problem.detail,
        Ok(problem) => format!("{}\n  fix: {}", problem.detail, problem.hint),
        Err(_) => {
            format!(
                "{url} answers {status}\n  fix: name the API of a spanwise, usually port 7300, with --url"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_sentence_with_its_remedy() {
        let body = br#"{"type":"about:blank","status":404,"detail":"no d-9","hint":"look"}"#;
        assert_eq!(said("http://x", StatusCode::NOT_FOUND, body), "no d-9\n  fix: look");
        let other = said("http://x/api", StatusCode::BAD_GATEWAY, b"<html>");
        assert!(other.starts_with("http://x/api answers 502"), "{other}");
    }
}
