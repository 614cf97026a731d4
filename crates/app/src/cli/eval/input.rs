//! What an evaluation reads: a file of labelled spans or a synthetic stream, and the injected
//! faults.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use indicatif::ProgressBar;
use serde::Deserialize;
use spanwise_eval::{Fault, Labels, Meter, Recorded, Stream, StreamBuilder, service_of_pod};
use spanwise_model::Timestamp;
use spanwise_sim::synthetic::Scenario;

/// What stands before the name of a synthetic stream.
const SYNTHETIC: &str = "synthetic:";
/// Seed of a synthetic stream that names none.
const SEED: u64 = 1;

/// Where spans come from.
#[derive(Debug)]
pub(in crate::cli) enum Input {
    File(PathBuf),
    Synthetic(Scenario, u64),
}

impl Input {
    /// The input a user names.
    pub(in crate::cli) fn parse(text: &str) -> Result<Self> {
        let Some(name) = text.strip_prefix(SYNTHETIC) else {
            return Ok(Self::File(PathBuf::from(text)));
        };
        let (name, seed) = name.split_once(':').unwrap_or((name, ""));
        let Some(scenario) = Scenario::from_name(name) else {
            let known = Scenario::ALL.map(Scenario::as_str).join(", ");
            bail!("unknown synthetic stream `{name}`\n  fix: give one of {known}");
        };
        let seed = match seed {
            "" => SEED,
            seed => seed.parse().with_context(|| {
                format!("`{seed}` is no seed\n  fix: give a whole number, such as {text}")
            })?,
        };
        Ok(Self::Synthetic(scenario, seed))
    }

    /// The spans of the first run.
    pub(in crate::cli) fn load(&self) -> Result<Stream> {
        match self {
            Self::File(path) => from_file(path),
            Self::Synthetic(scenario, seed) => Ok(Stream::synthetic(*scenario, *seed)?),
        }
    }

    /// The spans of a later run: a synthetic stream is drawn anew, a file stays what it is.
    pub(super) fn redraw(&self, stream: Stream, run: u64) -> Result<Stream> {
        match self {
            Self::Synthetic(scenario, seed) if run > 0 => {
                Ok(Stream::synthetic(*scenario, seed.wrapping_add(run))?)
            }
            _ => Ok(stream),
        }
    }
}

fn from_file(path: &Path) -> Result<Stream> {
    let mut builder = StreamBuilder::new();
    for row in spanwise_source::open_rows(path)? {
        let row = row?;
        let labels = &row.labels;
        builder.push(&Recorded {
            trace_id: row.trace_id,
            idx: row.idx,
            parent_idx: row.parent_idx,
            service: &row.service,
            operation: &row.operation,
            kind: row.kind,
            start: Timestamp(row.start_ns),
            dur_ns: row.dur_ns,
            status: row.status,
            labels: Labels {
                root_cause: labels.root_cause,
                slow_path: labels.slow_path,
                trace_struct: labels.trace_struct,
                error: labels.error,
                judged: true,
                fault: u16::try_from(labels.fault).ok(),
            },
        })?;
    }
    Ok(builder.finish())
}

/// An injection as files of faults have it.
#[derive(Debug, Deserialize)]
struct RecordedFault {
    /// Seconds since the epoch.
    t: f64,
    inject_pod: String,
    inject_type: String,
}

/// The injected faults of a file; none without a file.
pub(super) fn faults(path: Option<&Path>) -> Result<Vec<Fault>> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the faults in {}", path.display()))?;
    let recorded: Vec<RecordedFault> = serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is no list of faults\n  fix: give objects with t, inject_pod and inject_type",
            path.display()
        )
    })?;
    let fault = |recorded: RecordedFault| Fault {
        begin: Timestamp((recorded.t.max(0.0) * 1e9) as u64),
        kind: recorded.inject_type,
        service: service_of_pod(&recorded.inject_pod).to_owned(),
    };
    Ok(recorded.into_iter().map(fault).collect())
}

/// Runs `work` with a clock, and a bar that shows its progress.
pub(super) fn metered<T>(bar: &ProgressBar, work: impl FnOnce(&Meter<'_>) -> T) -> T {
    let started = Instant::now();
    let clock_ns = || u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let progress = |n| bar.inc(n);
    work(&Meter { clock_ns: &clock_ns, progress: &progress })
}

/// A figure with so many decimals and, over several seeds, its standard error.
pub(super) fn shown(figure: spanwise_eval::Figure, decimals: usize) -> String {
    match (figure.mean, figure.se) {
        (None, _) => "-".to_owned(),
        (Some(mean), None) => format!("{mean:.decimals$}"),
        (Some(mean), Some(se)) => format!("{mean:.decimals$} ±{se:.decimals$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_streams_are_named_with_or_without_a_seed() {
        let check = |text: &str, expected: (Scenario, u64)| match Input::parse(text).unwrap() {
            Input::Synthetic(scenario, seed) => assert_eq!((scenario, seed), expected),
            Input::File(path) => panic!("a file: {}", path.display()),
        };
        check("synthetic:cold", (Scenario::Cold, 1));
        check("synthetic:mixed:7", (Scenario::Mixed, 7));
        assert!(matches!(Input::parse("unimodal.parquet").unwrap(), Input::File(_)));
    }

    #[test]
    fn unknown_streams_and_seeds_are_answered_with_what_is_known() {
        let check = |text: &str, expected: &str| {
            let error = format!("{:#}", Input::parse(text).unwrap_err());
            assert!(error.contains(expected), "{error}");
        };
        check("synthetic:odd", "unimodal, bimodal, cold, traces, mixed");
        check("synthetic:cold:x", "`x` is no seed");
    }

    #[test]
    fn faults_are_read_with_their_service() {
        let path = std::env::temp_dir().join(format!("faults-{}.json", std::process::id()));
        let text = r#"[{"t": 1661140434.5, "inject_pod": "frontend-579b9bff58-t2dbm",
            "inject_type": "cpu_contention", "n_root": 3}]"#;
        std::fs::write(&path, text).unwrap();
        let found = faults(Some(&path));
        std::fs::remove_file(&path).unwrap();
        let fault = Fault {
            begin: Timestamp::from_millis(1_661_140_434_500),
            kind: "cpu_contention".to_owned(),
            service: "frontend".to_owned(),
        };
        assert_eq!(found.unwrap(), [fault]);
        assert_eq!(faults(None).unwrap(), []);
    }
}
