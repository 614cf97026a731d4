//! The command line: what can be said, and which function answers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub mod archive;
pub mod bench;
pub mod config;
pub mod convert;
pub mod decisions;
pub mod demo;
pub mod eval;
pub mod explain;
pub mod failure;
pub mod output;
pub mod replay;
pub mod rules;
pub mod serve;
pub mod traces;
mod values;

/// Samples anomalous spans, fires latency rules and scales what is slow.
#[derive(Debug, Parser)]
#[command(name = "spanwise", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options every command takes.
    #[command(flatten)]
    pub global: Global,
}

/// Options every command takes.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Format of what goes to stdout (text or json), and, for commands that write one, the file.
    /// Both can be given.
    #[arg(
        short,
        long,
        global = true,
        env = "SPANWISE_OUTPUT",
        value_name = "text|json|FILE",
        default_value = "text"
    )]
    pub output: Vec<String>,
    /// Filter of log lines, such as `info` or `spanwise=debug`.
    #[arg(long, global = true, env = "SPANWISE_LOG", default_value = "info")]
    pub log_level: String,
    /// Format of log lines on stderr.
    #[arg(long, global = true, env = "SPANWISE_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// No progress bars.
    #[arg(long, global = true)]
    pub no_progress: bool,
}

/// Format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

impl Global {
    /// The last format that was given.
    pub fn format(&self) -> Format {
        let mut formats = self.output.iter().filter_map(|word| Format::from_str(word, false).ok());
        formats.next_back().unwrap_or(Format::Text)
    }

    /// The last word that is no format.
    pub fn file(&self) -> Option<&Path> {
        let is_file = |word: &&String| Format::from_str(word, false).is_err();
        self.output.iter().rfind(is_file).map(Path::new)
    }
}

impl Cli {
    /// What is wrong with `-o`, if something is: a file for a command that writes none.
    pub fn misplaced_output(&self) -> Option<String> {
        let file = self.global.file()?;
        match &self.command {
            Command::Archive(command) if archive::takes_file(command) => None,
            _ => Some(format!(
                "`{}` is no output format\n  fix: give -o text or -o json",
                file.display()
            )),
        }
    }
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole pipeline on recorded traffic with injected faults, then exit.
    #[command(after_help = "Examples:\n  spanwise demo\n  spanwise demo --for 20s")]
    Demo(DemoArgs),
    /// Receive spans, sample, decide; the API is on --http.
    #[command(
        after_help = "Examples:\n  spanwise serve\n  spanwise serve -c spanwise.yaml --data-dir /var/lib/spanwise"
    )]
    Serve(Box<ServeArgs>),
    /// Send recorded spans as OTLP, with their times moved to now.
    #[command(
        after_help = "Examples:\n  spanwise replay shop.otlp.jsonl\n  spanwise replay shop.otlp.pb.zst --speed max --to http://127.0.0.1:4317"
    )]
    Replay(ReplayArgs),
    /// Work on rules.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Work on the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Read the decisions of a running spanwise.
    #[command(subcommand)]
    Decisions(DecisionsCommand),
    /// Read the recently kept traces of a running spanwise.
    #[command(
        subcommand,
        after_help = "Examples:\n  spanwise traces tail\n  spanwise traces search --kept --service cart --min-duration 200ms\n  spanwise traces get 0af7651916cd43dd8448eb211c80319c"
    )]
    Traces(traces::TracesCommand),
    /// Say why a target was scaled, or was not, and what its rules have seen.
    #[command(after_help = "Examples:\n  spanwise explain cartservice\n  spanwise explain d-12")]
    Explain(ExplainArgs),
    /// Measure quality on labelled spans.
    #[command(subcommand)]
    Eval(EvalCommand),
    /// Compress traces into archives, and bring them back.
    #[command(subcommand)]
    Archive(archive::ArchiveCommand),
    /// Measure speed and memory.
    #[command(subcommand)]
    Bench(BenchCommand),
}

/// Arguments of `serve`.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// Configuration file. Default: `./spanwise.yaml` if it is there.
    #[arg(short, long, env = "SPANWISE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address of OTLP over gRPC and of the stream of sampled spans [default: 127.0.0.1:4317].
    #[arg(long, env = "SPANWISE_OTLP_GRPC", value_name = "ADDR", value_parser = values::address)]
    pub otlp_grpc: Option<SocketAddr>,
    /// Address of OTLP over HTTP [default: 127.0.0.1:4318].
    #[arg(long, env = "SPANWISE_OTLP_HTTP", value_name = "ADDR", value_parser = values::address)]
    pub otlp_http: Option<SocketAddr>,
    /// Address of the API, metrics and health [default: 127.0.0.1:7300].
    #[arg(long, env = "SPANWISE_HTTP", value_name = "ADDR", value_parser = values::address)]
    pub http: Option<SocketAddr>,
    /// Directory for models and the decision log.
    #[arg(long, env = "SPANWISE_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// How far scaling may go: observe, recommend or act.
    #[arg(long, env = "SPANWISE_MODE", value_parser = values::mode)]
    pub mode: Option<String>,
    /// What is kept: a share (`1%`) or a rate (`200/s`).
    #[arg(long, env = "SPANWISE_BUDGET", value_parser = values::budget)]
    pub budget: Option<String>,
    /// Budgets of whole traces that are counted in the same pass and keep nothing, such as
    /// `1%,10%`.
    #[arg(long, env = "SPANWISE_SHADOW", value_delimiter = ',', value_parser = values::shadow)]
    pub shadow: Vec<String>,
    /// Which half of the pipeline to run.
    #[arg(long, env = "SPANWISE_ROLE", default_value = "all")]
    pub role: Role,
    /// The sampler to subscribe to, for `--role processor`.
    #[arg(long, env = "SPANWISE_SAMPLER")]
    pub sampler: Option<String>,
    /// Allow addresses other hosts can reach, without TLS and authentication.
    #[arg(long, env = "SPANWISE_INSECURE")]
    pub insecure: bool,
}

