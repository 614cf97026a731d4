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

impl Running {
    /// Takes what the log has, decides on part of it, takes more, until power is gone.
    async fn live(&mut self, round: u64, acknowledged: &mut BTreeSet<TraceId>) {
        let mut found = Vec::new();
        while let Some(Again { batch, seq }) = self.replay.next(&self.handle).await {
            found.push((batch, seq));
        }
        // What is not decided now stays for the next process.
        for (idx, (batch, seq)) in found.into_iter().enumerate() {
            if !(mix(round) + idx as u64).is_multiple_of(3) {
                self.decide_on(batch, seq, true).await;
            }
        }
        for idx in 0..N_REQUESTS {
            let number = 1 + round * N_REQUESTS + idx;
            if self.submit(number).await.is_ok() {
                acknowledged.insert(id(number));
                if idx % 2 == 0 {
                    self.decide(true).await;
                }
            }
        }
        // Without power this would never end.
        drop(tokio::time::timeout(2 * PUMP, self.handle.flush()).await);
    }
}

/// Scenario: fifty times a start, requests of which some are decided, and a power cut at some call to
/// the disks: while the log is read, while requests are written, while verdicts are, or cursors.
/// Guarantees: in the end every acknowledged span was delivered, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_over_fifty_power_cuts() {
    let mut stand = Stand::new(5);
    let mut acknowledged = BTreeSet::new();
    for round in 0..N_CUTS {
        let cut = |disk: &SimDisk, n: u64| disk.cut_power_at(disk.n_calls() + mix(n) % CALLS_MAX);
        // One of the disks goes first.
        cut(&stand.spans, 2 * round);
        cut(&stand.kept, 2 * round + 1);
        let opened = stand.try_start(&mut Decided::new(LateConfig::default()));
        if let Ok(mut running) = opened {
            let life = running.live(round, &mut acknowledged);
            tokio::time::timeout(Duration::from_secs(30), life).await.unwrap();
            running.keeper.abort();
            // The thread must be gone before its disks come back.
            drop(running.keeper.await);
        }
        let (spans, kept) = (stand.spans.after_power_cut(), stand.kept.after_power_cut());
        stand = Stand { spans, kept, ..stand };
    }
    let mut last = stand.start();
    while let Some(Again { batch, seq }) = last.replay.next(&last.handle).await {
        last.decide_on(batch, seq, true).await;
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
        "F-03 cuts={N_CUTS} acked={} delivered={} lost={n_lost}",
        acknowledged.len(),
        delivered.len()
    );
    assert!(acknowledged.len() as u64 > N_CUTS, "hardly anything was acknowledged");
    assert_eq!(n_lost, 0);
    let n_sent = N_CUTS * N_REQUESTS;
    assert!(delivered.iter().all(|found| (1..=n_sent).any(|number| id(number) == *found)));
}
