//! The queue of received requests between the stream of sampled spans and the engine that inspects
//! them (SCALE III-F, "consumer" and "processor engine"; its memory is the paper's Table III).
//!
//! Requests are kept as they came, compressed with LZ4: spans of one request repeat each other, and
//! half a microsecond a span is cheaper than the memory. Nothing is decoded before it is needed.

use std::collections::VecDeque;

use anyhow::{Context as _, Result, ensure};
use bytes::{Bytes, BytesMut};

/// A bounded queue of OTLP requests.
#[derive(Debug)]
pub struct SpanQueue {
    blocks: VecDeque<Block>,
    n_bytes: usize,
    n_bytes_max: usize,
    n_spans: u64,
    /// A request that was given back, to decompress the next one into.
    spare: BytesMut,
}

#[derive(Debug)]
struct Block {
    compressed: Box<[u8]>,
    n_spans: u32,
}

impl SpanQueue {
    /// An empty queue that holds at most `n_bytes_max` bytes, compressed.
    pub fn new(n_bytes_max: usize) -> Self {
        Self {
            blocks: VecDeque::new(),
            n_bytes: 0,
            n_bytes_max,
            n_spans: 0,
            spare: BytesMut::new(),
        }
    }

    /// Appends a request; false if there is no room, and then nothing has changed.
    pub fn push(&mut self, request: &[u8], n_spans: u32) -> bool {
        let compressed = lz4_flex::compress_prepend_size(request).into_boxed_slice();
        if self.n_bytes + compressed.len() > self.n_bytes_max {
            return false;
        }
        self.n_bytes += compressed.len();
        self.n_spans += u64::from(n_spans);
        self.blocks.push_back(Block { compressed, n_spans });
        true
    }

    /// Takes the oldest request, byte for byte as it was pushed.
    pub fn pop(&mut self) -> Result<Option<Bytes>> {
        let Some(block) = self.blocks.pop_front() else { return Ok(None) };
        self.n_bytes -= block.compressed.len();
        self.n_spans -= u64::from(block.n_spans);
        let corrupt = "a queued request is corrupt: memory was overwritten";
        let (n_bytes, compressed) =
            lz4_flex::block::uncompressed_size(&block.compressed).context(corrupt)?;
        let mut request = std::mem::take(&mut self.spare);
        request.resize(n_bytes, 0);
        let n_read = lz4_flex::block::decompress_into(compressed, &mut request).context(corrupt)?;
        ensure!(n_read == n_bytes, corrupt);
        Ok(Some(request.freeze()))
    }

    /// Takes back a request that is no longer needed, so that its memory serves the next one. If
    /// somebody else still holds it, nothing happens.
    pub fn recycle(&mut self, request: Bytes) {
        if let Ok(request) = request.try_into_mut() {
            self.spare = request;
        }
    }

    /// Compressed bytes held.
    pub fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    /// Spans held.
    pub fn n_spans(&self) -> u64 {
        self.n_spans
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_back_byte_for_byte_in_order() {
        let mut queue = SpanQueue::new(1 << 20);
        let requests: Vec<Vec<u8>> = (0..10_u8).map(|n| vec![n; 100 * usize::from(n)]).collect();
        for request in &requests {
            assert!(queue.push(request, 2));
        }
        assert_eq!(queue.n_spans(), 20);
        for request in &requests {
            let popped = queue.pop().unwrap().unwrap();
            assert_eq!(popped, request[..]);
            queue.recycle(popped);
        }
        assert_eq!((queue.n_bytes(), queue.n_spans()), (0, 0));
        assert!(queue.pop().unwrap().is_none());
    }

    #[test]
    fn a_full_queue_refuses_and_stays_as_it_was() {
        let mut queue = SpanQueue::new(100);
        assert!(queue.push(b"abc", 1));
        let n_bytes = queue.n_bytes();
        let noise: Vec<u8> = (0..200_u32).map(|n| (n * 97 % 251) as u8).collect();
        assert!(!queue.push(&noise, 1));
        assert_eq!((queue.n_bytes(), queue.n_spans()), (n_bytes, 1));
    }
}
