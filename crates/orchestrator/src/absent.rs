//! The place of a backend that could not be reached when the process started: it answers every
//! call with why. Where nothing may be written, the process runs on and its decisions say what is
//! missing; where it may act, it must not start.

use futures_util::future::{BoxFuture, FutureExt, ready};
use spanwise_model::{Observed, ScaleAction, TargetRef};

use crate::error::OrchError;
use crate::port::{Applied, Caps, Guard, Orchestrator};

/// Can do nothing; see the module text.
#[derive(Clone, Debug)]
pub struct Absent {
    id: String,
    why: OrchError,
}

impl Absent {
    /// Stands for the backend called `id`, which is not there for the reason `why`.
    pub fn new(id: &str, why: OrchError) -> Self {
        Self { id: id.to_owned(), why }
    }
}

impl Orchestrator for Absent {
    fn id(&self) -> &str {
        &self.id
    }

    fn caps(&self, _target: &TargetRef) -> Caps {
        Caps::none()
    }

    fn observe<'a>(&'a self, _target: &'a TargetRef) -> BoxFuture<'a, Result<Observed, OrchError>> {
        ready(Err(self.why.clone())).boxed()
    }

    fn apply<'a>(
        &'a self,
        _target: &'a TargetRef,
        _action: &'a ScaleAction,
        _guard: &'a Guard,
    ) -> BoxFuture<'a, Result<Applied, OrchError>> {
        ready(Err(self.why.clone())).boxed()
    }
}
