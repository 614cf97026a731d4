//! From the requests of a window to a file.

use bytes::Bytes;

use crate::container::{Header, write_archive};
use crate::error::Error;
use crate::level::{Level, Method};
use crate::options::Options;
use crate::summary::Summary;
use crate::{lossless, modelled, near_lossless};

/// A window as a file.
#[derive(Clone, Debug)]
pub struct Compressed {
    /// The file.
    pub bytes: Vec<u8>,
    /// What went into it.
    pub summary: Summary,
}

/// Compresses a window: each item is one `ExportTraceServiceRequest`.
///
/// The window is held in memory. Requests that cannot be read refuse the whole window.
///
/// # Errors
/// A request is malformed, or the window exceeds what an archive holds.
pub fn compress(
    requests: impl IntoIterator<Item = Bytes>,
    options: &Options,
) -> Result<Compressed, Error> {
    let requests: Vec<Bytes> = requests.into_iter().collect();
    let n_bytes_in = requests.iter().map(|request| request.len() as u64).sum();
    match options.level {
        Level::Lossless => {
            let mut header = Header::new(Level::Lossless, Method::Columns);
            let sections = lossless::compress(&requests, &mut header)?;
            let bytes = write_archive(&header, &sections)?;
            let (n_traces_verbatim, near_lossless) = (0, None);
            let summary = Summary { header, n_bytes_in, n_traces_verbatim, near_lossless };
            Ok(Compressed { bytes, summary })
        }
        Level::NearLossless => {
            let (bytes, summary) = near_lossless::compress(&requests, options)?;
            Ok(Compressed { bytes, summary })
        }
        level if modelled::is_model(level) => {
            let (bytes, summary) = modelled::compress(&requests, options)?;
            Ok(Compressed { bytes, summary })
        }
        level => Err(Error::Unavailable { level }),
    }
}
