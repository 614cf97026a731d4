//! The two regimes of a budget against a known share of anomalous traces.

use spanwise_model::Timestamp;
use spanwise_sampler::trace::{Algorithm, Bound, Budget, Config, Ledger, TraceSampler, Waiting};

use super::{Draw, Made, Player};

/// Share of the rare traces.
const RARE: f64 = 0.04;
const N_KINDS: usize = 5;
const N_WARMUP: usize = 2000;
const N: usize = 20_000;

/// Kept of the rare traces and of each common kind, and how many there were.
#[derive(Debug, Default)]
struct Kept {
    rare: (u64, u64),
    common: [(u64, u64); N_KINDS],
}

fn run(algorithm: Algorithm, share: f64) -> Kept {
    let ledger = Ledger::new(Bound::whole(Budget::share(share))).unwrap();
    let config = Config { algorithm, waiting: Waiting::default(), seed: 1 };
    let mut player = Player::new(vec![TraceSampler::new(config, ledger).unwrap()]);
    let mut draw = Draw(5);
    let mut now = Timestamp::from_secs(1_000_000);
    let mut kinds = Vec::new();
    for i in 0..N_WARMUP + N {
        now = now.plus_ns(100_000_000);
        let is_rare = draw.unit() < RARE;
        let kind = draw.below(N_KINDS as u64) as u32;
        let cause = if is_rare { 2.0 + 4.0 * draw.unit() } else { -20.0 + 4.0 * draw.unit() };
        let sites: Vec<u32> = (0..=kind).map(|depth| 10 * kind + depth).collect();
        let trace = Made::new(&mut draw, &sites, cause as f32, now);
        if i < N_WARMUP {
            player.learn(&trace);
            continue;
        }
        kinds.push(if is_rare { None } else { Some(kind as usize) });
        player.judge(&trace, 0);
    }
    player.drain(now);
    let mut kept = Kept::default();
    for (kind, end) in kinds.into_iter().zip(&player.ends) {
        let count = kind.map_or(&mut kept.rare, |kind| &mut kept.common[kind]);
        count.0 += u64::from(end.keep().is_some());
        count.1 += 1;
    }
    kept
}

#[test]
fn below_the_share_of_the_rare_no_common_trace_is_kept() {
    let kept = run(Algorithm::SampleHst, RARE / 2.0);
    assert!(kept.common.iter().all(|&(n, _)| n == 0), "{kept:?}");
    assert!(kept.rare.0 as f64 >= 0.98 * RARE / 2.0 * N as f64, "{kept:?}");
}

#[test]
fn above_it_every_rare_trace_is_kept_and_some_of_each_common_kind() {
    let kept = run(Algorithm::SampleHst, 2.0 * RARE);
    assert_eq!(kept.rare.0, kept.rare.1, "{kept:?}");
    assert!(kept.common.iter().all(|&(n, _)| n > 0), "{kept:?}");
}

#[test]
fn nothing_jumps_where_the_budget_equals_the_share_of_the_rare() {
    for algorithm in [Algorithm::SampleHst, Algorithm::Hybrid] {
        let of_common = |share: f64| {
            let kept = run(algorithm, share);
            kept.common.iter().map(|(n, _)| n).sum::<u64>() as f64 / N as f64
        };
        let shares = [0.9, 0.95, 1.0, 1.05, 1.1, 1.2].map(|factor| factor * RARE);
        let found = shares.map(of_common);
        for (pair, step) in found.windows(2).zip(shares.windows(2)) {
            // What is kept of the common grows by no more than the budget, but for noise.
            let noise = 0.1 * RARE;
            let grown = pair[1] - pair[0];
            let most = step[1] - step[0] + noise;
            assert!((-noise..=most).contains(&grown), "{} {found:?}", algorithm.as_str());
        }
    }
}

#[test]
fn the_default_keeps_the_rare_in_both_regimes() {
    for factor in [0.5, 2.0] {
        let kept = run(Algorithm::Hybrid, factor * RARE);
        let most = kept.rare.1.min((factor * RARE * N as f64) as u64) as f64;
        assert!(kept.rare.0 as f64 >= 0.6 * most, "{factor}: {kept:?}");
    }
}
