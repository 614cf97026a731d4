//! `rules test`: unit tests for rules.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::json;
use spanwise_analyzer::rules::testing::TestCase;
use spanwise_model::Severity;

use super::RulesCommand;
use super::output::Output;
use crate::config::raw::RawConfig;
use crate::config::{built, load, yaml};
use crate::exit::{Exit, NEGATIVE, OK};
use crate::rules_test::{self, TestReport};

/// A file of tests alone, which names the file with the rules.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TestFile {
    rules: Vec<PathBuf>,
    tests: Vec<TestCase>,
}

/// Runs a `rules` command.
pub fn run(command: &RulesCommand, output: &Output) -> Result<Exit> {
    let RulesCommand::Test { files } = command;
    let mut failed = 0;
    let mut n_tests = 0;
    let mut results = Vec::new();
    let mut text = String::new();
    for file in files {
        let reports = test(file)?;
        let name = file.display().to_string();
        for report in &reports {
            n_tests += 1;
            failed += usize::from(!report.passed());
            render(&name, report, &mut text);
            results.push(as_json(&name, report));
        }
    }
    let passed = n_tests - failed;
    let _ = write!(text, "{passed} passed, {failed} failed");
    if n_tests == 0 {
        bail!("no tests in {}\n  fix: add `tests:`", files[0].display());
    }
    output.result(&json!({"passed": passed, "failed": failed, "tests": results}), |_| text)?;
    Ok(if failed == 0 { OK } else { NEGATIVE })
}

fn test(file: &Path) -> Result<Vec<TestReport>> {
    let name = file.display().to_string();
    let text = load::read(file)?;
    // A whole configuration, unless the file names other files.
    let names_others = text.lines().any(|line| line.starts_with("rules:"));
    let (config, raw) = if names_others {
        let parsed: TestFile = yaml::parse(&text, &name).map_err(anyhow::Error::msg)?;
        let [rules] = parsed.rules.as_slice() else {
            bail!("{name}: `rules` names {} files\n  fix: name one", parsed.rules.len());
        };
        let path = file.parent().unwrap_or_else(|| Path::new(".")).join(rules);
        let rules = load::read(&path).with_context(|| format!("rules of {name}"))?;
        let rules_name = path.display().to_string();
        let raw: RawConfig = yaml::parse(&rules, &rules_name).map_err(anyhow::Error::msg)?;
        (build(&raw, &rules, &rules_name)?, RawConfig { tests: parsed.tests, ..raw })
    } else {
        let raw: RawConfig = yaml::parse(&text, &name).map_err(anyhow::Error::msg)?;
        (build(&raw, &text, &name)?, raw)
    };
    let problems = built::check_tests(&raw, &config);
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        bail!("{}", load::render(&problems, &text, &name));
    }
    Ok(rules_test::run(&config.rules, &config.scaler, &raw.tests))
}

/// Validates the scaler alone: a test needs no data directory.
fn build(raw: &RawConfig, text: &str, name: &str) -> Result<built::Config> {
    let mut raw = raw.clone();
    raw.data_dir = Some(PathBuf::from("unused"));
    let (config, problems) = built::build(&raw);
    match config {
        Some(config) if problems.iter().all(|problem| problem.severity != Severity::Error) => {
            Ok(config)
        }
        _ => bail!("{}", load::render(&problems, text, name)),
    }
}

fn render(file: &str, report: &TestReport, out: &mut String) {
    let verdict = if report.passed() { "ok  " } else { "FAIL" };
    let _ = writeln!(out, "{verdict} {file}: {}", report.name);
    for check in report.checks.iter().filter(|check| !check.evaluation.passed) {
        let _ = writeln!(out, "     expected {}", check.evaluation.expected);
        let _ = writeln!(out, "     actual   {}", check.evaluation.actual);
        for line in &check.evidence {
            let _ = writeln!(out, "     evidence {line}");
        }
    }
}

fn as_json(file: &str, report: &TestReport) -> serde_json::Value {
    let checks: Vec<_> = report
        .checks
        .iter()
        .map(|check| {
            json!({
                "passed": check.evaluation.passed,
                "expected": check.evaluation.expected,
                "actual": check.evaluation.actual,
                "evidence": check.evidence,
            })
        })
        .collect();
    json!({"file": file, "name": report.name, "passed": report.passed(), "checks": checks})
}
