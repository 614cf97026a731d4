//! OTLP/JSON, one request a line.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use spanwise_otlp::{DecodeError, Limits, json_to_protobuf};

use crate::error::Error;
use crate::input::Stream;

/// Iterator over the lines of one file as protobuf requests; blank lines are skipped. A line that is
/// not a request is an error of its own, and reading goes on behind it.
pub(crate) struct Lines {
    path: PathBuf,
    stream: Stream,
    limits: Limits,
    number: u64,
    done: bool,
}

impl Lines {
    pub(crate) fn new(path: &Path, stream: Stream, limits: Limits) -> Self {
        Self { path: path.to_owned(), stream, limits, number: 0, done: false }
    }

    /// The next line without its end; `None` at the end of the file.
    fn read_line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.number += 1;
        let n_bytes_max = self.limits.request_bytes;
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(n_bytes_max.saturating_add(1));
        let read = limited.read_until(b'\n', &mut line);
        let n_bytes = read.map_err(|e| Error::io(&self.path, e))? as u64;
        if n_bytes > n_bytes_max && line.last() != Some(&b'\n') {
            // What follows is the middle of a line: nothing more can be read from this file.
            self.done = true;
            let source = DecodeError::TooLarge { n_bytes, limit: n_bytes_max };
            return Err(Error::Request { path: self.path.clone(), number: self.number, source });
        }
        Ok(if n_bytes == 0 { None } else { Some(line) })
    }
}

impl Iterator for Lines {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            let line = match self.read_line() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => {
                    self.done |= matches!(error, Error::Io { .. });
                    return Some(Err(error));
                }
            };
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let request = json_to_protobuf(&line, &self.limits);
            return Some(request.map_err(|source| Error::Request {
                path: self.path.clone(),
                number: self.number,
                source,
            }));
        }
        self.done = true;
        None
    }
}
