//! What may be scaled, how far, and how often. Typed settings; the application reads them from the
//! configuration file.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanwise_model::{Mode, Problem, Severity, TargetRef};

/// Rest of a target after an action unless configured otherwise: one up per minute, so that the
/// effect of one step is seen before the next.
pub const COOLDOWN_NS_DEFAULT: u64 = 60 * NS_PER_S;
/// How long a decision may wait to be carried out, and how old its evidence may be.
pub const DECISION_TTL_NS: u64 = 60 * 1_000_000_000;
const NS_PER_S: u64 = 1_000_000_000;
const COOLDOWN_NS_MAX: u64 = 24 * 3_600 * NS_PER_S;
/// Most replicas of one target that make sense in a configuration.
const REPLICAS_MAX: u32 = 10_000;
/// Longest name that spans carry; a longer one would serve none.
const NAME_BYTES_MAX: usize = 256;
/// Most targets.
const TARGETS_MAX: usize = 1_000;

/// Settings of the scaler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The furthest any target may go. Default observe.
    pub mode: Mode,
    /// What can be scaled.
    pub targets: Vec<Target>,
    /// Most replicas of all targets together. Default `None`: the sum of their `max`.
    pub fleet_max: Option<u32>,
}

/// Settings of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name (the service it serves) and where its backend finds it.
    pub reference: TargetRef,
    /// Fewest replicas, at least 1: spanwise never scales to zero.
    pub min: u32,
    /// Most replicas. Required: there is no safe default.
    pub max: u32,
    /// Rest after an action of either axis, in nanoseconds, at least 1 s.
    pub cooldown_ns: u64,
    /// Most replicas to add within 60 s. Default `None`: the larger of 4 and what it has; a larger
    /// figure here does not lift that cap.
    pub step_max: Option<u32>,
    /// The furthest this target may go; never further than [`Config::mode`]. Default `None`.
    pub mode: Option<Mode>,
    /// False for what must never be scaled, such as a database.
    pub scalable: bool,
}

impl Target {
    /// A target that may be scaled from 1 to `max` replicas, with defaults for the rest.
    pub fn new(reference: TargetRef, max: u32) -> Self {
        Self {
            reference,
            min: 1,
            max,
            cooldown_ns: COOLDOWN_NS_DEFAULT,
            step_max: None,
            mode: None,
            scalable: true,
        }
    }

    /// The name rules use.
    pub fn name(&self) -> &Arc<str> {
        &self.reference.name
    }
}

impl Config {
    /// The mode in force for a target: its own, but never further than the scaler's.
    pub fn mode_of(&self, target: &Target) -> Mode {
        target.mode.map_or(self.mode, |mode| mode.min(self.mode))
    }

    /// Everything that is wrong, with paths below `scaler`. A configuration with an error must not
    /// be given to [`Scaler::new`](crate::Scaler::new). The codes are listed in `docs/reasons.md`.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        if self.targets.len() > TARGETS_MAX {
            let message = format!("{} targets, more than {TARGETS_MAX}", self.targets.len());
            add(&mut problems, "S001", "scaler.targets", message, "run one spanwise per cluster");
        }
        for (idx, target) in self.targets.iter().enumerate() {
            let path = format!("scaler.targets[{idx}]");
            if let Some(earlier) = first.insert(target.name(), idx) {
                let message = format!("service `{}` has targets[{earlier}]", target.name());
                let fix = "give each service one target";
                add(&mut problems, "S002", &format!("{path}.service"), message, fix);
            }
            check(target, &path, &mut problems);
            if self.mode_of(target) < target.mode.unwrap_or_default() {
                problems.push(Problem {
                    path: format!("{path}.mode"),
                    code: "S007",
                    severity: Severity::Warning,
                    message: format!("has no effect above scaler.mode {}", self.mode.as_str()),
                    fix: "raise scaler.mode, or remove it here".to_owned(),
                });
            }
        }
        problems
    }
}

