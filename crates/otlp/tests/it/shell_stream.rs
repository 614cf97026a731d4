//! The stream of sampled spans: against a foreign client, slow clients, and clients that come back.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use spanwise_model::{
    CallSites, KeepReason, RuleCount, SampledSpan, ScoreKind, SpanKind, SpanRef, Timestamp,
};
use spanwise_otlp::receiver::Outcome;
use spanwise_otlp::sampled_spans::{
    CountReport, Hub, HubConfig, Ledger, Service, SubscribeError, SubscribeRequest, subscribe,
};
use spanwise_otlp::transport::{ChannelLimits, Endpoint};
use spanwise_otlp::{Limits, decode};

use crate::generated::sampled_spans_client::SampledSpansClient;
use crate::messages;
use crate::requests::{of, rich, span};
use crate::shell::{Receivers, Setup};
use crate::shell_grpc::client;

const LIMITS: ChannelLimits =
    ChannelLimits { timeout: Duration::from_secs(20), reply_bytes_max: 64 << 20 };

struct Stage {
    receivers: Receivers,
    hub: Arc<Hub>,
    sites: CallSites,
}

async fn stage(epoch: u64, queue_bytes_max: usize) -> Stage {
    let hub = Hub::new(HubConfig { epoch, queue_bytes_max, ..HubConfig::default() });
    let check_rules = |yaml: &str| match yaml {
        "bad" => Err("line 1: no such rule".to_owned()),
        _ => Ok(1),
    };
    let service = Service::new(Arc::clone(&hub), Arc::new(check_rules));
    let receivers = Setup { service: Some(service), ..Setup::default() }.start().await;
    Stage { receivers, hub, sites: CallSites::new(100, 100) }
}

impl Stage {
    fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&self.receivers.grpc.to_string(), 4317).unwrap()
    }

    /// Publishes every span that has been received so far, as if all had been kept.
    fn publish_received(&mut self) -> usize {
        let batches = std::mem::take(&mut *self.receivers.notes.batches.lock());
        let mut n_spans = 0;
        for (batch, _) in batches {
            let batch = Arc::new(batch);
            let site = self.sites.intern("shop", "GetCart", SpanKind::Server, Timestamp(1));
            let reason = KeepReason {
                kind: ScoreKind::SiteDuration,
                score: 4.0,
                tail: 0.05,
                site,
                median_ns: 1,
                p99_ns: 2,
                window_age_ns: 3,
                cold: false,
            };
            let spans: Vec<SampledSpan> = (0..batch.spans.len() as u32)
                .map(|span_idx| SampledSpan {
                    batch: Arc::clone(&batch),
                    span_idx,
                    reason,
                    early: false,
                })
                .collect();
            n_spans += spans.len();
            self.hub.publish(&spans, &self.sites);
        }
        n_spans
    }

    async fn ingest(&mut self, n: u64) {
        client(&self.receivers).await.export(rich(n)).await.unwrap();
        assert_eq!(self.publish_received() as u64, n);
    }
}

#[tokio::test]
async fn a_foreign_client_receives_spans_byte_for_byte_with_their_reasons() {
    let mut stage = stage(77, 16 << 20).await;
    let url = format!("http://{}", stage.receivers.grpc);
    let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    let mut foreign = SampledSpansClient::new(channel);
    let request = messages::SubscribeRequest { client_name: "t".into(), ..Default::default() };
    let mut stream = foreign.subscribe(request).await.unwrap().into_inner();
    let hello = stream.message().await.unwrap().unwrap();
    assert_eq!((hello.epoch, hello.first_sequence, hello.missed_total), (77, 0, 0));
    assert!(hello.export_request.is_empty());

    let sent = rich(20);
    client(&stage.receivers).await.export(sent.clone()).await.unwrap();
    stage.publish_received();
    let batch = stream.message().await.unwrap().unwrap();
    assert_eq!((batch.epoch, batch.first_sequence, batch.missed_total), (77, 0, 0));
    assert_eq!(batch.reasons.len(), 20);
    let reason = &batch.reasons[7];
    assert_eq!(reason.kind(), messages::ScoreKind::SiteDuration);
    assert_eq!(reason.call_site.as_ref().unwrap().service, "shop");
    // The whole request was kept, so the whole request comes out.
    assert_eq!(batch.export_request, sent.encode_to_vec());
    drop(stream);
    drop(foreign);
    stage.receivers.stop().await;
}

