//! `eval traces`: whole traces under a budget.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use spanwise_eval::traces::{self, Bound, Question, Row, Thin};
use spanwise_sampler::trace::{Algorithm, Waiting};

use super::input::{Input, metered};
use super::{BoundName, TracesArgs};
use crate::cli::output::Output;

/// Traces that are learned only.
const N_WARMUP: u64 = 1024;
/// The same in the files of Train Ticket, which are short.
const N_WARMUP_TT: u64 = 653;

/// Runs the protocol and prints its table.
pub fn run(args: &TracesArgs, output: &Output) -> Result<()> {
    let input = Input::parse(&args.file)?;
    let question = Question {
        budgets: args.budget.iter().map(|text| share(text)).collect::<Result<_>>()?,
        samplers: args.sampler.iter().map(|name| algorithm(name)).collect::<Result<_>>()?,
        bound: match args.bound {
            BoundName::Total => Bound::Total,
            BoundName::FiveMinutes => Bound::FiveMinutes,
        },
        thin: Thin(args.thin),
        n_shards: args.shards,
        n_warmup: args.warmup.unwrap_or_else(|| n_warmup(&args.file)),
        waiting: Waiting { n_traces: args.waiting, ..Waiting::default() },
        seed: args.seed,
    };
    let stream = input.load()?;
    let bar = output.progress(stream.len() as u64, "replaying");
    let rows = metered(&bar, |meter| traces::run(&stream, &question, meter))?;
    bar.finish_and_clear();
    if let Some(folder) = &args.plot {
        for (name, svg) in traces::plots(&rows) {
            write(folder, &name, &svg)?;
        }
        output.note(&format!("plots are in {}", folder.display()));
    }
    output.result(&rows, |rows| render(rows))
}

fn share(text: &str) -> Result<f64> {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let share = match text.trim().strip_suffix('%') {
        Some(percent) => number(percent).map(|percent| percent / 100.0),
        None => number(text).map(|bare| if bare >= 1.0 { bare / 100.0 } else { bare }),
    };
    match share {
        Some(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => bail!("`{text}` is no budget\n  fix: give a percentage of the traces, such as 5%"),
    }
}

fn algorithm(name: &str) -> Result<Algorithm> {
    let Some(algorithm) = Algorithm::from_name(name) else {
        let known = Algorithm::ALL.map(Algorithm::as_str).join(", ");
        bail!("unknown sampler `{name}`\n  fix: give one of {known}");
    };
    Ok(algorithm)
}

fn n_warmup(file: &str) -> u64 {
    let name = Path::new(file).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.starts_with("tt_") { N_WARMUP_TT } else { N_WARMUP }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let path = folder.join(name);
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn render(rows: &[Row]) -> String {
    let mut text = String::new();
    let shown = |figure: Option<f64>| figure.map_or("-".to_owned(), |x| format!("{x:.3}"));
    // Writing into a String cannot fail.
    let _ = writeln!(
        text,
        "{:<10} {:>6} {:>6} {:>7} {:>6} {:>6} {:>6} {:>6} {:>6} {:>7} {:>11} {:>13} {:>8}",
        "sampler",
        "budget",
        "kept",
        "rate",
        "prec.",
        "cover",
        "slow",
        "struct",
        "F1",
        "faults",
        "topologies",
        "oracle P/C",
        "ns/trace"
    );
    for row in rows {
        let _ = writeln!(
            text,
            "{:<10} {:>5}% {:>6} {:>6.2}% {:>6} {:>6} {:>6} {:>6} {:>6} {:>7} {:>11} {:>13} {:>8.0}",
            row.sampler,
            (row.budget * 1e6).round() / 1e4,
            row.kept,
            100.0 * row.sampled_rate,
            shown(row.precision),
            shown(row.coverage),
            shown(row.coverage_slow),
            shown(row.coverage_struct),
            shown(row.f1),
            format!("{}/{}", row.faults_touched, row.faults_total),
            format!("{}/{}", row.distinct_topologies, row.distinct_topologies_total),
            format!("{}/{}", shown(row.oracle_precision), shown(row.oracle_coverage)),
            row.ns_per_trace,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_percentages_or_shares() {
        let check = |text: &str, expected: Option<f64>| {
            let found = share(text).ok();
            let is_same = match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() < 1e-12,
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(is_same, "{text}: {found:?}");
        };
        check("5%", Some(0.05));
        check(" 0.5 %", Some(0.005));
        check("5", Some(0.05));
        check("0.05", Some(0.05));
        check("0", None);
        check("101%", None);
        check("five", None);
    }

    #[test]
    fn train_ticket_warms_up_shorter() {
        assert_eq!(n_warmup("/data/tt_0129.parquet"), 653);
        assert_eq!(n_warmup("/data/ob_0822.parquet"), 1024);
        assert_eq!(n_warmup("synthetic:mixed"), 1024);
    }

    #[test]
    fn an_unknown_sampler_is_answered_with_those_there_are() {
        let error = algorithm("best").unwrap_err().to_string();
        assert!(error.contains("hybrid, latency, structure"), "{error}");
    }
}
