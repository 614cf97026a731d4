//! Writes requests to `.otlp.pb.zst`, the one format in which spanwise writes spans.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::format::{Compression, Format};

/// zstd's own default: about as fast as the disk, and within a tenth of the best ratio on spans.
const ZSTD_LEVEL: i32 = 3;

/// Writes one file; nothing stands under its name before [`RequestWriter::finish`].
pub struct RequestWriter {
    path: PathBuf,
    unfinished: PathBuf,
    encoder: zstd::stream::write::Encoder<'static, BufWriter<File>>,
    n_requests: u64,
    finished: bool,
}

/// Opens `path` for writing. The content goes to `path` with `.unfinished` appended, which takes
/// the name at the end and disappears if the writer is dropped before.
///
/// # Errors
/// The name does not end in `.otlp.pb.zst`, or the file cannot be made.
pub fn write_requests(path: &Path) -> Result<RequestWriter, Error> {
    if Format::of(path)? != Format::Protobuf(Compression::Zstd) {
        return Err(Error::NotWritable { path: path.to_owned() });
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    let file = File::create(&unfinished).map_err(|e| Error::io(&unfinished, e))?;
    let encoder = zstd::stream::write::Encoder::new(BufWriter::new(file), ZSTD_LEVEL)
        .map_err(|e| Error::io(path, e))?;
    Ok(RequestWriter { path: path.to_owned(), unfinished, encoder, n_requests: 0, finished: false })
}

impl RequestWriter {
    /// Appends one `ExportTraceServiceRequest`.
    ///
    /// # Errors
    /// The request exceeds 4 GiB, or the disk refuses.
    pub fn push(&mut self, request: &[u8]) -> Result<(), Error> {
        let Ok(n_bytes) = u32::try_from(request.len()) else {
            let problem = "a request of more than 4 GiB";
            return Err(Error::corrupt(&self.path, 0, problem));
        };
        let written = self
            .encoder
            .write_all(&n_bytes.to_le_bytes())
            .and_then(|()| self.encoder.write_all(request));
        self.n_requests += 1;
        written.map_err(|e| Error::io(&self.path, e))
    }

    /// Requests written so far.
    pub const fn n_requests(&self) -> u64 {
        self.n_requests
    }

    /// Completes the file, syncs it and gives it its name.
    ///
    /// # Errors
    /// The disk refuses; then nothing stands under the name.
    pub fn finish(mut self) -> Result<(), Error> {
        let done = self
            .encoder
            .do_finish()
            .and_then(|()| self.encoder.flush())
            .and_then(|()| self.encoder.get_ref().get_ref().sync_all())
            .and_then(|()| std::fs::rename(&self.unfinished, &self.path));
        done.map_err(|e| Error::io(&self.path, e))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for RequestWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Best effort: the leftover has a name that nobody reads.
            drop(std::fs::remove_file(&self.unfinished));
        }
    }
}

impl std::fmt::Debug for RequestWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = f.debug_struct("RequestWriter");
        out.field("path", &self.path).field("n_requests", &self.n_requests).finish_non_exhaustive()
    }
}
