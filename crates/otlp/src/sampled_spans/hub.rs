//! Where sampled spans meet their subscribers: any number of bounded queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message as _;
use spanwise_model::{CallSites, SampledSpan};
use tokio::sync::Notify;

use crate::sampled_spans::convert;
use crate::sampled_spans::examples::{CountReport, PendingCounts};
use crate::sampled_spans::generated as wire;
use crate::sampled_spans::queue::{Parcel, Queue};
use crate::transport::{Code, RpcStatus};

/// Spans are published in parcels of about this many bytes, so that a message stays far below what
/// clients accept and little is lost with one.
const PARCEL_BYTES: usize = 1 << 20;
/// Longest client name kept.
const NAME_BYTES_MAX: usize = 256;
/// What 0 stands for in a request.
const N_EXAMPLES_DEFAULT: u32 = 100;
const EXAMPLE_WINDOW_S_DEFAULT: u32 = 30;

/// Settings of a [`Hub`].
#[derive(Clone, Copy, Debug)]
pub struct HubConfig {
    /// Names this run of the sampler: must differ from every earlier one, such as the start time in
    /// nanoseconds.
    pub epoch: u64,
    /// Most bytes of spans waiting for one subscriber. Default 16 MiB. All queues share what they
    /// hold, so that only a slow subscriber adds to memory.
    pub queue_bytes_max: usize,
    /// Most subscribers. Default 64.
    pub n_subscribers_max: usize,
    /// Most rules of all subscribers together: each is looked at for every span. Subscribers with
    /// the same text share theirs. Default 4,096.
    pub n_rules_max: u32,
}

/// What a subscriber asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeRequest {
    /// Who is asking. Kept cut to 256 bytes.
    pub client_name: String,
    /// Rules to be counted on all spans, as YAML; empty for spans only.
    pub rules_yaml: String,
    /// The client's hash of the rules.
    pub rules_hash: u64,
    /// How many rules these are.
    pub n_rules: u32,
    /// Most example spans for one rule in one window; 0 stands for 100.
    pub n_examples_max: u32,
    /// Length of that window in seconds; 0 stands for 30.
    pub example_window_s: u32,
    /// Epoch and next sequence number of the subscription that broke off: [`Ledger::resume`].
    ///
    /// [`Ledger::resume`]: crate::sampled_spans::Ledger::resume
    pub resume: Option<(u64, u64)>,
}

/// Names the rules of one or more subscribers. Subscribers with the same text share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleSetId(u64);

/// Rules that somebody wants counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSet {
    /// Its id, for [`Hub::publish_counts`].
    pub id: RuleSetId,
    /// The text.
    pub yaml: Arc<str>,
    /// The hash the first client sent with it.
    pub hash: u64,
    /// How many rules these are.
    pub n_rules: u32,
}

/// Figures of one subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberStats {
    /// Its name for itself.
    pub client_name: Arc<str>,
    /// Spans sent.
    pub n_sent: u64,
    /// Spans missed.
    pub n_missed: u64,
    /// Bytes waiting.
    pub n_queued_bytes: usize,
}

/// Figures of all subscriptions of this run, those that have ended included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamTotals {
    /// Subscribers now.
    pub n_subscribers: u64,
    /// Spans sent; a span sent to two subscribers counts twice.
    pub n_sent: u64,
    /// Spans that a subscriber missed; likewise.
    pub n_missed: u64,
}

/// The meeting place. Shared by the pipeline, which publishes, and the listener, which subscribes.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    state: Mutex<State>,
    /// Counts changes of the rule sets.
    revision: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    next_sequence: u64,
    next_id: u64,
    subscribers: Vec<Subscriber>,
    rule_sets: Vec<RuleSet>,
    /// Spans sent to and missed by subscribers that have gone.
    gone: (u64, u64),
}

