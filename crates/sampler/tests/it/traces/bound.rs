//! The bound holds at every moment, and the budget is spent.

use std::collections::BTreeMap;

use proptest::prelude::*;
use spanwise_model::Timestamp;
use spanwise_sampler::trace::{
    Algorithm, Bound, Budget, Config, Ledger, TraceSampler, Unit, Waiting,
};

use super::{Draw, Made, Player};

fn player(algorithm: Algorithm, bound: Bound, n_shards: usize, waiting: Waiting) -> Player {
    let ledger = Ledger::new(bound).unwrap();
    let config = Config { algorithm, waiting, seed: 1 };
    let shard = || TraceSampler::new(config, ledger.clone()).unwrap();
    Player::new((0..n_shards).map(|_| shard()).collect())
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    proptest::sample::select(Algorithm::ALL.to_vec())
}

/// (gap to the trace before in ms, spans, evidence in bits, whether it failed, bytes a span).
type Spec = (u64, usize, f32, bool, u32);

fn arrivals() -> impl Strategy<Value = Vec<Spec>> {
    let trace = (0..2000_u64, 1..6_usize, -16.0..8.0_f32, any::<bool>(), 1..5000_u32);
    proptest::collection::vec(trace, 1..400)
}

fn made(draw: &mut Draw, spec: &Spec, now: Timestamp) -> Made {
    let &(_, n, cause, failed, n_bytes) = spec;
    let sites: Vec<u32> = (0..n as u32).map(|i| i + 10 * draw.below(3) as u32).collect();
    Made { failed, n_bytes, ..Made::new(draw, &sites, cause, now) }
}

