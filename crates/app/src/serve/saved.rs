//! What survives a restart beside the logs: models of spans and of traces, and the account that keeps
//! are paid from.

use std::path::{Path, PathBuf};

use anyhow::Result;
use spanwise_model::Timestamp;
use tracing::{error, warn};

use crate::persist;
use crate::pipeline::core::Core;

/// Names of the files.
const MODELS: &str = "models.spanwise";
const TRACES: &str = "traces.spanwise";
const BUDGET: &str = "budget.spanwise";

/// The files of a data directory.
#[derive(Clone, Debug)]
pub(super) struct Saved(PathBuf);

impl Saved {
    pub(super) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Reads back what was learned, if there is any. What cannot be used is set aside, so that it is not
    /// written over, and begins anew.
    pub(super) fn restore(&self, core: &mut Core, now: Timestamp) {
        self.read(MODELS, |bytes| core.restore(bytes, now));
        if let Some(stage) = core.traces_mut() {
            self.read(TRACES, |bytes| stage.restore(bytes, now));
        }
    }

    /// The same for the budget, which all shards share. What was saved of it holds only once: it is
    /// written again at once as of a process that runs.
    pub(super) fn restore_budget(&self, core: &Core, now: Timestamp) {
        if let Some(stage) = core.traces() {
            self.read(BUDGET, |bytes| Ok(stage.ledger().restore(bytes, now)?));
            self.save_budget(core, false);
        }
    }

    /// Writes what was learned, on this thread: they are a few megabytes at most, and the queue in front
    /// of the worker bridges the pause.
    pub(super) fn save(&self, core: &Core) {
        let mut bytes = Vec::new();
        core.snapshot(&mut bytes);
        self.write(MODELS, &bytes);
        if let Some(stage) = core.traces() {
            bytes.clear();
            stage.snapshot(&mut bytes);
            self.write(TRACES, &bytes);
        }
    }

    /// Writes the account of all shards. `is_final`: nothing will be kept any more, by none of them.
    pub(super) fn save_budget(&self, core: &Core, is_final: bool) {
        let Some(stage) = core.traces() else { return };
        let mut bytes = Vec::new();
        stage.ledger().snapshot(is_final, &mut bytes);
        self.write(BUDGET, &bytes);
    }

    fn read(&self, name: &str, restore: impl FnOnce(&[u8]) -> Result<()>) {
        let path = self.0.join(name);
        let restored = match persist::read(&path) {
            Ok(None) => return,
            Ok(Some(bytes)) => restore(&bytes),
            Err(error) => Err(error),
        };
        let Err(error) = restored else { return };
        match persist::set_aside(&path) {
            Ok(aside) => {
                let aside = aside.display();
                warn!(%error, %aside, "what was saved cannot be used and is set aside; beginning anew");
            }
            Err(failed) => {
                warn!(%error, %failed, name, "what was saved cannot be used; beginning anew");
            }
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        if let Err(error) = persist::replace(&self.0.join(name), bytes) {
            error!(%error, name, "could not be saved");
        }
    }
}
