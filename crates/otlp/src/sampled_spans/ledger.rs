//! The subscriber's account: per epoch, spans received + spans missed = sequence range.

/// What a subscriber has received and missed, over reconnections and restarts of the sampler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    epoch: Option<u64>,
    /// First sequence number of this epoch that concerns us.
    begin: u64,
    /// Sequence number expected next.
    next: u64,
    n_received: u64,
    n_missed: u64,
    /// Missed before this subscription began: what `missed_total` does not contain.
    n_missed_before: u64,
    n_epochs: u64,
}

/// What a batch changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The sampler restarted: windows that span the change have a hole.
    pub is_new_epoch: bool,
    /// Spans missed since the last batch.
    pub n_missed: u64,
}

/// The stream contradicts itself: close it and subscribe anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// A sequence number that was there already.
    #[error("sequence went back from {expected} to {found} in one epoch")]
    WentBack {
        /// Expected at least.
        expected: u64,
        /// Found.
        found: u64,
    },
    /// The server's count of missed spans is not the gap in its sequence numbers.
    #[error("server says {claimed} spans were missed, the sequence says {counted}")]
    Miscounted {
        /// `missed_total`.
        claimed: u64,
        /// By the gaps since the subscription began.
        counted: u64,
    },
    /// The epoch changed inside one subscription.
    #[error("epoch changed inside one subscription")]
    EpochChanged,
}

impl Ledger {
    /// Where to resume: epoch and next sequence number. `None` before the first batch.
    pub fn resume(&self) -> Option<(u64, u64)> {
        self.epoch.map(|epoch| (epoch, self.next))
    }

    /// Enters the first batch of a subscription that was opened with [`Ledger::resume`].
    pub fn open(
        &mut self,
        epoch: u64,
        first_sequence: u64,
        n_spans: u64,
        missed_total: u64,
    ) -> Result<Progress, LedgerError> {
        let is_new_epoch = self.epoch != Some(epoch);
        if is_new_epoch {
            let n_epochs = self.n_epochs + u64::from(self.epoch.is_some());
            let begin = first_sequence.saturating_sub(missed_total);
            *self = Self { epoch: Some(epoch), begin, next: begin, n_epochs, ..Self::default() };
        }
        self.n_missed_before = self.n_missed;
        let progress = self.observe(epoch, first_sequence, n_spans, missed_total)?;
        Ok(Progress { is_new_epoch, ..progress })
    }

    /// Enters a later batch.
    pub fn observe(
        &mut self,
        epoch: u64,
        first_sequence: u64,
        n_spans: u64,
        missed_total: u64,
    ) -> Result<Progress, LedgerError> {
        if self.epoch != Some(epoch) {
            return Err(LedgerError::EpochChanged);
        }
        let went_back = LedgerError::WentBack { expected: self.next, found: first_sequence };
        let n_missed = first_sequence.checked_sub(self.next).ok_or(went_back)?;
        let counted = self.n_missed + n_missed - self.n_missed_before;
        if counted != missed_total {
            return Err(LedgerError::Miscounted { claimed: missed_total, counted });
        }
        self.n_missed += n_missed;
        self.n_received += n_spans;
        self.next = first_sequence.saturating_add(n_spans);
        debug_assert_eq!(self.n_received + self.n_missed, self.next - self.begin);
        Ok(Progress { is_new_epoch: false, n_missed })
    }

    /// Spans received in this epoch.
    pub const fn n_received(&self) -> u64 {
        self.n_received
    }

    /// Spans missed in this epoch, those missed between two subscriptions included.
    pub const fn n_missed(&self) -> u64 {
        self.n_missed
    }

    /// Length of the sequence range of this epoch so far: received + missed.
    pub const fn n_range(&self) -> u64 {
        self.next - self.begin
    }

    /// How often the epoch changed.
    pub const fn n_restarts(&self) -> u64 {
        self.n_epochs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_and_missed_add_up_over_a_reconnection() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.resume(), None);
        let first = ledger.open(7, 100, 0, 0).unwrap();
        assert_eq!(first, Progress { is_new_epoch: true, n_missed: 0 });
        ledger.observe(7, 100, 10, 0).unwrap();
        let lost = ledger.observe(7, 115, 5, 5).unwrap();
        assert_eq!(lost.n_missed, 5);
        assert_eq!(ledger.resume(), Some((7, 120)));

        // 30 more pass by while nobody listens; the new subscription counts them.
        let back = ledger.open(7, 150, 0, 30).unwrap();
        assert_eq!(back, Progress { is_new_epoch: false, n_missed: 30 });
        ledger.observe(7, 150, 1, 30).unwrap();
        assert_eq!((ledger.n_received(), ledger.n_missed(), ledger.n_range()), (16, 35, 51));
        assert_eq!(ledger.n_restarts(), 0);
    }

    #[test]
    fn a_restarted_sampler_begins_a_new_account() {
        let mut ledger = Ledger::default();
        ledger.open(7, 100, 9, 0).unwrap();
        let restart = ledger.open(8, 3, 2, 0).unwrap();
        assert!(restart.is_new_epoch);
        assert_eq!((ledger.n_received(), ledger.n_missed(), ledger.n_range()), (2, 0, 2));
        assert_eq!(ledger.n_restarts(), 1);
    }

    #[test]
    fn contradictions_are_noticed() {
        let mut ledger = Ledger::default();
        ledger.open(7, 100, 10, 0).unwrap();
        let went_back = LedgerError::WentBack { expected: 110, found: 109 };
        assert_eq!(ledger.observe(7, 109, 1, 0), Err(went_back));
        let miscounted = LedgerError::Miscounted { claimed: 3, counted: 5 };
        assert_eq!(ledger.observe(7, 115, 1, 3), Err(miscounted));
        assert_eq!(ledger.observe(8, 110, 1, 0), Err(LedgerError::EpochChanged));
    }
}
