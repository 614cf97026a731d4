//! gRPC health checking v1, as probes and load balancers use it. The messages have one field each.

use bytes::Bytes;
use h2::RecvStream;

use crate::archives;
use crate::receiver::grpc::Server;
use crate::sampled_spans;
use crate::schema::len;
use crate::transport::call::Call;
use crate::transport::frame::Messages;
use crate::transport::{Code, Phase, RpcStatus, Shutdown};
use crate::wire::Reader;

pub(super) const CHECK: &str = "/grpc.health.v1.Health/Check";
pub(super) const WATCH: &str = "/grpc.health.v1.Health/Watch";

const TRACE_SERVICE: &str = "opentelemetry.proto.collector.trace.v1.TraceService";
/// `HealthCheckRequest.service`.
const SERVICE: u32 = len(1);
/// A request holds a service name and nothing else.
const REQUEST_BYTES_MAX: u64 = 4 << 10;

/// `HealthCheckResponse{status}`.
const SERVING: &[u8] = &[0x08, 1];
const NOT_SERVING: &[u8] = &[0x08, 2];
const SERVICE_UNKNOWN: &[u8] = &[0x08, 3];

/// One answer.
pub(super) async fn check(call: Call, body: RecvStream, server: &Server, shutdown: &Shutdown) {
    let unknown = RpcStatus::new(Code::NotFound, "no such service here");
    match is_known(body, server).await {
        Ok(true) => call.reply.message(status(server, shutdown)),
        Ok(false) => call.reply.fail(&unknown),
        Err(status) => call.reply.fail(&status),
    }
}

/// An answer now and with each change, until the shutdown begins.
pub(super) async fn watch(call: Call, body: RecvStream, server: &Server, mut shutdown: Shutdown) {
    let known = match is_known(body, server).await {
        Ok(known) => known,
        Err(status) => return call.reply.fail(&status),
    };
    let Ok(mut replies) = call.reply.stream() else { return };
    let mut ready = server.ready.clone();
    loop {
        let status = if known { status(server, &shutdown) } else { SERVICE_UNKNOWN };
        if replies.send([Bytes::from_static(status), Bytes::new()]).await.is_err() {
            return;
        }
        if shutdown.phase() != Phase::Serving {
            return replies.finish(&RpcStatus::OK);
        }
        tokio::select! {
            () = shutdown.reached(Phase::Draining) => {}
            // Nobody will change it any more: wait for the other two.
            () = changed(&mut ready) => {}
            () = replies.gone() => return,
        }
    }
}

async fn changed(ready: &mut tokio::sync::watch::Receiver<bool>) {
    if ready.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn status(server: &Server, shutdown: &Shutdown) -> &'static [u8] {
    let ready = *server.ready.borrow() && shutdown.phase() == Phase::Serving;
    if ready { SERVING } else { NOT_SERVING }
}

/// Whether the service asked for is served here; the empty name is the whole server.
async fn is_known(body: RecvStream, server: &Server) -> Result<bool, RpcStatus> {
    let malformed = || RpcStatus::new(Code::InvalidArgument, "not a health check request");
    let mut messages = Messages::new(body, REQUEST_BYTES_MAX, Some(server.intake.config.pace()));
    let message = messages.next(None).await.ok().flatten().ok_or_else(malformed)?;
    let mut service = &b""[..];
    let mut reader = Reader::new(&message.payload);
    while let Some(key) = reader.key().map_err(|_| malformed())? {
        if key == SERVICE {
            service = reader.payload().map_err(|_| malformed())?.rest();
        } else {
            reader.skip(key, 0, 1).map_err(|_| malformed())?;
        }
    }
    let streams = server.sampled_spans.is_some();
    let archives = server.archives.is_some();
    Ok(service.is_empty()
        || service == TRACE_SERVICE.as_bytes()
        || (streams && service == sampled_spans::SERVICE.as_bytes())
        || (archives && service == archives::SERVICE.as_bytes()))
}
