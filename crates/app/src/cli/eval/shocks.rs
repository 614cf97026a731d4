//! `eval shocks`: Table II of the SCALE paper, re-enacted.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use spanwise_eval::Score;
use spanwise_eval::shocks::{self, Plant, Question, Report};

use super::input::{Input, faults, metered, shown};
use super::{PlantName, ShocksArgs};
use crate::cli::output::Output;

/// Runs the protocol and prints its table.
pub fn run(args: &ShocksArgs, output: &Output) -> Result<()> {
    let input = Input::parse(&args.file)?;
    let faults = faults(args.faults.as_deref())?;
    let score = args.score.as_deref().map_or(Ok(Score::Cause), Score::from_name)?;
    let question = Question { plant: plant(args.plant), every: args.every, score, faults: &faults };
    let mut stream = input.load()?;
    let bar = output.progress(args.seeds * shocks::n_replayed(), "replaying");
    let mut runs = Vec::new();
    for run in 0..args.seeds {
        stream = input.redraw(stream, run)?;
        let seed = args.seed.wrapping_add(run);
        runs.push(metered(&bar, |meter| shocks::run(&stream, &question, seed, meter))?);
    }
    bar.finish_and_clear();
    let Some(report) = Report::of(&runs) else { bail!("no run\n  fix: give --seeds 1 or more") };
    output.result(&report, render)
}

const fn plant(plant: PlantName) -> Plant {
    match plant {
        PlantName::R1 => Plant::R1,
        PlantName::R2 => Plant::R2,
        PlantName::R3 => Plant::R3,
    }
}

fn render(report: &Report) -> String {
    let mut text = String::new();
    let (default, scale) = (&report.default, &report.scale);
    // Writing into a String cannot fail.
    let mut line = |name: &str, default: &str, scale: &str| {
        let _ = writeln!(text, "{name:<22} {default:>16} {scale:>16}");
    };
    line("profile", "default", "scale");
    line("score", default.score, scale.score);
    line("operating point", default.operating_point, scale.operating_point);
    for ((name, ours), (_, published)) in default.figures().into_iter().zip(scale.figures()) {
        let is_count =
            name.ends_with("positives") || name.ends_with("negatives") || name == "spans";
        let decimals = if is_count { 0 } else { 3 };
        line(&name.replace('_', " "), &shown(ours, decimals), &shown(published, decimals));
    }
    text
}
