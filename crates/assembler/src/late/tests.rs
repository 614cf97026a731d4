use super::snapshot::checksum;
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
    let exact = |decided: &Decided| [0, 1, 2].map(|n| decided.n_dropped_spans(id(n)).is_some());
    assert_eq!(exact(&decided), [false, true, true]);
    decided.tick(Timestamp(161));
    assert_eq!(exact(&decided), [false, false, true]);
    for n in 0..3 {
        assert_eq!(decided.find(id(n)), Some(Known::Dropped));
    }
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

fn snapshot(decided: &Decided, share: Share) -> Vec<u8> {
    let mut bytes = Vec::new();
    decided.snapshot(share, &mut bytes);
    bytes
}

fn read(config: LateConfig, bytes: &[u8]) -> Snapshot {
    Snapshot::read(&config, bytes).unwrap()
}

#[test]
fn a_snapshot_brings_everything_back() {
    let mut before = full();
    let bytes = snapshot(&before, Share::ALL);
    let mut after = Decided::new(before.config);
    after.restore(Share::ALL, &[read(before.config, &bytes)]);
    for n in 0..600 {
        assert_eq!(after.find(id(n)), before.find(id(n)), "{n}");
    }
    assert_eq!(after.stats().n_drops, before.stats().n_drops);
    // The order of use is part of it: both were asked for the same ids since.
    assert_eq!(snapshot(&before, Share::ALL), snapshot(&after, Share::ALL));
}

/// What is known of ids 0 to 9,999 by as many as share them: keeps, drops, and others.
fn shared(n: u32, config: LateConfig) -> Vec<Decided> {
    let mut all: Vec<Decided> = Share::all(n).map(|_| Decided::new(config)).collect();
    for number in 0..10_000 {
        let decided = &mut all[id(number).part_of(n) as usize];
        match number % 3 {
            0 if number % 100 == 0 => decided.keep(id(number), kept(number as u8)),
            0 => {}
            _ => decided.drop(id(number), 3, Timestamp(NOW.0 + number)),
        }
    }
    all
}

/// What `n` know who read what others wrote.
fn reread(all: &[Decided], n: u32) -> Vec<Decided> {
    let config = all[0].config;
    let shares = Share::all(all.len() as u32);
    let written = all.iter().zip(shares).map(|(one, share)| snapshot(one, share));
    let snapshots: Vec<Snapshot> = written.map(|bytes| read(config, &bytes)).collect();
    let restored = Share::all(n).map(|share| {
        let mut decided = Decided::new(config);
        decided.restore(share, &snapshots);
        decided
    });
    restored.collect()
}

fn find(all: &mut [Decided], number: u64) -> Option<Known> {
    let n = all.len() as u32;
    all[id(number).part_of(n) as usize].find(id(number))
}

#[test]
fn what_is_known_does_not_depend_on_how_many_share_it() {
    let config = LateConfig { n_exact: 100, n_drops: 7_000, ..LateConfig::default() };
    let mut first = shared(1, config);
    let mut all = reread(&first, 1);
    for n in [4, 3, 3, 1, 5] {
        all = reread(&all, n);
        let mut n_wrong = 0;
        for number in 0..10_000 {
            match (find(&mut all, number), find(&mut first, number)) {
                (Some(Known::Dropped), None) => n_wrong += 1,
                (found, known) => assert_eq!(found, known, "{number} of {n}"),
            }
        }
        // Each filter that is asked errs once in eight thousand times.
        assert!(n_wrong <= 10, "{n_wrong} of {n}");
        assert!(all.iter().all(|one| one.inherited.len() <= 8), "the same ones again");
    }
}

#[test]
fn what_was_taken_over_is_asked_until_our_own_filter_is_full() {
    let config = LateConfig { n_exact: 1, n_drops: 500, ..LateConfig::default() };
    let mut two = [Decided::new(config), Decided::new(config)];
    for number in 0..400 {
        two[id(number).part_of(2) as usize].drop(id(number), 3, NOW);
    }
    let mut one = reread(&two, 1).remove(0);
    assert!(!one.inherited.is_empty());
    for number in 1_000..1_490 {
        assert!((0..400).all(|known| one.find(id(known)).is_some()), "{number}");
        one.drop(id(number), 3, NOW);
    }
    let n_more = (1_490..3_000).take_while(|&number| {
        one.drop(id(number), 3, NOW);
        !one.inherited.is_empty()
    });
    let last = 1_490 + n_more.count() as u64;
    assert!(last < 1_510, "{last}");
    assert!((last - 490..=last).all(|known| one.find(id(known)).is_some()));
}

#[test]
fn keeps_used_last_stay_when_fewer_remember_them() {
    let config = LateConfig { n_keeps: 10, ..LateConfig::default() };
    let mut two = [Decided::new(config), Decided::new(config)];
    for number in 0..200 {
        two[id(number).part_of(2) as usize].keep(id(number), kept(1));
    }
    let mut one = reread(&two, 1).remove(0);
    let n_known = |numbers: std::ops::Range<u64>, one: &mut Decided| {
        numbers.filter(|&number| one.find(id(number)).is_some()).count()
    };
    assert_eq!(n_known(0..150, &mut one), 0);
    assert_eq!(n_known(150..200, &mut one), 10);
}

#[test]
fn a_snapshot_of_version_1_is_read() {
    let before = full();
    let now = snapshot(&before, Share::ALL);
    // Version 1 has no share, and nothing that was taken over.
    let content = [b"SPANDEC\x01", &now[8..20], &now[28..now.len() - 12]].concat();
    let mut old = content.clone();
    old.extend_from_slice(&checksum(&content).to_le_bytes());
    let mut after = Decided::new(before.config);
    after.restore(Share::ALL, &[read(before.config, &old)]);
    assert_eq!(snapshot(&after, Share::ALL), now);
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let bytes = snapshot(&reread(&[full()], 2)[0], Share { idx: 0, n: 2 });
    let config = full().config;
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(Snapshot::read(&config, &damaged).is_err(), "byte {at}");
    }
    for cut in 0..bytes.len() {
        assert!(Snapshot::read(&config, &bytes[..cut]).is_err(), "cut at {cut}");
    }
    let other = LateConfig { seed: 9, ..config };
    assert_eq!(Snapshot::read(&other, &bytes).err(), Some(SnapshotError::Settings));
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
