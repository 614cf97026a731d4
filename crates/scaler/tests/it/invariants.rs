//! I1 to I9 under anything the world may do: a random world drives the scaler, and every plan is
//! judged by rules written down here, independently of the scaler's own checks.

use std::sync::Arc;

use proptest::prelude::*;
use spanwise_model::{
    Decision, Finding, Mode, Observed, Outcome, Owner, ScaleAction, ScalingPlan, Timestamp,
    WantedAction,
};
use spanwise_scaler::{Config, Refusal, Scaler, Target};

use crate::support::{at, finding, healthy, reference, short};

const NAMES: [&str; 3] = ["cart", "web", "db"];

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    /// Time passes, in milliseconds.
    Wait(u64),
    /// A rule fires: target, rule, axis and amount, age in seconds, quorum.
    Finding {
        target: usize,
        rule: u8,
        amount: u32,
        vertical: bool,
        to: bool,
        age: u64,
        short: bool,
    },
    /// The state of a target changes from outside.
    World {
        target: usize,
        change: u8,
        figure: u32,
    },
    /// The application observes and decides.
    Decide {
        target: usize,
        fails: bool,
    },
    /// The application reports on the oldest plan.
    Applied {
        result: u8,
    },
    Tick,
    /// The process restarts and reads its log.
    Restart,
}

fn arb_event() -> impl Strategy<Value = Event> {
    let target = 0_usize..3;
    prop_oneof![
        30 => (1_u64..40_000).prop_map(Event::Wait),
        40 => (target.clone(), 0_u8..4, 0_u32..30, any::<bool>(), any::<bool>(), prop_oneof![4 => 0_u64..20, 1 => 0_u64..90], prop::bool::weighted(0.2))
            .prop_map(|(target, rule, amount, vertical, to, age, short)| Event::Finding { target, rule, amount, vertical, to, age, short }),
        10 => (target.clone(), 0_u8..24, 0_u32..30)
            .prop_map(|(target, change, figure)| Event::World { target, change, figure }),
        60 => (target, prop::bool::weighted(0.1)).prop_map(|(target, fails)| Event::Decide { target, fails }),
        40 => (0_u8..10).prop_map(|result| Event::Applied { result }),
        10 => Just(Event::Tick),
        2 => Just(Event::Restart),
    ]
}

/// Min, replicas above it, cooldown in seconds, step, mode, scalable.
type TargetFigures = (u32, u32, u64, Option<u32>, u8, bool);
/// A plan that was handed out: when, target, from, and whether it was surely not written.
type Action = (Timestamp, usize, Option<u32>, bool);

fn arb_target() -> impl Strategy<Value = TargetFigures> {
    let step = prop::option::of(1_u32..8);
    (1_u32..5, 0_u32..20, 1_u64..90, step, 0_u8..4, prop::bool::weighted(0.9))
}

struct World {
    config: Config,
    scaler: Scaler,
    now: Timestamp,
    started: Timestamp,
    states: Vec<Observed>,
    log: Vec<Decision>,
    plans: Vec<ScalingPlan>,
    actions: Vec<Action>,
    /// Replicas each target had when it was last observed or set.
    known: [u32; 3],
    last_finding: [Option<Timestamp>; 3],
    window_ns: u64,
}

impl World {
    fn new(mode: Mode, fleet_max: Option<u32>, targets: &[TargetFigures]) -> Self {
        let targets: Vec<Target> = targets
            .iter()
            .zip(NAMES)
            .map(|(&(min, above, cooldown_s, step_max, mode, scalable), name)| Target {
                min,
                cooldown_ns: cooldown_s * 1_000_000_000,
                step_max,
                mode: [None, Some(Mode::Observe), Some(Mode::Recommend), Some(Mode::Act)]
                    [usize::from(mode)],
                scalable,
                ..Target::new(reference(name), min + above)
            })
            .collect();
        let config = Config { mode, targets, fleet_max };
        assert!(config.validate().iter().all(|p| p.severity != spanwise_model::Severity::Error));
        let state = healthy(2);
        let started = at(0);
        Self {
            scaler: Scaler::new(config.clone(), started),
            config,
            now: started,
            started,
            states: vec![state; 3],
            log: Vec::new(),
            plans: Vec::new(),
            actions: Vec::new(),
            known: [0; 3],
            last_finding: [None; 3],
            window_ns: 30_000_000_000,
        }
    }