#[tokio::test]
async fn unknown_fields_of_a_span_survive_the_stream() {
    let mut stage = stage(1, 16 << 20).await;
    let mut client =
        subscribe(&stage.endpoint(), &SubscribeRequest::default(), LIMITS, &*stage.receivers.tasks)
            .await
            .unwrap();
    client.next().await.unwrap();
    // Field 1000 of Span, which nobody knows.
    let mut raw = span(1).encode_to_vec();
    prost::encoding::string::encode(1_000, &"from the future".to_owned(), &mut raw);
    let mut scope_spans = Vec::new();
    prost::encoding::bytes::encode(2, &raw, &mut scope_spans);
    let mut resource_spans = Vec::new();
    prost::encoding::bytes::encode(2, &scope_spans, &mut resource_spans);
    let mut request = Vec::new();
    prost::encoding::bytes::encode(1, &resource_spans, &mut request);
    let kind = [("content-type", "application/x-protobuf")];
    let reply = crate::shell::post(stage.receivers.http, "/v1/traces", &kind, &request).await;
    assert_eq!(reply.status, 200);
    stage.publish_received();
    let received = client.next().await.unwrap();
    let batch = decode(received.request, &Limits::default()).unwrap().batch;
    assert_eq!(batch.spans[0].raw.of(&batch.bytes), raw);
    drop(client);
    stage.receivers.stop().await;
}

#[tokio::test]
async fn every_one_of_many_subscribers_receives_everything() {
    let mut stage = stage(5, 64 << 20).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let request = SubscribeRequest::default();
        let spawn = &*stage.receivers.tasks;
        let mut client = subscribe(&stage.endpoint(), &request, LIMITS, spawn).await.unwrap();
        let mut ledger = Ledger::default();
        let hello = client.next().await.unwrap();
        ledger.open(hello.epoch, hello.first_sequence, 0, hello.missed_total).unwrap();
        clients.push((client, ledger));
    }
    for _ in 0..10 {
        stage.ingest(300).await;
    }
    for (client, ledger) in &mut clients {
        while ledger.n_range() < 3_000 {
            let batch = client.next().await.unwrap();
            let n_spans = batch.reasons.len() as u64;
            ledger.observe(batch.epoch, batch.first_sequence, n_spans, batch.missed_total).unwrap();
        }
        assert_eq!((ledger.n_received(), ledger.n_missed()), (3_000, 0));
    }
    drop(clients);
    stage.receivers.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_spans_and_is_told_how_many() {
    let mut stage = stage(5, 1 << 20).await;
    let request = SubscribeRequest { client_name: "slow".into(), ..SubscribeRequest::default() };
    let spawn = &*stage.receivers.tasks;
    let mut slow = subscribe(&stage.endpoint(), &request, LIMITS, spawn).await.unwrap();
    let mut ledger = Ledger::default();
    let hello = slow.next().await.unwrap();
    ledger.open(hello.epoch, hello.first_sequence, 0, hello.missed_total).unwrap();
    // Far more than the client's windows, the sockets and the queue hold: 100 x 1,000 x 350 B.
    for _ in 0..100 {
        stage.ingest(1_000).await;
        tokio::task::yield_now().await;
    }
    let stats = &stage.hub.subscribers()[0];
    assert_eq!(&*stats.client_name, "slow");
    assert!(stats.n_missed > 0, "{stats:?}");
    assert!(stats.n_queued_bytes <= 1 << 20, "{stats:?}");

    while ledger.n_range() < 100_000 {
        let batch = slow.next().await.unwrap();
        let n_spans = batch.reasons.len() as u64;
        ledger.observe(batch.epoch, batch.first_sequence, n_spans, batch.missed_total).unwrap();
    }
    assert!(ledger.n_missed() > 0);
    assert_eq!(ledger.n_received() + ledger.n_missed(), stage.hub.n_sampled());
    // The receiver was never held up by it.
    assert_eq!(stage.receivers.notes.n_spans(Outcome::Accepted), 100_000);
    drop(slow);
    stage.receivers.stop().await;
}

