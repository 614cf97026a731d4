#![doc = include_str!("../README.md")]

mod error;
mod grid;
mod literal;
pub mod mt19937;
mod score;
mod skeleton;
mod table;

pub use error::Error;
pub use grid::Grid;
pub use literal::LiteralForest;
pub use score::ScoreKind;
pub use skeleton::Skeleton;
pub use table::Scratch;
