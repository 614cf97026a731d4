#![doc = include_str!("../README.md")]

mod bits;
mod budget;
mod config;
mod crowd;
mod error;
mod evidence;
mod family;
mod inner;
mod latency;
mod pool;
mod reference;
mod scale;
mod site;
mod site_sampler;
mod slots;
mod snapshot;
mod span_sampler;
mod stats;
mod tail;
pub mod trace;
mod versions;

pub use budget::Budget;
pub use config::{Config, Decisive, Profile, ScaleConfig};
pub use error::Error;
pub use evidence::{ArrivalScores, CloseScores};
pub use scale::{CallEncoder, LiteralEncoder};
pub use site::{LatencyView, SiteState, SiteView};
pub use span_sampler::{Lesson, SpanSampler};
pub use stats::Stats;
