//! `traces`: the recently kept traces of a running spanwise, and why each was kept.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde::Deserialize;
use spanwise_analyzer::units::DurationNs;
use spanwise_api::{StatusView, TraceList, TraceView};

use super::Format;
use super::decisions::{fetch, find, percent_encode};
use super::output::Output;
use crate::exit::{Exit, NEGATIVE, OK};

/// `tail` looks this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Traces that `tail` asks for at once: as many as there are.
const TAIL_LIMIT: usize = 1_000;

/// Read kept traces.
#[derive(Clone, Debug, Subcommand)]
pub enum TracesCommand {
    /// Print traces as they are kept, until interrupted.
    Tail {
        /// What is shown.
        #[command(flatten)]
        filter: Filter,
        /// Stop after this many.
        #[arg(long)]
        limit: Option<usize>,
    },
    /// One kept trace, whole: `-o json` prints its spans as OTLP/JSON beside the reason.
    Get {
        /// Its trace id, or its number such as `t-12`.
        id: String,
        /// Address of the running spanwise's API.
        #[arg(long, env = "SPANWISE_URL", default_value = "http://127.0.0.1:7300")]
        url: String,
    },
    /// The newest kept traces.
    Search {
        /// Searches the kept traces in memory: the only ones there are to search.
        #[arg(long)]
        kept: bool,
        /// What is shown.
        #[command(flatten)]
        filter: Filter,
        /// At most this many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
}

/// What is shown.
#[derive(Clone, Debug, Args)]
pub struct Filter {
    /// Address of the running spanwise's API.
    #[arg(long, env = "SPANWISE_URL", default_value = "http://127.0.0.1:7300")]
    url: String,
    /// Only with a span of this service.
    #[arg(long)]
    service: Option<String>,
    /// Only with this root operation.
    #[arg(long)]
    operation: Option<String>,
    /// Only kept for this reason: latency, structure, error, cluster, probability,
    /// policy, late or tag.
    #[arg(long)]
    reason: Option<String>,
    /// Only this long or longer, such as `200ms`.
    #[arg(long)]
    min_duration: Option<String>,
    /// Only with a failed span.
    #[arg(long)]
    error: bool,
}

/// Runs a `traces` command.
pub fn run(command: &TracesCommand, output: &Output) -> Result<Exit> {
    match command {
        TracesCommand::Tail { filter, limit } => tail(filter, *limit, output),
        TracesCommand::Search { kept, filter, limit } => {
            if !kept {
                output.note("note: only kept traces can be searched; --kept says so");
            }
            search(filter, *limit, output)
        }
        TracesCommand::Get { id, url } => get(url, id, output),
    }
}

/// Refuses to look for traces where none can be.
fn check_sampled(url: &str) -> Result<()> {
    let status: StatusView = serde_json::from_slice(&fetch(&format!("{url}/api/v1/status"))?)?;
    if status.sampling.is_none() {
        bail!(
            "this spanwise keeps single spans, not whole traces: there are none to show\n  fix: write `sampler: {{traces: {{}}}}` in its configuration, or look at /api/v1/anomalies"
        );
    }
    Ok(())
}

fn search(filter: &Filter, limit: usize, output: &Output) -> Result<Exit> {
    check_sampled(&filter.url)?;
    let body = fetch(&filter.path(limit)?)?;
    if output.format == Format::Json {
        output.line(String::from_utf8_lossy(&body).trim_end())?;
        return Ok(OK);
    }
    let page: TraceList = serde_json::from_slice(&body)?;
    for trace in &page.items {
        output.line(&line(trace))?;
    }
    if page.items.is_empty() {
        output.note("no kept trace like that in memory");
        return Ok(NEGATIVE);
    }
    Ok(OK)
}

fn tail(filter: &Filter, limit: Option<usize>, output: &Output) -> Result<Exit> {
    check_sampled(&filter.url)?;
    let path = filter.path(TAIL_LIMIT)?;
    let mut seen = 0;
    let mut n_left = limit.unwrap_or(usize::MAX);
    while n_left > 0 {
        let page: TraceList = serde_json::from_slice(&fetch(&path)?)?;
        for trace in page.items.iter().rev() {
            let number = trace.id.trim_start_matches("t-").parse().unwrap_or(0);
            if number <= seen || n_left == 0 {
                continue;
            }
            seen = number;
            n_left -= 1;
            match output.format {
                Format::Json => output.line(&serde_json::to_string(trace)?)?,
                Format::Text => output.line(&line(trace))?,
            }
        }
        if n_left > 0 {
            #[expect(clippy::disallowed_methods, reason = "the command has nothing else to do")]
            std::thread::sleep(LOOK_EVERY);
        }
    }
    Ok(OK)
}

/// The answer about one trace.
#[derive(Deserialize)]
struct Whole {
    kept: Vec<TraceView>,
}

fn get(url: &str, id: &str, output: &Output) -> Result<Exit> {
    let is_number = id.strip_prefix("t-").is_some_and(|number| number.parse::<u64>().is_ok());
    if !is_number && (id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        bail!(
            "`{id}` is no trace id\n  fix: give its 32 hexadecimal digits, or t-12 as `traces search` shows it"
        );
    }
    let Some(body) = find(&format!("{url}/api/v1/traces/{id}"), output)? else {
        return Ok(NEGATIVE);
    };
    if output.format == Format::Json {
        output.line(String::from_utf8_lossy(&body).trim_end())?;
        return Ok(OK);
    }
    let whole: Whole = serde_json::from_slice(&body)?;
    for part in &whole.kept {
        output.line(explained(part).trim_end())?;
    }
    Ok(OK)
}

/// One line of a list.
fn line(trace: &TraceView) -> String {
    format!(
        "{:<8} {} {} {:>9} {:>5} spans {:<11} {:<28} {}",
        trace.id,
        trace.time,
        trace.trace_id,
        duration(trace),
        trace.spans,
        trace.reason,
        format!("{} {}", trace.service, trace.operation),
        trace.rule.as_deref().unwrap_or_default(),
    )
}

/// Everything known of one trace.
fn explained(trace: &TraceView) -> String {
    let mut text = format!(
        "{}  trace {}\n  {} {}, {}, {} spans, {} failed\n  kept {} for: {}\n",
        trace.id,
        trace.trace_id,
        trace.service,
        trace.operation,
        duration(trace),
        trace.spans,
        trace.errors,
        trace.time,
        trace.reason,
    );
    // Writing into a string cannot fail.
    if let Some(rule) = &trace.rule {
        let _ = writeln!(text, "  because of {rule}");
    }
    if let Some(score) = trace.score {
        let _ = writeln!(text, "  score {score:.2}");
    }
    if let Some(tail) = trace.tail {
        let what = if trace.reason == "probability" {
            "kept with probability"
        } else {
            "share of recent traces that score as high"
        };
        let _ = writeln!(text, "  {what} {tail:.6}");
    }
    if let Some(cluster) = &trace.cluster {
        let _ = writeln!(text, "  cluster {cluster}");
    }
    if let Some(decision) = &trace.decision {
        let _ = writeln!(text, "  the verdict would have been: {decision}");
    }
    let _ = writeln!(text, "  services: {}", trace.services.join(", "));
    text
}

fn duration(trace: &TraceView) -> String {
    trace.duration_ns.map_or_else(|| "?".to_owned(), |ns| format!("{:.1}ms", ns.0 as f64 / 1e6))
}

impl Filter {
    fn path(&self, limit: usize) -> Result<String> {
        let mut path = format!("{}/api/v1/traces?limit={limit}", self.url);
        // Writing into a string cannot fail.
        for (key, value) in
            [("service", &self.service), ("operation", &self.operation), ("reason", &self.reason)]
        {
            if let Some(value) = value {
                let _ = write!(path, "&{key}={}", percent_encode(value));
            }
        }
        if let Some(text) = &self.min_duration {
            let DurationNs(ns) = DurationNs::parse(text)?;
            let _ = write!(path, "&min_duration_ns={ns}");
        }
        if self.error {
            path.push_str("&error=true");
        }
        Ok(path)
    }
}
