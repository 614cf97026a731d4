//! The way from the worker to the thread that writes windows. It never waits: spans that find it full
//! are counted and gone, a window's end is kept until there is room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::Piece;

/// Pieces that may wait.
const PIECES_MAX: usize = 256;

/// The worker's end.
#[derive(Debug)]
pub struct Tap {
    pieces: SyncSender<Piece>,
    stats: Arc<TapStats>,
    n_bytes_max: u64,
    /// Ends of windows that found no room.
    held: VecDeque<Piece>,
}

/// What passed, as counted at both ends.
#[derive(Debug, Default)]
pub struct TapStats {
    n_bytes: AtomicU64,
    n_lost_spans: AtomicU64,
}

/// Both ends, for pieces of at most `n_bytes_max` bytes together.
pub fn tap(n_bytes_max: u64) -> (Tap, Receiver<Piece>, Arc<TapStats>) {
    let (pieces, receiver) = sync_channel(PIECES_MAX);
    let stats = Arc::<TapStats>::default();
    let tap = Tap { pieces, stats: Arc::clone(&stats), n_bytes_max, held: VecDeque::new() };
    (tap, receiver, stats)
}

impl Tap {
    /// Hands on. Nothing is left in `pieces`.
    pub fn send(&mut self, pieces: &mut Vec<Piece>) {
        self.send_held();
        for piece in pieces.drain(..) {
            match &piece {
                Piece::Close(_) => {
                    self.held.push_back(piece);
                    self.send_held();
                }
                Piece::Spans { request, n_spans } => {
                    let (n_bytes, n_spans) = (request.len() as u64, *n_spans);
                    let is_full = self.stats.waiting_bytes() + n_bytes > self.n_bytes_max;
                    // Behind an end that waits they would go into the window before.
                    if is_full || !self.held.is_empty() {
                        self.stats.n_lost_spans.fetch_add(n_spans, Ordering::Relaxed);
                        continue;
                    }
                    self.stats.n_bytes.fetch_add(n_bytes, Ordering::Relaxed);
                    if self.pieces.try_send(piece).is_err() {
                        self.stats.n_bytes.fetch_sub(n_bytes, Ordering::Relaxed);
                        self.stats.n_lost_spans.fetch_add(n_spans, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    /// Hands on what must not be lost, waiting for room: for the end.
    pub fn finish(mut self, pieces: &mut Vec<Piece>) {
        self.send(pieces);
        while let Some(piece) = self.held.pop_front() {
            if self.pieces.send(piece).is_err() {
                return;
            }
        }
    }

    fn send_held(&mut self) {
        while let Some(piece) = self.held.pop_front() {
            if let Err(TrySendError::Full(piece)) = self.pieces.try_send(piece) {
                self.held.push_front(piece);
                return;
            }
        }
    }
}

impl TapStats {
    /// Bytes that wait.
    pub fn waiting_bytes(&self) -> u64 {
        self.n_bytes.load(Ordering::Relaxed)
    }

    /// Spans that found no room.
    pub fn lost_spans(&self) -> u64 {
        self.n_lost_spans.load(Ordering::Relaxed)
    }

    /// A piece has left.
    pub fn taken(&self, piece: &Piece) {
        if let Piece::Spans { request, .. } = piece {
            self.n_bytes.fetch_sub(request.len() as u64, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::Closed;
    use super::*;

    fn spans(n_bytes: usize) -> Piece {
        Piece::Spans { request: Bytes::from(vec![0; n_bytes]), n_spans: 1 }
    }

    #[test]
    fn spans_beyond_the_bound_are_counted_and_ends_are_kept() {
        let (mut tap, receiver, stats) = tap(100);
        tap.send(&mut vec![spans(60), spans(60), spans(40)]);
        assert_eq!((stats.waiting_bytes(), stats.lost_spans()), (100, 1));
        for piece in receiver.try_iter() {
            stats.taken(&piece);
        }
        assert_eq!(stats.waiting_bytes(), 0);
        let mut ends: Vec<Piece> =
            (0..=PIECES_MAX).map(|_| Piece::Close(Closed::default())).collect();
        tap.send(&mut ends);
        tap.send(&mut vec![spans(1)]);
        assert_eq!(stats.lost_spans(), 2, "an end waits before it");
        assert_eq!(receiver.try_iter().count(), PIECES_MAX);
        tap.send(&mut vec![spans(1)]);
        assert_eq!(receiver.try_iter().count(), 2);
    }
}
