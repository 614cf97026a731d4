//! How far consumers are between two commits: a small file beside the segments.
//!
//! A cursor in the log waits for the next commit, and a commit waits for the disk. Whoever is done
//! with a record notes it here instead, on a thread of its own, with one short write and no sync: that
//! outlives the process, and if power takes it an earlier cursor counts and records are delivered
//! again. The log reads the file when it is opened. A note that is ahead of every record there is was
//! taken of records that power took; their numbers are not given out again then, so that it stands for
//! nothing that comes later.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};
use crate::error::Error;

/// The file's name.
const NAME: &str = "cursors";
/// Beyond this the file begins anew with the latest of each.
const BYTES_MAX: u64 = 64 << 10;
/// What is read of a file that is larger than it can be.
const READ_BYTES_MAX: u64 = 2 * BYTES_MAX;

/// The writing end. There should be one for a log.
pub struct Bookmarks<D: Disk> {
    disk: Arc<D>,
    /// Open, and how long it is; `None` before the first note and after a failure.
    file: Option<(D::File, u64)>,
    /// The last note on each consumer.
    latest: BTreeMap<String, u64>,
}

impl<D: Disk> Bookmarks<D> {
    pub(crate) fn new(disk: Arc<D>, latest: BTreeMap<String, u64>) -> Self {
        Self { disk, file: None, latest }
    }

    /// Notes that consumer `name` is done with every record up to `seq`, which must be acknowledged.
    /// Consumers that the log does not know when it is opened are passed over then.
    ///
    /// # Errors
    /// [`Error::Io`]: the note may be lost, later ones are tried anew.
    pub fn set(&mut self, name: &str, seq: u64) -> Result<(), Error> {
        match self.latest.get_mut(name) {
            Some(latest) => *latest = seq,
            None => drop(self.latest.insert(name.to_owned(), seq)),
        }
        self.write(name, seq).map_err(|error| {
            self.file = None;
            Error::io("write", NAME)(error)
        })
    }

    fn write(&mut self, name: &str, seq: u64) -> io::Result<()> {
        match &mut self.file {
            Some((file, n_bytes)) if *n_bytes < BYTES_MAX => {
                let note = encode(name, seq);
                file.write_at(*n_bytes, &note)?;
                *n_bytes += note.len() as u64;
                Ok(())
            }
            _ => self.begin(),
        }
    }

    /// Begins the file anew. Who is killed in between has the cursors in the log.
    fn begin(&mut self) -> io::Result<()> {
        let mut file = match self.disk.open(NAME) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.disk.create(NAME)?,
            opened => opened?,
        };
        let notes = self.latest.iter().map(|(name, seq)| encode(name, *seq));
        let notes: Vec<u8> = notes.flatten().collect();
        file.truncate(0)?;
        file.write_at(0, &notes)?;
        self.file = Some((file, notes.len() as u64));
        Ok(())
    }
}

impl<D: Disk> std::fmt::Debug for Bookmarks<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bookmarks").field("latest", &self.latest).finish_non_exhaustive()
    }
}

/// The notes of a directory, in the order in which they were taken, up to the first that is damaged.
/// Nothing if they cannot be read.
pub(crate) fn read<D: Disk>(disk: &D) -> Vec<(String, u64)> {
    let read = || {
        let mut file = disk.open(NAME)?;
        let mut bytes = vec![0; file.n_bytes()?.min(READ_BYTES_MAX) as usize];
        let mut n = 0;
        while n < bytes.len() {
            match file.read_at(n as u64, &mut bytes[n..])? {
                0 => break,
                n_more => n += n_more,
            }
        }
        bytes.truncate(n);
        Ok::<_, io::Error>(bytes)
    };
    let bytes = read().unwrap_or_default();
    let mut rest = &bytes[..];
    std::iter::from_fn(|| decode(&mut rest)).collect()
}

/// Removes the notes. Best effort: they were refused already.
pub(crate) fn remove<D: Disk>(disk: &D) {
    drop(disk.remove(NAME));
}

/// `crc u32` of what follows: `length u8`, name, `done u64`.
fn encode(name: &str, seq: u64) -> Vec<u8> {
    let mut note = vec![0; 4];
    note.push(name.len() as u8);
    note.extend_from_slice(name.as_bytes());
    note.extend_from_slice(&seq.to_le_bytes());
    let crc = crc32c::crc32c(&note[4..]);
    note[..4].copy_from_slice(&crc.to_le_bytes());
    note
}

fn decode(rest: &mut &[u8]) -> Option<(String, u64)> {
    let (crc, behind) = rest.split_first_chunk()?;
    let n_name = usize::from(*behind.first()?);
    let (note, behind) = behind.split_at_checked(1 + n_name + 8)?;
    if crc32c::crc32c(note) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (name, seq) = note[1..].split_last_chunk()?;
    *rest = behind;
    Some((std::str::from_utf8(name).ok()?.to_owned(), u64::from_le_bytes(*seq)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_have_the_documented_bytes() {
        let note = encode("ab", 258);
        assert_eq!(note[4..], *b"\x02ab\x02\x01\0\0\0\0\0\0");
        assert_eq!(note[..4], crc32c::crc32c(&note[4..]).to_le_bytes());
    }

    #[test]
    fn notes_are_read_up_to_the_first_that_is_damaged() {
        let notes = [encode("a", 1), encode("b", 2), encode("a", 3)].concat();
        let all = |mut bytes: &[u8]| {
            std::iter::from_fn(|| decode(&mut bytes)).map(|(_, seq)| seq).collect::<Vec<u64>>()
        };
        assert_eq!(all(&notes), [1, 2, 3]);
        for cut in 0..notes.len() {
            assert_eq!(all(&notes[..cut]).len(), cut * 3 / notes.len(), "cut at {cut}");
        }
        let mut damaged = notes.clone();
        damaged[20] ^= 1;
        assert_eq!(all(&damaged), [1]);
        assert_eq!(all(&[0; 100]), []);
    }
}
