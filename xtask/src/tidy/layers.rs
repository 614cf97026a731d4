//! Check `layers`: the star of crates. Each crate names only those of ours, and a pure crate only
//! those externals, that its row allows; no pure crate reaches an async runtime or a protocol
//! through the lock file.

use std::collections::{BTreeMap, BTreeSet};

use crate::fault::Fault;
use crate::manifest::{Dependency, DependencyKind, Manifest, unquoted};
use crate::tree::Tree;

const CHECK: &str = "layers";
/// What tests of any crate may use of ours beyond its own row.
const TESTKIT: &str = "testkit";
/// Prefix of our packages' names.
const PREFIX: &str = "spanwise-";

/// A row of the table in STYLE.md section 1.
struct Layer {
    /// Folder under `crates`.
    name: &'static str,
    /// Crates of ours that it may use.
    ours: &'static [&'static str],
    /// For a pure crate, the externals that it may use.
    externals: Option<&'static [&'static str]>,
}

const fn shell(name: &'static str, ours: &'static [&'static str]) -> Layer {
    Layer { name, ours, externals: None }
}

const fn pure(
    name: &'static str,
    ours: &'static [&'static str],
    externals: &'static [&'static str],
) -> Layer {
    Layer { name, ours, externals: Some(externals) }
}

/// Every crate has a row; a row without its crate is a fault too.
const LAYERS: [Layer; 17] = [
    pure("model", &[], &["bytes", "hashbrown", "rustc-hash", "smallvec"]),
    pure("hst", &[], &[]),
    pure("ctgan", &[], &["gemmkit", "libm", "thiserror"]),
    pure("assembler", &["model"], &["bytes", "hashbrown", "rustc-hash", "smallvec", "thiserror"]),
    pure(
        "sampler",
        &["model", "hst"],
        &[
            "bytes",
            "crc32c",
            "hashbrown",
            "libm",
            "parking_lot",
            "regex-lite",
            "rustc-hash",
            "smallvec",
            "thiserror",
        ],
    ),
    pure("scaler", &["model"], &["hashbrown", "rustc-hash", "smallvec", "thiserror"]),
    pure("sim", &["model"], &["bytes", "libm", "rand_chacha", "rand_core", "thiserror"]),
    shell("otlp", &["model"]),
    shell("source", &["model", "otlp"]),
    shell("wal", &[]),
    shell("analyzer", &["model"]),
    shell("orchestrator", &["model"]),
    shell("api", &["model"]),
    shell("eval", &["model", "hst", "assembler", "sampler", "analyzer", "scaler", "sim"]),
    shell("archive", &["model", "otlp", "ctgan"]),
    shell("testkit", &["model", "orchestrator"]),
    shell(
        "app",
        &[
            "model",
            "hst",
            "otlp",
            "source",
            "assembler",
            "wal",
            "sampler",
            "analyzer",
            "scaler",
            "orchestrator",
            "api",
            "sim",
            "eval",
            "archive",
        ],
    ),
];

/// What no pure crate may reach, however indirectly: runtimes, protocols, cluster clients.
const HEAVY: [&str; 8] =
    ["axum", "hyper", "k8s-openapi", "kube", "parquet", "prost", "tokio", "tonic"];

/// Runs the check.
pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let locked = Locked::read(tree.text("Cargo.lock").unwrap_or_default());
    for package in tree.packages().filter(|package| *package != "xtask") {
        let path = format!("{package}/Cargo.toml");
        let name = package.trim_start_matches("crates/");
        let manifest = Manifest::parse(tree.text(&path).unwrap_or_default());
        match LAYERS.iter().find(|layer| layer.name == name) {
            Some(layer) => check_crate(layer, &path, &manifest, &locked, &mut faults),
            None => faults.push(Fault::new(
                CHECK,
                &path,
                1,
                format!("`{name}` has no row in xtask/src/tidy/layers.rs: say what it may use"),
            )),
        }
    }
    faults.extend(check_xtask(tree));
    if tree.exists("Cargo.toml") {
        faults.extend(LAYERS.iter().filter_map(|layer| check_row(tree, layer)));
    }
    faults
}