/// Which half of the pipeline runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Both, in one process.
    #[default]
    All,
    /// Receive and sample; processors subscribe.
    Sampler,
    /// Subscribe to a sampler, decide and scale.
    Processor,
}

/// Arguments of `replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// Recorded spans: `.otlp.pb[.zst|.gz]`, `.otlp.jsonl[.zst|.gz]`, `.parquet`.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// OTLP endpoint, gRPC.
    #[arg(long, default_value = "http://127.0.0.1:4317")]
    pub to: String,
    /// How much faster than recorded, or `max` for as fast as it is acknowledged.
    #[arg(long, default_value = "1")]
    pub speed: String,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Stop after this long even if the story is not over.
    #[arg(long = "for", value_name = "DURATION")]
    pub limit: Option<String>,
    /// Seed of the traffic.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
}

/// Arguments of `explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The name of a target, a rule, a service or an alert, or a decision's id.
    pub what: String,
    /// Address of the running spanwise's API.
    #[arg(long, env = "SPANWISE_URL", default_value = "http://127.0.0.1:7300")]
    pub url: String,
}

/// Work on rules.
#[derive(Clone, Debug, Subcommand)]
pub enum RulesCommand {
    /// Run the `tests:` of rules files; exit 1 if one fails.
    #[command(after_help = "Examples:\n  spanwise rules test examples/rules.yaml")]
    Test {
        /// Files with `tests:`, and either `scaler:` or `rules: [FILE, ...]`.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// Work on the configuration.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Report every mistake of a file; exit 1 if there is one.
    ///
    /// A broken line, an unknown key or a value of the wrong type ends the reading and hides what
    /// comes after it: check again once it is mended.
    #[command(after_help = "Examples:\n  spanwise config check spanwise.yaml")]
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Print the settings for a Collector's configuration with a `tail_sampling` processor; exit 1 if
    /// something in it cannot be mapped.
    #[command(
        after_help = "Examples:\n  spanwise config convert collector.yaml > spanwise.yaml\n  spanwise config convert collector.yaml --processor tail_sampling/errors"
    )]
    Convert {
        /// The Collector's configuration file.
        file: PathBuf,
        /// Which processor, where there are several.
        #[arg(long)]
        processor: Option<String>,
    },
    /// Print the settings in force, with defaults filled in.
    Show {
        /// The file; without one `./spanwise.yaml` if it is there, else the defaults.
        file: Option<PathBuf>,
        /// The same, as `serve` takes it.
        #[arg(short, long, env = "SPANWISE_CONFIG", value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// Read decisions.
#[derive(Clone, Debug, Subcommand)]
pub enum DecisionsCommand {
    /// The newest decisions and non-decisions.
    List {
        /// Address of the running spanwise's API.
        #[arg(long, env = "SPANWISE_URL", default_value = "http://127.0.0.1:7300")]
        url: String,
        /// Only this target.
        #[arg(long)]
        target: Option<String>,
        /// Only this outcome: acted, recommended, suppressed or failed.
        #[arg(long)]
        outcome: Option<String>,
        /// Only this reason code.
        #[arg(long)]
        reason: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// One decision, whole.
    Get {
        /// Its id, such as `d-12`.
        id: String,
        /// Address of the running spanwise's API.
        #[arg(long, env = "SPANWISE_URL", default_value = "http://127.0.0.1:7300")]
        url: String,
    },
}

/// Measure quality.
#[derive(Clone, Debug, Subcommand)]
pub enum EvalCommand {
    /// Rank the spans of a labelled file; average precision and recall at a budget.
    Spans(eval::SpansArgs),
    /// Plant shocks into quiet spans: Table II of the SCALE paper, re-enacted.
    Shocks(eval::ShocksArgs),
    /// Compare archives with samples of traces: bytes, time and fidelity.
    #[command(
        after_help = "Examples:\n  spanwise eval archive shop.otlp.pb.zst\n  spanwise eval archive shop.otlp.pb.zst --models l3 --baselines head:5 --codecs gzip,zstd -o json"
    )]
    Archive(eval::ArchiveArgs),
    /// Keep whole traces within budgets; precision and coverage of each sampler.
    Traces(eval::TracesArgs),
}

/// Measure speed and memory.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// The one-feature forest against the literal node walk.
    Hst(bench::HstArgs),
    /// Request bytes to decision against prost.
    Ingest(bench::IngestArgs),
    /// What judging a trace costs, by sampler.
    Traces(bench::TracesArgs),
    /// Queued requests to decisions: Table IV of the SCALE paper.
    Throughput(bench::ScenarioArgs),
    /// Memory of queued spans: Table III of the SCALE paper.
    Footprint(bench::ScenarioArgs),
}
