//! Puts subscriptions on the wire.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use h2::RecvStream;
use prost::Message as _;

use crate::sampled_spans::generated as wire;
use crate::sampled_spans::hub::{Hub, SubscribeRequest, Subscription};
use crate::transport::call::{Call, ReplyStream};
use crate::transport::frame::Messages;
use crate::transport::pace::PaceLimits;
use crate::transport::{Code, Phase, RpcStatus, Shutdown};

/// An empty batch is sent after this long without another one: a subscriber can tell a quiet
/// sampler from a dead one.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Rules are a file of at most 1 MiB.
const REQUEST_BYTES_MAX: u64 = (1 << 20) + (16 << 10);
/// The request comes at once or not at all.
const REQUEST_PACE: PaceLimits =
    PaceLimits { slice: Duration::from_secs(10), bytes_per_slice: u64::MAX, n_slices: 1 };

/// Says how many rules a text holds, if they can be counted; the error is told to the client and
/// names line and remedy.
pub type CheckRules = Arc<dyn Fn(&str) -> Result<u32, String> + Send + Sync>;

/// The service behind [`Hub`], for [`grpc::Server`](crate::receiver::grpc::Server).
pub struct Service {
    hub: Arc<Hub>,
    check_rules: CheckRules,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl Service {
    /// Serves subscriptions to `hub`, with rules that pass `check_rules`.
    pub fn new(hub: Arc<Hub>, check_rules: CheckRules) -> Arc<Self> {
        Arc::new(Self { hub, check_rules })
    }

    /// Answers one `Subscribe` call; returns when it has ended.
    pub(crate) async fn answer(&self, call: Call, body: RecvStream, shutdown: Shutdown) {
        let subscription = match self.open(body).await {
            Ok(subscription) => subscription,
            Err(status) => return call.reply.fail(&status),
        };
        let Ok(mut replies) = call.reply.stream() else { return };
        if let Some(status) = pump(&subscription, &mut replies, shutdown).await {
            replies.finish(&status);
        }
    }

    async fn open(&self, body: RecvStream) -> Result<Subscription, RpcStatus> {
        let invalid = |text: String| RpcStatus::new(Code::InvalidArgument, text);
        let mut messages = Messages::new(body, REQUEST_BYTES_MAX, Some(REQUEST_PACE));
        let message =
            messages.next(None).await.ok().flatten().filter(|message| !message.compressed);
        let message = message.ok_or_else(|| {
            invalid("expected one uncompressed SubscribeRequest of at most 1 MiB".to_owned())
        })?;
        let request = wire::SubscribeRequest::decode(message.payload)
            .map_err(|_| invalid("not a SubscribeRequest".to_owned()))?;
        let n_rules = match request.rules_yaml.as_str() {
            "" => 0,
            text => (self.check_rules)(text).map_err(invalid)?,
        };
        self.hub.subscribe(&SubscribeRequest {
            client_name: request.client_name,
            rules_yaml: request.rules_yaml,
            rules_hash: request.rules_hash,
            n_rules,
            n_examples_max: request.max_examples_per_window,
            example_window_s: request.example_window_s,
            resume: (request.resume_epoch != 0)
                .then_some((request.resume_epoch, request.resume_sequence)),
        })
    }
}

/// Sends until something ends it. `None` if nobody is left to be told why.
async fn pump(
    subscription: &Subscription,
    replies: &mut ReplyStream,
    mut shutdown: Shutdown,
) -> Option<RpcStatus> {
    loop {
        let delivery = match subscription.take() {
            Ok(delivery) => delivery,
            Err(status) => return Some(status),
        };
        if let Some(delivery) = delivery {
            send(replies, delivery.encode()).await?;
            continue;
        }
        // What was taken before the shutdown began has been sent: nothing is cut off.
        if shutdown.phase() != Phase::Serving {
            return Some(RpcStatus::new(Code::Unavailable, "sampler is stopping"));
        }
        let news = async {
            let ready = std::pin::pin!(subscription.ready());
            let stop = std::pin::pin!(shutdown.reached(Phase::Draining));
            select(ready, stop).await;
        };
        let outcome = {
            let news = std::pin::pin!(tokio::time::timeout(HEARTBEAT, news));
            let gone = std::pin::pin!(replies.gone());
            match select(news, gone).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right(_) => return None,
            }
        };
        if outcome.is_err() {
            match subscription.take_any() {
                Ok(Some(delivery)) => send(replies, delivery.encode()).await?,
                Ok(None) => {}
                Err(status) => return Some(status),
            }
        }
    }
}

async fn send(replies: &mut ReplyStream, pieces: [Bytes; 2]) -> Option<()> {
    replies.send(pieces).await.ok()
}
