//! The disk below a running process: full, failing once, failing for good.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use spanwise_model::SpanId;
use spanwise_otlp::exporter::{ExportError, Protocol};
use spanwise_otlp::transport::Compression;

use crate::support::disk::FaultyDisk;
use crate::support::http::{get, get_json, metric};
use crate::support::process::Serving;
use crate::support::requests::{Purchase, recent, request};
use crate::support::server::export;
use crate::support::{until, until_true};
use crate::traces::files;

/// Purchases of one request, of three spans each.
const N: u64 = 20;

/// A process on a disk that can fail, and what it acknowledged.
struct Stand {
    dir: tempfile::TempDir,
    disk: FaultyDisk,
    next: u64,
    acknowledged: BTreeSet<SpanId>,
}

impl Stand {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::new(dir.path())?;
        Some(Self { dir, disk, next: 1, acknowledged: BTreeSet::new() })
    }

    fn kept(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn serve(&self) -> Serving {
        let yaml = format!(
            "data_dir: {}
sampler: {{traces: {{budget: 100%}}}}
forward: [{{file: {}}}]
",
            self.dir.path().join("data").display(),
            self.kept().display()
        );
        let free = "127.0.0.1:0";
        let args = ["--otlp-grpc", free, "--otlp-http", free, "--http", free];
        Serving::start_with(self.dir.path(), &yaml, &args, &self.disk.environment())
    }

    /// Sends a request; whether it was acknowledged.
    fn send(&mut self, to: SocketAddr) -> Result<(), ExportError> {
        let purchases: Vec<Purchase> = recent(self.next, N, 1).collect();
        self.next += N;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let bytes = request(purchases.iter().copied());
        runtime.block_on(export(to, Protocol::Grpc, Compression::Identity, bytes))?;
        let spans = purchases.iter().flat_map(Purchase::spans);
        self.acknowledged.extend(spans.map(|span| span.span_id));
        Ok(())
    }

    /// Starts again and ends in order; every acknowledged span is in a file then.
    fn check_nothing_is_lost(&self) {
        self.disk.heal();
        let mut last = self.serve();
        // An end before that leaves the rest of the log to the next start.
        until_true("readiness", || get(last.api, "/readyz").status == 200);
        assert_eq!(last.terminate().code(), Some(0), "{}", last.stderr());
        check_stored(&self.kept(), &self.acknowledged);
    }
}

fn check_stored(dir: &Path, acknowledged: &BTreeSet<SpanId>) {
    let batches = files(dir);
    let spans = batches.iter().flat_map(|batch| &batch.spans);
    let stored: BTreeSet<SpanId> = spans.map(|head| head.span_id).collect();
    let n_lost = acknowledged.difference(&stored).count();
    assert_eq!(n_lost, 0, "of {}", acknowledged.len());
}

fn span_log_is_ok(api: SocketAddr) -> bool {
    let status = get_json(api, "/api/v1/status").unwrap();
    let checks = status["checks"].as_array().unwrap().clone();
    checks.iter().any(|check| check["name"] == "span log" && check["ok"] == true)
}

/// Scenario: the disk is full while requests come; then there is room.
/// Guarantees: clients are told to come again, reading goes on and says why, and the same process
/// acknowledges again by itself; nothing acknowledged is lost.
#[test]
fn a_full_disk_stops_acknowledging_and_the_process_recovers_by_itself() {
    let Some(mut stand) = Stand::new() else { return };
    let mut serving = stand.serve();
    let (to, api) = (serving.grpc.unwrap(), serving.api);
    stand.send(to).unwrap();
    stand.disk.is_full();
    for _ in 0..5 {
        let error = stand.send(to).unwrap_err();
        assert!(error.is_retryable(), "{error}");
    }
    until_true("the problem to show", || !span_log_is_ok(api));
    assert!(metric(api, "spanwise_log_events_total{outcome=\"refused_requests\"}") > 0);
    stand.disk.heal();
    until("an acknowledgement", || stand.send(to).ok());
    until_true("the problem to go", || span_log_is_ok(api));
    assert!(serving.is_running());
    assert_eq!(serving.terminate().code(), Some(0), "{}", serving.stderr());
    check_stored(&stand.kept(), &stand.acknowledged);
}

/// Scenario: one sync fails; then kill -9.
/// Guarantees: the request whose sync failed is acknowledged only after it was brought to another file,
/// and nothing acknowledged is lost.
#[test]
fn after_a_failed_sync_acknowledgements_come_from_another_file() {
    let Some(mut stand) = Stand::new() else { return };
    let serving = stand.serve();
    let (to, api) = (serving.grpc.unwrap(), serving.api);
    stand.send(to).unwrap();
    stand.disk.fails_once();
    until("an acknowledgement", || stand.send(to).ok());
    assert!(stand.disk.has_failed());
    stand.send(to).unwrap();
    let failed = "spanwise_log_events_total{outcome=\"failed_syncs\"}";
    until_true("the failure to show", || metric(api, failed) == 1);
    serving.kill();
    stand.check_nothing_is_lost();
}

/// Scenario: every sync fails from now on.
/// Guarantees: nothing more is acknowledged, the process ends with 74 for its supervisor, and the next
/// one has everything that was acknowledged.
#[test]
fn a_disk_that_fails_twice_ends_the_process_with_74() {
    let Some(mut stand) = Stand::new() else { return };
    let mut serving = stand.serve();
    let to = serving.grpc.unwrap();
    stand.send(to).unwrap();
    stand.disk.fails();
    until_true("the end", || {
        assert!(stand.send(to).is_err(), "acknowledged without a sync");
        !serving.is_running()
    });
    assert_eq!(serving.wait().code(), Some(74), "{}", serving.stderr());
    stand.check_nothing_is_lost();
}
