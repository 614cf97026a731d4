//! Adjusted counts, and what chance has to do with content.

use spanwise_model::Timestamp;
use spanwise_sampler::trace::{
    Algorithm, Bound, Budget, Config, Keep, Ledger, Reason, Subject, TraceSampler, Verdict,
    Waiting, threshold,
};

use super::{Draw, End, Made, Player};

const N: usize = 20_000;

fn sampler(algorithm: Algorithm, share: f64) -> TraceSampler {
    let ledger = Ledger::new(Bound::whole(Budget::share(share))).unwrap();
    TraceSampler::new(Config { algorithm, waiting: Waiting::default(), seed: 1 }, ledger).unwrap()
}

/// Traces of three kinds; every 50th is slow, every 100th fails.
fn stream(seed: u64) -> Vec<(usize, Made)> {
    let mut draw = Draw(seed);
    let mut now = Timestamp::from_secs(1_000_000);
    let one = |i: usize| {
        now = now.plus_ns(50_000_000 + draw.below(100_000_000));
        let kind = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2][draw.below(10) as usize];
        let cause = if i % 50 == 7 { 3.0 } else { -12.0 + 6.0 * draw.unit() as f32 };
        let mut made = Made::new(&mut draw, &[1, 10 + kind, 20 + kind], cause, now);
        made.failed = i % 100 == 9;
        (kind as usize, made)
    };
    (0..N).map(one).collect()
}

/// How many traces a keep stands for; 0 if its probability is not known.
fn weight(keep: &Keep) -> f64 {
    if keep.erase_threshold { 0.0 } else { 1.0 / threshold::probability(keep.threshold) }
}

/// Guarantees: kept traces, weighted by their adjusted counts, reproduce the true counts of each kind
/// within 3 standard errors, on one shard and on four that share a budget.
#[test]
fn adjusted_counts_reproduce_true_counts() {
    // Not of `SampleHST`: under a small budget it keeps nothing common, by design.
    for algorithm in [Algorithm::Hybrid, Algorithm::Uniform, Algorithm::LasCasas] {
        for n_shards in [1, 4] {
            check_counts(algorithm, n_shards, Bound::whole(BUDGET), Waiting::default());
        }
    }
}

/// Guarantees: the same where few may wait and keeps must wait for the minute's budget: what chance has
/// won then takes the place of who waits for content.
#[test]
fn counts_are_true_where_few_wait_and_the_minute_is_spent() {
    let waiting = Waiting { n_traces: 64, ..Waiting::default() };
    for burst in [1.0, 0.8] {
        let bound = Bound { burst, ..Bound::whole(BUDGET) };
        check_counts(Algorithm::Hybrid, 1, bound, waiting);
    }
}

const BUDGET: Budget = Budget::share(0.1);

fn check_counts(algorithm: Algorithm, n_shards: usize, bound: Bound, waiting: Waiting) {
    let stream = stream(11);
    let ledger = Ledger::new(bound).unwrap();
    let config = Config { algorithm, waiting, seed: 1 };
    let shard = |_| TraceSampler::new(config, ledger.clone()).unwrap();
    let mut player = Player::new((0..n_shards).map(shard).collect());
    for (_, made) in &stream {
        player.judge(made, 0);
    }
    player.drain(stream[N - 1].1.now);
    let mut truth = [0.0; 3];
    let mut estimate = [0.0; 3];
    let mut variance = [0.0; 3];
    for ((kind, _), end) in stream.iter().zip(&player.ends) {
        truth[*kind] += 1.0;
        if let Some(keep) = end.keep() {
            let w = weight(keep);
            estimate[*kind] += w;
            // Horvitz and Thompson: (1 - p) / p^2.
            variance[*kind] += (w - 1.0).max(0.0) * w;
        }
    }
    for kind in 0..3 {
        let (error, sigma) = (estimate[kind] - truth[kind], f64::sqrt(variance[kind]));
        let name = algorithm.as_str();
        assert!(error.abs() <= 3.0 * sigma + 1.0, "{name} {n_shards} {kind}: {error} of {sigma}");
    }
}

/// Guarantees: whether content keeps a trace does not depend on the randomness of its id.
#[test]
fn content_never_looks_at_randomness() {
    let ends = |flip: u128| {
        let mut player = Player::new(vec![sampler(Algorithm::Latency, 0.05)]);
        let stream = stream(12);
        for (_, made) in &stream {
            let (trace, scores) = made.build();
            let randomness = Some((made.id ^ flip) as u64 & (threshold::FULL - 1));
            let subject =
                Subject { trace: &trace, scores: &scores, randomness, tenant: 0, sites: None };
            let mut settled = Vec::new();
            let verdict = player.shards[0].judge(&subject, made.now, &mut settled);
            player.ends.push(match verdict {
                Verdict::Keep(keep) => End::Kept(keep),
                _ => End::Dropped,
            });
        }
        player.ends
    };
    let (one, other) = (ends(0), ends(u128::from(u64::MAX)));
    // After the first 200 traces, which are kept by plain chance.
    let differs = |i: &usize| one[*i] != other[*i];
    assert_eq!((400..N).find(differs), None);
}

/// Guarantees: keeps by chance carry a threshold that their randomness passes; keeps by content
/// leave what came in.
#[test]
fn keeps_by_chance_carry_their_threshold() {
    let stream = stream(13);
    let mut player = Player::new(vec![sampler(Algorithm::Hybrid, 0.1)]);
    for (_, made) in &stream {
        player.judge(made, 0);
    }
    player.drain(stream[N - 1].1.now);
    let mut n_by_chance = 0;
    for ((_, made), end) in stream.iter().zip(&player.ends) {
        let Some(keep) = end.keep() else { continue };
        let randomness = made.id as u64 & (threshold::FULL - 1);
        if keep.reason == Reason::Probability {
            n_by_chance += 1;
            assert!(keep.threshold > 0 && randomness >= keep.threshold, "{keep:?}");
        } else {
            assert_eq!(keep.threshold, 0, "{keep:?}");
            assert!(keep.tail > 0.0 && keep.tail <= 1.0, "{keep:?}");
        }
    }
    assert!(n_by_chance > 100, "{n_by_chance}");
}

/// Guarantees: same traces, same verdicts.
#[test]
fn the_same_traces_get_the_same_verdicts() {
    for algorithm in Algorithm::ALL {
        let ends = || {
            let mut player = Player::new(vec![sampler(algorithm, 0.02)]);
            for (_, made) in stream(14).iter().take(3000) {
                player.judge(made, 0);
            }
            player.ends
        };
        assert_eq!(ends(), ends(), "{}", algorithm.as_str());
    }
}
