//! A log that cannot be written keeps nobody from what does not need it.

use super::*;

/// More than the messages of shards that may wait.
const N_REQUESTS: u64 = DECIDED_MAX as u64 + 50;
/// Far more than any of this takes.
const HANGS: Duration = Duration::from_secs(20);

/// It is known that a log cannot be written.
async fn is_told(running: &Running) {
    while running.shown.get().problem.is_none() {
        tokio::time::sleep(PUMP).await;
    }
}

/// Scenario: a start, with more requests to look at again than messages may wait; the first is decided,
/// and the disk takes nothing into the kept log.
/// Guarantees: all of them are looked at and held; when the disk is well, what is decided leaves the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_reads_its_log_though_no_verdict_can_be_written() {
    let stand = Stand::new(21);
    let mut running = stand.start();
    assert!(running.replayed().is_empty());
    for request in 0..N_REQUESTS {
        running.submit(1 + request).await.unwrap();
        running.shards[0].work.recv().await.unwrap();
    }
    running.keeper.abort();
    drop(running.keeper.await);
    let (spans, kept) = (stand.spans.after_power_cut(), stand.kept.after_power_cut());
    let stand = Stand { spans, kept, ..stand };

    stand.kept.set_capacity(Some(0));
    let mut again = stand.start();
    let mut found = Vec::new();
    let read = async {
        while let Some(Found { mut parts, seq }) = again.replay.next() {
            if found.is_empty() {
                let first = Part { shard: 0, batch: parts[0].batch.clone() };
                again.decide_on(first, seq, false).await;
                is_told(&again).await;
            }
            found.push((parts.remove(0), seq));
        }
    };
    tokio::time::timeout(HANGS, read).await.expect("the log is read");
    assert_eq!(found.len() as u64, N_REQUESTS);
    is_shown(&again, N_REQUESTS).await;

    stand.kept.set_capacity(None);
    for (part, seq) in found {
        again.decide_on(part, seq, false).await;
    }
    is_shown(&again, 0).await;
    again.end().await;
}

/// Scenario: the span log takes nothing, and clients keep coming.
/// Guarantees: verdicts, which empty it, are taken all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_log_that_takes_nothing_stops_no_verdicts() {
    let stand = Stand::new(22);
    let mut running = stand.start();
    assert!(running.replayed().is_empty());
    for number in 1..=3 {
        running.submit(number).await.unwrap();
    }
    let taken = running.taken();
    is_shown(&running, 3).await;
    stand.spans.set_capacity(Some(0));
    running.submit(4).await.unwrap_err();
    for (part, seq) in taken {
        running.decide_on(part, seq, true).await;
    }
    let released = async {
        while running.shown.get().n_held_requests > 0 {
            // Clients that never let it rest.
            running.submit(5).await.unwrap_err();
            tokio::time::sleep(PUMP).await;
        }
    };
    tokio::time::timeout(HANGS, released).await.expect("verdicts are taken");
    let delivered = async {
        while stand.delivered.lock().len() < 3 {
            tokio::time::sleep(PUMP).await;
        }
    };
    tokio::time::timeout(HANGS, delivered).await.expect("they leave");
    running.keeper.abort();
}

/// Scenario: the span log took nothing once, then nobody comes any more.
/// Guarantees: the process says that it is well after a while, or nobody would be sent to it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_tries_is_well_again() {
    let stand = Stand::new(23);
    let mut running = stand.start();
    assert!(running.replayed().is_empty());
    stand.spans.set_capacity(Some(0));
    running.submit(1).await.unwrap_err();
    is_told(&running).await;
    let well = async {
        while running.shown.get().problem.is_some() {
            tokio::time::sleep(PUMP).await;
        }
    };
    tokio::time::timeout(HANGS, well).await.expect("it is tried again");
    running.submit(2).await.unwrap_err();
    is_told(&running).await;
    running.keeper.abort();
}