    fn step(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match *event {
            Event::Wait(ms) => self.now = self.now.plus_ns(ms * 1_000_000),
            Event::Finding { target, rule, amount, vertical, to, age, short: is_short } => {
                let found = self.finding((target, rule, amount), vertical, to, age);
                let found = if is_short { short(found) } else { found };
                let waits = self.scaler.pending().len();
                self.scaler.push(found.clone(), self.now, &mut self.log);
                if self.scaler.pending().len() >= waits && !is_short {
                    self.last_finding[target] = self.last_finding[target].max(Some(found.at));
                }
            }
            Event::World { target, change, figure } => self.change(target, change, figure),
            Event::Decide { target, fails } => self.decide(target, fails)?,
            Event::Applied { result } => self.applied(result),
            Event::Tick => {
                self.scaler.tick(self.now, &mut self.log);
            }
            Event::Restart => {
                self.scaler = Scaler::new(self.config.clone(), self.now);
                self.scaler.restore(&self.log);
                self.started = self.now;
                self.plans.clear();
                self.known = [0; 3];
            }
        }
        Ok(())
    }

    fn finding(
        &self,
        (target, rule, amount): (usize, u8, u32),
        vertical: bool,
        to: bool,
        age: u64,
    ) -> Finding {
        let name = Arc::from(NAMES[target]);
        let action = match (vertical, to) {
            (true, false) => WantedAction::Vertical {
                target: name,
                cpu_percent: Some(amount * 40 + 1),
                cpu_millis: None,
                memory_percent: None,
                memory_bytes: None,
            },
            (true, true) => WantedAction::Vertical {
                target: name,
                cpu_percent: None,
                cpu_millis: Some(u64::from(amount) * 60),
                memory_percent: None,
                memory_bytes: Some(u64::from(amount) << 26),
            },
            (false, false) => WantedAction::ReplicasBy { target: name, by: amount },
            (false, true) => WantedAction::ReplicasTo { target: name, to: amount },
        };
        finding(&format!("rule-{rule}"), action, self.now.minus_ns(age * 1_000_000_000))
    }

    fn change(&mut self, target: usize, change: u8, figure: u32) {
        let state = &mut self.states[target];
        match change {
            0 => state.desired = figure,
            1 => state.ready = Some(figure),
            2 => state.ready = Some(state.desired),
            3 => state.settled = [None, Some(true), Some(false)][figure as usize % 3],
            4 => {
                state.owner =
                    (figure.is_multiple_of(3)).then(|| Owner::ScaledObject("x".to_owned()));
            }
            5 => state.paused = figure.is_multiple_of(3),
            6 => {
                state.resources.cpu_millis =
                    (!figure.is_multiple_of(3)).then_some(u64::from(figure) * 10);
            }
            7 => state.revision = figure.to_string(),
            // Most of the time things are well.
            _ => *state = healthy(figure / 3 + 1),
        }
    }

    fn decide(&mut self, target: usize, fails: bool) -> Result<(), TestCaseError> {
        let state = self.states[target].clone();
        let observed = if fails { Err("down") } else { Ok(&state) };
        if !fails && self.scaler.status(self.now)[target].in_flight.is_none() {
            self.known[target] = state.desired;
        }
        let plan = self.scaler.decide(&reference(NAMES[target]), observed, self.now, &mut self.log);
        if let Some(plan) = plan {
            prop_assert!(!fails, "acted without knowing the state");
            self.judge(target, &state, &plan)?;
            let from = match plan.action {
                ScaleAction::SetReplicas { from, .. } => Some(from),
                ScaleAction::SetResources { .. } => None,
            };
            self.actions.push((self.now, target, from, false));
            self.plans.push(plan);
        }
        Ok(())
    }

    /// I1 to I9.
    fn judge(&self, idx: usize, state: &Observed, plan: &ScalingPlan) -> Result<(), TestCaseError> {
        let target = &self.config.targets[idx];
        let mode = target.mode.unwrap_or(self.config.mode).min(self.config.mode);
        let mine = || self.actions.iter().filter(|&&(_, other, _, void)| other == idx && !void);
        match plan.action {
            ScaleAction::SetReplicas { from, to } => {
                prop_assert!(to > 0, "I6");
                prop_assert!(from == state.desired && to > from, "I5");
                prop_assert!((target.min..=target.max).contains(&to), "I1");
                let mut recent = mine().filter(|(at, _, from, _)| {
                    self.now.since(*at) < 60_000_000_000 && from.is_some()
                });
                let base = recent.find_map(|&(_, _, from, _)| from).unwrap_or(from).min(from);
                let cap = base.max(4).min(target.step_max.unwrap_or(u32::MAX));
                prop_assert!(to <= (base + cap).max(target.min), "I2: {base} + {cap} < {to}");
                if let Some(fleet) = self.config.fleet_max {
                    let others: u32 = self.known.iter().sum::<u32>() - self.known[idx];
                    prop_assert!(to + others <= fleet, "I4: {to} + {others}");
                }
            }
            ScaleAction::SetResources { cpu_millis, memory_bytes } => {
                for (wanted, known) in [
                    (cpu_millis, state.resources.cpu_millis),
                    (memory_bytes, state.resources.memory_bytes),
                ] {
                    let Some(wanted) = wanted else { continue };
                    prop_assert!(wanted > known.unwrap_or(0), "I5, I6");
                    prop_assert!(known.is_none_or(|known| wanted <= 4 * known), "I2");
                }
            }
        }
        let last = mine().map(|&(at, ..)| at).max();
        prop_assert!(last.is_none_or(|at| self.now.since(at) >= target.cooldown_ns), "I3");
        prop_assert_eq!((&plan.revision, &plan.uid), (&state.revision, &state.uid), "I7");
        prop_assert!(plan.expires.since(self.now) <= 60_000_000_000, "I8");
        let evidence = self.last_finding[idx];
        prop_assert!(
            evidence.is_some_and(|at| self.now.since(at) <= 60_000_000_000),
            "I8: evidence"
        );
        prop_assert!(mode == Mode::Act && target.scalable, "I9: mode");
        prop_assert!(!state.paused && state.owner.is_none() && state.desired > 0, "I9: hands off");
        prop_assert!(state.settled != Some(false), "I9: rollout");
        let ready = state.ready.is_none_or(|ready| ready * 5 >= state.desired * 4);
        prop_assert!(ready, "I9: not ready");
        prop_assert!(self.now.since(self.started) >= 2 * self.window_ns, "I9: starting");
        Ok(())
    }

