//! Several orchestrators behind one: each target goes to the backend it names.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt, ready};
use spanwise_model::{Observed, ScaleAction, TargetRef};

use crate::error::OrchError;
use crate::port::{Applied, Caps, Guard, Orchestrator};

/// Routes by [`TargetRef::backend`].
#[derive(Clone, Debug, Default)]
pub struct Composite {
    backends: Vec<Arc<dyn Orchestrator>>,
}

impl Composite {
    /// A composite of `backends`. Of two with one id the first is used.
    pub fn new(backends: Vec<Arc<dyn Orchestrator>>) -> Self {
        Self { backends }
    }

    /// The backend of a target; `Invalid` with the known names if there is none of that name.
    pub fn backend(&self, target: &TargetRef) -> Result<&dyn Orchestrator, OrchError> {
        let found = self.backends.iter().find(|backend| backend.id() == &*target.backend);
        found.map(AsRef::as_ref).ok_or_else(|| {
            let known: Vec<&str> = self.backends.iter().map(|backend| backend.id()).collect();
            OrchError::invalid(format!(
                "target {} wants orchestrator {:?}, known are: {}",
                target.name,
                target.backend,
                known.join(", ")
            ))
        })
    }
}

impl Orchestrator for Composite {
    fn id(&self) -> &'static str {
        "composite"
    }

    fn caps(&self, target: &TargetRef) -> Caps {
        self.backend(target).map_or(Caps::none(), |backend| backend.caps(target))
    }

    fn observe<'a>(&'a self, target: &'a TargetRef) -> BoxFuture<'a, Result<Observed, OrchError>> {
        match self.backend(target) {
            Ok(backend) => backend.observe(target),
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn apply<'a>(
        &'a self,
        target: &'a TargetRef,
        action: &'a ScaleAction,
        guard: &'a Guard,
    ) -> BoxFuture<'a, Result<Applied, OrchError>> {
        match self.backend(target) {
            Ok(backend) => backend.apply(target, action, guard),
            Err(error) => ready(Err(error)).boxed(),
        }
    }
}