fn check_row(tree: &Tree, layer: &Layer) -> Option<Fault> {
    let name = layer.name;
    let has_crate = tree.exists(&format!("crates/{name}/Cargo.toml"));
    let message = format!("the row `{name}` has no crate");
    (!has_crate).then(|| Fault::new(CHECK, "xtask/src/tidy/layers.rs", 1, message))
}

/// The longest chain of our crates over normal dependencies, by name from the top.
pub(crate) fn longest_chain(tree: &Tree) -> Vec<String> {
    let mut uses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in tree.packages() {
        let text = tree.text(&format!("{package}/Cargo.toml")).unwrap_or_default();
        let ours = Manifest::parse(text)
            .dependencies()
            .into_iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal)
            .filter_map(|dependency| ours(&dependency.name).map(str::to_owned))
            .collect();
        uses.insert(package.trim_start_matches("crates/").to_owned(), ours);
    }
    uses.keys().map(|name| chain_from(name, &uses, 0)).max_by_key(Vec::len).unwrap_or_default()
}

/// Cargo refuses cycles among crates; `depth` only keeps a broken tree from recursing for ever.
fn chain_from(name: &str, uses: &BTreeMap<String, Vec<String>>, depth: usize) -> Vec<String> {
    let mut below = Vec::new();
    if depth < uses.len() {
        let used = uses.get(name).into_iter().flatten();
        below =
            used.map(|n| chain_from(n, uses, depth + 1)).max_by_key(Vec::len).unwrap_or_default();
    }
    below.insert(0, name.to_owned());
    below
}

fn check_crate(
    layer: &Layer,
    path: &str,
    manifest: &Manifest,
    locked: &Locked<'_>,
    faults: &mut Vec<Fault>,
) {
    for dependency in manifest.dependencies() {
        let is_dev = dependency.kind == DependencyKind::Dev;
        let problem = match ours(&dependency.name) {
            Some(name) if layer.ours.contains(&name) || (is_dev && name == TESTKIT) => None,
            Some(name) => Some(format!(
                "`{}` must not use `{name}`: a type both need is a message and goes to `model`",
                layer.name
            )),
            None if is_dev => None,
            None => external_problem(layer, &dependency, locked),
        };
        if let Some(message) = problem {
            faults.push(Fault::new(CHECK, path, dependency.line, message));
        }
    }
}

fn external_problem(layer: &Layer, dependency: &Dependency, locked: &Locked<'_>) -> Option<String> {
    let allowed = layer.externals?;
    if !allowed.contains(&dependency.name.as_str()) {
        return Some(format!(
            "`{}` is a pure crate and `{}` is not among the externals of its row",
            layer.name, dependency.name
        ));
    }
    let heavy = locked.reachable(&dependency.name).into_iter().find(|n| HEAVY.contains(n))?;
    Some(format!(
        "`{}` is a pure crate and reaches `{heavy}` through `{}`",
        layer.name, dependency.name
    ))
}

/// xtask watches over dependencies, so it has none.
fn check_xtask(tree: &Tree) -> Vec<Fault> {
    let path = "xtask/Cargo.toml";
    let manifest = Manifest::parse(tree.text(path).unwrap_or_default());
    let fault =
        |d: Dependency| Fault::new(CHECK, path, d.line, "xtask uses the standard library alone");
    manifest.dependencies().into_iter().map(fault).collect()
}

fn ours(package: &str) -> Option<&str> {
    package.strip_prefix(PREFIX)
}

