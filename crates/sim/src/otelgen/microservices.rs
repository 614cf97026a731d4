//! `microservices`: a request that a hundred operations of 16 services answer one after the other.

use std::sync::Arc;

use spanwise_model::{EventRecord, SpanId, SpanRecord, StatusCode, Value};

use super::Trace;

const N_OPERATIONS: usize = 100;
/// Root and operations.
pub(super) const N_SPANS: usize = 1 + N_OPERATIONS;
/// An operation takes up to this many milliseconds, exclusive.
const SLEEP_MS_MAX: usize = 100;
const ERROR_SHARE: f64 = 0.1;

/// A service as its spans call it.
struct Service {
    /// Value of `service.name`.
    full_name: &'static str,
    /// The name without the prefix.
    name: &'static str,
    operation: &'static str,
    /// Attributes its spans get at the end of their work.
    attributes: &'static [(&'static str, &'static str)],
}

const fn service(
    full_name: &'static str,
    name: &'static str,
    operation: &'static str,
    attributes: &'static [(&'static str, &'static str)],
) -> Service {
    Service { full_name, name, operation, attributes }
}

const GATEWAY: usize = 0;
const AUTH: usize = 1;
#[rustfmt::skip]
const SERVICES: [Service; 16] = [
    service("otelgen_api_gateway", "api_gateway", "api_gateway_operation", &[("http.route", "/api/v1/order")]),
    service("otelgen_auth_service", "auth_service", "auth_service_operation", &[]),
    service("otelgen_user_service", "user_service", "user_service_operation", &[]),
    service("otelgen_product_service", "product_service", "product_service_operation", &[]),
    service("otelgen_inventory_service", "inventory_service", "inventory_service_operation", &[]),
    service("otelgen_order_service", "order_service", "order_service_operation", &[]),
    service("otelgen_payment_service", "payment_service", "payment_service_operation", &[("rpc.system", "grpc"), ("rpc.service", "PaymentService"), ("rpc.method", "ProcessPayment")]),
    service("otelgen_shipping_service", "shipping_service", "shipping_service_operation", &[]),
    service("otelgen_notification_service", "notification_service", "notification_service_operation", &[]),
    service("otelgen_recommendation_service", "recommendation_service", "recommendation_service_operation", &[]),
    service("otelgen_search_service", "search_service", "search_service_operation", &[]),
    service("otelgen_analytics_service", "analytics_service", "analytics_service_operation", &[]),
    service("otelgen_logging_service", "logging_service", "logging_service_operation", &[]),
    service("otelgen_cache_service", "cache_service", "cache_service_operation", &[("db.system", "redis"), ("db.operation.name", "SET")]),
    service("otelgen_config_service", "config_service", "config_service_operation", &[]),
    service("otelgen_monitoring_service", "monitoring_service", "monitoring_service_operation", &[]),
];

pub(super) fn run(trace: &mut Trace<'_>) {
    let mut root = trace.start("complex_request", SERVICES[GATEWAY].full_name, SpanId::default());
    trace.set(&mut root, "http.request.method", "POST");
    trace.set(&mut root, "http.route", "/api/v1/order");
    trace.set(&mut root, "url.scheme", "https");
    trace.set(&mut root, "url.full", "https://api.example.com/api/v1/order");
    trace.set(&mut root, "url.path", "/api/v1/order");
    trace.set(&mut root, "client.address", "203.0.113.195");
    trace.set_int(&mut root, "client.port", 56_789);
    trace.set(&mut root, "user_agent.original", "ExampleApp/1.0");
    trace.set_int(&mut root, "http.request.body.size", 2048);
    trace.set(&mut root, "service.name", SERVICES[GATEWAY].full_name);
    for _ in 0..N_OPERATIONS {
        let service_idx = trace.below(SERVICES.len());
        operation(trace, service_idx, root.span_id);
    }
    root.status = StatusCode::Ok;
    trace.end(root);
}

fn operation(trace: &mut Trace<'_>, service_idx: usize, root: SpanId) {
    let service = &SERVICES[service_idx];
    let mut span = trace.start(service.operation, service.full_name, root);
    trace.set(&mut span, "service.name", service.full_name);
    let version = format!("1.{}.0", trace.below(10));
    trace.set_made(&mut span, "service.version", version);
    let instance = format!("{}-instance-{}", service.name, trace.below(5));
    trace.set_made(&mut span, "service.instance.id", instance);
    trace.set(&mut span, "process.runtime.name", "OpenJDK Runtime Environment");
    trace.set(&mut span, "process.runtime.version", "11.0.9+11-Ubuntu-0ubuntu1.20.04");
    trace.event(&mut span, "operation_started");
    trace.sleep(SLEEP_MS_MAX);
    for &(key, value) in service.attributes {
        trace.set(&mut span, key, value);
    }
    match service_idx {
        GATEWAY => trace.set_int(&mut span, "http.response.status_code", 200),
        AUTH => {
            let user = format!("user-{}", trace.below(1000));
            trace.set_made(&mut span, "enduser.id", user);
            trace.set(&mut span, "enduser.role", "customer");
        }
        _ => {}
    }
    finish(trace, span, service.name);
}

/// Decides on success, notes an error as the SDK does, and ends the span.
fn finish(trace: &mut Trace<'_>, mut span: SpanRecord, service: &str) {
    if trace.traces.draw.happens(ERROR_SHARE) {
        span.status = StatusCode::Error;
        let message: Arc<str> = format!("random error in {service}").into();
        let kind = trace.text("*errors.errorString");
        let attributes = vec![
            (trace.text("exception.type"), Value::Str(kind)),
            (trace.text("exception.message"), Value::Str(message)),
        ];
        let name = trace.text("exception");
        span.events.push(EventRecord { at: trace.traces.now, name, attributes });
    } else {
        span.status = StatusCode::Ok;
    }
    trace.event(&mut span, "operation_ended");
    trace.end(span);
}
