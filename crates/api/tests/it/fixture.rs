//! A picture with something of everything in it, and a client.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use serde_json::Value;
use spanwise_api::{
    Anomaly, ApiState, ArchiveStatus, ArchivedWindow, Check, EmittedArchive, Feed, Hosts,
    KeptTrace, ModelState, Site, Snapshot, SpanCounts, Status, TargetStatus, TraceCounts, router,
};
use spanwise_model::{
    Axis, Bound, CallSite, CallSiteId, CallSites, Condition, Decision, Direction, KeepReason, Mode,
    Observed, Outcome, Owner, Reason, RuleRef, ScoreKind, SiteStats, SpanHead, SpanId, SpanKind,
    StatusCode as SpanStatus, TargetRef, Timestamp, TraceId,
};
use tokio::sync::watch;
use tower::ServiceExt;

/// 2025-01-01T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_secs(1_735_689_600);

/// A router with the hands that feed it.
pub(crate) struct Api {
    pub(crate) router: Router,
    pub(crate) feed: Feed,
    pub(crate) snapshot: watch::Sender<Arc<Snapshot>>,
}

pub(crate) fn api() -> Api {
    api_with(snapshot())
}

pub(crate) fn api_with(snapshot: Snapshot) -> Api {
    let (sender, receiver) = watch::channel(Arc::new(snapshot));
    let feed = Feed::new(0xabc, 4);
    let mut registry = Registry::with_prefix("spanwise");
    let counter: Counter = Counter::default();
    registry.register("receiver_spans", "Spans received", counter.clone());
    counter.inc_by(3);
    let render = |request: &[u8]| Some(format!("\"{}\"", String::from_utf8_lossy(request)));
    let state = ApiState::new(receiver, feed.clone(), Arc::new(registry)).rendering(render);
    Api { router: router(state, Hosts::loopback(&[])), feed, snapshot: sender }
}

impl Api {
    /// The answer to a GET under our own name.
    pub(crate) async fn get(&self, path: &str) -> (StatusCode, HeaderMap, String) {
        self.send(Method::GET, path, "localhost:7300").await
    }

    /// The JSON of a GET that must succeed.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let (code, headers, body) = self.get(path).await;
        assert_eq!(code, StatusCode::OK, "{path}: {body}");
        assert_eq!(headers["content-type"], "application/json", "{path}");
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        host: &str,
    ) -> (StatusCode, HeaderMap, String) {
        let request = Request::builder().method(method).uri(path).header("host", host);
        let response =
            self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, String::from_utf8(bytes.to_vec()).unwrap())
    }
}

pub(crate) fn target() -> TargetRef {
    TargetRef {
        name: "cartservice".into(),
        backend: "kubernetes".into(),
        kind: "Deployment".into(),
        api_version: "".into(),
        namespace: "shop".into(),
        object: "cart".into(),
    }
}

pub(crate) fn decision(id: u64) -> Decision {
    Decision {
        id,
        at: START.plus_ns(30_000_000_123),
        target: target(),
        axis: Axis::Horizontal,
        direction: Direction::Up,
        from: Some(3),
        to: Some(4),
        memory_bytes: None,
        mode: Mode::Act,
        outcome: Outcome::Acted,
        reason: Reason::ThresholdBreached,
        summary: "GetCart took over 80 ms 12 times in 30 s: scale cartservice from 3 to 4".into(),
        rules: vec![RuleRef { name: "cart-slow".into(), hash: u64::MAX - 1 }],
        condition: Condition {
            metric: "self+gap".into(),
            over_ns: 80_000_000,
            count: 10.0,
            window_ns: 30_000_000_000,
            observed: 12.5,
            n_spans: 60,
            n_breaches: 12,
            n_quarters: 4,
            n_instances: 3,
            n_breaching_instances: 2,
        },
        call_site: ("cartservice".into(), "GetCart".into()),
        bounds: vec![Bound { reason: Reason::AtMax, detail: "6 wanted, max is 4".into() }],
        trace_ids: vec![TraceId([0xab; 16])],
        orchestrator: Some("applied: replicas 3 -> 4 at revision 17".into()),
    }
}

pub(crate) fn call_site(service: &str, operation: &str, kind: SpanKind) -> Arc<CallSite> {
    let mut sites = CallSites::new(10, 10);
    let id = sites.intern(service, operation, kind, START);
    Arc::clone(sites.get(id))
}

pub(crate) fn anomaly(seq: u64) -> Anomaly {
    let head = SpanHead {
        trace_id: TraceId([0xcd; 16]),
        span_id: SpanId([0xef; 8]),
        start: START,
        end: START.plus_ns(312_000_000),
        kind: SpanKind::Server,
        status: SpanStatus::Error,
        ..SpanHead::default()
    };
    let reason = KeepReason {
        kind: ScoreKind::Cause,
        score: 11.25,
        tail: 0.0005,
        site: CallSiteId(0),
        median_ns: 12_000_000,
        p99_ns: 61_000_000,
        window_age_ns: 90_000_000_000,
        cold: false,
    };
    Anomaly {
        seq,
        at: START.plus_ns(1_000_000_000),
        site: call_site("cartservice", "GetCart", SpanKind::Server),
        head,
        instance: "cart-1".to_owned(),
        reason,
        early: true,
    }
}

