//! Several shards share a log: what one has not told yet, no other gives away.

use super::*;

/// A request that all of four shards have a part of, by shard.
async fn in_four_parts(running: &mut Running) -> Vec<(Part, u64)> {
    running.submit_batch(batch_of(1..41)).await.unwrap();
    let parts = running.taken();
    assert_eq!(parts.iter().map(|(part, _)| part.shard).collect::<Vec<_>>(), [0, 1, 2, 3]);
    parts
}

/// Scenario: a shard has let go of its part of a request and has not told the keeper what became of the
/// traces in it; the others have told all.
/// Guarantees: the request stays held for that part, until the shard itself has told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_away_what_another_has_not_told() {
    let stand = Stand::new(11);
    let mut running = stand.start_shards(4);
    assert!(running.replayed().is_empty());
    let mut parts = in_four_parts(&mut running).await;
    is_shown(&running, 4).await;
    let (silent, seq) = parts.remove(0);
    let ids: Vec<TraceId> = silent.batch.spans.iter().map(|head| head.trace_id).collect();
    drop(silent);
    for (part, seq) in parts {
        running.decide_on(part, seq, false).await;
    }
    is_shown(&running, 1).await;
    // Nothing more is freed by and by.
    tokio::time::sleep(4 * PUMP).await;
    assert_eq!(running.shown.get().n_held_requests, 1);

    let verdict = |trace_id| Verdicted { trace_id, through: seq, kept: None };
    let mut verdicts = ids.into_iter().map(verdict).collect();
    let sites = spanwise_model::CallSites::new(10, 10);
    running.shards[0].handle.decided(&[], &mut verdicts, &sites).await;
    is_shown(&running, 0).await;
    running.end().await;
}

/// Scenario: a shard dies with parts of requests, the others go on and end in order.
/// Guarantees: they do not wait for it, and what it had comes again after the next start, of whatever
/// number of shards, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_shard_had_comes_again() {
    let stand = Stand::new(12);
    let mut running = stand.start_shards(4);
    assert!(running.replayed().is_empty());
    let mut parts = in_four_parts(&mut running).await;
    let (lost, _) = parts.remove(2);
    for (part, seq) in parts {
        running.decide_on(part, seq, true).await;
    }
    let mut ids: Vec<TraceId> = lost.batch.spans.iter().map(|head| head.trace_id).collect();
    drop((lost, running.shards.remove(2)));
    running.end().await;

    let mut again = stand.start_shards(3);
    let mut found = again.replayed();
    ids.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, ids);
    again.end().await;
}

/// Scenario: a shard leaves while the log is replayed.
/// Guarantees: the others are not told that this was all, so that they decide nothing either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_not_hear_the_end_of_a_replay_must_not_decide() {
    let stand = Stand::new(13);
    let mut running = stand.start_shards(2);
    assert!(running.replayed().is_empty());
    for request in 0..8 {
        running.submit_batch(batch_of(1 + request * 10..11 + request * 10)).await.unwrap();
    }
    running.keeper.abort();
    drop(running.keeper.await);
    let (spans, kept) = (stand.spans.after_power_cut(), stand.kept.after_power_cut());
    let stand = Stand { spans, kept, ..stand };

    let again = stand.start_shards(2);
    let (replay, mut heard) = again.replay.start();
    let replay = tokio::spawn(replay);
    drop(heard.remove(1));
    let mut is_whole = false;
    while let Some(told) = heard[0].recv().await {
        is_whole |= matches!(told, Again::End);
    }
    assert!(!is_whole);
    replay.await.unwrap();
}

/// Scenario: a shard decides at once on more than may wait to be written, as at an end with much open;
/// then the same while the disk is full.
/// Guarantees: all of it is written before the request is given free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_verdicts_than_fit_a_commit_are_all_written() {
    for is_full in [false, true] {
        check_large(is_full).await;
    }
}

