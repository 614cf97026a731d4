//! A disk that is full or fails, for a process of its own: a library that is loaded before the system's
//! and stands between its logs and the disk.

use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("faulty_disk.c");

/// The library, and the file that tells it what to do.
pub(crate) struct FaultyDisk {
    preload: PathBuf,
    control: PathBuf,
}

impl FaultyDisk {
    /// Builds the library in `dir`; `None` where there is no C compiler or no such loader, which is
    /// printed.
    pub(crate) fn new(dir: &Path) -> Option<Self> {
        let (source, library) = (dir.join("faulty_disk.c"), dir.join("faulty_disk.so"));
        std::fs::write(&source, SOURCE).unwrap();
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output();
        match built {
            Ok(output) if output.status.success() && cfg!(target_os = "linux") => {
                Some(Self { preload: library, control: dir.join("disk") })
            }
            other => {
                println!("skipped: no library can be built that fails a disk: {other:?}");
                None
            }
        }
    }

    /// What the process needs in its environment.
    pub(crate) fn environment(&self) -> [(&str, &Path); 2] {
        [("LD_PRELOAD", &self.preload), ("SPANWISE_TEST_DISK", &self.control)]
    }

    /// No room is left.
    pub(crate) fn is_full(&self) {
        self.tell("F");
    }

    /// Every sync fails.
    pub(crate) fn fails(&self) {
        self.tell("S");
    }

    /// The next sync fails.
    pub(crate) fn fails_once(&self) {
        self.tell("O");
    }

    /// Whether it has done what it was told to do once.
    pub(crate) fn has_failed(&self) -> bool {
        !self.control.exists()
    }

    /// All is well again.
    pub(crate) fn heal(&self) {
        drop(std::fs::remove_file(&self.control));
    }

    /// In one step: the process may look at any time.
    fn tell(&self, what: &str) {
        let written = self.control.with_extension("new");
        std::fs::write(&written, what).unwrap();
        std::fs::rename(written, &self.control).unwrap();
    }
}
