//! An orchestrator that scales nothing: it remembers per target what was applied. Behind `observe`
//! mode, the demo and tests.
//!
//! It keeps the promises of a real backend (identity, revision, refusals), so that what passes here
//! passes there.

use std::collections::{BTreeMap, VecDeque};

use futures_util::future::{BoxFuture, FutureExt, ready};
use parking_lot::Mutex;
use spanwise_model::{Observed, Resources, ScaleAction, TargetRef};

use crate::error::OrchError;
use crate::port::{Applied, Caps, Guard, Orchestrator, check_request, check_state};

/// Targets remembered; a configuration has far fewer.
const N_TARGETS_MAX: usize = 4096;
/// Applied actions remembered.
const N_HISTORY_MAX: usize = 1024;

/// Remembers the state of every target it was asked about; see the module text.
#[derive(Debug)]
pub struct Recorder {
    id: String,
    initial: Observed,
    memory: Mutex<Memory>,
}

/// One applied action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The decision carried out.
    pub decision_id: u64,
    /// The target's name.
    pub target: TargetRef,
    /// What was done.
    pub action: ScaleAction,
    /// The decision's summary.
    pub summary: String,
}

#[derive(Debug, Default)]
struct Memory {
    states: BTreeMap<TargetRef, Observed>,
    history: VecDeque<Recorded>,
    revision: u64,
}

impl Recorder {
    /// A recorder called `id` whose targets start with `replicas` replicas of half a core and
    /// 512 MiB each.
    pub fn new(id: &str, replicas: u32) -> Self {
        let resources = Resources { cpu_millis: Some(500), memory_bytes: Some(512 << 20) };
        let initial = Observed {
            desired: replicas,
            ready: Some(replicas),
            settled: Some(true),
            resources,
            ..Observed::default()
        };
        Self { id: id.to_owned(), initial, memory: Mutex::new(Memory::default()) }
    }

    /// Puts a target into a state, as if somebody else had. The revision is set by the recorder;
    /// an empty uid keeps the one there was.
    pub fn set(&self, target: &TargetRef, state: Observed) -> Result<(), OrchError> {
        let mut memory = self.memory.lock();
        let known = memory.state(target, &self.initial)?;
        let uid = if state.uid.is_empty() { known.uid } else { state.uid.clone() };
        memory.write(target, Observed { uid, ..state });
        Ok(())
    }

    /// The last actions applied, oldest first, at most 1,024. Dry runs are not among them.
    pub fn history(&self) -> Vec<Recorded> {
        self.memory.lock().history.iter().cloned().collect()
    }

    fn apply_now(
        &self,
        target: &TargetRef,
        action: &ScaleAction,
        guard: &Guard,
    ) -> Result<Applied, OrchError> {
        check_request(action, guard)?;
        let mut memory = self.memory.lock();
        let mut state = memory.state(target, &self.initial)?;
        let written = check_state(&state, action, guard)?;
        let mut applied = Applied {
            action: action.clone(),
            written,
            revision: state.revision.clone(),
            dry_run: guard.dry_run,
            n_rewrites: 0,
        };
        if written && !guard.dry_run {
            carry_out(&mut state, action);
            applied.revision = memory.write(target, state);
            memory.remember(Recorded {
                decision_id: guard.decision_id,
                target: target.clone(),
                action: action.clone(),
                summary: guard.summary.clone(),
            });
        }
        Ok(applied)
    }
}

impl Default for Recorder {
    /// A recorder called `recorder` whose targets start with one replica.
    fn default() -> Self {
        Self::new("recorder", 1)
    }
}

impl Orchestrator for Recorder {
    fn id(&self) -> &str {
        &self.id
    }

    fn caps(&self, _target: &TargetRef) -> Caps {
        Caps::HORIZONTAL.with(Caps::VERTICAL).with(Caps::DRY_RUN).with(Caps::COMPARE_AND_SWAP)
    }

    fn observe<'a>(&'a self, target: &'a TargetRef) -> BoxFuture<'a, Result<Observed, OrchError>> {
        ready(self.memory.lock().state(target, &self.initial)).boxed()
    }

    fn apply<'a>(
        &'a self,
        target: &'a TargetRef,
        action: &'a ScaleAction,
        guard: &'a Guard,
    ) -> BoxFuture<'a, Result<Applied, OrchError>> {
        ready(self.apply_now(target, action, guard)).boxed()
    }
}

impl Memory {
    /// The state of a target, which starts as `initial` with an identity of its own.
    fn state(&mut self, target: &TargetRef, initial: &Observed) -> Result<Observed, OrchError> {
        if let Some(state) = self.states.get(target) {
            return Ok(state.clone());
        }
        if self.states.len() >= N_TARGETS_MAX {
            let detail = format!("the recorder holds {N_TARGETS_MAX} targets; configure fewer");
            return Err(OrchError::invalid(detail));
        }
        let uid = format!("recorded-{}", self.states.len());
        self.write(target, Observed { uid, ..initial.clone() });
        Ok(self.states[target].clone())
    }

    /// Stores a state under a new revision, which is returned.
    fn write(&mut self, target: &TargetRef, state: Observed) -> String {
        self.revision += 1;
        let revision = self.revision.to_string();
        self.states.insert(target.clone(), Observed { revision: revision.clone(), ..state });
        revision
    }

    fn remember(&mut self, record: Recorded) {
        if self.history.len() == N_HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(record);
    }
}

/// Changes a remembered state as the action says; new replicas are ready at once.
pub(crate) fn carry_out(state: &mut Observed, action: &ScaleAction) {
    match *action {
        ScaleAction::SetReplicas { to, .. } => {
            state.desired = to;
            state.ready = Some(to);
        }
        ScaleAction::SetResources { cpu_millis, memory_bytes } => {
            state.resources.cpu_millis = cpu_millis.or(state.resources.cpu_millis);
            state.resources.memory_bytes = memory_bytes.or(state.resources.memory_bytes);
        }
    }
}
