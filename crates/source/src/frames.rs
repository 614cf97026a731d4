//! Length-prefixed requests: 4 bytes of length, then that many bytes of protobuf, until the end.
//!
//! We write the length little-endian. Other tools write it big-endian, and nothing in the file says
//! so; the first request that is not empty decides, since only with the right length its fields end
//! where it ends.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::error::Error;
use crate::input::Stream;

/// Key of `ExportTraceServiceRequest.resource_spans`, the only field a request has.
const RESOURCE_SPANS_KEY: u8 = 0x0a;

/// Iterator over the requests of one file. Ends after the first error.
pub(crate) struct Frames {
    path: PathBuf,
    input: Rewindable,
    order: Option<Order>,
    /// Bytes read so far, lengths included.
    offset: u64,
    n_bytes_max: u64,
    done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

/// A stream with some bytes put back in front.
struct Rewindable {
    front: Vec<u8>,
    n_taken: usize,
    stream: Stream,
}

impl Frames {
    /// `n_bytes_max` bounds one request.
    pub(crate) fn new(path: &Path, stream: Stream, n_bytes_max: u64) -> Self {
        let input = Rewindable { front: Vec::new(), n_taken: 0, stream };
        let path = path.to_owned();
        Self { path, input, order: None, offset: 0, n_bytes_max, done: false }
    }

    fn read_frame(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(prefix) = self.read_prefix()? else { return Ok(None) };
        let order = match self.order {
            Some(order) => order,
            None if prefix == [0; 4] => Order::Little,
            None => self.find_order(prefix)?,
        };
        let n_bytes = length(prefix, order);
        if n_bytes > self.n_bytes_max {
            return Err(self.corrupt("a request longer than 64 MiB"));
        }
        let frame = self.read_up_to(n_bytes)?;
        if (frame.len() as u64) < n_bytes {
            return Err(self.corrupt("the file ends inside the request that begins"));
        }
        self.offset += 4 + n_bytes;
        Ok(Some(frame.into()))
    }

    fn read_prefix(&mut self) -> Result<Option<[u8; 4]>, Error> {
        let bytes = self.read_up_to(4)?;
        match <[u8; 4]>::try_from(bytes.as_slice()) {
            Ok(prefix) => Ok(Some(prefix)),
            Err(_) if bytes.is_empty() => Ok(None),
            Err(_) => Err(self.corrupt("the file ends inside the length that begins")),
        }
    }

    /// Decides on the byte order by the request behind `prefix`, which stays unread.
    fn find_order(&mut self, prefix: [u8; 4]) -> Result<Order, Error> {
        let mut seen = Vec::new();
        for order in [Order::Little, Order::Big] {
            let n_bytes = length(prefix, order);
            if n_bytes > self.n_bytes_max {
                continue;
            }
            let n_missing = n_bytes.saturating_sub(seen.len() as u64);
            seen.append(&mut self.read_up_to(n_missing)?);
            if seen.get(..n_bytes as usize).is_some_and(is_request) {
                self.input.put_back(seen);
                self.order = Some(order);
                return Ok(order);
            }
        }
        Err(self.corrupt("neither a little- nor a big-endian length leads to an otlp request"))
    }

    /// At most `n` bytes, fewer at the end of the file. Memory grows as bytes arrive, whatever the
    /// length promised.
    fn read_up_to(&mut self, n: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::with_capacity(n.min(1 << 16) as usize);
        let read = (&mut self.input).take(n).read_to_end(&mut bytes);
        read.map_err(|source| Error::Io { path: self.path.clone(), source })?;
        Ok(bytes)
    }

    fn corrupt(&self, problem: &'static str) -> Error {
        Error::corrupt(&self.path, self.offset, problem)
    }
}

impl Iterator for Frames {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let frame = self.read_frame().transpose();
        self.done = !matches!(frame, Some(Ok(_)));
        frame
    }
}

impl Rewindable {
    fn put_back(&mut self, mut bytes: Vec<u8>) {
        bytes.extend_from_slice(&self.front[self.n_taken..]);
        self.front = bytes;
        self.n_taken = 0;
    }
}

impl Read for Rewindable {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut rest = &self.front[self.n_taken..];
        if rest.is_empty() {
            self.front = Vec::new();
            self.n_taken = 0;
            return self.stream.read(buf);
        }
        let n = rest.read(buf)?;
        self.n_taken += n;
        Ok(n)
    }
}

fn length(prefix: [u8; 4], order: Order) -> u64 {
    match order {
        Order::Little => u64::from(u32::from_le_bytes(prefix)),
        Order::Big => u64::from(u32::from_be_bytes(prefix)),
    }
}

/// Whether the bytes are one or more `resource_spans` fields that end where the bytes end.
fn is_request(mut bytes: &[u8]) -> bool {
    if bytes.is_empty() {
        return false;
    }
    while let Some((&key, rest)) = bytes.split_first() {
        let Some((n, rest)) = varint(rest) else { return false };
        let Some(rest) = usize::try_from(n).ok().and_then(|n| rest.get(n..)) else { return false };
        if key != RESOURCE_SPANS_KEY {
            return false;
        }
        bytes = rest;
    }
    true
}

/// A varint of at most 32 bits and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[i + 1..]));
        }
    }
    None
}
