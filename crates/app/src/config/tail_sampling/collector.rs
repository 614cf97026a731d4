//! The `tail_sampling` processors of a Collector's configuration file.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use spanwise_analyzer::units::DurationNs;
use spanwise_model::{Problem, Severity};

use super::super::built::WAIT_NS_MAX;
use super::super::yaml;
use super::RawPolicy;

/// The Collector's `decision_wait` where none is written.
const WAIT_DEFAULT: &str = "30s";

/// A `tail_sampling` processor as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTailSampling {
    /// From the first span on. Default `30s`.
    pub decision_wait: Option<String>,
    /// From the root on, if it comes before the other time has passed. Default `0s`: not at all.
    pub decision_wait_after_root_received: Option<String>,
    /// Open traces are bounded in bytes.
    pub num_traces: Option<IgnoredAny>,
    /// What is full closes early, with a verdict, or refuses.
    pub block_on_overflow: bool,
    /// Tables grow by themselves.
    pub expected_new_traces_per_sec: Option<IgnoredAny>,
    /// The policies.
    pub policies: Vec<RawPolicy>,
    /// Verdicts are always remembered.
    pub decision_cache: Option<IgnoredAny>,
    /// Open traces lie in the log of `data_dir`.
    pub tail_storage: Option<IgnoredAny>,
    /// Ask no further policy once one votes for a trace.
    pub sample_on_first_match: bool,
    /// `trace-complete`; `span-ingest` has no counterpart.
    pub sampling_strategy: Option<String>,
    /// Open traces are judged at the end, always.
    pub drop_pending_traces_on_shutdown: bool,
    /// Traces have a largest number of spans instead.
    pub maximum_trace_size_bytes: u64,
    /// Work is shared by itself.
    pub num_shards: Option<IgnoredAny>,
}

/// A processor that was found.
#[derive(Debug)]
pub struct Processor {
    /// Its name, such as `tail_sampling/errors`.
    pub name: String,
    /// Where it stands, as a path into the file.
    pub path: String,
    /// What it says.
    pub raw: RawTailSampling,
}

/// Parses a Collector's configuration and finds its `tail_sampling` processors. Everything else in it
/// is passed over. The error is rendered for a person.
pub fn find(text: &str, file: &str) -> Result<Vec<Processor>, String> {
    let raw: RawCollector = yaml::parse(text, file)?;
    Ok(raw.processors.0)
}

impl Processor {
    /// How long after its root a trace is to be waited for, so that it is as complete as there.
    ///
    /// # Errors
    /// What is written is no such time.
    pub fn wait(&self) -> Result<DurationNs, Problem> {
        let raw = &self.raw;
        let read = |key: &str, text: &str| {
            go_duration(text).map_err(|message| Problem {
                path: format!("{}.{key}", self.path),
                code: "P003",
                severity: Severity::Error,
                message,
                fix: "write the value itself, such as 30s".to_owned(),
            })
        };
        let in_all = raw.decision_wait.as_deref().unwrap_or(WAIT_DEFAULT);
        let in_all = read("decision_wait", in_all)?;
        let after_root = raw.decision_wait_after_root_received.as_deref().unwrap_or("0s");
        let after_root = read("decision_wait_after_root_received", after_root)?;
        let wait = if after_root.0 > 0 { after_root.min(in_all) } else { in_all };
        Ok(wait.min(DurationNs(WAIT_NS_MAX)))
    }

    /// What of the processor beside its policies cannot be said here, or goes without saying.
    pub fn problems(&self) -> Vec<Problem> {
        let raw = &self.raw;
        let mut problems = Vec::new();
        let mut say = |severity, key: &str, message: &str, fix: &str| {
            problems.push(Problem {
                path: format!("{}.{key}", self.path),
                code: "P003",
                severity,
                message: message.to_owned(),
                fix: fix.to_owned(),
            });
        };
        match raw.sampling_strategy.as_deref() {
            None | Some("trace-complete") => {}
            Some(other) => {
                let message = format!("`{other}` judges traces before they are complete");
                let fix = "write trace-complete, or remove it: a trace is judged some time after its root";
                say(Severity::Error, "sampling_strategy", &message, fix);
            }
        }
        if raw.policies.is_empty() {
            say(Severity::Error, "policies", "there are no policies", "add `policies:`");
        }
        if raw.maximum_trace_size_bytes > 0 {
            let message = "large traces are not dropped: they are judged like others, without the \
                           spans beyond a cap";
            let fix = "add a `drop` policy with a `span_count`";
            say(Severity::Warning, "maximum_trace_size_bytes", message, fix);
        }
        if raw.drop_pending_traces_on_shutdown {
            let message = "open traces are judged at the end, not dropped";
            say(Severity::Warning, "drop_pending_traces_on_shutdown", message, "remove it");
        }
        if raw.block_on_overflow {
            let message = "where memory runs short, the oldest open traces are judged early and \
                           senders are told to come again";
            say(Severity::Warning, "block_on_overflow", message, "set `memory_limit:`");
        }
        if raw.tail_storage.is_some() {
            let message = "open traces lie in the log of the data directory";
            say(Severity::Warning, "tail_storage", message, "set `data_dir:`");
        }
        problems
    }
}

/// A duration as Go writes it: numbers with units, such as `1m30s`.
fn go_duration(text: &str) -> Result<DurationNs, String> {
    let mut sum = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = rest[number..].find(|c: char| !c.is_ascii_alphabetic());
        let (piece, behind) = rest.split_at(unit.map_or(rest.len(), |unit| number + unit));
        let DurationNs(ns) = DurationNs::parse(piece).map_err(|error| error.to_string())?;
        (sum, rest) = (sum.saturating_add(ns), behind);
    }
    Ok(DurationNs(sum))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RawCollector {
    processors: Processors,
}

#[derive(Debug, Default)]
struct Processors(Vec<Processor>);

impl<'de> Deserialize<'de> for Processors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ProcessorsVisitor)
    }
}

struct ProcessorsVisitor;

impl<'de> Visitor<'de> for ProcessorsVisitor {
    type Value = Processors;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping of processors")
    }

    fn visit_unit<E>(self) -> Result<Processors, E> {
        Ok(Processors::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Processors, A::Error> {
        let mut found = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name.split('/').next() == Some("tail_sampling") {
                let raw = map.next_value::<Option<RawTailSampling>>()?.unwrap_or_default();
                let path = format!("processors.{name}");
                found.push(Processor { name, path, raw });
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Processors(found))
    }
}
