//! `eval archive`: models of traces beside samples of them.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use indicatif::ProgressBar;
use spanwise_archive::evaluation::{Baseline, Codec, Period, Prices, Recording, periods};
use spanwise_archive::fidelity::Scorer;
use spanwise_archive::traces::Window;

mod figures;
mod model;
mod published;
mod row;
mod table;

use model::{Model, elapsed};
use row::{Costs, Row, Run};

use crate::cli::archive::{requests, window};
use crate::cli::output::Output;
use crate::resources;

/// Arguments of `eval archive`.
#[derive(Clone, Debug, Args)]
pub struct ArchiveArgs {
    /// Recorded spans: `.otlp.pb[.zst|.gz]`, `.otlp.jsonl[.zst|.gz]`, `.parquet`.
    #[arg(required = true, value_name = "DATA")]
    pub files: Vec<PathBuf>,
    /// Models: l0, l1, l2, l3, ctgan; its ablations ctgan-learned, -one-hot, -no-head, -absolute, -c3.
    #[arg(long, value_delimiter = ',', default_value = "l0,l1,l2,l3")]
    pub models: Vec<String>,
    /// Samplers: `head:N`, `tail:error`, `tail:latency`.
    #[arg(long, value_delimiter = ',', default_value = "head:5,head:15,head:100")]
    pub baselines: Vec<String>,
    /// Compressors of the samples: none, gzip, zstd, clp-like.
    #[arg(long, value_delimiter = ',', default_value = "gzip")]
    pub codecs: Vec<String>,
    /// Epochs of `ctgan`, a row each from one training [default: 10].
    #[arg(long, value_delimiter = ',')]
    pub epochs: Vec<u32>,
    /// Runs with other seeds; figures are means with standard errors.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub runs: u64,
    /// Look at the first traces of each recording only.
    #[arg(long)]
    pub traces: Option<usize>,
    /// Add rows for periods of a changing workload: more errors, more traces, a new operation.
    #[arg(long)]
    pub periods: bool,
    /// Add rows with the figures the Gen-T paper publishes (data `published`).
    #[arg(long)]
    pub published: bool,
    /// Folder for the figures, as SVG.
    #[arg(long, value_name = "DIR")]
    pub plot: Option<PathBuf>,
    /// US dollars per 10^9 bytes transferred.
    #[arg(long, default_value_t = Prices::default().per_gb)]
    pub price_gb: f64,
    /// US dollars per hour of a core.
    #[arg(long, default_value_t = Prices::default().per_core_hour)]
    pub price_core_hour: f64,
}

/// What is compared, with words read.
struct Plan {
    models: Vec<Model>,
    baselines: Vec<Baseline>,
    codecs: Vec<Codec>,
    epochs: Vec<u32>,
    n_runs: u64,
    prices: Prices,
}

/// Compares and prints.
pub fn run(args: &ArchiveArgs, output: &Output) -> Result<()> {
    let plan = Plan::of(args)?;
    let mut rows = Vec::new();
    let mut starts = Vec::new();
    for file in &args.files {
        let name = name(file);
        let recording = Recording::read(requests(file, output)?);
        let mut recording = recording.with_context(|| file.display().to_string())?;
        if let Some(n_traces) = args.traces {
            recording = recording.first(n_traces)?;
        }
        output.note(&format!(
            "{name}: {} traces, {} spans",
            recording.n_traces(),
            recording.n_spans()
        ));
        let periods = if args.periods { periods(&recording, 0) } else { Vec::new() };
        let n_steps = plan.n_steps() * (1 + periods.len() as u64);
        let bar = output.progress(n_steps, "comparing");
        let compared = plan.compare(&name, &recording, &bar)?;
        rows.extend(compared.rows);
        starts.push((name.clone(), compared.starts));
        for Period { name: period, traces } in periods {
            let drawn = Recording::read(recording.encode(&traces))?;
            rows.extend(plan.compare(&format!("{name}:{period}"), &drawn, &bar)?.rows);
        }
        bar.finish_and_clear();
    }
    if args.published {
        rows.extend(published::rows());
    }
    if let Some(folder) = &args.plot {
        for (name, svg) in figures::all(&rows, &starts) {
            figures::write(folder, &name, &svg)?;
        }
        output.note(&format!("figures are in {}", folder.display()));
    }
    output.result(&rows, |rows| table::render(rows))
}

