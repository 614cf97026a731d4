//! Threads that compute for seconds give way to those that receive.

/// How much: about a tenth of the CPU that a thread of ordinary priority gets beside it.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Lowers the priority of this thread. Where that cannot be done it stays what it is.
#[cfg(target_os = "linux")]
pub(super) fn give_way() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        tracing::debug!(%error, "the priority of a thread cannot be lowered");
    }
}

/// Elsewhere a thread cannot be told apart from its process.
#[cfg(not(target_os = "linux"))]
pub(super) fn give_way() {}
