//! The subscriber's side. Reconnecting is the application's business: it knows when to give up and
//! what a hole in the stream means.

use bytes::Bytes;
use http::HeaderMap;
use prost::Message as _;
use spanwise_model::{ScoreKind, SpanKind};

use crate::sampled_spans::examples::CountReport;
use crate::sampled_spans::generated as wire;
use crate::sampled_spans::hub::SubscribeRequest;
use crate::sampled_spans::{SUBSCRIBE, convert};
use crate::transport::frame::Message;
use crate::transport::{
    Channel, ChannelError, ChannelLimits, Code, Endpoint, Replies, RpcStatus, Spawn,
};

/// An open subscription.
#[derive(Debug)]
pub struct Client {
    replies: Replies,
}

/// Why there is no subscription.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ChannelError),
    /// The server refused.
    #[error("{endpoint} refused the subscription: {status}")]
    Refused {
        /// The server.
        endpoint: String,
        /// Its answer; `INVALID_ARGUMENT` is about the rules.
        status: RpcStatus,
    },
}

/// One batch as received.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReceivedBatch {
    /// Names a run of the sampler.
    pub epoch: u64,
    /// Sequence number of the first span, or of the next to come.
    pub first_sequence: u64,
    /// Spans missed by this subscription before it.
    pub missed_total: u64,
    /// The spans: an `ExportTraceServiceRequest` for [`decode`](crate::decode()), empty if none.
    pub request: Bytes,
    /// Why each span was kept, parallel to the spans of the request.
    pub reasons: Vec<SampleReason>,
    /// Counts of the rules of the subscription.
    pub counts: Vec<CountReport>,
}

/// Why a span was kept, with the call site by name.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleReason {
    /// Which score decided.
    pub kind: ScoreKind,
    /// Its value.
    pub score: f64,
    /// Share of recent spans that score at least as high.
    pub tail: f64,
    /// Service of the call site.
    pub service: String,
    /// Operation of the call site, folded.
    pub operation: String,
    /// Kind of the call site.
    pub span_kind: SpanKind,
    /// Median of the site's reference in nanoseconds.
    pub median_ns: u64,
    /// 99th percentile of the site's reference in nanoseconds.
    pub p99_ns: u64,
    /// Age of the reference in nanoseconds.
    pub window_age_ns: u64,
    /// Whether the site had no reference yet.
    pub cold: bool,
    /// Whether the span was kept on arrival.
    pub early: bool,
}

/// Connects and subscribes. The first batch comes at once, so that [`Client::next`] soon tells where
/// the account begins.
pub async fn subscribe(
    endpoint: &Endpoint,
    request: &SubscribeRequest,
    limits: ChannelLimits,
    spawn: &dyn Spawn,
) -> Result<Client, SubscribeError> {
    let channel = Channel::connect(endpoint, limits, spawn).await?;
    let (resume_epoch, resume_sequence) = request.resume.unwrap_or_default();
    let message = wire::SubscribeRequest {
        client_name: request.client_name.clone(),
        rules_yaml: request.rules_yaml.clone(),
        rules_hash: request.rules_hash,
        max_examples_per_window: request.n_examples_max,
        example_window_s: request.example_window_s,
        resume_epoch,
        resume_sequence,
    };
    let message = Message { compressed: false, payload: message.encode_to_vec().into() };
    let refused = |status| SubscribeError::Refused { endpoint: endpoint.to_string(), status };
    let replies = channel.call(SUBSCRIBE, HeaderMap::new(), message).await.map_err(refused)?;
    Ok(Client { replies })
}

impl Client {
    /// The next batch; an error when the stream has ended, however it did. May be dropped and called
    /// again only between two batches.
    pub async fn next(&mut self) -> Result<ReceivedBatch, RpcStatus> {
        let Some(message) = self.replies.next().await? else {
            return Err(RpcStatus::new(Code::Unavailable, "stream ended"));
        };
        let broken = |_| RpcStatus::new(Code::Internal, "not a SampledBatch");
        let batch = wire::SampledBatch::decode(message).map_err(broken)?;
        Ok(ReceivedBatch {
            epoch: batch.epoch,
            first_sequence: batch.first_sequence,
            missed_total: batch.missed_total,
            request: batch.export_request,
            reasons: batch.reasons.into_iter().map(convert::sample_reason).collect(),
            counts: batch.counts.into_iter().map(convert::count_report).collect(),
        })
    }
}