/// A trace of one span of a request, with so many bytes more.
fn heavy((batch, idx): (Arc<Batch>, u32), seq: u64, n_bytes: u32) -> KeptTrace {
    let mut heavy = Batch { spans: vec![batch.spans[idx as usize]], ..Batch::clone(&batch) };
    let raw = heavy.spans[0].raw;
    let mut bytes = [raw.of(&heavy.bytes), &[0x7a]].concat();
    let mut rest = n_bytes;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes.resize(bytes.len() + n_bytes as usize, b'.');
    heavy.spans[0].raw = spanwise_model::ByteRange { start: 0, len: bytes.len() as u32 };
    heavy.spans[0].name = spanwise_model::ByteRange::default();
    heavy.bytes = bytes.into();
    let (id, spans) = (heavy.spans[0].trace_id, vec![(Arc::new(heavy), 0)]);
    KeptTrace { through: seq, ..KeptTrace::new(id, spans, Why::EVERYTHING, Timestamp(1)) }
}

/// Scenario: a trace is kept that no record is large enough for, and after it one that is not.
/// Guarantees: the first is given up, counted, and its verdict written, so that it does not come again;
/// the second is written, and requests are taken as before.
#[tokio::test]
async fn what_no_record_is_large_enough_for_is_given_up_and_blocks_nothing() {
    let stand = Stand::new(15);
    let mut running = stand.start();
    assert!(running.replayed().is_empty());
    running.submit_batch(batch_of(1..3)).await.unwrap();
    let (Part { batch, .. }, seq) = running.taken().remove(0);
    let sizes = [RECORD_BYTES_MAX, 1];
    let spans = KeptTrace::all_of(&Arc::new(batch)).into_iter().zip(sizes);
    let kept: Vec<KeptTrace> = spans.map(|(span, n_bytes)| heavy(span, seq, n_bytes)).collect();
    let sites = spanwise_model::CallSites::new(10, 10);
    let handle = &running.shards[0].handle;
    handle.decided(&kept, &mut Vec::new(), &sites).await;
    drop(kept);
    handle.decided(&[], &mut Vec::new(), &sites).await;
    let given_up = async {
        while running.shown.get().n_given_up_spans != 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), given_up).await.unwrap();
    is_shown(&running, 0).await;
    assert!(running.submit(9).await.is_ok());
    running.keeper.abort();
    let log = open_log(SimDisk::with_files(&stand.kept.files()), Durability::Fsync).unwrap();
    let kept = log.records(0).filter(|record| record.as_ref().unwrap().kind == Kind::KEPT);
    assert_eq!(kept.count(), 1);
    let (spans, kept) = (stand.spans.files(), stand.kept.files());
    let (spans, kept) = (SimDisk::with_files(&spans), SimDisk::with_files(&kept));
    let stand = Stand { spans, kept, ..stand };
    let mut again = stand.start();
    assert_eq!(again.replayed(), [id(9)]);
}

async fn check_large(is_full: bool) {
    const N_TRACES: u64 = COMMIT_BYTES_MAX / (1 << 20) + 12;
    let stand = Stand::new(14);
    let mut running = stand.start();
    assert!(running.replayed().is_empty());
    running.submit_batch(batch_of(1..1 + N_TRACES)).await.unwrap();
    let (Part { batch, .. }, seq) = running.taken().remove(0);
    let heavy = |span| heavy(span, seq, 1 << 20);
    let kept: Vec<KeptTrace> = KeptTrace::all_of(&Arc::new(batch)).into_iter().map(heavy).collect();
    let sites = spanwise_model::CallSites::new(10, 10);
    if is_full {
        stand.kept.set_capacity(Some(0));
    }
    let handle = &running.shards[0].handle;
    handle.decided(&kept, &mut Vec::new(), &sites).await;
    drop(kept);
    handle.decided(&[], &mut Vec::new(), &sites).await;
    if is_full {
        let is_told = || running.shown.get().problem.is_some();
        while !is_told() {
            tokio::time::sleep(PUMP).await;
        }
        is_shown(&running, 1).await;
        stand.kept.set_capacity(None);
    }
    is_shown(&running, 0).await;
    let log = open_log(SimDisk::with_files(&stand.kept.files()), Durability::Fsync).unwrap();
    let kept = log.records(0).filter(|record| record.as_ref().unwrap().kind == Kind::KEPT);
    assert_eq!(kept.count() as u64, N_TRACES, "the request is free, so all of it must be here");
    running.keeper.abort();
}
