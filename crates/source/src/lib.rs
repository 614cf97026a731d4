#![doc = include_str!("../README.md")]

mod digest;
mod error;
mod format;
mod frames;
mod input;
mod intern;
mod lines;
mod otlp_rows;
#[cfg(feature = "parquet")]
mod parquet;
mod replay;
mod requests;
mod row;
mod rows;
mod writer;

pub use error::Error;
pub use format::Format;
pub use replay::RowRequests;
pub use requests::{Requests, open_requests, requests_of_zstd};
pub use row::{Labels, Row};
pub use rows::{Rows, open_rows};
pub use writer::{RequestWriter, write_requests};

#[cfg(feature = "parquet")]
pub use parquet::rows_of_parquet;
