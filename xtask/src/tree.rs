//! The repository as a value: every file git would commit, with its text. Checks are functions from
//! a [`Tree`] to faults, so their tests need no disk.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::rust::Source;

/// Folders of recorded or generated data, by the name of a path component outside `src`. Their
/// files may be large and are checked for nothing else.
const DATA_FOLDERS: [&str; 4] = ["data", "corpus", "fixtures", "proptest-regressions"];
/// Larger files are not read: no source or document comes near it.
const TEXT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Files by their path from the root, with `/` as separator, in order of path.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, File>,
}

/// One file.
#[derive(Debug)]
pub(crate) struct File {
    /// Size on disk.
    pub(crate) size_bytes: u64,
    /// Its text; `None` for data, for what is not UTF-8 and for very large files.
    pub(crate) text: Option<String>,
    /// The text taken apart, when a check first asks for it.
    source: OnceCell<Source>,
}

/// A Rust source written by hand.
#[derive(Debug)]
pub(crate) struct RustFile<'a> {
    /// Path from the root.
    pub(crate) path: &'a str,
    /// The text as it stands.
    pub(crate) text: &'a str,
    /// The text taken apart.
    pub(crate) source: &'a Source,
}

impl Tree {
    /// Reads what git knows or would add: tracked and new files, not ignored ones. A file that is
    /// tracked but deleted in the work tree is left out.
    pub(crate) fn load(root: &Path) -> Result<Self, String> {
        let listing = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(root)
            .output()
            .map_err(|e| format!("cannot run git in {}: {e}", root.display()))?;
        if !listing.status.success() {
            let stderr = String::from_utf8_lossy(&listing.stderr);
            return Err(format!("git ls-files failed in {}: {stderr}", root.display()));
        }
        let mut files = BTreeMap::new();
        for path in String::from_utf8_lossy(&listing.stdout).split_terminator('\0') {
            if let Some(file) = File::read(root, path) {
                files.insert(path.to_owned(), file);
            }
        }
        Ok(Self { files })
    }

    /// A tree of texts, for tests.
    #[cfg(test)]
    pub(crate) fn of(texts: &[(&str, &str)]) -> Self {
        let file = |text: &str| File {
            size_bytes: text.len() as u64,
            text: Some(text.to_owned()),
            source: OnceCell::new(),
        };
        Self { files: texts.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect() }
    }

    /// Every file, data included.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// Every text outside the data folders.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files()
            .filter(|(path, _)| !is_data(path))
            .filter_map(|(path, file)| file.text.as_deref().map(|text| (path, text)))
    }

    /// Every Rust source written by hand.
    pub(crate) fn rust_files(&self) -> impl Iterator<Item = RustFile<'_>> {
        self.files().filter(|(path, _)| has_extension(path, "rs") && !is_data(path)).filter_map(
            |(path, file)| {
                let text = file.text.as_deref().filter(|text| !is_generated(text))?;
                let source = file.source.get_or_init(|| Source::parse(text));
                Some(RustFile { path, text, source })
            },
        )
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.text.as_deref()
    }

    /// Whether `path` is a file or a folder with files in it.
    pub(crate) fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let folder = format!("{path}/");
        self.files.contains_key(path) || self.under(&folder).next().is_some()
    }

    /// Paths that start with `prefix`, in order.
    pub(crate) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.files
            .range(prefix.to_owned()..)
            .map(|(path, _)| path.as_str())
            .take_while(move |path| path.starts_with(prefix))
    }

    /// Folders of the workspace's packages: `crates/<name>` and `xtask`, in order.
    pub(crate) fn packages(&self) -> impl Iterator<Item = &str> {
        self.files.keys().filter_map(|path| {
            let folder = path.strip_suffix("/Cargo.toml")?;
            let depth = folder.matches('/').count();
            let is_crate = folder.starts_with("crates/") && depth == 1;
            (is_crate || folder == "xtask").then_some(folder)
        })
    }
}

impl File {
    /// `None` when there is no such regular file.
    fn read(root: &Path, path: &str) -> Option<Self> {
        let absolute = root.join(path);
        let metadata = std::fs::symlink_metadata(&absolute).ok()?;
        if !metadata.is_file() {
            return None;
        }
        let is_text = !is_data(path) && metadata.len() <= TEXT_BYTES_MAX;
        let text = if is_text { std::fs::read_to_string(&absolute).ok() } else { None };
        Some(Self { size_bytes: metadata.len(), text, source: OnceCell::new() })
    }
}

/// Whether a path lies in a data folder.
pub(crate) fn is_data(path: &str) -> bool {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    let mut components = folders.split('/');
    components.clone().any(|part| DATA_FOLDERS.contains(&part)) && !components.any(|p| p == "src")
}

/// Whether code generators wrote the file: they say so in its first line.
pub(crate) fn is_generated(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.contains("@generated"))
}

/// Whether the path ends in `.extension`.
pub(crate) fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_folders_are_known_by_name_but_not_under_src() {
        assert!(is_data("crates/app/data/sample.otlp.jsonl"));
        assert!(is_data("fuzz/corpus/span/one"));
        assert!(!is_data("crates/source/src/data/rows.rs"));
        assert!(!is_data("docs/data"));
    }

    #[test]
    fn a_folder_exists_when_a_file_lies_below_it() {
        let tree = Tree::of(&[("docs/adr/001-a.md", ""), ("docs-old", "")]);
        assert!(tree.exists("docs/adr/") && tree.exists("docs") && tree.exists("docs-old"));
        assert!(!tree.exists("docs/ad") && !tree.exists("doc"));
    }

    #[test]
    fn packages_are_the_crates_and_xtask() {
        let tree = Tree::of(&[
            ("Cargo.toml", ""),
            ("crates/hst/Cargo.toml", ""),
            ("crates/hst/fuzz/Cargo.toml", ""),
            ("fuzz/Cargo.toml", ""),
            ("xtask/Cargo.toml", ""),
        ]);
        assert_eq!(tree.packages().collect::<Vec<_>>(), ["crates/hst", "xtask"]);
    }
}