#[derive(Debug)]
struct Subscriber {
    id: u64,
    name: Arc<str>,
    rules: Option<RuleSetId>,
    queue: Queue,
    counts: PendingCounts,
    /// The first batch has not been taken yet: it is due even if it is empty.
    is_new: bool,
    /// Why the stream must end, if it must.
    end: Option<RpcStatus>,
    wake: Arc<Notify>,
}

/// A subscriber's end. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<Hub>,
    id: u64,
    wake: Arc<Notify>,
}

/// One batch for one subscriber.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Epoch.
    pub epoch: u64,
    /// Sequence number of the first span, or of the next to come.
    pub first_sequence: u64,
    /// Spans missed by this subscription before it.
    pub missed_total: u64,
    /// Spans in it.
    pub n_spans: u64,
    /// Spans and reasons, encoded.
    pub(super) body: Bytes,
    /// Counts of the subscriber's rules.
    pub counts: Vec<CountReport>,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self { epoch: 0, queue_bytes_max: 16 << 20, n_subscribers_max: 64, n_rules_max: 4_096 }
    }
}

impl Hub {
    /// A hub without subscribers.
    pub fn new(config: HubConfig) -> Arc<Self> {
        Arc::new(Self { config, state: Mutex::default(), revision: AtomicU64::new(0) })
    }

    /// Whether anybody is subscribed now.
    pub fn has_subscribers(&self) -> bool {
        !self.state.lock().subscribers.is_empty()
    }

    /// Counts spans whose bytes were not brought back since nobody was [subscribed](Hub::has_subscribers):
    /// who has come since, or comes again, has missed them.
    pub fn skip(&self, spans: &[SampledSpan]) {
        self.state.lock().skip(n_sendable(spans));
    }

    /// Gives every span a sequence number and puts it into every queue. Spans without bytes (from
    /// columns) cannot be sent and are left out.
    ///
    /// Cost: without subscribers, one lock; otherwise the spans are copied once.
    pub fn publish(&self, spans: &[SampledSpan], sites: &CallSites) {
        {
            let mut state = self.state.lock();
            if state.subscribers.is_empty() {
                state.skip(n_sendable(spans));
                return;
            }
        }
        // Encoded without the lock, which connections take too. What one publisher hands over stays in
        // order; who unsubscribes meanwhile only makes the work useless.
        let mut rest = spans;
        while !rest.is_empty() {
            let (parcel, tail) = rest.split_at(parcel_len(rest));
            let batch = convert::batch(parcel, sites);
            let n_spans = batch.reasons.len() as u64;
            self.state.lock().publish(batch.encode_to_vec().into(), n_spans);
            rest = tail;
        }
    }

    /// Hands counts to the subscribers of a rule set.
    pub fn publish_counts(&self, rules: RuleSetId, reports: &[CountReport]) {
        if reports.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        for subscriber in state.subscribers.iter_mut().filter(|s| s.rules == Some(rules)) {
            if reports.iter().any(|report| subscriber.counts.add(report).is_err()) {
                let text = "rule counts were lost: the client reads too slowly; subscribe again";
                subscriber.end = Some(RpcStatus::new(Code::DataLoss, text));
            }
            subscriber.wake.notify_one();
        }
    }

    /// Ends the subscriptions of a rule set whose counts are not whole: a client that reads counts
    /// without knowing of a hole would take it for calm.
    pub fn lost_counts(&self, rules: RuleSetId) {
        let mut state = self.state.lock();
        for subscriber in state.subscribers.iter_mut().filter(|s| s.rules == Some(rules)) {
            let text = "rule counts were dropped: spans ended in too many different seconds; \
                        subscribe again";
            subscriber.end = Some(RpcStatus::new(Code::DataLoss, text));
            subscriber.wake.notify_one();
        }
    }

    /// A number that changes whenever [`Hub::rule_sets`] does. Cheap: look at it each tick.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The rules that somebody wants counted now.
    pub fn rule_sets(&self) -> Vec<RuleSet> {
        self.state.lock().rule_sets.clone()
    }

    /// Spans published in this epoch: one more than the greatest sequence number.
    pub fn n_sampled(&self) -> u64 {
        self.state.lock().next_sequence
    }

