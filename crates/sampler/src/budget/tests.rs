use super::*;

fn check(text: &str, expected: Result<Budget, &str>) {
    let found = text.parse::<Budget>().map_err(|error| error.to_string());
    assert_eq!(found, expected.map_err(str::to_owned), "{text}");
}

#[test]
fn budgets_are_shares_or_rates() {
    let hint = "budget must be a share such as 1% or a rate such as 200/s";
    let range = "budget must be a share up to 100% or a rate above 0/s";
    check("1%", Ok(Budget::Share(0.01)));
    check(" 0.5 % ", Ok(Budget::Share(0.005)));
    check("200/s", Ok(Budget::PerSecond(200.0)));
    check("5", Err(hint));
    check("x%", Err(hint));
    check("0%", Err(range));
    check("101%", Err(range));
    check("-1/s", Err(range));
    check("NaN%", Err(range));
    check("inf/s", Err(range));
}

/// Sends `n` spans at `per_second`; their tails are uniform times `inflation` (0.1: ten times as
/// many rare spans as usual). Returns the number kept.
fn run(budget: Controller, n: u64, per_second: u64, inflation: f64) -> (u64, Controller) {
    let mut controller = budget;
    let mut n_kept = 0;
    for i in 0..n {
        let now = Timestamp(1_000 * SECOND_NS + i * SECOND_NS / per_second);
        controller.see(now);
        let tail = ((i * 2_654_435_761) % 1_000_003) as f64 / 1_000_003.0 * inflation;
        if tail <= controller.threshold() && controller.pay() {
            n_kept += 1;
        }
    }
    (n_kept, controller)
}

#[test]
fn in_calm_traffic_the_share_is_kept() {
    let (n_kept, _) = run(Controller::new(Budget::Share(0.01)), 2_000_000, 1000, 1.0);
    assert!((19_600..=20_400).contains(&n_kept), "{n_kept}");
}

#[test]
fn in_calm_traffic_the_rate_is_kept() {
    let (n_kept, _) = run(Controller::new(Budget::PerSecond(20.0)), 2_000_000, 1000, 1.0);
    assert!((39_000..=41_000).contains(&n_kept), "{n_kept}");
}

#[test]
fn tails_that_are_off_are_corrected() {
    for inflation in [0.2, 5.0] {
        let start = Controller::new(Budget::Share(0.01));
        let (_, warm) = run(start, 8_000_000, 1000, inflation);
        let (n_kept, _) = run(warm, 1_000_000, 1000, inflation);
        // Half or twice the budget is the reach of the threshold; the accounts do the rest.
        let expected = if inflation < 1.0 { 9_800..=10_200 } else { 3_900..=4_100 };
        assert!(expected.contains(&n_kept), "{inflation}: {n_kept}");
    }
}

#[test]
fn a_burst_is_held_to_four_times_the_budget() {
    let (_, calm) = run(Controller::new(Budget::Share(0.01)), 1_000_000, 1000, 1.0);
    let (n_kept, _) = run(calm, 60_000, 1000, 0.0001);
    assert!((1200..=2_700 + 2_400).contains(&n_kept), "{n_kept}");
}

#[test]
fn state_brings_back_the_same_threshold() {
    let (_, before) = run(Controller::new(Budget::Share(0.01)), 100_000, 1000, 0.3);
    let mut after = Controller::new(Budget::Share(0.01));
    after.restore(before.state());
    assert!((after.threshold() - before.threshold()).abs() < 1e-12);
    after.restore([f64::NAN, 3.0, 1.0, -1.0, f64::INFINITY]);
    assert!(after.threshold().is_finite());
}
