//! `explain`: why a target was scaled or was not, and what its rules have seen.
//!
//! Most questions are about a rule that never fires. So the rules are told beside the decisions: how
//! many spans each has seen, and where that is none, what its service does send.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::json;
use spanwise_analyzer::units::DurationNs;
use spanwise_api::{DecisionList, RuleList, RuleStateView, StatusView};

use super::decisions::{explanation, fetch, line, one, percent_encode};
use super::output::Output;
use super::{ExplainArgs, Format};
use crate::exit::{Exit, NEGATIVE, OK};

/// Decisions of a target that are told.
const N_DECISIONS: usize = 10;

/// Says why a target was scaled or not, or explains one decision.
pub fn run(args: &ExplainArgs, output: &Output) -> Result<Exit> {
    let is_id = |text: &str| text.strip_prefix("d-").is_some_and(|n| n.parse::<u64>().is_ok());
    if is_id(&args.what) {
        return one(&args.url, &args.what, output);
    }
    let known = Known::fetch(&args.url)?;
    let rules = known.about(&args.what);
    let mut decisions = Vec::new();
    for target in targets(&args.what, &rules) {
        decisions.append(&mut about(&args.url, target)?.items);
    }
    decisions.sort_by(|a, b| b.time.cmp(&a.time));
    decisions.truncate(N_DECISIONS);
    if decisions.is_empty() && rules.is_empty() && !known.is_target(&args.what) {
        output.note(&known.unknown(&args.what));
        return Ok(NEGATIVE);
    }
    if output.format == Format::Json {
        let document = json!({"decisions": decisions, "rules": rules});
        output.line(&serde_json::to_string_pretty(&document)?)?;
    } else {
        let mut decisions = decisions.into_iter();
        if let Some(newest) = decisions.next() {
            output.line(explanation(newest)?.trim_end())?;
            for earlier in decisions {
                output.line(&format!("before: {}", line(&earlier)))?;
            }
        } else {
            output.line(&format!("no decision about `{}`: no rule of its has fired", args.what))?;
        }
        if rules.is_empty() {
            output.line(&format!("no rule names `{}`", args.what))?;
        }
        for rule in rules {
            output.line(&seen(rule))?;
        }
    }
    Ok(OK)
}

/// Why a list of decisions is empty.
pub(super) fn no_decisions(url: &str, target: Option<&str>, is_filtered: bool) -> Result<String> {
    let known = Known::fetch(url)?;
    if let Some(target) = target
        && !known.is_target(target)
        && !known.rules.iter().any(|rule| rule.target == target)
    {
        return Ok(known.unknown(target));
    }
    Ok(match (target, is_filtered) {
        (_, true) => "no decision like that in memory".to_owned(),
        (Some(target), false) => {
            format!("no decision about `{target}`; `spanwise explain {target}` tells what its rules have seen")
        }
        (None, false) if known.rules.is_empty() => "no decisions: there are no rules".to_owned(),
        (None, false) => {
            "no decisions yet: no rule has fired; `spanwise explain SERVICE` tells what its rules have seen"
                .to_owned()
        }
    })
}

/// What the running spanwise has rules and targets for.
struct Known {
    rules: Vec<RuleStateView>,
    targets: Vec<String>,
}

impl Known {
    fn fetch(url: &str) -> Result<Self> {
        let rules: RuleList = serde_json::from_slice(&fetch(&format!("{url}/api/v1/rules"))?)?;
        let status: StatusView = serde_json::from_slice(&fetch(&format!("{url}/api/v1/status"))?)?;
        let targets = status.targets.into_iter().map(|target| target.target.service).collect();
        Ok(Self { rules: rules.items, targets })
    }

    fn is_target(&self, name: &str) -> bool {
        self.targets.iter().any(|target| target == name)
    }

    /// Rules with this name, target or service.
    fn about(&self, name: &str) -> Vec<&RuleStateView> {
        let is_about = |rule: &&RuleStateView| {
            [&rule.name, &rule.target, &rule.service].contains(&&name.to_owned())
        };
        self.rules.iter().filter(is_about).collect()
    }

    fn unknown(&self, name: &str) -> String {
        let rules = self.rules.iter().flat_map(|rule| [&rule.target, &rule.service, &rule.name]);
        let mut names: Vec<&str> = self.targets.iter().chain(rules).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return format!(
                "`{name}` is not known here: this spanwise has no targets and no rules"
            );
        }
        format!(
            "no target, rule or ruled service is called `{name}`\n  fix: name one of {}",
            names.join(", ")
        )
    }
}

/// The targets whose decisions are about `what`: itself, and those of its rules.
fn targets<'a>(what: &'a str, rules: &[&'a RuleStateView]) -> Vec<&'a str> {
    let mut targets = vec![what];
    targets.extend(rules.iter().map(|rule| rule.target.as_str()));
    targets.sort_unstable();
    targets.dedup();
    targets
}

fn about(url: &str, target: &str) -> Result<DecisionList> {
    let target = percent_encode(target);
    let path = format!("{url}/api/v1/decisions?target={target}&limit={N_DECISIONS}");
    Ok(serde_json::from_slice(&fetch(&path)?)?)
}

/// What a rule has seen.
fn seen(rule: &RuleStateView) -> String {
    let RuleStateView { name, action, target, service, op, on, count, window_s, .. } = rule;
    let over = DurationNs(rule.over_ns.0);
    let mut text = format!(
        "rule {name} ({action} {target}) needs {count} spans of {service}::{op} with {on} over {over} within {window_s}s\n  \
         since the start: {} spans seen, {} of them over, fired {} times",
        rule.spans, rule.breaches, rule.fired
    );
    if rule.spans > 0 {
        return text;
    }
    // Writing into a string cannot fail.
    let _ = if !rule.known_operations.is_empty() {
        write!(
            text,
            "\n  its op matches nothing; {service} sends: {}",
            rule.known_operations.join(", ")
        )
    } else if rule.known_services.is_empty() {
        write!(text, "\n  no span has come in yet")
    } else {
        write!(text, "\n  {service} sends nothing; these do: {}", rule.known_services.join(", "))
    };
    text
}
