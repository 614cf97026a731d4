//! Power cuts, again and again, at any call to the disks: nothing that was acknowledged is lost.

use std::collections::BTreeSet;

use super::*;

/// Power cuts, each in the life of the same two logs.
const N_CUTS: u64 = 50;
/// Requests between two cuts.
const N_REQUESTS: u64 = 6;
/// Calls to either disk within which power fails, from the start of a process.
const CALLS_MAX: u64 = 60;

fn mix(n: u64) -> u64 {
    let z = n.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z ^ (z >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 16
}

/// Spans of one request, each of a trace of its own.
const N_SPANS: u64 = 6;

fn spans_of(number: u64) -> std::ops::Range<u64> {
    1 + number * N_SPANS..1 + (number + 1) * N_SPANS
}

impl Running {
    /// Whether power is known to be gone.
    fn is_dark(&self) -> bool {
        self.shown.get().problem.is_some()
    }

    /// Decides on a part while there is power to write that; else it stays open, or stops half way.
    async fn decide_in_light(&self, part: Part, seq: u64) {
        let dark = async {
            while !self.is_dark() {
                tokio::time::sleep(PUMP).await;
            }
        };
        tokio::select! {
            () = self.decide_on(part, seq, true) => {}
            () = dark => {}
        }
    }

    /// Takes what the log has, decides on part of it, takes more, until power is gone.
    async fn live(&mut self, round: u64, acknowledged: &mut BTreeSet<TraceId>) {
        let mut found = Vec::new();
        for Found { parts, seq } in &mut self.replay {
            found.extend(parts.into_iter().map(|part| (part, seq)));
        }
        // What is not decided now stays for the next process: held, and not given free.
        let mut open = Vec::new();
        for (idx, (part, seq)) in found.into_iter().enumerate() {
            if self.is_dark() || (mix(round) + idx as u64).is_multiple_of(3) {
                open.push(part);
            } else {
                self.decide_in_light(part, seq).await;
            }
        }
        for number in round * N_REQUESTS..(round + 1) * N_REQUESTS {
            if self.submit_batch(batch_of(spans_of(number))).await.is_ok() {
                acknowledged.extend(spans_of(number).map(id));
            }
            for (part, seq) in self.taken() {
                if self.is_dark() || (mix(number) + part.shard as u64).is_multiple_of(2) {
                    open.push(part);
                } else {
                    self.decide_in_light(part, seq).await;
                }
            }
        }
        // Without power this would never end.
        drop(tokio::time::timeout(2 * PUMP, self.flush()).await);
    }
}

/// Scenario: fifty times a start, requests of which some are decided, and a power cut at some call to
/// the disks: while the log is read, while requests are written, while verdicts are, or cursors. With
/// one shard, with four, and with another number at each start.
/// Guarantees: in the end every acknowledged span was delivered, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_over_fifty_power_cuts() {
    // They mostly wait.
    tokio::join!(check_cuts(&[1]), check_cuts(&[4]), check_cuts(&[1, 4, 3, 1, 64]));
}

async fn check_cuts(n_shards: &[u32]) {
    let mut stand = Stand::new(5);
    let mut acknowledged = BTreeSet::new();
    for round in 0..N_CUTS {
        let cut = |disk: &SimDisk, n: u64| disk.cut_power_at(disk.n_calls() + mix(n) % CALLS_MAX);
        // One of the disks goes first.
        cut(&stand.spans, 2 * round);
        cut(&stand.kept, 2 * round + 1);
        if let Ok(mut running) = stand.try_start_shards(n_shards[round as usize % n_shards.len()]) {
            let life = running.live(round, &mut acknowledged);
            let is_over = tokio::time::timeout(Duration::from_secs(10), life).await.is_ok();
            assert!(is_over, "it hangs");
            running.keeper.abort();
            // The thread must be gone before its disks come back.
            drop(running.keeper.await);
        }
        let (spans, kept) = (stand.spans.after_power_cut(), stand.kept.after_power_cut());
        stand = Stand { spans, kept, ..stand };
    }
    let mut last = stand.start_shards(n_shards[0]);
    while let Some(Found { parts, seq }) = last.replay.next() {
        for part in parts {
            last.decide_on(part, seq, true).await;
        }
    }
    last.end().await;
    let delivered = stand.delivered.lock();
    let spans = delivered.iter().flat_map(|request| {
        let request = bytes::Bytes::from(request.clone());
        decode(request, &Limits::default()).unwrap().batch.spans
    });
    let delivered: BTreeSet<TraceId> = spans.map(|head| head.trace_id).collect();
    let n_lost = acknowledged.difference(&delivered).count();
    println!(
        "F-03 shards={n_shards:?} cuts={N_CUTS} acked={} delivered={} lost={n_lost}",
        acknowledged.len(),
        delivered.len()
    );
    assert!(acknowledged.len() as u64 > N_CUTS * N_SPANS, "hardly anything was acknowledged");
    assert_eq!(n_lost, 0);
    let n_sent = N_CUTS * N_REQUESTS * N_SPANS;
    assert!(delivered.iter().all(|found| (1..=n_sent).any(|number| id(number) == *found)));
}
