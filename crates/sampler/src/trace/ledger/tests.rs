use super::*;

const ONE: Cost = Cost { n_spans: 10, n_bytes: 1000 };

fn at(seconds: f64) -> Timestamp {
    Timestamp((1_000_000.0 * 1e9 + seconds * 1e9) as u64)
}

fn ledger(text: &str, change: impl FnOnce(Bound) -> Bound) -> Ledger {
    Ledger::new(change(Bound::whole(text.parse().unwrap()))).unwrap()
}

/// Sees so many traces in a row, then keeps as many as it may.
fn keep_all(ledger: &Ledger, n_seen: u64, now: Timestamp) -> u64 {
    for _ in 0..n_seen {
        ledger.see(ONE, 0, Parts::default(), now);
    }
    let mut n_kept = 0;
    while n_kept < 100_000 && ledger.pay(ONE, 0, now) {
        n_kept += 1;
    }
    n_kept
}

#[test]
fn each_unit_is_counted_as_it_is_named() {
    let check = |text: &str, expected: u64| {
        let ledger = ledger(text, |bound| bound);
        ledger.see(ONE, 0, Parts::default(), at(0.0));
        assert_eq!(keep_all(&ledger, 0, at(100.0)), expected, "{text}");
    };
    check("2/s", 200);
    check("40 spans/s", 400);
    check("50kB/s", 5000);
    check("2.629746MB/month", 0);
}

#[test]
fn unspent_budget_of_an_hour_goes_on_to_the_next_day() {
    let ledger = ledger("50%", |bound| Bound { horizon_ns: DAY_NS, carry_ns: HOUR_NS, ..bound });
    // Noon to midnight: 1,000,000 s after the epoch is 13:46:40.
    let day_end = 86_400 - 1_000_000 % 86_400;
    for second in 0..day_end {
        ledger.see(ONE, 0, Parts::default(), at(f64::from(second)));
    }
    let next = at(f64::from(day_end) + 1.0);
    // The hour of budget that is carried: 3600 traces at 50 %.
    let kept = keep_all(&ledger, 2, next);
    assert!((1795..=1801).contains(&kept), "{kept}");
    // Only once.
    assert_eq!(keep_all(&ledger, 2, next), 1);
}

#[test]
fn bursts_are_bounded_within_any_minute() {
    let ledger = ledger("10%", |bound| Bound { burst: 4.0, ..bound });
    for second in 0..600 {
        for _ in 0..10 {
            ledger.see(ONE, 0, Parts::default(), at(f64::from(second)));
        }
    }
    // 600 could be kept by the bound alone; 600 were seen in the last minute.
    assert_eq!(keep_all(&ledger, 0, at(599.5)), 240);
    assert_eq!(keep_all(&ledger, 0, at(600.0)), 0);
}

#[test]
fn tenants_cannot_spend_each_others_share() {
    let per_tenant = Some(Budget::share(0.1));
    let ledger = ledger("10%", |bound| Bound { per_tenant, ..bound });
    for i in 0..1000 {
        ledger.see(ONE, 1 + u32::from(i % 10 == 0), Parts::default(), at(0.0));
    }
    let spend = |tenant| (0..1000).filter(|_| ledger.pay(ONE, tenant, at(0.0))).count();
    assert_eq!((spend(2), spend(1), spend(3)), (10, 90, 0));
}

#[test]
fn tenants_are_bounded_and_those_beyond_share_an_account() {
    let per_tenant = Some(Budget::share(0.5));
    let ledger = ledger("100%", |bound| Bound { per_tenant, ..bound });
    for tenant in 0..20_000 {
        ledger.see(ONE, tenant, Parts::default(), at(0.0));
    }
    assert_eq!(ledger.balance(at(0.0)).n_other_tenants, 10_000);
    assert_eq!(ledger.lock().tenants.len(), 10_001);
}

#[test]
fn a_smaller_budget_holds_from_the_next_keep_on() {
    let ledger = ledger("50%", |bound| bound);
    assert_eq!(keep_all(&ledger, 100, at(0.0)), 50);
    ledger.rebind(Bound::whole(Budget::share(0.1))).unwrap();
    assert_eq!(keep_all(&ledger, 300, at(1.0)), 0);
    assert_eq!(keep_all(&ledger, 200, at(1.0)), 10);
    assert!(ledger.rebind(Bound { burst: 0.0, ..Bound::default() }).is_err());
}

#[test]
fn a_late_shard_spends_what_its_own_horizon_left() {
    let ledger = ledger("10%", Bound::strict);
    for _ in 0..100 {
        ledger.see(ONE, 0, Parts::default(), at(10.0));
    }
    // Another shard is ahead, in the next minute.
    ledger.see(ONE, 0, Parts::default(), at(70.0));
    let late = (0..100).filter(|_| ledger.pay(ONE, 0, at(10.0))).count();
    assert_eq!(late, 10);
    assert!(!ledger.pay(ONE, 0, at(70.0)));
}

#[test]
fn bounds_that_cannot_be_are_refused() {
    let check = |bound: Bound| assert!(Ledger::new(bound).is_err(), "{bound:?}");
    check(Bound { total: Budget::share(0.0), ..Bound::default() });
    check(Bound { per_tenant: Some(Budget::share(2.0)), ..Bound::default() });
    check(Bound { horizon_ns: 5, ..Bound::default() });
    check(Bound { burst: f64::NAN, ..Bound::default() });
}

#[test]
fn tenants_are_told_apart_by_name_and_bounded() {
    let ledger = ledger("10%", |bound| Bound {
        horizon_ns: 60 * SECOND_NS,
        per_tenant: Some("10%".parse().unwrap()),
        ..bound
    });
    let (now, next) = (at(20.0), at(80.0));
    let numbers: Vec<u32> =
        (0..N_TENANTS_MAX).map(|i| ledger.tenant(format!("s{i}").as_bytes(), now)).collect();
    let mut distinct = numbers.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), N_TENANTS_MAX);
    assert_eq!(ledger.tenant(b"s77", now), numbers[77]);
    assert_eq!(ledger.tenant(b"one more", now), OTHERS);
    // Half of them are there in the next horizon too; in the one after it there is room again.
    for (i, number) in numbers.iter().enumerate().filter(|(i, _)| i % 2 == 0) {
        assert_eq!(ledger.tenant(format!("s{i}").as_bytes(), next), *number);
    }
    ledger.see(ONE, numbers[0], Parts::default(), at(140.0));
    let other = ledger.tenant(b"one more", at(140.0));
    assert!(other != OTHERS && !numbers.contains(&other));
    assert_eq!(ledger.tenant(b"s0", at(140.0)), numbers[0]);
}