    fn applied(&mut self, result: u8) {
        if self.plans.is_empty() {
            return;
        }
        let plan = self.plans.remove(0);
        let text = || "text".to_owned();
        let result = match result {
            0 => Err(Refusal::Conflict(text())),
            1 => Err(Refusal::Owned(text())),
            2 => Err(Refusal::Failed(text())),
            3 => Err(Refusal::Unsupported(text())),
            4 => Err(Refusal::Paused(text())),
            _ => Ok(text()),
        };
        let maybe_written = matches!(result, Ok(_) | Err(Refusal::Failed(_)));
        let void = !maybe_written;
        let done = result.is_ok();
        let Some(decision) = self.scaler.applied(plan.decision_id, result, self.now) else {
            return;
        };
        let idx = NAMES.iter().position(|name| **name == *plan.target.name).unwrap_or_default();
        if let Some(action) = self.actions.iter_mut().rev().find(|action| action.1 == idx) {
            action.3 = void;
        }
        if let (true, ScaleAction::SetReplicas { to, .. }) = (done, &plan.action) {
            self.states[idx].desired = *to;
            self.states[idx].ready = Some(*to);
            self.known[idx] = *to;
        }
        self.log.push(decision);
    }
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![4 => Just(Mode::Act), 1 => Just(Mode::Recommend), 1 => Just(Mode::Observe)]
}

proptest! {
    #[test]
    fn no_world_makes_the_scaler_break_an_invariant(
        mode in mode(),
        fleet_max in prop::option::of(5_u32..40),
        targets in prop::collection::vec(arb_target(), 3..=3),
        events in prop::collection::vec(arb_event(), 1..200),
    ) {
        let mut world = World::new(mode, fleet_max, &targets);
        for event in &events {
            world.step(event)?;
        }
        prop_assert_eq!(world.scaler.stats().n_violations, 0, "caught only by the last check");
        let mut ids: Vec<u64> = world.log.iter().map(|d| d.id).collect();
        let n_open = world.log.iter().filter(|d| d.outcome == Outcome::Acted).count();
        ids.sort_unstable();
        ids.dedup();
        prop_assert!(ids.len() + n_open >= world.log.len() / 2);
        for decision in &world.log {
            prop_assert!(!decision.summary.is_empty() && !decision.rules.is_empty());
            prop_assert!(decision.trace_ids.len() <= 5);
        }
    }
}

/// Guarantees: the random world reaches plans and most reasons, so the property above is not empty.
#[test]
fn the_random_world_acts_often_enough_to_mean_something() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config as RunnerConfig, TestRunner};
    let mut runner = TestRunner::new_with_rng(
        RunnerConfig::default(),
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let events = prop::collection::vec(arb_event(), 100..200);
    let (mut n_plans, mut reasons) = (0, std::collections::BTreeSet::new());
    for _ in 0..200 {
        let events = events.new_tree(&mut runner).unwrap().current();
        let target = (1, 15, 20, None, 0, true);
        let mut world = World::new(Mode::Act, None, &[target; 3]);
        for event in &events {
            world.step(event).unwrap();
        }
        n_plans += world.scaler.stats().n_plans;
        reasons.extend(world.log.iter().map(|d| d.reason.as_str()));
    }
    assert!(n_plans > 100, "{n_plans}");
    assert!(reasons.len() >= 9, "{reasons:?}");
}
