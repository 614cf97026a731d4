//! Tests of the hub, without a network.

use prost::Message as _;
use spanwise_model::{KeepReason, RuleCount, ScoreKind, SpanRecord, Timestamp};

use super::*;
use crate::sampled_spans::ledger::Ledger;
use crate::{Limits, RequestBuilder, decode};

/// `n` sampled spans of one batch, in order.
fn spans(n: u64) -> (Vec<SampledSpan>, CallSites) {
    let mut builder = RequestBuilder::new();
    for idx in 1..=n {
        builder.push(&record(idx));
    }
    let batch = Arc::new(decode(builder.finish(), &Limits::default()).unwrap().batch);
    let mut sites = CallSites::new(10, 10);
    let site = sites.intern("shop", "GetCart", spanwise_model::SpanKind::Server, Timestamp(1));
    let reason = KeepReason {
        kind: ScoreKind::Cause,
        score: 7.5,
        tail: 0.01,
        site,
        median_ns: 100,
        p99_ns: 900,
        window_age_ns: 5,
        cold: false,
    };
    let sampled = (0..n as u32).map(|span_idx| SampledSpan {
        batch: Arc::clone(&batch),
        span_idx,
        reason,
        early: true,
    });
    (sampled.collect(), sites)
}

fn record(idx: u64) -> SpanRecord {
    SpanRecord {
        trace_id: spanwise_model::TraceId(u128::from(idx).to_be_bytes()),
        span_id: spanwise_model::SpanId(idx.to_be_bytes()),
        parent_id: spanwise_model::SpanId::default(),
        service: "shop".into(),
        instance: "".into(),
        operation: "GetCart".into(),
        kind: spanwise_model::SpanKind::Server,
        start: Timestamp(1_000),
        end: Timestamp(2_000),
        status: spanwise_model::StatusCode::Ok,
        trace_state: "".into(),
        attributes: vec![],
        events: vec![],
    }
}

fn hub(queue_bytes_max: usize) -> Arc<Hub> {
    Hub::new(HubConfig { epoch: 9, queue_bytes_max, ..HubConfig::default() })
}

fn request(rules_yaml: &str) -> SubscribeRequest {
    SubscribeRequest { rules_yaml: rules_yaml.to_owned(), ..SubscribeRequest::default() }
}

fn count(rule_idx: u32) -> CountReport {
    CountReport::new(RuleCount { rule_idx, n_spans: 3, ..RuleCount::default() }, &[])
}

fn decoded(delivery: Delivery) -> wire::SampledBatch {
    wire::SampledBatch::decode(Bytes::from(delivery.encode().concat())).unwrap()
}

#[test]
fn every_subscriber_gets_every_span_with_its_reason() {
    let hub = hub(1 << 20);
    let (sampled, sites) = spans(3);
    let first = hub.subscribe(&request("")).unwrap();
    hub.publish(&sampled[..1], &sites);
    let second = hub.subscribe(&request("")).unwrap();
    hub.publish(&sampled[1..], &sites);

    // The one who came late begins where the sequence stood.
    let late = decoded(second.take().unwrap().unwrap());
    assert_eq!((late.epoch, late.first_sequence, late.missed_total), (9, 1, 0));
    assert_eq!(late.reasons.len(), 2);

    let early = decoded(first.take().unwrap().unwrap());
    assert_eq!((early.first_sequence, early.reasons.len()), (0, 1));
    let reason = &early.reasons[0];
    assert_eq!(reason.kind(), wire::ScoreKind::Cause);
    assert_eq!(reason.call_site.as_ref().unwrap().operation, "GetCart");
    assert_eq!((reason.median_ns, reason.p99_ns, reason.early), (100, 900, true));

    let batch = decode(early.export_request, &Limits::default()).unwrap().batch;
    let original = &sampled[0].batch;
    assert_eq!(batch.spans[0].raw.of(&batch.bytes), original.spans[0].raw.of(&original.bytes));

    let rest = first.take().unwrap().unwrap();
    assert_eq!((rest.first_sequence, rest.n_spans, rest.missed_total), (1, 2, 0));
    assert_eq!(first.take().unwrap(), None);
    assert_eq!(hub.n_sampled(), 3);
}

