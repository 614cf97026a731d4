use super::*;

fn id(n: u64) -> TraceId {
    // Ids in order: the worst that SDKs send.
    TraceId(u128::from(n + 1).to_be_bytes())
}

const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn kept(reason: u8) -> Note {
    Note { threshold: 7, erase_threshold: false, reason }
}

#[test]
fn a_verdict_changes_from_drop_to_keep_and_never_back() {
    let mut decided = Decided::new(LateConfig::default());
    assert_eq!(decided.find(id(1)), None);
    decided.drop(id(1), 3, NOW);
    assert_eq!(decided.find(id(1)), Some(Known::Dropped));
    decided.keep(id(1), kept(3));
    decided.drop(id(1), 3, NOW);
    decided.keep(id(1), kept(4));
    assert_eq!(decided.find(id(1)), Some(Known::Kept(kept(3))));
}

#[test]
fn a_million_drops_are_remembered_in_two_mebibytes() {
    let config = LateConfig { n_exact: 1, ..LateConfig::default() };
    let mut decided = Decided::new(config);
    for n in 0..1_000_001 {
        decided.drop(id(n), 3, NOW);
    }
    let stats = decided.stats();
    assert_eq!(stats.n_rotations, 0);
    assert!(stats.bytes < 2_200_000, "{stats:?}");
    for n in 0..1_000_001 {
        assert!(decided.find(id(n)).is_some(), "{n} is forgotten");
    }
    let n_wrong = (2_000_000..3_000_000).filter(|&n| decided.find(id(n)).is_some()).count();
    // 8 of 65,536 = 122 of a million.
    assert!((60..200).contains(&n_wrong), "{n_wrong} of a million wrong");
}

#[test]
fn the_latest_million_is_known_whatever_came_before() {
    let config = LateConfig { n_exact: 64, n_drops: 1_000, ..LateConfig::default() };
    let mut decided = Decided::new(config);
    for n in 0..50_000 {
        decided.drop(id(n), 3, NOW);
        if n >= 1_000 {
            assert!(decided.find(id(n - 1_000)).is_some(), "{n}");
        }
    }
    let stats = decided.stats();
    assert!(stats.n_rotations > 40 && stats.n_drops < 2_100, "{stats:?}");
}

#[test]
fn the_exact_table_gives_up_by_age_and_by_number() {
    let config = LateConfig { n_exact: 2, exact_ns: 60, ..LateConfig::default() };
    let mut decided = Decided::new(config);
    for n in 0..3 {
        decided.drop(id(n), 3, Timestamp(100 + n));
    }
    assert_eq!(decided.find(id(0)), Some(Known::Likely));
    assert_eq!(decided.find(id(1)), Some(Known::Dropped));
    decided.tick(Timestamp(161));
    assert_eq!(decided.find(id(1)), Some(Known::Likely));
    assert_eq!(decided.find(id(2)), Some(Known::Dropped));
}

#[test]
fn the_keep_used_longest_ago_is_forgotten_first() {
    let mut decided = Decided::new(LateConfig { n_keeps: 2, ..LateConfig::default() });
    decided.keep(id(1), kept(1));
    decided.keep(id(2), kept(2));
    assert_eq!(decided.find(id(1)), Some(Known::Kept(kept(1))));
    decided.keep(id(3), kept(3));
    assert_eq!(decided.find(id(2)), None);
    assert_eq!(decided.find(id(1)), Some(Known::Kept(kept(1))));
    assert_eq!(decided.stats().n_forgotten_keeps, 1);
    for n in 10..1_000 {
        decided.keep(id(n), kept(0));
    }
    assert_eq!(decided.stats().n_keeps, 2);
}

fn full() -> Decided {
    let config = LateConfig { n_exact: 8, n_drops: 200, n_keeps: 30, ..LateConfig::default() };
    let mut decided = Decided::new(config);
    for n in 0..40 {
        decided.keep(id(n), kept(n as u8));
    }
    for n in 100..500 {
        decided.drop(id(n), 3, NOW);
    }
    decided
}

#[test]
fn a_snapshot_brings_everything_back() {
    let mut before = full();
    let mut bytes = Vec::new();
    before.snapshot(&mut bytes);
    let mut after = Decided::new(before.config);
    after.restore(&bytes).unwrap();
    for n in 0..600 {
        assert_eq!(after.find(id(n)), before.find(id(n)), "{n}");
    }
    assert_eq!(after.stats().n_drops, before.stats().n_drops);
    let mut again = Vec::new();
    // The order of use is part of it: both were asked for the same ids since.
    before.snapshot(&mut again);
    let mut once_more = Vec::new();
    after.snapshot(&mut once_more);
    assert_eq!(again, once_more);
}

#[test]
fn a_damaged_snapshot_is_refused_and_changes_nothing() {
    let mut bytes = Vec::new();
    full().snapshot(&mut bytes);
    let mut decided = full();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(decided.restore(&damaged).is_err(), "byte {at}");
    }
    for cut in 0..bytes.len() {
        assert!(decided.restore(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let mut other = Decided::new(LateConfig { seed: 9, ..full().config });
    assert_eq!(other.restore(&bytes), Err(SnapshotError::Settings));
    assert_eq!(decided.find(id(39)), Some(Known::Kept(kept(39))));
}

#[test]
fn a_drop_remembers_how_many_spans_it_was_taken_from() {
    let mut decided = Decided::new(LateConfig { n_exact: 2, ..LateConfig::default() });
    decided.drop(id(1), 7, NOW);
    decided.drop(id(1), 1, NOW);
    decided.drop(id(2), 0, NOW);
    assert_eq!(decided.n_dropped_spans(id(1)), Some(7), "the first verdict");
    assert_eq!(decided.n_dropped_spans(id(2)), None, "not known");
    assert_eq!(decided.n_dropped_spans(id(3)), None);
    decided.drop(id(3), 9, NOW);
    decided.drop(id(4), 9, NOW);
    assert_eq!(decided.n_dropped_spans(id(1)), None, "a filter alone knows of it");
    decided.keep(id(4), Note::default());
    assert_eq!(decided.n_dropped_spans(id(4)), None);
}

#[test]
fn spans_that_follow_a_drop_count_among_its_spans() {
    let mut decided = Decided::new(LateConfig::default());
    decided.drop(id(0), 3, Timestamp(1));
    decided.drop_more(id(0), 2);
    assert_eq!(decided.n_dropped_spans(id(0)), Some(5));
    // Where the number is not known it stays so.
    decided.drop(id(1), 0, Timestamp(1));
    decided.drop_more(id(1), 2);
    decided.drop_more(id(2), 2);
    assert_eq!([1, 2].map(|n| decided.n_dropped_spans(id(n))), [None, None]);
}
