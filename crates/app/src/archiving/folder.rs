//! The folder that windows pass through on disk, and the names in it.
//!
//! Everything is named by a number that only grows or by the archive's id. Files appear under their
//! name whole and synced; an archive and its record are two files, of which the record comes first
//! and goes last.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};

/// What a name ends with.
pub(super) const ARCHIVE: &str = "spwa";
/// The record of an archive.
pub(super) const RECORD: &str = "json";
/// A window that is still written to.
pub(super) const OPEN: &str = "open";
/// A closed window.
pub(super) const WINDOW: &str = "otlp.pb";
/// Ids of the traces of a window that go verbatim, one a line.
pub(super) const IDS: &str = "ids";

/// Stations of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Windows as they were recorded.
    Windows,
    /// Archives for another spanwise that has not said that it has them.
    Outbox,
    /// Pieces of archives from another spanwise.
    Incoming,
    /// Archives from there that were not sent on yet.
    Inbox,
    /// Archives that are done with.
    Stored,
    /// What could not be used.
    Refused,
}

/// The folder, held by this process alone.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
    retain_bytes: u64,
}

impl Place {
    const ALL: [Self; 6] =
        [Self::Windows, Self::Outbox, Self::Incoming, Self::Inbox, Self::Stored, Self::Refused];

    const fn name(self) -> &'static str {
        match self {
            Self::Windows => "windows",
            Self::Outbox => "outbox",
            Self::Incoming => "incoming",
            Self::Inbox => "inbox",
            Self::Stored => "stored",
            Self::Refused => "refused",
        }
    }
}

impl Folder {
    /// Opens the folder, and makes it if it is missing. `retain_bytes` is how much may be stored.
    pub fn open(dir: &Path, retain_bytes: u64) -> Result<Self> {
        let named = || format!("cannot use {} for archives", dir.display());
        for place in Place::ALL {
            fs::create_dir_all(dir.join(place.name())).with_context(named)?;
        }
        let lock = File::create(dir.join("lock")).with_context(named)?;
        if let Err(error) = lock.try_lock() {
            bail!(
                "{}: {error}; another spanwise uses it\n  fix: give each its own `archive.dir`",
                dir.display()
            );
        }
        Ok(Self { dir: dir.to_owned(), _lock: lock, retain_bytes })
    }

    /// A file.
    pub fn path(&self, place: Place, name: &str, ending: &str) -> PathBuf {
        self.dir.join(place.name()).join(format!("{name}.{ending}"))
    }

    /// Names of the files at a place that have this ending, in their order.
    pub fn names(&self, place: Place, ending: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.dir.join(place.name()))? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            let name = name.strip_suffix(ending).and_then(|name| name.strip_suffix('.'));
            names.extend(name.map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Writes a file that is there whole, and after a loss of power too, or not at all.
    pub fn write(&self, place: Place, name: &str, ending: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(place, name, ending);
        let unfinished = self.path(place, name, &format!("{ending}~"));
        let written = (|| {
            let mut file = File::create(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            self.sync(place)
        })();
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    /// Gives a file another name or place. The caller has synced what is in it.
    pub fn rename(&self, from: &Path, place: Place, name: &str, ending: &str) -> Result<()> {
        let to = self.path(place, name, ending);
        let moved = fs::rename(from, &to).and_then(|()| self.sync(place));
        moved.with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))?;
        if place == Place::Refused {
            self.retain(place)?;
        }
        Ok(())
    }

    /// Moves an archive with its record.
    pub fn move_archive(&self, from: Place, to: Place, name: &str, to_name: &str) -> Result<()> {
        let record = self.path(from, name, RECORD);
        if record.exists() {
            fs::copy(&record, self.path(to, to_name, RECORD))?;
        }
        self.rename(&self.path(from, name, ARCHIVE), to, to_name, ARCHIVE)?;
        self.remove(from, name, RECORD);
        Ok(())
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, place: Place, name: &str, ending: &str) {
        // What is not there is gone, and what cannot be removed is removed another time.
        drop(fs::remove_file(self.path(place, name, ending)));
    }

    /// Bytes at a place.
    pub fn n_bytes(&self, place: Place) -> u64 {
        let Ok(entries) = fs::read_dir(self.dir.join(place.name())) else { return 0 };
        let sizes = entries.filter_map(|entry| entry.ok()?.metadata().ok());
        sizes.map(|metadata| metadata.len()).sum()
    }

    /// Whether there is room for more archives at a place.
    pub fn has_room(&self, place: Place, n_bytes: u64) -> bool {
        self.n_bytes(place).saturating_add(n_bytes) <= self.retain_bytes
    }

    /// Removes what is oldest at a place until it holds no more than it may; how many.
    pub fn retain(&self, place: Place) -> Result<u64> {
        let mut n_bytes = self.n_bytes(place);
        if n_bytes <= self.retain_bytes {
            return Ok(0);
        }
        let mut n_removed = 0;
        for (_, name) in self.by_age(place)? {
            if n_bytes <= self.retain_bytes {
                break;
            }
            for ending in [ARCHIVE, WINDOW, RECORD] {
                let size = fs::metadata(self.path(place, &name, ending)).map_or(0, |m| m.len());
                n_bytes = n_bytes.saturating_sub(size);
                self.remove(place, &name, ending);
            }
            n_removed += 1;
        }
        Ok(n_removed)
    }

    /// Names of archives and windows at a place with the time they were written, the oldest first.
    fn by_age(&self, place: Place) -> Result<Vec<(SystemTime, String)>> {
        let mut found = Vec::new();
        for ending in [ARCHIVE, WINDOW] {
            for name in self.names(place, ending)? {
                let metadata = fs::metadata(self.path(place, &name, ending));
                let written = metadata.and_then(|metadata| metadata.modified());
                found.push((written.unwrap_or(SystemTime::UNIX_EPOCH), name));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Makes new names in a place survive a loss of power.
    fn sync(&self, place: Place) -> std::io::Result<()> {
        File::open(self.dir.join(place.name()))?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_folder_serves_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path(), 100).unwrap();
        let error = Folder::open(dir.path(), 100).unwrap_err().to_string();
        assert!(error.contains("another spanwise"), "{error}");
        drop(folder);
        Folder::open(dir.path(), 100).unwrap();
    }

    #[test]
    fn the_oldest_archives_go_when_there_are_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path(), 100).unwrap();
        for (age, name) in ["3", "1", "2"].into_iter().enumerate() {
            folder.write(Place::Stored, name, RECORD, &[0; 10]).unwrap();
            folder.write(Place::Stored, name, ARCHIVE, &[0; 30]).unwrap();
            let file = File::open(folder.path(Place::Stored, name, ARCHIVE)).unwrap();
            let written = SystemTime::UNIX_EPOCH + Duration::from_secs(age as u64);
            file.set_modified(written).unwrap();
        }
        assert!(folder.has_room(Place::Outbox, 100) && !folder.has_room(Place::Stored, 0));
        assert_eq!(folder.retain(Place::Stored).unwrap(), 1);
        assert_eq!(folder.names(Place::Stored, ARCHIVE).unwrap(), ["1", "2"]);
        assert_eq!(folder.retain(Place::Stored).unwrap(), 0);
        folder.move_archive(Place::Stored, Place::Refused, "2", "two").unwrap();
        assert_eq!(folder.names(Place::Stored, RECORD).unwrap(), ["1"]);
        assert_eq!(folder.names(Place::Refused, RECORD).unwrap(), ["two"]);
    }
}
