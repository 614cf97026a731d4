//! `cargo xtask check`: every check in one command, cheapest first, stopping at the first that
//! fails.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::tidy;
use crate::tree::Tree;

/// One check.
struct Step {
    /// As it is named on the command line.
    name: &'static str,
    /// Program and arguments; empty for the one that runs in this process.
    command: &'static [&'static str],
    /// Installed by `scripts/install-tools.sh`; without it the step is left out, except in CI.
    is_optional: bool,
}

const fn cargo(name: &'static str, command: &'static [&'static str]) -> Step {
    Step { name, command, is_optional: false }
}

const STEPS: [Step; 7] = [
    cargo("fmt", &["cargo", "fmt", "--all", "--check"]),
    Step { name: "typos", command: &["typos"], is_optional: true },
    cargo("tidy", &[]),
    cargo(
        "clippy",
        &["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    ),
    cargo("test", &["cargo", "test", "--workspace", "--locked"]),
    cargo(
        "doc",
        &["cargo", "doc", "--workspace", "--no-deps", "--document-private-items", "--locked"],
    ),
    Step {
        name: "deny",
        command: &["cargo-deny", "--locked", "check", "bans", "licenses", "sources"],
        is_optional: true,
    },
];

/// Runs the named steps, or all of them. `Ok(false)` when one fails.
pub(crate) fn run(root: &Path, names: &[&str], out: &mut dyn Write) -> Result<bool, String> {
    if let Some(unknown) = names.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        let known: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        return Err(format!("no step `{unknown}`, only {}", known.join(" ")));
    }
    let steps = STEPS.iter().filter(|step| names.is_empty() || names.contains(&step.name));
    for step in steps {
        #[expect(
            clippy::disallowed_methods,
            reason = "a tool times its steps; no stage is involved"
        )]
        let start = Instant::now();
        writeln!(out, "== {}", step.name).map_err(|e| e.to_string())?;
        let passed = run_step(root, step, out)?;
        let seconds = start.elapsed().as_secs_f64();
        let verdict = if passed { "ok" } else { "FAILED" };
        writeln!(out, "== {} {verdict} in {seconds:.1} s", step.name).map_err(|e| e.to_string())?;
        if !passed {
            return Ok(false);
        }
    }
    Ok(true)
}

fn run_step(root: &Path, step: &Step, out: &mut dyn Write) -> Result<bool, String> {
    let [program, arguments @ ..] = step.command else {
        return tidy::run(&Tree::load(root)?, out).map_err(|e| e.to_string());
    };
    let tool = tools_folder(root).join(program);
    let program = if tool.is_file() { tool } else { PathBuf::from(program) };
    let mut command = Command::new(&program);
    command.args(arguments).current_dir(root);
    if step.name == "doc" {
        let inherited = std::env::var("RUSTDOCFLAGS").unwrap_or_default();
        command.env("RUSTDOCFLAGS", format!("{inherited} -D warnings"));
    }
    match command.status() {
        Ok(status) => Ok(status.success()),
        Err(error) if step.is_optional && std::env::var_os("CI").is_none() => {
            let remedy = "scripts/install-tools.sh installs it";
            writeln!(out, "skipped: {}: {error}; {remedy}", program.display())
                .map_err(|e| e.to_string())?;
            Ok(true)
        }
        Err(error) => Err(format!("cannot run {}: {error}", program.display())),
    }
}

/// Where `scripts/install-tools.sh` puts what cargo does not bring.
fn tools_folder(root: &Path) -> PathBuf {
    root.join("target/tools/bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_step_is_refused_before_any_runs() {
        let mut out = Vec::new();
        let error = run(Path::new("/nowhere"), &["fmt", "lint"], &mut out).unwrap_err();
        assert_eq!(error, "no step `lint`, only fmt typos tidy clippy test doc deny");
        assert_eq!(out, b"");
    }
}