fn site(service: &str, operation: &str, rate: f64) -> Site {
    let stats = SiteStats {
        site: CallSiteId(0),
        count: rate * 60.0,
        rate,
        error_rate: 0.25,
        p50_ns: 12_000_000,
        p95_ns: 40_000_000,
        p99_ns: 61_000_000,
        trend: 1.5,
    };
    let model = ModelState {
        ready: true,
        n_spans: 4096,
        median_ns: 11_000_000,
        p99_ns: 60_000_000,
        window_age_ns: 90_000_000_000,
    };
    let site = call_site(service, operation, SpanKind::Server);
    Site { site, stats: Some(stats), model: Some(model) }
}

pub(crate) fn snapshot() -> Snapshot {
    let silent =
        Site { site: call_site("adservice", "GetAds", SpanKind::Client), stats: None, model: None };
    let observed = Observed {
        desired: 4,
        ready: Some(3),
        settled: Some(false),
        owner: Some(Owner::HorizontalPodAutoscaler("cart-cpu".to_owned())),
        ..Observed::default()
    };
    let unreachable = TargetStatus {
        target: TargetRef { name: "adservice".into(), object: "ads".into(), ..target() },
        mode: Mode::Observe,
        observed: Some(Err("the backend failed for now: no answer".to_owned())),
    };
    let status = Status {
        version: "0.1.0".to_owned(),
        role: "all".to_owned(),
        profile: "default".to_owned(),
        mode: Mode::Observe,
        at: START.plus_ns(60_000_000_000),
        started: START,
        checks: vec![Check {
            required: true,
            name: "receiver grpc".to_owned(),
            ok: true,
            detail: "127.0.0.1:4317".to_owned(),
        }],
        data_dir: None,
        shedding: false,
        memory_bytes: 1 << 20,
        memory_bytes_max: 512 << 20,
        spans: SpanCounts {
            accepted: 1000,
            rejected: 2,
            invalid_time: 1,
            synthetic: 3,
            kept: 10,
            missed: 0,
        },
        traces: TraceCounts { open: 5, closed: 95, evicted: 0 },
        budget: Some(0.05),
        n_sites: 3,
        n_sites_ready: 2,
        overflow: vec![("GET /x".to_owned(), 7)],
        targets: vec![
            TargetStatus { target: target(), mode: Mode::Act, observed: Some(Ok(observed)) },
            unreachable,
        ],
        sampling: None,
        archives: Some(archives()),
    };
    Snapshot {
        rules: Vec::new(),
        status,
        sites: Arc::new([
            site("cartservice", "GetCart", 2.0),
            site("cartservice", "AddItem", 6.0),
            silent,
        ]),
        anomalies: (1..=3).map(|seq| Arc::new(anomaly(seq))).collect(),
        decisions: (1..=3).map(|id| Arc::new(decision(id))).collect(),
        traces: (1..=3).map(|seq| Arc::new(kept_trace(seq))).collect(),
    }
}

/// Figures of a process that archives, and that sends on what others archived.
fn archives() -> ArchiveStatus {
    let window = ArchivedWindow {
        window: 7,
        opened: START,
        closed: START.plus_ns(60_000_000_000),
        reason: "time".to_owned(),
        n_traces: 20_000,
        n_traces_verbatim: 12,
        n_traces_marked: 40,
        n_spans: 330_000,
        n_bytes_otlp: 86_000_000,
        n_bytes: 40_000,
        level: "l2".to_owned(),
        steps: vec![("l3".to_owned(), "below the floor: q1 is 0.5000, at least 0.9".to_owned())],
        fidelity: vec![("q1".to_owned(), 1.0)],
        waited_s: 0.5,
        fit_s: 8.0,
        archive: "0b".repeat(16),
        pushed: Some(START.plus_ns(70_000_000_000)),
    };
    let emitted = EmittedArchive {
        archive: "0c".repeat(16),
        source: "edge-1".to_owned(),
        window: 6,
        level: "l3".to_owned(),
        n_traces: 100,
        n_spans: 1_600,
        n_bytes: 9_000,
        received: START.plus_ns(1),
        emitted: START.plus_ns(1_000_000_000),
        latency_s: 68.5,
    };
    ArchiveStatus {
        n_written: 7,
        n_below_floor: 1,
        lost: vec![("waiting", 1)],
        n_pushed: 6,
        n_outbox: 1,
        n_emitted: 1,
        n_received: 1,
        windows: vec![window],
        emitted: vec![emitted],
        ..ArchiveStatus::default()
    }
}

/// A kept trace; each second as slow as the first.
pub(crate) fn kept_trace(seq: u64) -> KeptTrace {
    KeptTrace {
        seq,
        at: START.plus_ns(seq * 1_000_000_000),
        trace_id: TraceId([seq as u8; 16]),
        service: "frontend".into(),
        operation: "GET /cart".into(),
        start: START,
        duration_ns: Some(1_000_000 * seq),
        n_spans: 3,
        services: vec!["cartservice".into(), "frontend".into()],
        n_errors: u32::from(seq == 3),
        reason: if seq == 1 { "probability" } else { "latency" },
        score: Some(7.5),
        tail: Some(0.001),
        cluster: None,
        rule: Some("cartservice::GetCart".to_owned()),
        late: false,
        decision: None,
        request: format!("request {seq}").into(),
    }
}
