//! `eval spans`: rank the spans of a labelled file.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use spanwise_eval::spans::{self, Question, Report};
use spanwise_eval::{Error, Judge, Rows, Score};

use super::input::{Input, faults, metered, shown};
use super::{ProfileName, SpansArgs, Truth};
use crate::cli::output::Output;

/// Runs the protocol and prints its table.
pub fn run(args: &SpansArgs, output: &Output) -> Result<()> {
    let input = Input::parse(&args.file)?;
    let faults = faults(args.faults.as_deref())?;
    let truth = truth(args.truth);
    let question = Question {
        truth,
        judge: judge(args, truth)?,
        rows: Rows::parse(&args.rows)?,
        faults: &faults,
    };
    let first_seed = spanwise_sampler::Config::default().seed;
    let mut stream = input.load()?;
    let n_replayed = u64::from(question.rows.n_replayed(stream.len()));
    let bar = output.progress(args.seeds * n_replayed, "replaying");
    let mut runs = Vec::new();
    for run in 0..args.seeds {
        stream = input.redraw(stream, run)?;
        let seed = first_seed + run;
        runs.push(metered(&bar, |meter| spans::run(&stream, &question, seed, meter))?);
    }
    bar.finish_and_clear();
    let Some(report) = Report::of(&runs) else { bail!("no run\n  fix: give --seeds 1 or more") };
    output.result(&report, render)
}

fn judge(args: &SpansArgs, truth: spans::Truth) -> Result<Judge> {
    match (args.profile, &args.score) {
        (ProfileName::Scale, None) => Ok(Judge::Scale),
        (ProfileName::Scale, Some(_)) => Err(Error::ScoreOfScale.into()),
        (ProfileName::Default, None) => Ok(Judge::Default(truth.score())),
        (ProfileName::Default, Some(name)) => Ok(Judge::Default(Score::from_name(name)?)),
    }
}

const fn truth(truth: Truth) -> spans::Truth {
    match truth {
        Truth::RootCause => spans::Truth::RootCause,
        Truth::SlowPath => spans::Truth::SlowPath,
        Truth::Fault => spans::Truth::Fault,
        Truth::Error => spans::Truth::Error,
    }
}

fn render(report: &Report) -> String {
    let mut text = String::new();
    let [half, one, five] = report.recall_at.map(|(_, recall)| shown(recall, 3));
    let rows = [
        ("spans", shown(report.spans, 0)),
        ("positives", shown(report.positives, 0)),
        ("score", report.score.to_owned()),
        ("average precision", shown(report.average_precision, 3)),
        ("best F1", shown(report.f1_max, 3)),
        ("area under ROC", shown(report.auc, 4)),
        ("recall at 0.5 %", half),
        ("recall at 1 %", one),
        ("recall at 5 %", five),
        ("ns per span", shown(report.ns_per_span, 0)),
    ];
    // Writing into a String cannot fail.
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<18} {value}");
    }
    if !report.by_fault.is_empty() {
        let _ = writeln!(
            text,
            "\n{:>5} {:<16} {:<24} {:>9} {:>9} average precision",
            "fault", "type", "service", "spans", "positives"
        );
    }
    for fault in &report.by_fault {
        let _ = writeln!(
            text,
            "{:>5} {:<16} {:<24} {:>9} {:>9} {}",
            fault.fault,
            fault.kind.as_deref().unwrap_or("-"),
            fault.service.as_deref().unwrap_or("-"),
            shown(fault.spans, 0),
            shown(fault.positives, 0),
            shown(fault.average_precision, 3),
        );
    }
    text
}