#[tokio::test]
async fn accounts_add_up_over_lost_connections_and_restarts() {
    let mut stage = stage(1, 16 << 20).await;
    let mut ledger = Ledger::default();
    let mut n_epochs = 0;
    for round in 0..6_u64 {
        if round == 3 {
            // The sampler is killed: what it published is gone with it.
            let n_sampled = stage.hub.n_sampled();
            assert_eq!(ledger.n_range(), n_sampled);
            stage.receivers.shutdown.abort();
            stage = self::stage(2, 16 << 20).await;
        }
        let request = SubscribeRequest { resume: ledger.resume(), ..SubscribeRequest::default() };
        let spawn = &*stage.receivers.tasks;
        let mut client = subscribe(&stage.endpoint(), &request, LIMITS, spawn).await.unwrap();
        let hello = client.next().await.unwrap();
        let n_spans = hello.reasons.len() as u64;
        let progress =
            ledger.open(hello.epoch, hello.first_sequence, n_spans, hello.missed_total).unwrap();
        n_epochs += u64::from(progress.is_new_epoch);
        stage.ingest(10 + round).await;
        while ledger.n_range() < stage.hub.n_sampled() {
            let batch = client.next().await.unwrap();
            let n_spans = batch.reasons.len() as u64;
            ledger.observe(batch.epoch, batch.first_sequence, n_spans, batch.missed_total).unwrap();
        }
        // The connection breaks; more is sampled while nobody listens, except at the end of an epoch.
        drop(client);
        if round != 2 && round != 5 {
            stage.ingest(5).await;
        }
    }
    assert_eq!(n_epochs, 2);
    assert_eq!(ledger.n_restarts(), 1);
    assert_eq!((ledger.n_received(), ledger.n_missed()), (13 + 14 + 15, 10));
    assert_eq!(ledger.n_range(), stage.hub.n_sampled());
    stage.receivers.stop().await;
}

#[tokio::test]
async fn counts_and_examples_reach_the_subscriber_of_the_rules() {
    let stage = stage(1, 16 << 20).await;
    let request =
        SubscribeRequest { rules_yaml: "rules: []".into(), rules_hash: 5, ..Default::default() };
    let spawn = &*stage.receivers.tasks;
    let mut client = subscribe(&stage.endpoint(), &request, LIMITS, spawn).await.unwrap();
    client.next().await.unwrap();
    let set = stage.hub.rule_sets().remove(0);
    assert_eq!((&*set.yaml, set.hash), ("rules: []", 5));

    self::client(&stage.receivers).await.export(of(vec![span(1), span(2)])).await.unwrap();
    let (batch, _) = stage.receivers.notes.batches.lock().remove(0);
    let batch = Arc::new(batch);
    let count = RuleCount {
        rule_idx: 1,
        second: 1_700_000_000,
        n_spans: 100,
        n_breaches: 2,
        breaches: 2.0,
        instances: vec![1, 2],
        breaching_instances: vec![2],
        trace_ids: vec![batch.spans[1].trace_id],
        call_site: Some(("cart".into(), "GetCart {}".into())),
    };
    let example = SpanRef { batch: &batch, span_idx: 1 };
    stage.hub.publish_counts(set.id, &[CountReport::new(count.clone(), &[example])]);
    let received = client.next().await.unwrap();
    assert_eq!(received.counts[0].count, count);
    let examples = decode(received.counts[0].examples.clone().into(), &Limits::default()).unwrap();
    assert_eq!(examples.batch.spans.len(), 1);
    assert_eq!(examples.batch.spans[0].span_id, batch.spans[1].span_id);
    drop(client);
    stage.receivers.notes.until(|_| stage.hub.rule_sets().is_empty()).await;
    stage.receivers.stop().await;
}

#[tokio::test]
async fn rules_that_cannot_be_counted_are_refused_with_the_reason() {
    let stage = stage(1, 1 << 20).await;
    let request = SubscribeRequest { rules_yaml: "bad".into(), ..Default::default() };
    let spawn = &*stage.receivers.tasks;
    let error = subscribe(&stage.endpoint(), &request, LIMITS, spawn).await.unwrap_err();
    assert!(matches!(error, SubscribeError::Refused { .. }));
    assert!(error.to_string().contains("INVALID_ARGUMENT: line 1: no such rule"), "{error}");
    stage.receivers.stop().await;
}

#[tokio::test]
async fn a_subscription_ends_in_order_when_the_sampler_drains() {
    let mut stage = stage(1, 16 << 20).await;
    let request = SubscribeRequest::default();
    let spawn = &*stage.receivers.tasks;
    let mut client = subscribe(&stage.endpoint(), &request, LIMITS, spawn).await.unwrap();
    client.next().await.unwrap();
    stage.ingest(3).await;
    stage.receivers.shutdown.drain();
    // What was published before is still delivered.
    assert_eq!(client.next().await.unwrap().reasons.len(), 3);
    let end = client.next().await.unwrap_err();
    assert!(end.to_string().contains("UNAVAILABLE: sampler is stopping"), "{end}");
    drop(client);
    stage.receivers.stop().await;
}
