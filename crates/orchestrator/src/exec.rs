//! Scales through a command of the user's: the decision goes to its standard input as JSON, its
//! exit code says what became of it.
//!
//! The command is an argument array and never passes through a shell, so no name from a span or a
//! configuration can turn into code. Exit 0 means applied, 75 (`EX_TEMPFAIL`) means try again
//! (three tries at most, one second apart), anything else means refused. A command that outlives
//! its timeout is killed, and what it did is unknown.
//!
//! State comes from a second command that prints `{"replicas": 3}`, or is remembered from what was
//! applied. There is no compare-and-swap and no dry run: a command cannot be trusted to honour
//! either.

mod process;
mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use spanwise_model::{Observed, ScaleAction, TargetRef};

use self::process::{Ended, run};
use crate::error::OrchError;
use crate::port::{Applied, Caps, Guard, Orchestrator, check_request, check_state};
use crate::recorder::carry_out;

/// Exit code of a command that wants to be tried again: `EX_TEMPFAIL` of sysexits.h.
const TRY_AGAIN: i32 = 75;
/// Tries of one action.
const N_TRIES: u32 = 3;
/// Wait between two tries.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);
/// Targets whose state is remembered; a configuration has far fewer.
const N_TARGETS_MAX: usize = 4096;

/// Settings of the backend `exec`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecConfig {
    /// Name by which targets refer to the backend.
    pub id: String,
    /// The command that applies an action: program and arguments. Must not be empty.
    pub apply: Vec<String>,
    /// The command that prints a target's state; `None` remembers what was applied.
    pub observe: Option<Vec<String>>,
    /// Longest run of one command.
    pub timeout: Duration,
    /// Replicas assumed of a target before anything was applied, where no command tells.
    pub initial_replicas: u32,
}

/// Scales by running a command; see the module text.
#[derive(Debug)]
pub struct Exec {
    config: ExecConfig,
    remembered: Mutex<BTreeMap<TargetRef, Observed>>,
}

impl Default for ExecConfig {
    /// Called `exec`, no command, 5 s, one replica. Invalid until `apply` is set.
    fn default() -> Self {
        Self {
            id: "exec".to_owned(),
            apply: Vec::new(),
            observe: None,
            timeout: Duration::from_secs(5),
            initial_replicas: 1,
        }
    }
}

impl Exec {
    /// A backend that runs the commands of `config`; `Invalid` if one of them is empty.
    pub fn new(config: ExecConfig) -> Result<Self, OrchError> {
        let named = |argv: &[String]| argv.first().is_some_and(|program| !program.is_empty());
        if !named(&config.apply) {
            return Err(OrchError::invalid("exec needs a command: apply: [\"/path/to/program\"]"));
        }
        if config.observe.as_ref().is_some_and(|argv| !named(argv)) {
            return Err(OrchError::invalid("the observe command is empty; leave it out instead"));
        }
        Ok(Self { config, remembered: Mutex::new(BTreeMap::new()) })
    }

    fn recall(&self, target: &TargetRef) -> Observed {
        let known = self.remembered.lock().get(target).cloned();
        known.unwrap_or_else(|| Observed {
            desired: self.config.initial_replicas,
            ..Observed::default()
        })
    }

    fn remember(&self, target: &TargetRef, action: &ScaleAction) {
        let mut state = self.recall(target);
        carry_out(&mut state, action);
        state.ready = None;
        let mut remembered = self.remembered.lock();
        if remembered.len() < N_TARGETS_MAX || remembered.contains_key(target) {
            remembered.insert(target.clone(), state);
        }
    }

    async fn state(&self, target: &TargetRef) -> Result<Observed, OrchError> {
        let Some(argv) = &self.config.observe else { return Ok(self.recall(target)) };
        let question = wire::question(target)?;
        match run(argv, &question, self.config.timeout).await? {
            Ended { code: Some(0), stdout, .. } => wire::read_state(&stdout, argv),
            ended if ended.code == Some(TRY_AGAIN) => {
                Err(OrchError::transient(ended.describe(argv)))
            }
            ended => Err(OrchError::invalid(ended.describe(argv))),
        }
    }

    async fn carry_out(
        &self,
        target: &TargetRef,
        action: &ScaleAction,
        guard: &Guard,
    ) -> Result<Applied, OrchError> {
        let state = self.state(target).await?;
        let written = check_state(&state, action, guard)?;
        if written {
            self.run_apply(&wire::order(target, action, guard)?).await?;
            self.remember(target, action);
        }
        Ok(Applied {
            action: action.clone(),
            written,
            revision: String::new(),
            dry_run: false,
            n_rewrites: 0,
        })
    }

    async fn run_apply(&self, order: &[u8]) -> Result<(), OrchError> {
        let argv = &self.config.apply;
        let mut n_tries = 1;
        loop {
            let ended = run(argv, order, self.config.timeout).await?;
            match ended.code {
                Some(0) => return Ok(()),
                Some(TRY_AGAIN) if n_tries < N_TRIES => n_tries += 1,
                Some(TRY_AGAIN) => return Err(OrchError::transient(ended.describe(argv))),
                Some(_) => return Err(OrchError::invalid(ended.describe(argv))),
                None => return Err(unknown_effect(ended.describe(argv))),
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
    }
}

impl Orchestrator for Exec {
    fn id(&self) -> &str {
        &self.config.id
    }

    fn caps(&self, _target: &TargetRef) -> Caps {
        Caps::HORIZONTAL.with(Caps::VERTICAL).with(Caps::EXTERNAL)
    }

    fn observe<'a>(&'a self, target: &'a TargetRef) -> BoxFuture<'a, Result<Observed, OrchError>> {
        self.state(target).boxed()
    }

    fn apply<'a>(
        &'a self,
        target: &'a TargetRef,
        action: &'a ScaleAction,
        guard: &'a Guard,
    ) -> BoxFuture<'a, Result<Applied, OrchError>> {
        async move {
            check_request(action, guard)?;
            if guard.dry_run {
                return Err(OrchError::Unsupported {
                    what: "a dry run by command".to_owned(),
                    detail: "use the orchestrator `recorder` to see what would be done".to_owned(),
                });
            }
            let work = self.carry_out(target, action, guard);
            tokio::time::timeout(guard.ttl, work).await.unwrap_or_else(|_| Err(out_of_time()))
        }
        .boxed()
    }
}

/// The decision expired while a command ran, which then is killed.
fn out_of_time() -> OrchError {
    unknown_effect("the decision's time to live ran out while the command ran".to_owned())
}

/// A run whose end nobody saw.
fn unknown_effect(detail: String) -> OrchError {
    OrchError::Transient { detail, maybe_applied: true }
}
