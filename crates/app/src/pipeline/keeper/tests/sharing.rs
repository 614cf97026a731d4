//! Several shards share a log: what one has not told yet, no other gives away.

use super::*;

/// A request that all of four shards have a part of, by shard.
async fn in_four_parts(running: &mut Running) -> Vec<(Part, u64)> {
    running.submit_batch(batch_of(1..41)).await.unwrap();
    let parts = running.taken();
    assert_eq!(parts.iter().map(|(part, _)| part.shard).collect::<Vec<_>>(), [0, 1, 2, 3]);
    parts
}

async fn is_shown(running: &Running, n_held: u64) {
    let shown = async {
        while running.shown.get().n_held_requests != n_held {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), shown).await.unwrap();
}

/// Scenario: a shard has let go of its part of a request and has not told the keeper what became of the
/// traces in it; the others have told all.
/// Guarantees: the request stays held for that part, until the shard itself has told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_away_what_another_has_not_told() {
    let stand = Stand::new(11);
    let mut running = stand.start_shards(4);
    assert!(running.replayed().await.is_empty());
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
    assert!(running.replayed().await.is_empty());
    let mut parts = in_four_parts(&mut running).await;
    let (lost, _) = parts.remove(2);
    for (part, seq) in parts {
        running.decide_on(part, seq, true).await;
    }
    let mut ids: Vec<TraceId> = lost.batch.spans.iter().map(|head| head.trace_id).collect();
    drop((lost, running.shards.remove(2)));
    running.end().await;

    let mut again = stand.start_shards(3);
    let mut found = again.replayed().await;
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
    assert!(running.replayed().await.is_empty());
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
