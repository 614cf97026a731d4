//! `rules test`: plays the tests of a configuration through rules, windows and scaler, and compares
//! what was decided with what was expected.
//!
//! Virtual time, one thread, no orchestrator: targets live in memory, a plan is carried out at once.
//! The pieces are those of `serve`; only the spans come from [`Stream`] and not from the network.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanwise_analyzer::rules::testing::{
    Evaluation, RESOURCES, START, Stream, TICK_NS, TestCase, evaluate,
};
use spanwise_analyzer::rules::{Predicates, RuleSet, RuleWindows};
use spanwise_model::{Decision, Observed, ScaleAction, ScalingPlan, Timestamp};
use spanwise_scaler::{Config, Scaler};

/// The result of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestReport {
    /// The test's name.
    pub name: String,
    /// One per expectation, in their order.
    pub checks: Vec<Check>,
}

/// The result of one expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Whether it was met, what was expected, and what was decided.
    pub evaluation: Evaluation,
    /// Where every rule about the same target stood at that time.
    pub evidence: Vec<String>,
}

impl TestReport {
    /// Whether every expectation was met.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.evaluation.passed)
    }
}

/// Plays tests that `TestCase::check` found nothing wrong with, each on fresh state.
pub fn run(rules: &Arc<RuleSet>, scaler: &Config, cases: &[TestCase]) -> Vec<TestReport> {
    cases.iter().map(|case| Player::new(rules, scaler, case).play(case)).collect()
}

struct Player {
    rules: Arc<RuleSet>,
    predicates: Predicates,
    windows: RuleWindows,
    scaler: Scaler,
    /// State of every target, by name.
    targets: BTreeMap<Arc<str>, Observed>,
    /// Every record by id, with its latest outcome.
    decisions: BTreeMap<u64, Decision>,
}

impl Player {
    fn new(rules: &Arc<RuleSet>, config: &Config, case: &TestCase) -> Self {
        let mut config = config.clone();
        config.mode = case.mode.mode();
        let mut targets = BTreeMap::new();
        for target in &mut config.targets {
            // A test is about rules: a target that only observes for now is tested all the same.
            target.mode = None;
            let desired = case.replicas.get(&**target.name()).copied().unwrap_or(target.min);
            let (ready, settled) = (Some(desired), Some(true));
            let observed =
                Observed { desired, ready, settled, resources: RESOURCES, ..Observed::default() };
            targets.insert(Arc::clone(target.name()), observed);
        }
        Self {
            rules: Arc::clone(rules),
            predicates: Predicates::new(Arc::clone(rules)),
            windows: RuleWindows::new(Arc::clone(rules)),
            // As if it had been running for long.
            scaler: Scaler::new(config, Timestamp::default()),
            targets,
            decisions: BTreeMap::new(),
        }
    }

    fn play(mut self, case: &TestCase) -> TestReport {
        let mut stream = Stream::new(case);
        let mut evidence: Vec<Vec<String>> = Vec::new();
        let n_ticks = case.length_ns().div_ceil(TICK_NS);
        for tick in 1..=n_ticks {
            let now = START.plus_ns(tick * TICK_NS);
            stream.feed(now, &mut self.predicates);
            self.tick(now);
            let due = |idx: usize| {
                case.expect.get(idx).is_some_and(|next| START.plus_ns(next.at.0) <= now)
            };
            while due(evidence.len()) {
                let about = case.expect[evidence.len()].target();
                evidence.push(self.evidence(about, now));
            }
        }
        evidence.resize(case.expect.len(), Vec::new());
        let decisions: Vec<Decision> = self.decisions.into_values().collect();
        let evaluations = evaluate(case, &decisions).into_iter().zip(evidence);
        let checks = evaluations.map(|(evaluation, evidence)| Check { evaluation, evidence });
        TestReport { name: case.name.clone(), checks: checks.collect() }
    }

    /// What `serve` does once a second: counts, windows, findings, decisions, plans.
    fn tick(&mut self, now: Timestamp) {
        let mut counts = Vec::new();
        if self.predicates.drain(&mut counts) > 0 {
            self.windows.mark_hole(now);
        }
        for count in &counts {
            self.windows.add(count, now);
        }
        let mut findings = Vec::new();
        self.windows.tick(now, &mut findings);
        let mut records = Vec::new();
        for finding in findings {
            self.scaler.push(finding, now, &mut records);
        }
        for target in self.scaler.pending() {
            let Some(observed) = self.targets.get(&target.name).cloned() else {
                continue;
            };
            let plan = self.scaler.decide(&target, Ok(&observed), now, &mut records);
            if let Some(plan) = plan {
                self.keep(std::mem::take(&mut records));
                self.carry_out(&plan, now);
            }
        }
        self.scaler.tick(now, &mut records);
        self.keep(records);
    }

    fn carry_out(&mut self, plan: &ScalingPlan, now: Timestamp) {
        if let Some(state) = self.targets.get_mut(&plan.target.name) {
            match plan.action {
                ScaleAction::SetReplicas { to, .. } => {
                    state.desired = to;
                    state.ready = Some(to);
                }
                ScaleAction::SetResources { cpu_millis, memory_bytes } => {
                    let had = state.resources;
                    state.resources.cpu_millis = cpu_millis.or(had.cpu_millis);
                    state.resources.memory_bytes = memory_bytes.or(had.memory_bytes);
                }
            }
        }
        let done = self.scaler.applied(plan.decision_id, Ok("done in memory".to_owned()), now);
        self.keep(done.into_iter().collect());
    }

    fn keep(&mut self, records: Vec<Decision>) {
        self.decisions.extend(records.into_iter().map(|record| (record.id, record)));
    }

    /// Where the rules about a target (or alert) stand.
    fn evidence(&self, about: &str, now: Timestamp) -> Vec<String> {
        let rules = (0_u32..).zip(self.rules.rules());
        rules
            .filter(|(_, rule)| **rule.action.target() == *about)
            .filter_map(|(idx, rule)| Some(self.windows.state(idx, now)?.describe(rule)))
            .collect()
    }
}