    /// Figures of each subscriber, in order of arrival.
    pub fn subscribers(&self) -> Vec<SubscriberStats> {
        let state = self.state.lock();
        let stats = state.subscribers.iter().map(|subscriber| SubscriberStats {
            client_name: Arc::clone(&subscriber.name),
            n_sent: subscriber.queue.n_sent(),
            n_missed: subscriber.queue.n_missed(),
            n_queued_bytes: subscriber.queue.n_bytes(),
        });
        stats.collect()
    }

    /// Figures of all subscriptions so far. The counts never fall.
    pub fn totals(&self) -> StreamTotals {
        let state = self.state.lock();
        let queues = || state.subscribers.iter().map(|subscriber| &subscriber.queue);
        StreamTotals {
            n_subscribers: state.subscribers.len() as u64,
            n_sent: state.gone.0 + queues().map(Queue::n_sent).sum::<u64>(),
            n_missed: state.gone.1 + queues().map(Queue::n_missed).sum::<u64>(),
        }
    }

    /// Adds a subscriber. The rules are taken as they are: check them before.
    pub fn subscribe(
        self: &Arc<Self>,
        request: &SubscribeRequest,
    ) -> Result<Subscription, RpcStatus> {
        let mut state = self.state.lock();
        if state.subscribers.len() >= self.config.n_subscribers_max {
            let text = format!("more than {} subscribers", self.config.n_subscribers_max);
            return Err(RpcStatus::new(Code::ResourceExhausted, text));
        }
        let rules = match request.rules_yaml.as_str() {
            "" => None,
            _ => Some(state.rule_set(request, self.config.n_rules_max)?),
        };
        let id = state.next_id;
        state.next_id += 1;
        let next = state.next_sequence;
        let begin = match request.resume {
            Some((epoch, sequence)) if epoch == self.config.epoch => sequence.min(next),
            _ => next,
        };
        let name = &request.client_name;
        let name = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
        let wake = Arc::new(Notify::new());
        state.subscribers.push(Subscriber {
            id,
            name: Arc::from(name),
            rules,
            queue: Queue::new(begin, next, self.config.queue_bytes_max),
            counts: PendingCounts::new(
                or_default(request.n_examples_max, N_EXAMPLES_DEFAULT),
                or_default(request.example_window_s, EXAMPLE_WINDOW_S_DEFAULT),
            ),
            is_new: true,
            end: None,
            wake: Arc::clone(&wake),
        });
        drop(state);
        self.revision.fetch_add(1, Ordering::Release);
        Ok(Subscription { hub: Arc::clone(self), id, wake })
    }

    fn unsubscribe(&self, id: u64) {
        let mut state = self.state.lock();
        let State { subscribers, rule_sets, gone, .. } = &mut *state;
        for subscriber in subscribers.extract_if(.., |subscriber| subscriber.id == id) {
            gone.0 += subscriber.queue.n_sent();
            gone.1 += subscriber.queue.n_missed();
        }
        rule_sets.retain(|set| subscribers.iter().any(|s| s.rules == Some(set.id)));
        drop(state);
        self.revision.fetch_add(1, Ordering::Release);
    }
}

impl State {
    fn publish(&mut self, body: Bytes, n_spans: u64) {
        if n_spans == 0 {
            return;
        }
        let parcel = Arc::new(Parcel { first_sequence: self.next_sequence, n_spans, body });
        self.next_sequence += n_spans;
        for subscriber in &mut self.subscribers {
            subscriber.queue.push(&parcel);
            subscriber.wake.notify_one();
        }
    }

    fn skip(&mut self, n_spans: u64) {
        self.next_sequence += n_spans;
        for subscriber in &mut self.subscribers {
            subscriber.queue.skip(n_spans);
        }
    }