fn units(unit: Unit, (_, n, _, _, n_bytes): &Spec) -> u64 {
    match unit {
        Unit::Traces => 1,
        Unit::Spans => *n as u64,
        Unit::Bytes => *n as u64 * u64::from(*n_bytes),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Scenario: any traces at any times, any algorithm, any share in any unit, 1 to 16 shards.
    /// Guarantees: kept <= B x seen at every moment; every held trace is settled once.
    #[test]
    fn a_share_is_never_exceeded(
        algorithm in algorithms(),
        share in 0.005..1.0_f64,
        unit in proptest::sample::select(vec![Unit::Traces, Unit::Spans, Unit::Bytes]),
        n_shards in proptest::sample::select(vec![1_usize, 4, 16]),
        n_waiting in proptest::sample::select(vec![0_u32, 3, 2048]),
        specs in arrivals(),
    ) {
        let budget = Budget { unit, ..Budget::share(share) };
        let waiting = Waiting { n_traces: n_waiting, ..Waiting::default() };
        let mut player = player(algorithm, Bound::whole(budget), n_shards, waiting);
        let (mut draw, mut now) = (Draw(7), Timestamp::from_secs(1_000_000));
        let (mut seen, mut kept) = (0, 0);
        for spec in &specs {
            now = now.plus_ns(spec.0 * 1_000_000);
            seen += units(unit, spec);
            let here = player.judge(&made(&mut draw, spec, now), 0);
            kept += here.iter().map(|&i| units(unit, &specs[i])).sum::<u64>();
            prop_assert!(kept as f64 <= share * seen as f64, "{kept} of {seen}");
        }
        let last = player.drain(now);
        kept += last.iter().map(|&i| units(unit, &specs[i])).sum::<u64>();
        prop_assert!(kept as f64 <= share * seen as f64, "{kept} of {seen} at the end");
    }

    /// Guarantees: with a rate, kept <= B x elapsed since the first trace.
    #[test]
    fn a_rate_is_never_exceeded(
        algorithm in algorithms(),
        rate in 0.01..20.0_f64,
        n_shards in proptest::sample::select(vec![1_usize, 4]),
        specs in arrivals(),
    ) {
        let budget: Budget = format!("{rate}/s").parse().unwrap();
        let bound = Bound::whole(budget);
        let mut player = player(algorithm, bound, n_shards, Waiting::default());
        let begin = Timestamp::from_secs(1_000_000);
        let (mut draw, mut now, mut kept) = (Draw(7), begin, 0);
        let first = begin.plus_ns(specs[0].0 * 1_000_000);
        for spec in &specs {
            now = now.plus_ns(spec.0 * 1_000_000);
            kept += player.judge(&made(&mut draw, spec, now), 0).len();
            prop_assert!(kept as f64 <= rate * now.since(first) as f64 / 1e9 + 1e-9);
        }
        kept += player.drain(now).len();
        prop_assert!(kept as f64 <= rate * now.since(first) as f64 / 1e9 + 1e-9);
    }

    /// Guarantees: a strict horizon holds for each of its minutes by itself, and so does a tenant's
    /// own share.
    #[test]
    fn horizons_and_tenants_keep_to_their_own_shares(
        algorithm in algorithms(),
        share in 0.02..0.5_f64,
        specs in arrivals(),
    ) {
        const MINUTE_NS: u64 = 60_000_000_000;
        let bound = Bound {
            per_tenant: Some(Budget::share(share / 2.0)),
            ..Bound::whole(Budget::share(share)).strict()
        };
        let mut player = player(algorithm, bound, 2, Waiting::default());
        let (mut draw, mut now) = (Draw(7), Timestamp::from_secs(1_000_020));
        let mut counts = BTreeMap::<(u64, u32), (u64, u64)>::new();
        let mut minutes = Vec::new();
        for (i, spec) in specs.iter().enumerate() {
            now = now.plus_ns(spec.0 * 1_000_000);
            let minute = now.as_ns() / MINUTE_NS;
            minutes.push(minute);
            let tenant = 1 + (i % 2) as u32;
            for key in [(minute, 0), (minute, tenant)] {
                counts.entry(key).or_default().0 += 1;
            }
            for kept in player.judge(&made(&mut draw, spec, now), tenant) {
                let key = (minutes[kept], 1 + (kept % 2) as u32);
                counts.entry((minutes[kept], 0)).or_default().1 += 1;
                counts.entry(key).or_default().1 += 1;
            }
        }
        for kept in player.drain(now) {
            counts.entry((minutes[kept], 0)).or_default().1 += 1;
            counts.entry((minutes[kept], 1 + (kept % 2) as u32)).or_default().1 += 1;
        }
        for ((minute, tenant), (seen, kept)) in counts {
            let share = if tenant == 0 { share } else { share / 2.0 };
            prop_assert!(kept as f64 <= share * seen as f64, "{minute} {tenant}: {kept}/{seen}");
        }
    }
}

/// 10,000 traces of eight kinds, 30 % of them anomalous.
fn busy(algorithm: Algorithm, share: f64, n_shards: usize) -> f64 {
    let bound = Bound::whole(Budget::share(share));
    let mut player = player(algorithm, bound, n_shards, Waiting::default());
    let mut draw = Draw(3);
    let mut now = Timestamp::from_secs(1_000_000);
    for i in 0..11_000 {
        now = now.plus_ns(100_000_000);
        let kind = draw.below(8) as u32;
        let cause = if draw.unit() < 0.3 { 6.0 * draw.unit() } else { -20.0 + 8.0 * draw.unit() };
        let mut trace = Made::new(&mut draw, &[1, 10 + kind, 20 + kind], cause as f32, now);
        trace.failed = draw.unit() < 0.02;
        if i < 1000 {
            player.learn(&trace);
        } else {
            player.judge(&trace, 0);
        }
    }
    player.drain(now);
    player.n_kept() as f64 / (share * player.ends.len() as f64)
}

#[test]
fn budgets_are_spent_even_with_a_third_of_the_traces_anomalous() {
    for algorithm in Algorithm::ALL {
        for n_shards in [1, 4, 16] {
            for share in [0.01, 0.05] {
                let spent = busy(algorithm, share, n_shards);
                let name = algorithm.as_str();
                assert!((0.98..=1.0).contains(&spent), "{name} {share} {n_shards}: {spent}");
            }
        }
    }
}

/// Scenario: a shard hears of no trace after a minute's end, and is drained in the next minute, whose
/// budget another shard has earned.
/// Guarantees: what waited is settled in the minute it came in.
#[test]
fn a_drain_after_the_end_of_a_strict_horizon_spends_nothing_of_the_next() {
    for algorithm in Algorithm::ALL {
        let bound = Bound::whole(Budget::share(0.3)).strict();
        let mut player = player(algorithm, bound, 2, Waiting::default());
        let minute = Timestamp::from_secs(1_000_020);
        let (mut draw, mut n_first) = (Draw(7), 0);
        let mut now = minute;
        for i in 0..100 {
            let shard = u64::from(i >= 20);
            now = minute.plus_ns((i + 100 * shard) * 500_000_000);
            let cause = 8.0 * draw.unit() as f32;
            let mut made = Made::new(&mut draw, &[1, 2], cause, now);
            made.id = (made.id & !(1 << 64)) | (u128::from(shard) << 64);
            n_first += player.judge(&made, 0).iter().filter(|&&kept| kept < 20).count();
        }
        n_first += player.drain(now).iter().filter(|&&kept| kept < 20).count();
        assert!(n_first <= 6, "{}: {n_first} of 20", algorithm.as_str());
    }
}
