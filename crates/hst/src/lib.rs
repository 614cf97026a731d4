#![doc = include_str!("../README.md")]

mod error;
mod exact;
mod features;
mod forest;
mod grid;
mod literal;
pub mod mt19937;
mod score;
mod skeleton;
mod snapshot;
mod step;
mod table;

pub use error::Error;
pub use features::Features;
pub use forest::{Construction, Forest, ForestConfig, Limits, Split};
pub use grid::Grid;
pub use literal::LiteralForest;
pub use score::ScoreKind;
pub use skeleton::Skeleton;
pub use step::{StepConfig, StepForest};
pub use table::Scratch;