/// Who depends on whom according to the lock file.
struct Locked<'a> {
    uses: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Locked<'a> {
    fn read(text: &'a str) -> Self {
        let mut uses: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut package = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("name = ") {
                package = unquoted(name);
            } else if let Some(dependency) = line.strip_prefix(" \"") {
                let name = dependency.trim_end_matches(['"', ',']).split(' ').next();
                uses.entry(package).or_default().extend(name);
            }
        }
        Self { uses }
    }

    /// Everything a package reaches, itself included.
    fn reachable<'b>(&'b self, package: &'b str) -> BTreeSet<&'b str> {
        let mut seen = BTreeSet::from([package]);
        let mut waiting = vec![package];
        while let Some(name) = waiting.pop() {
            for &used in self.uses.get(name).into_iter().flatten() {
                if seen.insert(used) {
                    waiting.push(used);
                }
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_manifest(path: &str, dependencies: &str, expected: &[&str]) {
        let lock = "[[package]]\nname = \"bytes\"\ndependencies = [\n \"serde\",\n]\n\n\
                    [[package]]\nname = \"smallvec\"\ndependencies = [\n \"tokio 1.0.0\",\n]\n";
        let tree = Tree::of(&[("Cargo.lock", lock), (path, dependencies)]);
        let found: Vec<String> = check(&tree).into_iter().map(|fault| fault.message).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (message, part) in found.iter().zip(expected) {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_stage_may_not_name_another_stage() {
        let sampler = "crates/sampler/Cargo.toml";
        check_manifest(sampler, "[dependencies]\nspanwise-hst.workspace = true\n", &[]);
        check_manifest(
            sampler,
            "[dependencies]\nspanwise-analyzer.workspace = true\n",
            &["`sampler` must not use `analyzer`"],
        );
        check_manifest(
            sampler,
            "[dependencies.spanwise-app]\nworkspace = true\n",
            &["`sampler` must not use `app`"],
        );
    }

    #[test]
    fn only_tests_may_use_the_testkit() {
        let wal = "crates/wal/Cargo.toml";
        check_manifest(wal, "[dev-dependencies]\nspanwise-testkit.workspace = true\n", &[]);
        check_manifest(
            wal,
            "[dependencies]\nspanwise-testkit.workspace = true\n",
            &["must not use `testkit`"],
        );
    }

    #[test]
    fn pure_crates_keep_to_their_externals_and_reach_nothing_heavy() {
        let model = "crates/model/Cargo.toml";
        check_manifest(model, "[dependencies]\nbytes.workspace = true\n", &[]);
        check_manifest(model, "[dev-dependencies]\nproptest.workspace = true\n", &[]);
        check_manifest(
            model,
            "[dependencies]\nserde.workspace = true\n",
            &["`serde` is not among the externals"],
        );
        check_manifest(
            model,
            "[dependencies]\nsmallvec.workspace = true\n",
            &["reaches `tokio` through `smallvec`"],
        );
        check_manifest("crates/otlp/Cargo.toml", "[dependencies]\ntokio.workspace = true\n", &[]);
    }

    #[test]
    fn a_crate_without_a_row_and_a_dependency_of_xtask_are_faults() {
        check_manifest("crates/common/Cargo.toml", "", &["`common` has no row"]);
        check_manifest(
            "xtask/Cargo.toml",
            "[dependencies]\nserde.workspace = true\n",
            &["standard library alone"],
        );
    }

    #[test]
    fn a_row_without_its_crate_is_a_fault() {
        let faults = check(&Tree::of(&[("Cargo.toml", ""), ("crates/hst/Cargo.toml", "")]));
        assert_eq!(faults.len(), LAYERS.len() - 1, "{faults:?}");
    }

    #[test]
    fn the_longest_chain_is_counted_over_normal_dependencies() {
        let tree = Tree::of(&[
            ("crates/app/Cargo.toml", "[dependencies]\nspanwise-sampler.workspace = true\n"),
            ("crates/sampler/Cargo.toml", "[dependencies]\nspanwise-model.workspace = true\n"),
            ("crates/model/Cargo.toml", "[dev-dependencies]\nspanwise-testkit.workspace = true\n"),
            ("crates/testkit/Cargo.toml", "[dependencies]\nspanwise-model.workspace = true\n"),
        ]);
        assert_eq!(longest_chain(&tree), ["app", "sampler", "model"]);
    }
}
