//! Which method a call is for, and what is said to those that are not here.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Method, Request};

use crate::archives;
use crate::receiver::grpc::{Server, export, health};
use crate::receiver::port::{ConnectionEnd, Protocol, ReceiverEvent, RequestOutcome};
use crate::receiver::refusal::TRACES_ONLY;
use crate::sampled_spans;
use crate::transport::call::Call;
use crate::transport::{Code, Compression, RpcStatus, Shutdown};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Below this lie the services of the other signals.
const COLLECTOR: &str = "/opentelemetry.proto.collector.";

/// Answers one call.
pub(super) async fn answer(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    peer: SocketAddr,
    server: Arc<Server>,
    shutdown: Shutdown,
) {
    let (call, body) = Call::new(request, respond);
    if call.head.method != Method::POST || !call.is_grpc() {
        let end = ConnectionEnd::WrongProtocol;
        let event = ReceiverEvent::Connection { protocol: Protocol::Grpc, peer, end };
        server.intake.ingest.record(event);
        call.reply.not_grpc(server.intake.config.ports.not_grpc());
        return;
    }
    match (call.head.uri.path(), &server.sampled_spans, &server.archives) {
        (EXPORT, ..) => export::answer(call, body, peer, &server.intake).await,
        (sampled_spans::SUBSCRIBE, Some(service), _) => service.answer(call, body, shutdown).await,
        (archives::PUSH, _, Some(service)) => {
            let (pace, charge) = (server.intake.config.pace(), server.intake.admission.charge());
            service.answer(call, body, pace, charge).await;
        }
        (health::CHECK, ..) => health::check(call, body, &server, &shutdown).await,
        (health::WATCH, ..) => health::watch(call, body, &server, shutdown).await,
        (path, ..) if path.starts_with(COLLECTOR) => other_signal(call, &server),
        _ => call.reply.fail(&RpcStatus::new(Code::Unimplemented, "no such method here")),
    }
}

fn other_signal(call: Call, server: &Server) {
    server.intake.ingest.record(ReceiverEvent::Request {
        protocol: Protocol::Grpc,
        compression: Compression::Identity,
        outcome: RequestOutcome::OtherSignal,
        wire_bytes: 0,
        n_spans: 0,
        n_bad_links: 0,
    });
    call.reply.fail(&RpcStatus::new(Code::Unimplemented, TRACES_ONLY));
}
