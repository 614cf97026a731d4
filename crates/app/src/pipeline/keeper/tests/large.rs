//! Requests as large as they may be, and larger.

use super::*;

fn packed(n_bytes: usize) -> Packed {
    Packed { bytes: vec![7; n_bytes], codec: Codec::NONE }
}

/// Scenario: a request that no record of the log is large enough for.
/// Guarantees: it is refused for good, by its size; others are taken at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_record_is_large_enough_for_is_refused_alone() {
    let stand = Stand::new(31);
    let mut running = stand.start();
    assert!(running.replayed().is_empty());
    let limit = u64::from(RECORD_BYTES_MAX);
    let charge = Arc::new(running.admission.charge());
    let refused = running.door.submit(packed(limit as usize + 1), Vec::new(), charge).await;
    assert_eq!(refused, Err(NotTaken::TooLarge { n_bytes: limit + 1, limit }));
    assert!(running.door.overloaded(Clock::start()).is_none(), "nobody else is refused");
    running.submit(1).await.unwrap();
    running.keeper.abort();
}

/// Scenario: more has come together than may be written at once.
/// Guarantees: it is written one after another, and nobody is told to come again.
#[tokio::test]
async fn more_than_fits_a_commit_is_committed_in_pieces() {
    const N_BYTES: usize = 48 << 20;
    assert!(3 * N_BYTES as u64 > COMMIT_BYTES_MAX);
    let stand = Stand::new(32);
    let logs = Logs {
        spans: stand.spans.clone(),
        kept: stand.kept.clone(),
        durability: Durability::Fsync,
        dir: stand.dir.path().to_owned(),
        cache_bytes: 0,
    };
    let mut decided = Decided::new(LateConfig::default());
    let mut opened = assemble(logs, &[], Clock::start(), &mut [&mut decided]).unwrap();
    let admission = Admission::new(1 << 30, 0);
    let mut answers = Vec::new();
    let mut submitted: Vec<Submitted> = (0..3)
        .map(|_| {
            let (answer, answered) = oneshot::channel();
            answers.push(answered);
            let charge = Arc::new(admission.charge());
            Submitted { packed: packed(N_BYTES), seats: Vec::new(), charge, answer: Some(answer) }
        })
        .collect();
    opened.keeper.take(&mut submitted);
    for answered in answers {
        assert_eq!(answered.await, Ok(Ok(())));
    }
    assert!(opened.shown.get().problem.is_none());
}
