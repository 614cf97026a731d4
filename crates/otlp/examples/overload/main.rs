//! Overload: a `spanwise` on a core that it shares with busy neighbours gets several times what it can
//! take, from clients that send once and do not come again.
//!
//! `cargo run --release -p spanwise-otlp --example overload -- --spanwise PATH [--seconds N] [--factor F]
//! [--neighbours N]`, or `bash .ci/run nightly`. The server and its neighbours are pinned to core 0,
//! this program and the destination to core 1. Capacity is measured first, with the neighbours: as fast
//! as answers come. Then FACTOR times as much is offered for N seconds, whatever the answers are; then a
//! quarter of the capacity, until a whole second passes without a refusal.
//!
//! Prints one line of JSON and ends with 1 unless: peak memory is at most 1.1 times the limit; every
//! refusal is UNAVAILABLE with a time to come again, and the server counts as many; every acknowledged
//! trace is counted as judged; of anomalous traces at least five times the share of ordinary ones is
//! kept; and all is normal within 10 s after.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example prints its result")]
#![expect(clippy::disallowed_methods, reason = "an example is its own application")]

mod load;
mod payload;
mod server;
#[path = "../common/spawner.rs"]
mod spawner;
#[path = "../common/trace_ids.rs"]
mod trace_ids;

use std::time::{Duration, Instant};

use load::{Answers, Load};
use payload::Payload;
use server::{Neighbours, Server, Sink};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What the server may take.
const LIMIT_MIB: u64 = 512;
/// What is kept of all traces.
const BUDGET: &str = "5%";
/// Learning and measuring the capacity.
const CAPACITY_S: u64 = 20;
const PEAK_MAX: f64 = 1.1;
const RATIO_MIN: f64 = 5.0;
const NORMAL_MAX: Duration = Duration::from_secs(10);
/// Traces close this long after their root at the latest, and are sent then.
const SETTLES: Duration = Duration::from_secs(15);

fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1).map(String::as_str)
    };
    let number = |name: &str, default: u64| option(name).map_or(Ok(default), str::parse);
    let spanwise = option("--spanwise").ok_or("--spanwise PATH is missing")?;
    let settings = Settings {
        seconds: number("--seconds", 180)?,
        factor: number("--factor", 5)?,
        neighbours: number("--neighbours", 12)?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let is_good = runtime.block_on(run(spanwise, &settings))?;
    std::process::exit(i32::from(!is_good));
}

struct Settings {
    seconds: u64,
    factor: u64,
    neighbours: u64,
}

async fn run(spanwise: &str, settings: &Settings) -> Result<bool, Error> {
    let sink = Sink::start().await?;
    let mut server = Server::start(spanwise, sink.addr, LIMIT_MIB, BUDGET)?;
    let neighbours = Neighbours::start(settings.neighbours)?;
    let mut load = Load::connect(server.grpc, Payload::new()).await?;

    let begin = Instant::now();
    let learnt = load.closed(Duration::from_secs(CAPACITY_S)).await;
    let capacity = learnt.n_accepted_spans as f64 / begin.elapsed().as_secs_f64();
    eprintln!("capacity {capacity:.0} spans/s");
    tokio::time::sleep(SETTLES).await;
    let before = server.counts().await?;

    let first = load.next_request();
    let rate = capacity * settings.factor as f64;
    let answers = load.open(rate, Duration::from_secs(settings.seconds)).await;
    // Begun in that time; the last answers come later.
    let offered = answers.n_offered_spans as f64 / settings.seconds as f64;
    let last = load.next_request();
    eprintln!("offered {offered:.0} spans/s, accepted {} spans", answers.n_accepted_spans);

    let normal_after = load.until_normal(capacity / 4.0).await;
    drop(neighbours);
    tokio::time::sleep(SETTLES).await;
    let after = server.counts().await?;
    let kept = sink.kept(first..last);
    let verdict = Verdict {
        capacity,
        offered,
        peak_mib: server.peak_kib()? as f64 / 1024.0,
        anomalous_kept: share(kept.n_anomalous, answers.n_offered_anomalous),
        ordinary_kept: share(kept.n_ordinary, answers.n_offered_ordinary),
        recall: share(kept.n_anomalous, answers.n_accepted_anomalous),
        normal_after,
        n_refused_counted: after.n_overloaded - before.n_overloaded,
        n_unaccounted: after.n_accepted_spans.abs_diff(after.n_judged_spans),
        answers,
    };
    server.stop()?;
    Ok(verdict.print(settings))
}

fn share(part: u64, of: u64) -> f64 {
    part as f64 / (of as f64).max(1.0)
}

struct Verdict {
    capacity: f64,
    offered: f64,
    peak_mib: f64,
    /// Of what was offered.
    anomalous_kept: f64,
    ordinary_kept: f64,
    /// Of the anomalous traces that were acknowledged.
    recall: f64,
    normal_after: Duration,
    n_refused_counted: u64,
    n_unaccounted: u64,
    answers: Answers,
}

impl Verdict {
    fn print(&self, settings: &Settings) -> bool {
        let ratio = self.anomalous_kept / self.ordinary_kept.max(f64::MIN_POSITIVE);
        let Answers { n_refused, n_wrong, n_accepted_spans, .. } = self.answers;
        let checks = [
            ("overload", self.offered >= 0.95 * self.capacity * settings.factor as f64),
            ("memory", self.peak_mib <= PEAK_MAX * LIMIT_MIB as f64),
            ("codes", n_wrong == 0 && n_refused > 0),
            ("refusals counted", self.n_refused_counted >= n_refused),
            ("spans accounted", self.n_unaccounted == 0),
            ("anomalies favoured", ratio >= RATIO_MIN),
            ("normal after", self.normal_after <= NORMAL_MAX),
        ];
        let failed: Vec<&str> =
            checks.iter().filter(|(_, is_good)| !is_good).map(|(name, _)| *name).collect();
        println!(
            "{{\"test\":\"F-06 F-07\",\"seconds\":{},\"capacity_sps\":{:.0},\"offered_sps\":{:.0},\
             \"accepted_sps\":{:.0},\"refused_requests\":{n_refused},\"refused_counted\":{},\
             \"wrong_answers\":{n_wrong},\"peak_rss_mib\":{:.0},\"rss_limit_mib\":{LIMIT_MIB},\
             \"kept_of_anomalous\":{:.4},\"kept_of_ordinary\":{:.5},\"keep_ratio\":{ratio:.1},\
             \"anomaly_recall_of_accepted\":{:.3},\"spans_unaccounted\":{},\"normal_after_s\":{:.1},\
             \"neighbours\":{},\"failed\":{failed:?}}}",
            settings.seconds,
            self.capacity,
            self.offered,
            n_accepted_spans as f64 / settings.seconds as f64,
            self.n_refused_counted,
            self.peak_mib,
            self.anomalous_kept,
            self.ordinary_kept,
            self.recall,
            self.n_unaccounted,
            self.normal_after.as_secs_f64(),
            settings.neighbours,
        );
        failed.is_empty()
    }
}
