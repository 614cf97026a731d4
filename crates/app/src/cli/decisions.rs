//! `decisions` and `explain`: what a running spanwise decided, and why.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use spanwise_api::{DecisionList, DecisionView};
use spanwise_model::Decision;
use spanwise_scaler::explain;

use super::output::Output;
use super::{DecisionsCommand, ExplainArgs, Format};
use crate::exit::{Exit, NEGATIVE, OK};
use crate::http_client::get;

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
                output.note("no decisions yet: no rule has fired");
            }
            Ok(OK)
        }
        DecisionsCommand::Get { id, url } => one(url, id, output),
    }
}

/// Says why a target was scaled or not, or explains one decision.
pub fn explain_target(args: &ExplainArgs, output: &Output) -> Result<Exit> {
    if args.what.starts_with("d-") {
        return one(&args.url, &args.what, output);
    }
    let target = percent_encode(&args.what);
    let body = fetch(&format!("{}/api/v1/decisions?target={target}&limit=10", args.url))?;
    let page: DecisionList = serde_json::from_slice(&body)?;
    let Some(newest) = page.items.first() else {
        output.note(&format!(
            "no decision about `{}`: none of its rules has fired since the start",
            args.what
        ));
        return Ok(NEGATIVE);
    };
    if output.format == Format::Json {
        output.line(&serde_json::to_string_pretty(newest)?)?;
        return Ok(OK);
    }
    output.line(explanation(newest.clone())?.trim_end())?;
    for earlier in &page.items[1..] {
        output.line(&format!("before: {}", line(earlier)))?;
    }
    Ok(OK)
}

fn one(url: &str, id: &str, output: &Output) -> Result<Exit> {
    if id.strip_prefix("d-").is_none_or(|n| n.parse::<u64>().is_err()) {
        bail!(
            "`{id}` is no decision id\n  fix: write it as `decisions list` shows it, such as d-12"
        );
    }
    let body = fetch(&format!("{url}/api/v1/decisions/{id}"))?;
    if output.format == Format::Json {
        output.line(String::from_utf8_lossy(&body).trim_end())?;
    } else {
        let decision: DecisionView = serde_json::from_slice(&body)?;
        output.line(explanation(decision)?.trim_end())?;
    }
    Ok(OK)
}

/// One line of a list.
fn line(decision: &DecisionView) -> String {
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

fn explanation(view: DecisionView) -> Result<String> {
    Ok(explain::explain(&Decision::try_from(view)?))
}

pub(super) fn fetch(url: &str) -> Result<bytes::Bytes> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(get(url))
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
