//! `config convert`: the settings that stand for a Collector's `tail_sampling` processor.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use spanwise_analyzer::units::DurationNs;
use spanwise_model::{Problem, Severity};

use super::output::Output;
use crate::config::load;
use crate::config::tail_sampling::{self, Processor, RawPolicy};
use crate::exit::{Exit, NEGATIVE, OK};

/// The settings that are printed.
#[derive(Debug, Serialize)]
struct Converted<'a> {
    sampler: ConvertedSampler<'a>,
}

#[derive(Debug, Serialize)]
struct ConvertedSampler<'a> {
    traces: ConvertedTraces<'a>,
}

#[derive(Debug, Serialize)]
struct ConvertedTraces<'a> {
    decision_wait_after_root_received: DurationNs,
    rest: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sample_on_first_match: bool,
    policies: &'a [RawPolicy],
}

/// Prints the settings, or everything that keeps them from being printed.
pub fn run(file: &Path, processor: Option<&str>, output: &Output) -> Result<Exit> {
    let name = file.display().to_string();
    let text = load::read(file)?;
    let found = match tail_sampling::find(&text, &name) {
        Ok(found) => found,
        Err(rendered) => {
            output.note(&rendered);
            return Ok(NEGATIVE);
        }
    };
    let processor = match choose(found, processor) {
        Ok(processor) => processor,
        Err(message) => {
            output.note(&format!("error: {name}: {message}"));
            return Ok(NEGATIVE);
        }
    };
    let path = format!("{}.policies", processor.path);
    let (policies, found) = tail_sampling::build(&path, &processor.raw.policies);
    let mut problems = processor.problems();
    problems.extend(found);
    problems.extend(substitutions(&path, &processor.raw.policies));
    let wait = processor.wait().map_err(|problem| problems.push(problem));
    if !problems.is_empty() {
        output.note(&load::render(&problems, &text, &name));
    }
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    match wait {
        Ok(wait) if policies.is_some() && !problems.iter().any(is_error) => {
            print(&name, processor, wait, output)?;
            Ok(OK)
        }
        _ => Ok(NEGATIVE),
    }
}

/// The processor of that name, or the only one.
fn choose(found: Vec<Processor>, name: Option<&str>) -> Result<Processor, String> {
    let names = found.iter().map(|processor| &*processor.name).collect::<Vec<_>>().join(", ");
    let n_found = found.len();
    let mut fitting =
        found.into_iter().filter(|processor| name.is_none_or(|name| processor.name == name));
    match (fitting.next(), n_found) {
        (None, 0) => Err("there is no `tail_sampling` under `processors`\n  fix: name the file \
                          that has one"
            .to_owned()),
        (None, _) => {
            Err(format!("no processor of that name\n  fix: give --processor one of {names}"))
        }
        (Some(_), 2..) if name.is_none() => {
            Err(format!("there are several processors\n  fix: give --processor one of {names}"))
        }
        (Some(processor), _) => Ok(processor),
    }
}

/// What the Collector would replace before it reads the file.
fn substitutions(path: &str, policies: &[RawPolicy]) -> Vec<Problem> {
    let replaced =
        |policy: &RawPolicy| serde_json::to_string(policy).is_ok_and(|text| text.contains("${"));
    let places = policies.iter().enumerate().filter(|(_, policy)| replaced(policy));
    let problem = |(idx, policy): (usize, &RawPolicy)| Problem {
        path: format!("{path}[{idx}]"),
        code: "P003",
        severity: Severity::Error,
        message: format!(
            "`{}` has a value such as ${{env:NAME}}, which is not replaced",
            policy.name
        ),
        fix: "write the value itself".to_owned(),
    };
    places.map(problem).collect()
}

fn print(file: &str, processor: Processor, wait: DurationNs, output: &Output) -> Result<()> {
    let mut notes = vec![
        "Receivers and exporters stand under `listen` and `forward`.",
        "`decision_wait_after_root_received`: traces are as complete as there. 6s suffice where all SDKs \
         export every 5 s, as they do by default; 1s is the default here.",
        "`budget: exempt` keeps what these policies keep whatever the budget; without it the budget \
         pays.",
        "`rest: drop` drops what no policy keeps; without it the sampler keeps the anomalous part of \
         that, within its budget.",
    ];
    if has(&processor.raw.policies, &|policy| {
        policy.probabilistic.as_ref().is_some_and(|chance| chance.hash_salt.is_empty())
    }) {
        notes.push(
            "`probabilistic` without `hash_salt` keeps the same share as the Collector, but by the \
             trace's own randomness: other traces.",
        );
    }
    if processor.raw.policies.iter().any(inverts) {
        notes.push(
            "`invert_match` turns the policy's own vote around and vetoes nothing, as in the \
             Collector since 0.156; to exclude traces use `drop`.",
        );
    }
    let mut policies = processor.raw.policies;
    for policy in policies.iter_mut().filter(|policy| policy.kind != "drop") {
        policy.budget = Some("exempt".to_owned());
    }
    let traces = ConvertedTraces {
        decision_wait_after_root_received: wait,
        rest: "drop",
        sample_on_first_match: processor.raw.sample_on_first_match,
        policies: &policies,
    };
    let converted = Converted { sampler: ConvertedSampler { traces } };
    let yaml = serde_saphyr::to_string(&converted)?;
    output.result(&converted, |_| {
        let mut text = format!("# From `{}` in {file}.\n", processor.name);
        for note in notes {
            let _ = writeln!(text, "# {note}");
        }
        text + yaml.trim_end()
    })
}

/// Whether a policy, or one inside it, is such a one.
fn has(policies: &[RawPolicy], is_such: &dyn Fn(&RawPolicy) -> bool) -> bool {
    policies.iter().any(|policy| {
        let and = policy.and.as_ref().map_or(&[][..], |and| &and.and_sub_policy);
        let drop = policy.drop.as_ref().map_or(&[][..], |drop| &drop.drop_sub_policy);
        let parts = policy.composite.as_ref().map_or(&[][..], |c| &c.composite_sub_policy);
        let not = policy.not.as_ref().map_or(&[][..], |n| std::slice::from_ref(&*n.not_sub_policy));
        is_such(policy) || [and, drop, parts, not].into_iter().any(|inner| has(inner, is_such))
    })
}

fn inverts(policy: &RawPolicy) -> bool {
    policy.string_attribute.as_ref().is_some_and(|raw| raw.invert_match)
        || policy.numeric_attribute.as_ref().is_some_and(|raw| raw.invert_match)
        || policy.boolean_attribute.as_ref().is_some_and(|raw| raw.invert_match)
}