#[test]
fn a_slow_subscriber_loses_the_oldest_and_is_told() {
    let (sampled, sites) = spans(10);
    let one_parcel = convert::batch(&sampled, &sites).encoded_len();
    let hub = hub(one_parcel * 2);
    let slow = hub.subscribe(&request("")).unwrap();
    let mut ledger = Ledger::default();
    let hello = slow.take().unwrap().unwrap();
    ledger.open(hello.epoch, hello.first_sequence, hello.n_spans, hello.missed_total).unwrap();
    for _ in 0..5 {
        hub.publish(&sampled, &sites);
    }
    assert_eq!(hub.subscribers()[0].n_missed, 30);
    while let Some(batch) = slow.take().unwrap() {
        let (first, missed) = (batch.first_sequence, batch.missed_total);
        ledger.observe(batch.epoch, first, batch.n_spans, missed).unwrap();
    }
    assert_eq!((ledger.n_received(), ledger.n_missed()), (20, 30));
    assert_eq!(ledger.n_range(), hub.n_sampled());
    assert_eq!(hub.subscribers()[0].n_sent, 20);
}

#[test]
fn who_comes_back_is_told_what_passed_meanwhile() {
    let hub = hub(1 << 20);
    let (sampled, sites) = spans(4);
    let mut ledger = Ledger::default();
    let before = hub.subscribe(&request("")).unwrap();
    let hello = before.take().unwrap().unwrap();
    ledger.open(hello.epoch, hello.first_sequence, hello.n_spans, hello.missed_total).unwrap();
    drop(before);
    hub.publish(&sampled, &sites);

    let resume = ledger.resume();
    let after = hub.subscribe(&SubscribeRequest { resume, ..request("") }).unwrap();
    let hello = after.take().unwrap().unwrap();
    assert_eq!((hello.first_sequence, hello.n_spans, hello.missed_total), (4, 0, 4));
    ledger.open(hello.epoch, hello.first_sequence, hello.n_spans, hello.missed_total).unwrap();
    assert_eq!(ledger.n_missed(), 4);

    // A position that cannot be, and one of another epoch, begin anew.
    for resume in [Some((9, 999)), Some((8, 2))] {
        let other = hub.subscribe(&SubscribeRequest { resume, ..request("") }).unwrap();
        let hello = other.take().unwrap().unwrap();
        assert_eq!((hello.first_sequence, hello.missed_total), (4, 0));
    }
}

#[test]
fn what_nobody_wanted_whole_was_missed_by_who_came_meanwhile() {
    let hub = hub(1 << 20);
    let (sampled, sites) = spans(4);
    let subscription = hub.subscribe(&request("")).unwrap();
    assert_eq!(decoded(subscription.take().unwrap().unwrap()).missed_total, 0);
    hub.skip(&sampled[..3]);
    hub.publish(&sampled[3..], &sites);
    let batch = decoded(subscription.take().unwrap().unwrap());
    assert_eq!((batch.first_sequence, batch.missed_total, batch.reasons.len()), (3, 3, 1));
    assert_eq!(hub.n_sampled(), 4);
}

#[test]
fn counts_go_to_the_subscribers_of_their_rules() {
    let hub = hub(1 << 20);
    let revision = hub.revision();
    let first = hub.subscribe(&request("rules: a")).unwrap();
    let second = hub.subscribe(&request("rules: b")).unwrap();
    let third = hub.subscribe(&request("rules: a")).unwrap();
    assert_ne!(hub.revision(), revision);
    let sets = hub.rule_sets();
    assert_eq!(sets.iter().map(|set| &*set.yaml).collect::<Vec<_>>(), ["rules: a", "rules: b"]);

    hub.publish_counts(sets[0].id, &[count(0)]);
    hub.publish_counts(sets[0].id, &[count(0), count(1)]);
    for subscriber in [&first, &third] {
        let batch = decoded(subscriber.take().unwrap().unwrap());
        let n_spans: Vec<u64> = batch.counts.iter().map(|count| count.n_spans).collect();
        assert_eq!(n_spans, [6, 3]);
    }
    assert_eq!(second.take().unwrap().unwrap().counts, []);

    drop(first);
    assert_eq!(hub.rule_sets().len(), 2);
    drop(third);
    assert_eq!(hub.rule_sets().len(), 1);
}

