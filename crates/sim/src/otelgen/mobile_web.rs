//! `mobile-web` (otelgen's `web_mobile`): a client whose request passes a web server, an
//! application and a database, each below the one before and after it.

use std::sync::Arc;

use spanwise_model::{EventRecord, SpanId, StatusCode, Value};

use super::Trace;

pub(super) const N_SPANS: usize = 4;
/// Milliseconds, exclusive, that the three servers take at most.
const SLEEP_MS_MAX: [usize; 3] = [50, 100, 75];

/// A kind of client: user agent, its name, device, operating system and version.
const CLIENTS: [[&str; 5]; 3] = [
    [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/91.0.4472.124 Safari/537.36",
        "MyApp (web_browser)",
        "PC",
        "Windows",
        "10",
    ],
    [
        "MyApp/1.0 (iPhone; iOS 14.7.1; Scale/3.00)",
        "MyApp (ios_app)",
        "iPhone12,1",
        "iOS",
        "14.7.1",
    ],
    [
        "MyApp/1.0 (Linux; Android 11; Pixel 4 Build/RQ3A.210805.001.A1)",
        "MyApp (android_app)",
        "Pixel 4",
        "Android",
        "11",
    ],
];

pub(super) fn run(trace: &mut Trace<'_>) {
    let mut root = trace.start("client_request", "otelgen-web-mobile", SpanId::default());
    let [agent, agent_name, device, system, version] = CLIENTS[trace.below(CLIENTS.len())];
    for (key, value) in [
        ("service.name", "otelgen-web-mobile"),
        ("user_agent.original", agent),
        ("user_agent.name", agent_name),
        ("user_agent.version", "1.0"),
        ("device.model.identifier", device),
        ("os.name", system),
        ("os.version", version),
        ("http.request.method", "GET"),
        ("http.route", "/api/data"),
        ("url.scheme", "https"),
        ("url.full", "https://api.example.com/api/data?user=123"),
        ("url.path", "/api/data"),
        ("url.query", "user=123"),
        ("client.address", "192.0.2.4"),
    ] {
        trace.set(&mut root, key, value);
    }
    trace.set_int(&mut root, "client.port", 51_234);
    let web = web_server(trace, root.span_id);
    let app = app_endpoint(trace, web);
    database_query(trace, app);
    root.status = StatusCode::Ok;
    trace.end(root);
}

fn web_server(trace: &mut Trace<'_>, parent: SpanId) -> SpanId {
    let mut span = trace.start("web_server", "otelgen-web-server", parent);
    trace.set(&mut span, "service.name", "otelgen-web-server");
    trace.set(&mut span, "server.address", "api.example.com");
    trace.set_int(&mut span, "server.port", 443);
    trace.set_int(&mut span, "http.response.status_code", 200);
    trace.set(&mut span, "network.protocol.name", "HTTP");
    trace.set(&mut span, "network.protocol.version", "1.1");
    let event_name = Value::Str(trace.text("http.request.received"));
    let attributes = vec![
        (trace.text("event.name"), event_name),
        (trace.text("http.request.body.size"), Value::Int(1024)),
    ];
    let name: Arc<str> = trace.text("request_received");
    span.events.push(EventRecord { at: trace.traces.now, name, attributes });
    trace.sleep(SLEEP_MS_MAX[0]);
    let id = span.span_id;
    trace.end(span);
    id
}

fn app_endpoint(trace: &mut Trace<'_>, parent: SpanId) -> SpanId {
    let mut span = trace.start("app_endpoint", "data-service", parent);
    trace.set(&mut span, "service.name", "data-service");
    trace.set(&mut span, "service.version", "1.5.0");
    trace.set(&mut span, "service.instance.id", "data-service-1");
    trace.event(&mut span, "processing_started");
    trace.sleep(SLEEP_MS_MAX[1]);
    trace.event(&mut span, "processing_completed");
    let id = span.span_id;
    trace.end(span);
    id
}

fn database_query(trace: &mut Trace<'_>, parent: SpanId) {
    let mut span = trace.start("database_query", "otelgen-web-server", parent);
    trace.set(&mut span, "service.name", "otelgen-web-server");
    trace.set(&mut span, "db.system", "postgresql");
    trace.set(&mut span, "db.namespace", "users");
    trace.set(&mut span, "db.query.text", "SELECT * FROM users WHERE id = $1");
    trace.set(&mut span, "db.operation.name", "SELECT");
    trace.sleep(SLEEP_MS_MAX[2]);
    trace.end(span);
}
