//! The port to the file system: one directory, files that only grow, and fsync said out loud.
//!
//! A port, because the promises of this crate are about what happens when power fails between two
//! of these calls, and no real disk does that on request. The tests bring a twin that does.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// One directory. Names are plain file names.
pub trait Disk {
    /// A file of this disk.
    type File: DiskFile;
    /// Held as long as the directory is in use.
    type Lock;

    /// Takes the directory for this process. `Err(holder)` if another has it, with ` (pid N)` or
    /// nothing.
    ///
    /// # Errors
    /// The outer error is the system's.
    fn lock(&self) -> io::Result<Result<Self::Lock, String>>;

    /// Names of all files, in any order.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a new file; it must not exist. Its name is on disk only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// It exists, or the system refuses.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file to read and append.
    ///
    /// # Errors
    /// It does not exist, or the system refuses.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Deletes a file.
    ///
    /// # Errors
    /// It does not exist, or the system refuses.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name, which no other file has.
    ///
    /// # Errors
    /// It does not exist, or the system refuses.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Brings the names of the directory to disk.
    ///
    /// # Errors
    /// The disk failed; what was created or removed may come or go when power fails.
    fn sync_dir(&self) -> io::Result<()>;

    /// The directory as users know it, for messages.
    fn describe(&self) -> String;

    /// How much room there is; `None` where that cannot be asked.
    ///
    /// # Errors
    /// The system refuses.
    fn space(&self) -> io::Result<Option<Space>>;
}

/// Room on the file system of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still write.
    pub free_bytes: u64,
    /// Bytes of the file system.
    pub total_bytes: u64,
}

/// A file that is read anywhere and written at its end.
pub trait DiskFile {
    /// Bytes in the file.
    ///
    /// # Errors
    /// The system refuses.
    fn n_bytes(&self) -> io::Result<u64>;

    /// Reads at most `buf.len()` bytes from `offset`; 0 at or behind the end.
    ///
    /// # Errors
    /// The disk cannot read there.
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`, which is the end of the file. After an error any part of
    /// them may be written.
    ///
    /// # Errors
    /// The disk is full or failed.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file off.
    ///
    /// # Errors
    /// The system refuses.
    fn truncate(&mut self, n_bytes: u64) -> io::Result<()>;

    /// Brings content and length to disk. After an error this file must not be synced again: the
    /// system may have forgotten what it could not write.
    ///
    /// # Errors
    /// The disk failed.
    fn sync(&mut self) -> io::Result<()>;
}

const LOCK_NAME: &str = "LOCK";

/// A directory of the real file system.
#[derive(Clone, Debug)]
pub struct StdDisk {
    dir: PathBuf,
}

/// A file of the real file system.
#[derive(Debug)]
pub struct StdFile(File);

impl StdDisk {
    /// Uses `dir`, which is made if it does not exist.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent)?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    fn lock_file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).open(self.dir.join(LOCK_NAME))
    }
}

impl Disk for StdDisk {
    type File = StdFile;
    type Lock = File;

    fn lock(&self) -> io::Result<Result<File, String>> {
        let mut file = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let mut pid = String::new();
                let read = file.take(20).read_to_string(&mut pid);
                if read.is_ok() && !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()) {
                    // Writing to a string cannot fail.
                    let _ = write!(holder, " (pid {pid})");
                }
                return Ok(Err(holder));
            }
        }
        file.set_len(0)?;
        file.write_all(std::process::id().to_string().as_bytes())?;
        Ok(Ok(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<StdFile> {
        let path = self.dir.join(name);
        OpenOptions::new().read(true).write(true).create_new(true).open(path).map(StdFile)
    }

    fn open(&self, name: &str) -> io::Result<StdFile> {
        OpenOptions::new().read(true).write(true).open(self.dir.join(name)).map(StdFile)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.dir.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn sync_dir(&self) -> io::Result<()> {
        sync_directory(&self.dir)
    }

    fn describe(&self) -> String {
        self.dir.display().to_string()
    }

    #[cfg(unix)]
    fn space(&self) -> io::Result<Option<Space>> {
        let found = rustix::fs::statvfs(&self.dir)?;
        Ok(Some(Space {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        }))
    }

    #[cfg(not(unix))]
    fn space(&self) -> io::Result<Option<Space>> {
        Ok(None)
    }
}

impl DiskFile for StdFile {
    fn n_bytes(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    #[cfg(unix)]
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, buf, offset)
    }

    #[cfg(not(unix))]
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.read(buf)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.write_all(bytes)
    }

    fn truncate(&mut self, n_bytes: u64) -> io::Result<()> {
        self.0.set_len(n_bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(unix)]
fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Elsewhere a directory cannot be opened to be synced; names are brought to disk by the system.
#[cfg(not(unix))]
fn sync_directory(_dir: &Path) -> io::Result<()> {
    Ok(())
}
