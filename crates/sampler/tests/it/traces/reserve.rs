//! Who waits for budget, and who need not.

use spanwise_model::Timestamp;
use spanwise_sampler::trace::{
    Algorithm, Bound, Budget, Config, Ledger, Reason, TraceSampler, Waiting,
};

use super::{Draw, Made, Player};

/// Scenario: 20,000 traces within seconds, a budget that is spent slowly at first, places for 64.
/// Guarantees: a trace that would give up its place to the next comer does not get one, so that few
/// are held in vain; the places are taken all the same.
#[test]
fn a_full_reserve_holds_only_who_would_stay() {
    const N: usize = 20_000;
    let ledger = Ledger::new(Bound::whole(Budget::share(0.1))).unwrap();
    let waiting = Waiting { n_traces: 64, ..Waiting::default() };
    let config = Config { algorithm: Algorithm::Hybrid, waiting, seed: 1 };
    let mut player = Player::new(vec![TraceSampler::new(config, ledger).unwrap()]);
    let (mut draw, mut now) = (Draw(5), Timestamp::from_secs(1_000_000));
    for i in 0..N + 2000 {
        now = now.plus_ns(100_000);
        let cause = -20.0 + 20.0 * draw.unit() as f32;
        let trace = Made::new(&mut draw, &[1, 2], cause, now);
        if i < 2000 {
            player.learn(&trace);
        } else {
            player.judge(&trace, 0);
        }
    }
    let stats = player.shards[0].stats();
    assert_eq!(stats.n_held, 64);
    assert!(stats.counters.n_given_up < N as u64 / 10, "{stats:?}");
}

/// Scenario: slow traces fill the reserve; then failed ones come, each less surprising than the one before.
/// Guarantees: the lane of errors gets places of its own all the same.
#[test]
fn a_lane_that_comes_late_gets_places_in_a_full_reserve() {
    let ledger = Ledger::new(Bound::whole(Budget::share(0.1))).unwrap();
    let waiting = Waiting { n_traces: 64, ..Waiting::default() };
    let config = Config { algorithm: Algorithm::Hybrid, waiting, seed: 1 };
    let mut player = Player::new(vec![TraceSampler::new(config, ledger).unwrap()]);
    let (mut draw, mut now) = (Draw(5), Timestamp::from_secs(1_000_000));
    for i in 0..12_000_u64 {
        now = now.plus_ns(100_000);
        let cause = -20.0 + 20.0 * draw.unit() as f32;
        let mut trace = Made::new(&mut draw, &[1, 2], cause, now);
        trace.failed = i > 8000 && i % 10 == 0;
        if i < 2000 {
            player.learn(&trace);
        } else {
            player.judge(&trace, 0);
        }
    }
    let kept = player.drain(now);
    let of_errors =
        |at: &&usize| player.ends[**at].keep().is_some_and(|k| k.reason == Reason::Error);
    let n_errors = kept.iter().filter(of_errors).count();
    assert!(n_errors >= 10, "{n_errors} of {}", kept.len());
}