    fn rule_set(
        &mut self,
        request: &SubscribeRequest,
        n_rules_max: u32,
    ) -> Result<RuleSetId, RpcStatus> {
        if let Some(known) = self.rule_sets.iter().find(|set| *set.yaml == *request.rules_yaml) {
            return Ok(known.id);
        }
        let n_known: u32 = self.rule_sets.iter().map(|set| set.n_rules).sum();
        let n_rules = request.n_rules;
        if n_known.saturating_add(n_rules) > n_rules_max {
            let text = format!(
                "{n_rules} rules beside the {n_known} of other subscribers are more than the \
                 {n_rules_max} that are counted; subscribe with fewer, or with the same text"
            );
            return Err(RpcStatus::new(Code::ResourceExhausted, text));
        }
        let id = RuleSetId(self.next_id);
        let yaml = Arc::from(request.rules_yaml.as_str());
        self.rule_sets.push(RuleSet { id, yaml, hash: request.rules_hash, n_rules });
        Ok(id)
    }
}

impl Subscription {
    /// The next batch if there is anything to send. The first is there at once, maybe empty.
    pub fn take(&self) -> Result<Option<Delivery>, RpcStatus> {
        self.deliver(false)
    }

    /// The next batch, empty if there is nothing to send: a sign of life.
    pub fn take_any(&self) -> Result<Option<Delivery>, RpcStatus> {
        self.deliver(true)
    }

    /// Waits until there may be something to take.
    pub async fn ready(&self) {
        self.wake.notified().await;
    }

    fn deliver(&self, even_if_empty: bool) -> Result<Option<Delivery>, RpcStatus> {
        let mut state = self.hub.state.lock();
        let subscriber = state.subscribers.iter_mut().find(|s| s.id == self.id);
        let Some(subscriber) = subscriber else { return Ok(None) };
        if let Some(end) = &subscriber.end {
            return Err(end.clone());
        }
        let is_due = subscriber.is_new || even_if_empty;
        if !is_due && subscriber.queue.is_empty() && subscriber.counts.is_empty() {
            return Ok(None);
        }
        // The first batch tells where the account begins, so it goes out before any span.
        let (parcel, first_sequence, missed_total) = subscriber.queue.pop();
        subscriber.is_new = false;
        let (n_spans, body) = match parcel {
            Some(parcel) => (parcel.n_spans, parcel.body.clone()),
            None => (0, Bytes::new()),
        };
        let counts = subscriber.counts.take();
        let epoch = self.hub.config.epoch;
        Ok(Some(Delivery { epoch, first_sequence, missed_total, n_spans, body, counts }))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.unsubscribe(self.id);
    }
}

impl Delivery {
    /// The message in two pieces, to be sent one behind the other: the second is shared with other
    /// subscribers.
    pub(super) fn encode(self) -> [Bytes; 2] {
        let head = wire::SampledBatch {
            epoch: self.epoch,
            first_sequence: self.first_sequence,
            missed_total: self.missed_total,
            counts: self.counts.into_iter().map(convert::rule_count).collect(),
            ..wire::SampledBatch::default()
        };
        [head.encode_to_vec().into(), self.body]
    }
}

/// How many of the spans have bytes, here or in a log: others come from columns.
fn n_sendable(spans: &[SampledSpan]) -> u64 {
    let raw = |span: &&SampledSpan| {
        span.batch.spans.get(span.span_idx as usize).is_some_and(|head| head.raw.len > 0)
    };
    spans.iter().filter(raw).count() as u64
}

/// How many of the spans go into one parcel.
fn parcel_len(spans: &[SampledSpan]) -> usize {
    let mut n_bytes = 0;
    for (idx, span) in spans.iter().enumerate() {
        let raw = span.batch.spans.get(span.span_idx as usize).map_or(0, |head| head.raw.len);
        n_bytes += raw as usize;
        if n_bytes > PARCEL_BYTES {
            return idx.max(1);
        }
    }
    spans.len()
}

const fn or_default(value: u32, default: u32) -> u32 {
    if value == 0 { default } else { value }
}

#[cfg(test)]
mod tests;
