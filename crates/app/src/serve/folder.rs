//! The data directory at the start: made if it is missing, with the remedy where that fails, and
//! taken away again if the start fails later. What was there before is never touched.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result};

/// Folders that this start made.
#[derive(Debug)]
pub(super) struct Made {
    /// The highest of them.
    top: Option<PathBuf>,
}

impl Made {
    /// Makes `dir` and checks that files can be made in it.
    pub(super) fn folder(dir: Option<&Path>) -> Result<Self> {
        let Some(dir) = dir else { return Ok(Self { top: None }) };
        let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let top = dir.ancestors().take_while(missing).last().map(Path::to_owned);
        let made = Self { top };
        std::fs::create_dir_all(dir).map_err(|error| unusable(dir, "made", &error))?;
        let probe = dir.join(".writable");
        std::fs::write(&probe, [])
            .and_then(|()| std::fs::remove_file(&probe))
            .map_err(|error| unusable(dir, "written to", &error))?;
        Ok(made)
    }

    /// The start succeeded: the folders stay.
    pub(super) fn keep(mut self) {
        self.top = None;
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(top) = &self.top {
            // Everything below was made by this process within the last seconds, and nothing was
            // acknowledged yet. If it cannot be removed, an empty folder is left.
            drop(std::fs::remove_dir_all(top));
        }
    }
}

fn unusable(dir: &Path, what: &str, error: &io::Error) -> Error {
    let dir = dir.display();
    let fix = match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "give it to this user, `sudo mkdir -p {dir} && sudo chown $USER {dir}`, or name another folder, `--data-dir ./data`"
        ),
        io::ErrorKind::StorageFull => "make room on that disk, or name another folder".to_owned(),
        _ => "name another folder, `--data-dir ./data`".to_owned(),
    };
    Error::msg(format!("data_dir {dir} cannot be {what}: {error}\n  fix: {fix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_start_leaves_no_folder_and_touches_none_that_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("var/lib/spanwise");
        drop(Made::folder(Some(&data_dir)).unwrap());
        assert!(!dir.path().join("var").exists());
        Made::folder(Some(&data_dir)).unwrap().keep();
        std::fs::write(data_dir.join("models"), b"learnt").unwrap();
        drop(Made::folder(Some(&data_dir)).unwrap());
        assert_eq!(std::fs::read(data_dir.join("models")).unwrap(), b"learnt");
        drop(Made::folder(None).unwrap());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_told_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, []).unwrap();
        let error = Made::folder(Some(&file.join("data"))).unwrap_err().to_string();
        assert!(error.contains("cannot be made") && error.contains("--data-dir"), "{error}");
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = unusable(Path::new("/var/lib/spanwise"), "made", &denied).to_string();
        assert!(error.contains("sudo chown $USER /var/lib/spanwise"), "{error}");
    }
}
