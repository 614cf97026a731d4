//! What was learned and spent, as bytes and back.

use spanwise_model::Timestamp;
use spanwise_sampler::Error;
use spanwise_sampler::trace::{
    Algorithm, Bound, Budget, Config, Cost, Ledger, TraceSampler, Waiting,
};

use super::{Draw, Made, Player};

const BEGIN: Timestamp = Timestamp(1_000_000 * 1_000_000_000);
const ONE: Cost = Cost { n_spans: 3, n_bytes: 300 };

fn sampler(algorithm: Algorithm, ledger: &Ledger) -> TraceSampler {
    let config = Config { algorithm, waiting: Waiting::default(), seed: 1 };
    TraceSampler::new(config, ledger.clone()).unwrap()
}

fn made(draw: &mut Draw, i: u64) -> Made {
    let now = BEGIN.plus_ns(i * 100_000_000);
    let kind = draw.below(6) as u32;
    let cause = if draw.unit() < 0.05 { 4.0 * draw.unit() } else { -20.0 + 8.0 * draw.unit() };
    let leaf = 20 + draw.below(4) as u32;
    let mut trace = Made::new(draw, &[1, 10 + kind, leaf], cause as f32, now);
    trace.failed = draw.unit() < 0.01;
    trace
}

fn bound() -> Bound {
    Bound { total: Budget::share(0.1), burst: f64::INFINITY, ..Bound::default() }
}

fn snapshot(sampler: &TraceSampler) -> Vec<u8> {
    let mut bytes = Vec::new();
    sampler.snapshot(&mut bytes);
    bytes
}

fn ledger_bytes(ledger: &Ledger, is_final: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    ledger.snapshot(is_final, &mut bytes);
    bytes
}

/// Scenario: half of a stream, a clean restart, the other half; beside it the same without one.
/// Guarantees: no verdict differs (nothing waits here).
#[test]
fn a_restored_sampler_judges_like_the_original() {
    for algorithm in [Algorithm::Hybrid, Algorithm::SampleHst, Algorithm::Structure] {
        let bound = bound();
        let config =
            Config { algorithm, waiting: Waiting { n_traces: 0, ..Waiting::default() }, seed: 1 };
        let ledger = Ledger::new(bound).unwrap();
        let mut original = Player::new(vec![TraceSampler::new(config, ledger.clone()).unwrap()]);
        let mut draw = Draw(9);
        for i in 0..3000 {
            original.judge(&made(&mut draw, i), 0);
        }
        let again = Ledger::new(bound).unwrap();
        let now = BEGIN.plus_ns(300_000_000_000);
        again.restore(&ledger_bytes(&ledger, true), now).unwrap();
        let mut restored = TraceSampler::new(config, again).unwrap();
        restored.restore(&snapshot(&original.shards[0]), now).unwrap();
        assert_eq!(snapshot(&restored), snapshot(&original.shards[0]), "the same bytes");
        let mut restored = Player::new(vec![restored]);
        for i in 3000..6000 {
            let trace = made(&mut draw, i);
            original.judge(&trace, 0);
            restored.judge(&trace, 0);
        }
        let n_same = original.ends[3000..]
            .iter()
            .zip(&restored.ends)
            .filter(|(a, b)| a.keep().is_some() == b.keep().is_some())
            .count();
        // Who kept what lately is forgotten, and only that.
        assert!(n_same >= 2985, "{}: {n_same} of 3000", algorithm.as_str());
    }
}

/// Judges traces without spans, which chance alone can keep; how many it did.
fn see(ledger: &Ledger, n: u64) -> usize {
    let waiting = Waiting { n_traces: 0, ..Waiting::default() };
    let config = Config { algorithm: Algorithm::Slowest, waiting, seed: 1 };
    let mut player = Player::new(vec![TraceSampler::new(config, ledger.clone()).unwrap()]);
    let mut draw = Draw(4);
    for i in 0..n {
        let mut trace = made(&mut draw, i);
        trace.sites.clear();
        player.judge(&trace, 0);
    }
    player.n_kept()
}

