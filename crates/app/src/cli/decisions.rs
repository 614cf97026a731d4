//! `decisions`: what a running spanwise decided, and why.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use spanwise_api::{DecisionList, DecisionView};
use spanwise_model::Decision;
use spanwise_scaler::explain;

use super::failure;
use super::output::Output;
use super::{DecisionsCommand, Format, explain as explaining};
use crate::exit::{Exit, NEGATIVE, OK};
use crate::http_client::{Refused, get};

/// Runs a `decisions` command.
pub fn run(command: &DecisionsCommand, output: &Output) -> Result<Exit> {
    match command {
        DecisionsCommand::List { url, target, outcome, reason, limit } => {
            let mut path = format!("{url}/api/v1/decisions?limit={limit}");
            for (key, value) in [("target", target), ("outcome", outcome), ("reason", reason)] {
                if let Some(value) = value {
                    let _ = write!(path, "&{key}={}", percent_encode(value));
                }
            }
            let body = fetch(&path)?;
            if output.format == Format::Json {
                output.line(String::from_utf8_lossy(&body).trim_end())?;
                return Ok(OK);
            }
            let page: DecisionList = serde_json::from_slice(&body)?;
            for decision in &page.items {
                output.line(&line(decision))?;
            }
            if page.items.is_empty() {
                let is_filtered = outcome.is_some() || reason.is_some();
                output.note(&explaining::no_decisions(url, target.as_deref(), is_filtered)?);
            }
            Ok(OK)
        }
        DecisionsCommand::Get { id, url } => one(url, id, output),
    }
}

/// Explains one decision.
pub(super) fn one(url: &str, id: &str, output: &Output) -> Result<Exit> {
    if id.strip_prefix("d-").is_none_or(|n| n.parse::<u64>().is_err()) {
        bail!(
            "`{id}` is no decision id\n  fix: write it as `decisions list` shows it, such as d-12"
        );
    }
    let Some(body) = find(&format!("{url}/api/v1/decisions/{id}"), output)? else {
        return Ok(NEGATIVE);
    };
    if output.format == Format::Json {
        output.line(String::from_utf8_lossy(&body).trim_end())?;
    } else {
        let decision: DecisionView = serde_json::from_slice(&body)?;
        output.line(explanation(decision)?.trim_end())?;
    }
    Ok(OK)
}

/// One line of a list.
pub(super) fn line(decision: &DecisionView) -> String {
    format!(
        "{:<8} {} {:<12} {:<20} {:<24} {}",
        decision.id,
        decision.time,
        decision.outcome,
        decision.reason,
        decision.target.name,
        decision.summary
    )
}

pub(super) fn explanation(view: DecisionView) -> Result<String> {
    Ok(explain::explain(&Decision::try_from(view)?))
}

pub(super) fn fetch(url: &str) -> Result<bytes::Bytes> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(get(url))
}

/// What is asked for, or `None` if there is no such thing, which is told.
pub(super) fn find(url: &str, output: &Output) -> Result<Option<bytes::Bytes>> {
    match fetch(url) {
        Ok(body) => Ok(Some(body)),
        Err(error) => match error.downcast_ref::<Refused>() {
            Some(refused) if refused.status == http::StatusCode::NOT_FOUND => {
                output.note(&failure::render(&error));
                Ok(None)
            }
            _ => Err(error),
        },
    }
}

pub(super) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
