//! Files that are replaced as a whole: written beside, synced, renamed, and the directory synced, so
//! that after a crash there is the old one or the new one and nothing between.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Largest file that is read back.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Replaces `path` by `bytes`.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary(path);
    let written = (|| {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        let directory = path.parent().unwrap_or_else(|| Path::new("."));
        File::open(directory)?.sync_all()
    })();
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// The bytes of `path`; `None` if there is no such file.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let size = file.metadata()?.len();
    if size > FILE_BYTES_MAX {
        bail!("{}: {size} bytes, more than {FILE_BYTES_MAX}; move it away", path.display());
    }
    let mut bytes = Vec::with_capacity(size as usize);
    file.read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Some(bytes))
}

/// Moves a file that cannot be used out of the way, in place of the one that was moved before; where
/// it lies then.
pub fn set_aside(path: &Path) -> Result<PathBuf> {
    let aside = beside(path, ".refused");
    fs::rename(path, &aside).with_context(|| format!("cannot rename {}", path.display()))?;
    Ok(aside)
}

fn temporary(path: &Path) -> PathBuf {
    beside(path, ".tmp")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_replaced_as_a_whole() {
        let dir = std::env::temp_dir().join(format!("spanwise-persist-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("models");
        assert_eq!(read(&path).unwrap(), None);
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert!(!temporary(&path).exists());
        assert!(replace(&dir.join("no/such/dir"), b"x").is_err());
        fs::remove_dir_all(&dir).unwrap();
    }
}