#[test]
fn a_subscriber_whose_counts_are_lost_is_cut_off() {
    let hub = hub(1 << 20);
    let subscriber = hub.subscribe(&request("rules: a")).unwrap();
    let set = hub.rule_sets()[0].id;
    for second in 0..5_000 {
        let count = RuleCount { second, ..RuleCount::default() };
        hub.publish_counts(set, &[CountReport::new(count, &[])]);
    }
    assert_eq!(subscriber.take().unwrap_err().code, Code::DataLoss);
}

#[test]
fn large_publications_are_cut_into_parcels() {
    let (sampled, sites) = spans(20_000);
    let hub = hub(64 << 20);
    let subscriber = hub.subscribe(&request("")).unwrap();
    hub.publish(&sampled, &sites);
    let (mut n_spans, mut n_parcels) = (0, 0);
    while let Some(batch) = subscriber.take().unwrap() {
        assert!(batch.body.len() < 8 << 20, "{}", batch.body.len());
        n_spans += batch.n_spans;
        n_parcels += 1;
    }
    assert_eq!(n_spans, 20_000);
    assert!(n_parcels > 1, "{n_parcels}");
}

#[test]
fn subscribers_are_bounded() {
    let hub = Hub::new(HubConfig { n_subscribers_max: 1, ..HubConfig::default() });
    let only = hub.subscribe(&request("")).unwrap();
    assert_eq!(hub.subscribe(&request("")).unwrap_err().code, Code::ResourceExhausted);
    drop(only);
    assert!(hub.subscribe(&request("")).is_ok());
}

#[test]
fn a_subscriber_learns_that_counts_were_dropped() {
    let hub = hub(1 << 20);
    let subscriber = hub.subscribe(&request("rules: a")).unwrap();
    subscriber.take().unwrap();
    let others = hub.subscribe(&request("rules: b")).unwrap();
    others.take().unwrap();
    let set = hub.rule_sets()[0].id;
    hub.publish_counts(set, &[count(0)]);
    hub.lost_counts(set);
    assert_eq!(subscriber.take().unwrap_err().code, Code::DataLoss);
    assert!(others.take().unwrap().is_none());
}

#[test]
fn rules_are_bounded_over_all_subscribers_and_shared_ones_count_once() {
    let hub = Hub::new(HubConfig { n_rules_max: 10, ..HubConfig::default() });
    let with = |yaml, n_rules| SubscribeRequest { n_rules, ..request(yaml) };
    let first = hub.subscribe(&with("rules: a", 6)).unwrap();
    let same = hub.subscribe(&with("rules: a", 6)).unwrap();
    let refused = hub.subscribe(&with("rules: b", 5)).unwrap_err();
    assert_eq!(refused.code, Code::ResourceExhausted);
    assert!(refused.message.contains("5 rules beside the 6"), "{}", refused.message);
    assert_eq!(hub.totals().n_subscribers, 2);
    let _fits = hub.subscribe(&with("rules: b", 4)).unwrap();
    drop((first, same));
    hub.subscribe(&with("rules: c", 6)).unwrap();
}

#[test]
fn all_subscribers_together_have_4096_rules() {
    let hub = Hub::new(HubConfig::default());
    let with = |yaml: &str, n_rules| SubscribeRequest { n_rules, ..request(yaml) };
    let ask = |number: u32| hub.subscribe(&with(&format!("rules: {number}"), 128));
    let subscriptions: Vec<Subscription> = (0..32).map(|number| ask(number).unwrap()).collect();
    let refused = hub.subscribe(&with("rules: one more", 1)).unwrap_err();
    assert_eq!(refused.code, Code::ResourceExhausted);
    assert!(refused.message.contains("the 4096"), "{}", refused.message);
    let _spans_only = hub.subscribe(&with("", 0)).unwrap();
    drop(subscriptions);
    hub.subscribe(&with("rules: one more", 4_096)).unwrap();
}
