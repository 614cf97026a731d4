//! General compressors over the requests of a sample.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::clp;
use super::error::Error;

/// gzip's default, and what OTLP exporters use.
const GZIP_LEVEL: u32 = 6;
/// The strongest that needs no extra memory.
const ZSTD_LEVEL: i32 = 19;

/// How a sample is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    None,
    /// gzip -6 over all requests.
    Gzip,
    /// zstd -19 over all requests.
    Zstd,
    /// Spans as lines of JSON in CLP's stream format, see `clp.rs`.
    ClpLike,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Gzip, Self::Zstd, Self::ClpLike];

    /// Compressed size of `requests`, as one stream with a length of 4 bytes before each request.
    /// Without compression these lengths are not counted.
    ///
    /// # Errors
    /// The compressor fails, or a request is malformed.
    pub fn n_bytes(self, requests: &[Bytes]) -> Result<u64, Error> {
        match self {
            Self::None => Ok(requests.iter().map(|request| request.len() as u64).sum()),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Counter(0), Compression::new(GZIP_LEVEL));
                write_framed(&mut encoder, requests)?;
                Ok(encoder.finish()?.0)
            }
            Self::Zstd => {
                let mut encoder = zstd::stream::Encoder::new(Counter(0), ZSTD_LEVEL)?;
                write_framed(&mut encoder, requests)?;
                Ok(encoder.finish()?.0)
            }
            Self::ClpLike => clp::n_bytes(requests),
        }
    }

    /// Its name in rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::ClpLike => "clp-like",
        }
    }
}

fn write_framed(out: &mut impl std::io::Write, requests: &[Bytes]) -> std::io::Result<()> {
    for request in requests {
        out.write_all(&(request.len() as u32).to_le_bytes())?;
        out.write_all(request)?;
    }
    Ok(())
}

/// Counts what is written to it.
#[derive(Debug)]
pub(super) struct Counter(pub(super) u64);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl FromStr for Codec {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|codec| codec.name() == word);
        found.ok_or_else(|| Error::Codec { word: word.to_owned() })
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_one_stream() {
        let requests = [Bytes::from(vec![7; 1_000]), Bytes::from(vec![7; 1_000])];
        assert_eq!(Codec::None.n_bytes(&requests).unwrap(), 2_000);
        for codec in [Codec::Gzip, Codec::Zstd] {
            let both = codec.n_bytes(&requests).unwrap();
            let one = codec.n_bytes(&requests[..1]).unwrap();
            assert!((10..100).contains(&both) && both < 2 * one, "{codec}: {one}, {both}");
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for codec in Codec::ALL {
            assert_eq!(codec.to_string().parse::<Codec>().unwrap(), codec);
        }
        assert!("brotli".parse::<Codec>().unwrap_err().to_string().contains("clp-like"));
    }
}
