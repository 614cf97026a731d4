//! Reads as much TOML as manifests use: sections, keys, values that may run over lines. Not a TOML
//! parser: strings in three quotes and arrays of tables inside values are beyond it, and manifests
//! do without them.

/// A manifest as a list of entries, in order of the file.
#[derive(Debug)]
pub(crate) struct Manifest {
    entries: Vec<Entry>,
}

/// `key = value` with the section it stands in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Name of the section without brackets; empty at the top.
    pub(crate) section: String,
    /// Key as written: `bytes`, `bytes.workspace`.
    pub(crate) key: String,
    /// Value as written, comments removed, lines joined.
    pub(crate) value: String,
    /// Line of the key, counted from 1.
    pub(crate) line: usize,
}

/// Where a dependency is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DependencyKind {
    /// `[dependencies]`, also of a target.
    Normal,
    /// `[dev-dependencies]`.
    Dev,
    /// `[build-dependencies]`.
    Build,
}

/// One dependency.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// Name of the package, or what it was renamed to.
    pub(crate) name: String,
    /// Where it is listed.
    pub(crate) kind: DependencyKind,
    /// Everything said about it, as `key = value` joined by commas.
    pub(crate) details: String,
    /// Line of its first mention.
    pub(crate) line: usize,
}

impl Manifest {
    /// Reads a manifest. Lines that are none of section, entry, comment or blank are skipped: cargo
    /// refuses them before any check runs.
    pub(crate) fn parse(text: &str) -> Self {
        let mut section = String::new();
        let mut entries = Vec::new();
        let mut lines = text.lines().enumerate();
        while let Some((idx, raw)) = lines.next() {
            let line = without_comment(raw).trim();
            if line.starts_with('[') {
                line.trim_matches(['[', ']']).trim().clone_into(&mut section);
                continue;
            }
            let Some((key, first)) = line.split_once('=') else { continue };
            let mut value = first.trim().to_owned();
            while n_open_brackets(&value) > 0 {
                let Some((_, more)) = lines.next() else { break };
                value.push(' ');
                value.push_str(without_comment(more).trim());
            }
            let key = key.trim().to_owned();
            entries.push(Entry { section: section.clone(), key, value, line: idx + 1 });
        }
        Self { entries }
    }

    /// Every entry.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Entries of one section.
    pub(crate) fn section<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.section == section)
    }

    /// The value of a key, as written.
    pub(crate) fn value(&self, section: &str, key: &str) -> Option<&str> {
        let is_wanted = |entry: &&Entry| entry.section == section && entry.key == key;
        self.entries.iter().find(is_wanted).map(|entry| entry.value.as_str())
    }

    /// The features, `default` left out.
    pub(crate) fn features(&self) -> impl Iterator<Item = &Entry> {
        self.section("features").filter(|entry| entry.key != "default")
    }

    /// Every dependency of every section, also `[dependencies.x]` and those of targets.
    pub(crate) fn dependencies(&self) -> Vec<Dependency> {
        let mut found: Vec<Dependency> = Vec::new();
        for entry in &self.entries {
            let Some((kind, name_of_section)) = dependency_section(&entry.section) else {
                continue;
            };
            let (name, detail) = match (name_of_section, entry.key.split_once('.')) {
                (Some(name), _) => (name, format!("{} = {}", entry.key, entry.value)),
                (None, Some((name, key))) => (name, format!("{key} = {}", entry.value)),
                (None, None) => (entry.key.as_str(), entry.value.clone()),
            };
            match found.iter_mut().find(|d| d.name == name && d.kind == kind) {
                Some(known) => {
                    known.details.push_str(", ");
                    known.details.push_str(&detail);
                }
                None => found.push(Dependency {
                    name: name.to_owned(),
                    kind,
                    details: detail,
                    line: entry.line,
                }),
            }
        }
        found
    }
}

/// The text between the quotes of a string value.
pub(crate) fn unquoted(value: &str) -> &str {
    value.trim().trim_matches('"')
}

/// Recognises `dependencies`, `dev-dependencies.x`, `target.'cfg(unix)'.dependencies` and the like.
fn dependency_section(section: &str) -> Option<(DependencyKind, Option<&str>)> {
    let kinds = [
        ("dev-dependencies", DependencyKind::Dev),
        ("build-dependencies", DependencyKind::Build),
        ("dependencies", DependencyKind::Normal),
    ];
    if section.starts_with("workspace.") {
        return None;
    }
    let local = section.strip_prefix("target.").map_or(section, |target| {
        target.find("dependencies").map_or(target, |at| {
            let start = target[..at].rfind('.').map_or(0, |dot| dot + 1);
            &target[start..]
        })
    });
    kinds.into_iter().find_map(|(name, kind)| {
        let rest = local.strip_prefix(name)?;
        if rest.is_empty() {
            return Some((kind, None));
        }
        rest.strip_prefix('.').map(|dependency| (kind, Some(dependency)))
    })
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'#' if !quoted => return &line[..at],
            _ => {}
        }
    }
    line
}

fn n_open_brackets(value: &str) -> i32 {
    let mut quoted = false;
    let mut n_open = 0;
    for byte in value.bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => n_open += 1,
            b']' | b'}' if !quoted => n_open -= 1,
            _ => {}
        }
    }
    n_open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_run_over_lines_and_lose_their_comments() {
        let manifest = Manifest::parse(
            "[features]\ndefault = [\"a\"] # on\na = [ # first\n  \"x#1\",\n]\n\n[lints]\nworkspace = true\n",
        );
        assert_eq!(manifest.value("features", "a"), Some("[ \"x#1\", ]"));
        assert_eq!(manifest.value("lints", "workspace"), Some("true"));
        assert_eq!(manifest.features().map(|e| e.line).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn dependencies_are_found_in_every_form_of_section() {
        let manifest = Manifest::parse(
            "[dependencies]\nbytes.workspace = true\n\
             [dependencies.serde]\nworkspace = true\nfeatures = [\"derive\"]\n\
             [target.'cfg(unix)'.dependencies]\nlibc = \"1\"\n\
             [dev-dependencies]\nproptest = { workspace = true }\n\
             [workspace.dependencies]\nignored = \"1\"\n",
        );
        let found: Vec<(String, DependencyKind, String)> = manifest
            .dependencies()
            .into_iter()
            .map(|dependency| (dependency.name, dependency.kind, dependency.details))
            .collect();
        let expected = [
            ("bytes", DependencyKind::Normal, "workspace = true"),
            ("serde", DependencyKind::Normal, "workspace = true, features = [\"derive\"]"),
            ("libc", DependencyKind::Normal, "\"1\""),
            ("proptest", DependencyKind::Dev, "{ workspace = true }"),
        ];
        let expected: Vec<(String, DependencyKind, String)> = expected
            .into_iter()
            .map(|(name, kind, details)| (name.to_owned(), kind, details.to_owned()))
            .collect();
        assert_eq!(found, expected);
    }
}
