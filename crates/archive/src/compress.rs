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
    if let Some(gan) = &options.gan {
        let mut last = None;
        let mut rolling = Rolling::default();
        train(&requests, options, &[gan.epochs], &mut rolling, &mut |_, file| last = Some(file))?;
        return last.ok_or(Error::NoFeature { method: Method::Ctgan });
    }
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

/// What a window leaves to the next when networks are trained: their weights, the critics' too, and
/// normalisers. It stays in memory and is never stored.
#[derive(Clone, Debug, Default)]
pub struct Rolling {
    #[cfg(feature = "ctgan")]
    warm: Option<crate::ctgan::Warm>,
}

/// Trains the networks of the Gen-T paper once and compresses the window after each of the numbers of
/// epochs, which ascend: what [`compress`] yields with [`Options::gan`] for each of them. `each` gets
/// the number of epochs and the file. Networks of roots and chains go on from the window before if
/// `rolling` saw one, and leave theirs to the next; starts and topologies are learnt anew.
///
/// # Errors
/// As [`compress`]; or this build is without the cargo feature `ctgan`.
pub fn train(
    requests: &[Bytes],
    options: &Options,
    epochs: &[u32],
    rolling: &mut Rolling,
    each: &mut dyn FnMut(u32, Compressed),
) -> Result<(), Error> {
    #[cfg(feature = "ctgan")]
    {
        let mut each = |n, bytes, summary| each(n, Compressed { bytes, summary });
        modelled::train(requests, options, epochs, &mut rolling.warm, &mut each)
    }
    #[cfg(not(feature = "ctgan"))]
    {
        let _ = (requests, options, epochs, rolling, each);
        Err(Error::NoFeature { method: Method::Ctgan })
    }
}