/// Keeps as many as it may.
fn spend(ledger: &Ledger, now: Timestamp) -> usize {
    (0..100_000).take_while(|_| ledger.pay(ONE, 0, now)).count()
}

/// Guarantees: whether a process ended well or was killed, kept <= B x seen over both together.
#[test]
fn a_restart_breaks_no_bound() {
    for is_final in [true, false] {
        let ledger = Ledger::new(bound()).unwrap();
        let mut n_kept = see(&ledger, 1000);
        let now = BEGIN.plus_ns(200_000_000_000);
        let bytes = ledger_bytes(&ledger, is_final);
        // What a killed process keeps after its last snapshot is written nowhere.
        n_kept += if is_final { 0 } else { spend(&ledger, now) };
        let again = Ledger::new(bound()).unwrap();
        again.restore(&bytes, now).unwrap();
        let n_after = see(&again, 200) + spend(&again, now);
        assert_eq!(n_kept + n_after, 120, "all of it, and no more");
        assert!(is_final || n_after == 20, "{n_after}");
    }
}

#[test]
fn other_settings_are_refused() {
    let ledger = Ledger::new(Bound::default()).unwrap();
    let bytes = snapshot(&sampler(Algorithm::Hybrid, &ledger));
    let error = sampler(Algorithm::Structure, &ledger).restore(&bytes, BEGIN).unwrap_err();
    assert_eq!(error, Error::Mismatch { what: "trace sampler" });
    let bytes = ledger_bytes(&ledger, true);
    let other = Bound { total: "5MB/s".parse().unwrap(), ..Bound::default() };
    let error = Ledger::new(other).unwrap().restore(&bytes, BEGIN).unwrap_err();
    assert_eq!(error, Error::Mismatch { what: "unit or horizon of the budget" });
    // Another amount of the same is a reload like any other.
    let other = Bound { total: Budget::share(0.5), ..Bound::default() };
    Ledger::new(other).unwrap().restore(&bytes, BEGIN).unwrap();
}

/// Guarantees: whatever is cut or changed is refused, also where the checksum fits; nothing panics,
/// nothing changes.
#[test]
fn damaged_and_hostile_bytes_are_refused_and_change_nothing() {
    for algorithm in [Algorithm::Hybrid, Algorithm::SampleHst] {
        let bound = Bound { per_tenant: Some(Budget::share(0.5)), ..Bound::default() };
        let ledger = Ledger::new(bound).unwrap();
        ledger.tenant(b"blue", BEGIN);
        let mut player = Player::new(vec![sampler(algorithm, &ledger)]);
        let mut draw = Draw(2);
        for i in 0..600 {
            player.judge(&made(&mut draw, i), 1);
        }
        let mut known = player.shards.remove(0);
        let (models, accounts) = (snapshot(&known), ledger_bytes(&ledger, true));
        let mut check = |bytes: &[u8], is_models: bool| {
            let result =
                if is_models { known.restore(bytes, BEGIN) } else { ledger.restore(bytes, BEGIN) };
            if result.is_err() {
                assert_eq!(snapshot(&known), models);
                assert_eq!(ledger_bytes(&ledger, true), accounts);
            }
            result
        };
        for (bytes, is_models) in [(models.clone(), true), (accounts.clone(), false)] {
            for cut in (0..bytes.len()).step_by(bytes.len() / 100) {
                check(&bytes[..cut], is_models).unwrap_err();
            }
            for _ in 0..150 {
                let mut hostile = bytes.clone();
                let at = draw.below(hostile.len() as u64 - 4) as usize;
                hostile[at] ^= 1 << draw.below(8);
                check(&hostile, is_models).unwrap_err();
                // With a checksum that fits.
                let end = hostile.len() - 4;
                let crc = crc32c::crc32c(&hostile[..end]).to_le_bytes();
                hostile[end..].copy_from_slice(&crc);
                if check(&hostile, is_models).is_ok() {
                    check(&bytes, is_models).unwrap();
                }
            }
        }
    }
}
