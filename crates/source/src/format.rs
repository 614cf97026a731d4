//! What a file holds, told by its name.

use std::path::Path;

use crate::error::Error;

/// The format of a file of spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.otlp.pb`: requests in protobuf, each behind its length in 4 bytes.
    Protobuf(Compression),
    /// `.otlp.jsonl`: a request in OTLP/JSON on each line.
    JsonLines(Compression),
    /// `.parquet`: a row for each span.
    Parquet,
}

/// How the whole file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `.zst`, one frame or several.
    Zstd,
    /// `.gz`, one member or several.
    Gzip,
}

impl Format {
    /// The format of `path`, by its name alone.
    ///
    /// # Errors
    /// [`Error::UnknownFormat`] if the name ends in nothing that is known.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
        let (stem, compression) = match name.rsplit_once('.') {
            Some((stem, "zst")) => (stem, Compression::Zstd),
            Some((stem, "gz")) => (stem, Compression::Gzip),
            _ => (name.as_str(), Compression::None),
        };
        if stem.ends_with(".otlp.pb") {
            return Ok(Self::Protobuf(compression));
        }
        if stem.ends_with(".otlp.jsonl") {
            return Ok(Self::JsonLines(compression));
        }
        if name.ends_with(".parquet") {
            return Ok(Self::Parquet);
        }
        Err(Error::UnknownFormat { path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_format() {
        let check = |name: &str, expected: Option<Format>| {
            assert_eq!(Format::of(Path::new(name)).ok(), expected, "{name}");
        };
        check("a/b.otlp.pb", Some(Format::Protobuf(Compression::None)));
        check("b.otlp.pb.zst", Some(Format::Protobuf(Compression::Zstd)));
        check("B.OTLP.PB.GZ", Some(Format::Protobuf(Compression::Gzip)));
        check("b.x.otlp.jsonl", Some(Format::JsonLines(Compression::None)));
        check("b.otlp.jsonl.gz", Some(Format::JsonLines(Compression::Gzip)));
        check("b.parquet", Some(Format::Parquet));
        check("b.parquet.gz", None);
        check("b.pb", None);
        check("..", None);
    }
}
