//! The spanwise binary.

use std::process::ExitCode;

use alloc_tracker::Allocator;
use mimalloc::MiMalloc;

/// Counts allocations per thread for `bench`, without contention; mimalloc does the work.
#[global_allocator]
static ALLOCATOR: Allocator<MiMalloc> = Allocator::new(MiMalloc);

fn main() -> ExitCode {
    ExitCode::from(spanwise::run(std::env::args_os()).0)
}
