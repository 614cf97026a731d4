//! Shards that tell each other what they have seen.

use spanwise_model::{CallSites, Timestamp};
use spanwise_sampler::trace::{
    Algorithm, Bound, Budget, Config as TraceConfig, Ledger, Subject, TraceSampler, Verdict,
    Waiting,
};
use spanwise_sampler::{Config, Lesson};

use crate::stream::{CART, PAY, SECOND_NS, START, Stream};
use crate::traces::{Draw, Made};

/// Every shard tells all others.
fn tell(shards: &mut [Stream], now: Timestamp) {
    let lessons: Vec<Lesson> =
        shards.iter_mut().map(|shard| shard.sampler.lesson(&shard.sites)).collect();
    for (idx, shard) in shards.iter_mut().enumerate() {
        let others = lessons.iter().enumerate().filter(|(other, _)| *other != idx);
        let others: Vec<&Lesson> = others.map(|(_, lesson)| lesson).collect();
        shard.sampler.hear(&others, &mut shard.sites, now);
    }
}

/// Scenario: four shards see a quarter each of what one sampler sees whole; one shard has never seen
/// one of the call sites.
/// Guarantees: each knows as many spans and the same quantiles, and scores alike.
#[test]
fn shards_know_together_what_one_would() {
    let mut whole = Stream::new(Config::default(), 1);
    let mut shards: Vec<Stream> = (0..4).map(|_| Stream::new(Config::default(), 1)).collect();
    // Numbers differ between shards, names do not.
    shards[1].site(PAY);
    for i in 0..24_000_u64 {
        let now = START.plus_ns(i * SECOND_NS / 20);
        let is_pay = i % 5 == 0;
        let shape = if is_pay { PAY } else { CART };
        let latency_ns = whole.latency_ns(shape);
        whole.send(shape, latency_ns, now);
        let shard = if is_pay { i / 5 % 3 } else { i % 4 };
        shards[shard as usize].send(shape, latency_ns, now);
        if i % 20 == 0 {
            tell(&mut shards, now);
        }
    }
    let end = START.plus_ns(1200 * SECOND_NS);
    tell(&mut shards, end);
    for shape in [CART, PAY] {
        let expected = whole.view(shape).self_time;
        for shard in &mut shards {
            let found = shard.view(shape).self_time;
            let ratio = found.n_reference / expected.n_reference;
            assert!((0.95..1.05).contains(&ratio), "{ratio}");
            for (a, b) in [(found.median_ns, expected.median_ns), (found.p99_ns, expected.p99_ns)] {
                assert!((0.9..1.1).contains(&(a as f64 / b as f64)), "{a} {b}");
            }
        }
        let (_, expected) = whole.send(shape, 600_000_000, end);
        for shard in &mut shards {
            let (_, found) = shard.send(shape, 600_000_000, end);
            assert!((found.site_self - expected.site_self).abs() < 1.0, "{found:?} {expected:?}");
        }
    }
}

#[test]
fn a_shard_that_hears_nothing_new_stays_as_it_is() {
    let mut shard = Stream::new(Config::default(), 1);
    shard.run(CART, START, 60, 20, 1.0);
    let snapshot = |shard: &Stream| {
        let mut bytes = Vec::new();
        shard.sampler.snapshot(&shard.sites, &mut bytes);
        bytes
    };
    let before = snapshot(&shard);
    let end = START.plus_ns(60 * SECOND_NS);
    let nothing = Stream::new(Config::default(), 1).sampler.lesson(&CallSites::new(9, 9));
    shard.sampler.hear(&[&nothing], &mut shard.sites, end);
    drop(shard.sampler.lesson(&shard.sites));
    assert_eq!(snapshot(&shard), before);
}

/// Scenario: two trace samplers; one has seen 5,000 usual traces, the other only what it was told.
/// Guarantees: the other, too, knows the usual from the odd.
#[test]
fn a_shard_knows_words_it_was_told_of() {
    let ledger = Ledger::new(Bound::whole(Budget::share(0.05))).unwrap();
    let config =
        TraceConfig { algorithm: Algorithm::Structure, waiting: Waiting::default(), seed: 1 };
    let mut told = TraceSampler::new(config, ledger.clone()).unwrap();
    let mut other = TraceSampler::new(config, ledger).unwrap();
    let mut names = CallSites::new(100, 100);
    let mut more_names = CallSites::new(100, 100);
    for i in 0..10 {
        let name = |i: u32| ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"][i as usize];
        names.intern("shop", name(i), spanwise_model::SpanKind::Server, START);
        more_names.intern("shop", name(9 - i), spanwise_model::SpanKind::Server, START);
    }
    let mut draw = Draw(1);
    let mut now = START;
    for _ in 0..5000 {
        now = now.plus_ns(SECOND_NS / 10);
        let (trace, _) = Made::new(&mut draw, &[1, 2], -20.0, now).build();
        let subject = Subject {
            trace: &trace,
            scores: &[],
            randomness: None,
            tenant: 0,
            sites: Some(&names),
        };
        other.judge(&subject, now, &mut Vec::new());
        if draw.below(10) == 0 {
            told.hear(&other.lesson(), now);
        }
    }
    told.hear(&other.lesson(), now);
    let mut settled = Vec::new();
    let mut is_kept = |sites: &[u32], draw: &mut Draw| {
        let (trace, _) = Made::new(draw, sites, -20.0, now).build();
        let sites = Some(&more_names);
        let subject = Subject { trace: &trace, scores: &[], randomness: None, tenant: 0, sites };
        matches!(told.judge(&subject, now, &mut settled), Verdict::Keep(_))
    };
    // The same call, by this shard's numbers.
    let n_usual = (0..200).filter(|_| is_kept(&[8, 7], &mut draw)).count();
    assert!(n_usual < 30, "{n_usual}");
    assert!(is_kept(&[8, 3], &mut draw), "an odd call is kept");
}