/// The file's name up to its first dot.
fn name(path: &std::path::Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// Rows of one recording, and when its traces start: real, then by method.
struct Compared {
    rows: Vec<Row>,
    starts: Vec<(String, Vec<u64>)>,
}

impl Plan {
    fn of(args: &ArchiveArgs) -> Result<Self> {
        let prices = Prices { per_gb: args.price_gb, per_core_hour: args.price_core_hour };
        if !(prices.per_gb >= 0.0 && prices.per_core_hour >= 0.0) {
            bail!("a price is below 0\n  fix: give US dollars");
        }
        Ok(Self {
            models: words(&args.models, str::parse)?,
            baselines: words(&args.baselines, |word| Ok(word.parse()?))?,
            codecs: words(&args.codecs, |word| Ok(word.parse()?))?,
            epochs: args.epochs.clone(),
            n_runs: args.runs,
            prices,
        })
    }

    fn n_steps(&self) -> u64 {
        (self.models.len() + self.baselines.len() * self.codecs.len()) as u64 * self.n_runs
    }

    fn compare(&self, data: &str, recording: &Recording, bar: &ProgressBar) -> Result<Compared> {
        let real = window(recording.requests().iter().cloned())?;
        let mut scorer = Scorer::new(&real.traces);
        let mut rows = Vec::new();
        let mut starts = vec![("real".to_owned(), starts(&real))];
        for model in &self.models {
            rows.extend(self.model((data, recording), *model, &mut scorer, &mut starts, bar)?);
        }
        for baseline in &self.baselines {
            for (codec, runs) in self.sample(recording, *baseline, &mut scorer, &mut starts, bar)? {
                let method = baseline.to_string();
                rows.push(Row::of(data, &method, None, Some(codec), &runs, &self.costs(recording)));
            }
        }
        Ok(Compared { rows, starts })
    }

    /// The rows of a model: one for each number of epochs, or one.
    fn model(
        &self,
        (data, recording): (&str, &Recording),
        model: Model,
        scorer: &mut Scorer,
        starts: &mut Vec<(String, Vec<u64>)>,
        bar: &ProgressBar,
    ) -> Result<Vec<Row>> {
        let epochs = model.epochs(&self.epochs);
        let asked: Vec<u32> = epochs.iter().copied().flatten().collect();
        let mut by_epochs: Vec<(Option<u32>, Vec<Run>)> =
            epochs.into_iter().map(|epochs| (epochs, Vec::new())).collect();
        for seed in 0..self.n_runs {
            bar.set_message(model.to_string());
            for measured in model.measure(recording, seed, &asked, scorer)? {
                let runs = by_epochs.iter_mut().filter(|(n, _)| *n == measured.epochs);
                runs.for_each(|(_, runs)| runs.push(measured.run));
                if seed == 0 {
                    let name = named(&model.to_string(), measured.epochs);
                    starts.push((name, self::starts(&measured.window)));
                }
            }
            bar.inc(1);
        }
        let row = |(epochs, runs): (Option<u32>, Vec<Run>)| {
            let costs = self.costs(recording);
            let row = Row::of(data, &model.to_string(), model.level(), None, &runs, &costs);
            row.after(epochs)
        };
        Ok(by_epochs.into_iter().map(row).collect())
    }

    fn costs(&self, recording: &Recording) -> Costs {
        Costs {
            prices: self.prices,
            n_traces: recording.n_traces() as u64,
            n_spans: recording.n_spans() as u64,
        }
    }

    /// The runs of a baseline for each codec. A sample that no seed changes is drawn once.
    fn sample(
        &self,
        recording: &Recording,
        baseline: Baseline,
        scorer: &mut Scorer,
        starts: &mut Vec<(String, Vec<u64>)>,
        bar: &ProgressBar,
    ) -> Result<Vec<(Codec, Vec<Run>)>> {
        let mut by_codec: Vec<_> = self.codecs.iter().map(|codec| (*codec, Vec::new())).collect();
        let n_runs = if baseline.is_random() { self.n_runs } else { 1 };
        for seed in 0..n_runs {
            bar.set_message(baseline.to_string());
            let kept = baseline.keep(recording, seed);
            let requests = recording.encode(&kept);
            let sampled = window(requests.iter().cloned())?;
            let fidelity = scorer.score(&sampled.traces, baseline.scale());
            if seed == 0 {
                starts.push((baseline.to_string(), self::starts(&sampled)));
            }
            for (codec, runs) in &mut by_codec {
                resources::forget_peak();
                let began = resources::cpu_s();
                let bytes = codec.n_bytes(&requests)?;
                runs.push(Run {
                    bytes,
                    fit_cpu_s: elapsed(began),
                    generate_cpu_s: None,
                    peak_rss: resources::peak_rss(),
                    fidelity,
                    near: None,
                });
                bar.inc(1);
            }
        }
        bar.inc((self.n_runs - n_runs) * self.codecs.len() as u64);
        Ok(by_codec)
    }
}

/// A method as tables and figures name it.
fn named(method: &str, epochs: Option<u32>) -> String {
    epochs.map_or_else(|| method.to_owned(), |n| format!("{method}@{n}"))
}

/// When each trace starts, in nanoseconds.
fn starts(window: &Window) -> Vec<u64> {
    let traces = &window.traces;
    let mut starts: Vec<u64> =
        (0..traces.n_traces()).map(|trace| traces.start[traces.spans_of(trace).start]).collect();
    starts.sort_unstable();
    starts
}

/// Reads each word; empty ones are none, so that a list can be emptied.
fn words<T>(words: &[String], read: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
    words.iter().map(|word| word.trim()).filter(|word| !word.is_empty()).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_words_are_answered_with_what_is_known() {
        let check = |error: anyhow::Error, expected: &str| {
            let error = format!("{error:#}");
            assert!(error.contains(expected), "{error}");
        };
        check("l9".parse::<Model>().unwrap_err(), "give l0, l1, l2, l3 or ctgan");
        let read = |word: &str| Ok(word.parse::<Baseline>()?);
        check(words(&["mid:3".to_owned()], read).unwrap_err(), "tail:latency");
        assert_eq!(words(&[String::new()], read).unwrap(), []);
    }

    #[test]
    fn data_are_named_by_their_file() {
        assert_eq!(name("d/ob_0822.parquet".as_ref()), "ob_0822");
        assert_eq!(name("syn_shop_dev.otlp.pb.zst".as_ref()), "syn_shop_dev");
    }
}
