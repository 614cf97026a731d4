//! `config check`, `config convert` and `config show`.

use std::path::Path;

use anyhow::Result;
use spanwise_model::Severity;

use super::output::Output;
use super::{ConfigCommand, Format, convert};
use crate::config::load::counted;
use crate::config::{built, load, raw::RawConfig, yaml};
use crate::exit::{Exit, NEGATIVE, OK};

/// Runs a `config` command.
pub fn run(command: &ConfigCommand, output: &Output) -> Result<Exit> {
    match command {
        ConfigCommand::Check { file } => check(file, output),
        ConfigCommand::Convert { file, processor } => {
            convert::run(file, processor.as_deref(), output)
        }
        ConfigCommand::Show { file, config } => show(file.as_deref().or(config.as_deref()), output),
    }
}

/// Prints every problem of a file. Problems are the result of this command, so they go to stdout.
fn check(file: &Path, output: &Output) -> Result<Exit> {
    let name = file.display().to_string();
    let text = load::read(file)?;
    let raw: RawConfig = match yaml::parse(&text, &name) {
        Ok(raw) => raw,
        Err(rendered) => {
            report(output, &name, &[rendered], 1)?;
            return Ok(NEGATIVE);
        }
    };
    let (config, mut problems) = built::build(&raw);
    problems.extend(config.iter().flat_map(|config| built::check_tests(&raw, config)));
    let n_errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    if holds_nothing(&text) {
        let message = format!(
            "warning: {name} holds nothing; every setting has its default\n  fix: see docs/configuration.md, or check the name"
        );
        report(output, &name, &[message], 0)?;
        return Ok(OK);
    }
    if problems.is_empty() {
        let targets = raw.scaler.targets.len();
        let rules = raw.scaler.rules.len();
        output.result(
            &serde_json::json!({"file": name, "ok": true, "targets": targets, "rules": rules}),
            |_| {
                let (rules, targets) = (counted(rules, "rule"), counted(targets, "target"));
                format!("{name}: ok, {rules}, {targets}")
            },
        )?;
        return Ok(OK);
    }
    report(output, &name, &[load::render(&problems, &text, &name)], n_errors)?;
    Ok(if n_errors > 0 { NEGATIVE } else { OK })
}

/// Whether there is nothing but comments.
fn holds_nothing(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines.all(|line| line.is_empty() || line.starts_with('#') || line == "---" || line == "...")
}

fn report(output: &Output, file: &str, messages: &[String], n_errors: usize) -> Result<()> {
    let value = serde_json::json!({"file": file, "ok": n_errors == 0, "messages": messages});
    output.result(&value, |_| messages.join("\n"))
}

/// Prints the settings in force.
fn show(file: Option<&Path>, output: &Output) -> Result<Exit> {
    let loaded = load(file, |_| {})?;
    if !loaded.warnings.is_empty() {
        output.note(&loaded.warnings);
    }
    let resolved = loaded.config.to_raw(&loaded.raw);
    match output.format {
        Format::Json => output.result(&resolved, |_| String::new())?,
        Format::Text => output.line(serde_saphyr::to_string(&resolved)?.trim_end())?,
    }
    Ok(OK)
}