fn check(target: &Target, path: &str, problems: &mut Vec<Problem>) {
    let name = target.name();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let message = format!("service is empty, over {NAME_BYTES_MAX} bytes or unprintable");
        add(problems, "S003", &format!("{path}.service"), message, "write its service.name");
    }
    if !target.scalable {
        return;
    }
    if target.max == 0 || target.max > REPLICAS_MAX {
        let message = format!("max is missing, 0 or above {REPLICAS_MAX}");
        let fix = "write the most replicas you can afford, such as max: 20";
        add(problems, "S004", &format!("{path}.max"), message, fix);
    } else if target.min == 0 || target.min > target.max {
        let message = format!("min {} is not from 1 to max {}", target.min, target.max);
        let fix = "write at least min: 1; scaling to zero is left to others";
        add(problems, "S005", &format!("{path}.min"), message, fix);
    }
    if !(NS_PER_S..=COOLDOWN_NS_MAX).contains(&target.cooldown_ns) {
        let message = "cooldown is not from 1s to 24h".to_owned();
        add(problems, "S006", &format!("{path}.cooldown"), message, "leave it out for 60s");
    }
    if target.step_max.is_some_and(|step| !(1..=REPLICAS_MAX).contains(&step)) {
        let message = format!("step is not from 1 to {REPLICAS_MAX}");
        add(problems, "S008", &format!("{path}.step"), message, "write step: 1, or mode: observe");
    }
}

fn add(problems: &mut Vec<Problem>, code: &'static str, path: &str, message: String, fix: &str) {
    let (path, fix) = (path.to_owned(), fix.to_owned());
    problems.push(Problem { path, code, severity: Severity::Error, message, fix });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str) -> Target {
        let reference = TargetRef {
            name: Arc::from(name),
            backend: Arc::from("recorder"),
            kind: Arc::from(""),
            api_version: Arc::from(""),
            namespace: Arc::from(""),
            object: Arc::from(name),
        };
        Target::new(reference, 20)
    }

    fn check(change: impl Fn(&mut Config), expected: &[&str]) {
        let mut config = Config { targets: vec![target("a"), target("b")], ..Config::default() };
        change(&mut config);
        let found: Vec<String> =
            config.validate().iter().map(|p| format!("{} {}", p.code, p.path)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_mistake_is_reported_with_its_path() {
        check(|_| {}, &[]);
        check(|c| c.targets[1] = target("a"), &["S002 scaler.targets[1].service"]);
        check(|c| c.targets[0] = target(""), &["S003 scaler.targets[0].service"]);
        check(|c| c.targets[0].max = 0, &["S004 scaler.targets[0].max"]);
        check(|c| c.targets[0].min = 21, &["S005 scaler.targets[0].min"]);
        check(|c| c.targets[0].min = 0, &["S005 scaler.targets[0].min"]);
        check(|c| c.targets[0].cooldown_ns = 5, &["S006 scaler.targets[0].cooldown"]);
        check(|c| c.targets[1].mode = Some(Mode::Act), &["S007 scaler.targets[1].mode"]);
        check(|c| c.targets[1].step_max = Some(0), &["S008 scaler.targets[1].step"]);
        check(|c| c.targets[1].step_max = Some(10_001), &["S008 scaler.targets[1].step"]);
        check(|c| c.targets[0] = target("a\nb"), &["S003 scaler.targets[0].service"]);
        check(|c| c.targets[0] = target(&"a".repeat(257)), &["S003 scaler.targets[0].service"]);
    }

    #[test]
    fn what_is_not_scaled_needs_no_bounds() {
        check(
            |c| {
                c.targets[0].scalable = false;
                c.targets[0].max = 0;
            },
            &[],
        );
    }

    #[test]
    fn a_target_never_goes_further_than_the_scaler() {
        let mut config = Config { mode: Mode::Recommend, ..Config::default() };
        let check = |config: &Config, mode, expected| {
            assert_eq!(config.mode_of(&Target { mode, ..target("a") }), expected);
        };
        check(&config, None, Mode::Recommend);
        check(&config, Some(Mode::Act), Mode::Recommend);
        check(&config, Some(Mode::Observe), Mode::Observe);
        config.mode = Mode::Observe;
        check(&config, Some(Mode::Act), Mode::Observe);
    }
}
