//! A GET over HTTP/1.1 to the API of a running spanwise: for `decisions` and `explain`, nothing else.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer.
const BODY_BYTES_MAX: usize = 16 << 20;

/// The body of an answer with status 200; the body of any other answer is the error.
pub(crate) async fn get(url: &str) -> Result<Bytes> {
    let uri: http::Uri = url.parse().with_context(|| format!("`{url}` is not a url"))?;
    if uri.scheme_str() != Some("http") {
        bail!("`{url}`: only http:// is supported here");
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
        let text: String = String::from_utf8_lossy(&body).chars().take(1_000).collect();
        bail!("{url}: {status}: {text}");
    }
    Ok(body)
}
