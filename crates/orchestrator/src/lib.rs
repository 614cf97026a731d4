#![doc = include_str!("../README.md")]

mod absent;
mod composite;
mod error;
mod exec;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod port;
mod recorder;
mod reference;

pub use absent::Absent;
pub use composite::Composite;
pub use error::OrchError;
pub use exec::{Exec, ExecConfig};
pub use futures_util::future::BoxFuture;
#[cfg(feature = "kubernetes")]
pub use kubernetes::{Kubernetes, KubernetesOptions};
pub use port::{Applied, Caps, Guard, Orchestrator};
pub use recorder::{Recorded, Recorder};
pub use reference::{ReferenceError, check_reference};
