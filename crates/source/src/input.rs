//! A file as a stream of uncompressed bytes, with a count of how far it was read.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use crate::error::Error;
use crate::format::Compression;

/// Largest zstd window that is accepted: 128 MiB, what `zstd --long` writes.
const WINDOW_LOG_MAX: u32 = 27;

/// Uncompressed bytes of a file.
pub(crate) type Stream = BufReader<Box<dyn Read + Send>>;

/// How much of a file has been read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    n_read: Arc<AtomicU64>,
    n_total: u64,
}

impl Progress {
    /// The share that was read, in [0, 1]; 1 for an empty file.
    pub(crate) fn share(&self) -> f64 {
        if self.n_total == 0 {
            return 1.0;
        }
        (self.n_read.load(Ordering::Relaxed) as f64 / self.n_total as f64).min(1.0)
    }
}

/// Counts what passes through.
struct Counted {
    file: File,
    n_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buf)?;
        self.n_read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

pub(crate) fn open(path: &Path, compression: Compression) -> Result<(Stream, Progress), Error> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let n_total = file.metadata().map_err(|e| Error::io(path, e))?.len();
    let progress = Progress { n_read: Arc::default(), n_total };
    let counted = Counted { file, n_read: Arc::clone(&progress.n_read) };
    let plain: Box<dyn Read + Send> = match compression {
        Compression::None => Box::new(counted),
        Compression::Gzip => Box::new(MultiGzDecoder::new(counted)),
        Compression::Zstd => Box::new(zstd_decoder(counted).map_err(|e| Error::io(path, e))?),
    };
    Ok((BufReader::with_capacity(1 << 16, plain), progress))
}

/// Bytes that are part of the program, under zstd.
pub(crate) fn of_zstd(bytes: &'static [u8]) -> io::Result<Stream> {
    Ok(BufReader::with_capacity(1 << 16, Box::new(zstd_decoder(bytes)?)))
}

fn zstd_decoder<R: Read + Send>(input: R) -> io::Result<impl Read + Send> {
    let mut decoder = zstd::stream::read::Decoder::new(input)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    Ok(decoder)
}
