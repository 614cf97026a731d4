//! The protocols from one end to the other, on synthetic streams.
#![cfg(test)]

mod quality;
mod shocks;
mod spans;
mod traces;

use spanwise_eval::Meter;

/// A clock that stands still, and no progress.
fn meter() -> Meter<'static> {
    Meter { clock_ns: &|| 0, progress: &|_| () }
}
