//! Decompression in steps: after each step the caller charges what came out, so that a bomb is cut
//! at the limit and a long body does not hold up the others.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

use crate::transport::Compression;

/// Bytes that come out of one step at most.
pub(super) const STEP_BYTES: usize = 256 << 10;
/// Largest window a zstd frame may ask for, as a power of two: 8 MiB, what `zstd -19` uses and the
/// format tells decoders to support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// How much is reserved up front, as a multiple of the compressed bytes that really came: spans
/// compress 6 to 7 times.
const RESERVE_FACTOR: usize = 8;

/// One body being decompressed.
pub(super) struct Inflater {
    decoder: Decoder,
    out: Vec<u8>,
    /// Window the decoder itself holds, at most.
    window_bytes_max: u64,
}

enum Decoder {
    Gzip(Box<MultiGzDecoder<io::Cursor<Bytes>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, io::Cursor<Bytes>>>),
}

impl Inflater {
    /// Decompresses `bytes`; `None` for identity, which needs no decompression. `limit` bounds
    /// what is reserved.
    pub(super) fn new(
        compression: Compression,
        bytes: Bytes,
        limit: u64,
    ) -> io::Result<Option<Self>> {
        let reserve = bytes.len().saturating_mul(RESERVE_FACTOR).min(limit as usize);
        let input = io::Cursor::new(bytes);
        let (decoder, window_bytes_max) = match compression {
            Compression::Identity => return Ok(None),
            Compression::Gzip => (Decoder::Gzip(Box::new(MultiGzDecoder::new(input))), 32 << 10),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                (Decoder::Zstd(Box::new(decoder)), 1 << ZSTD_WINDOW_LOG_MAX)
            }
        };
        Ok(Some(Self { decoder, out: Vec::with_capacity(reserve), window_bytes_max }))
    }

    /// Goes on by at most [`STEP_BYTES`]; false at the end.
    pub(super) fn step(&mut self) -> io::Result<bool> {
        let input: &mut dyn Read = match &mut self.decoder {
            Decoder::Gzip(decoder) => decoder,
            Decoder::Zstd(decoder) => decoder,
        };
        let n = input.take(STEP_BYTES as u64).read_to_end(&mut self.out)?;
        Ok(n == STEP_BYTES)
    }

    /// Bytes that came out so far.
    pub(super) fn n_bytes(&self) -> u64 {
        self.out.len() as u64
    }

    /// Memory held beside the input: output and the decoder's window, as far as it was touched.
    pub(super) fn held_bytes(&self) -> u64 {
        self.n_bytes() + self.n_bytes().min(self.window_bytes_max)
    }

    /// What came out.
    pub(super) fn finish(mut self) -> Bytes {
        // Reserved space that was not needed goes back if it is worth a copy.
        if self.out.capacity() > self.out.len() + self.out.len() / 4 {
            self.out.shrink_to_fit();
        }
        Bytes::from(self.out)
    }
}
