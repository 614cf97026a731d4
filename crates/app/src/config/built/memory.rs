//! The memory limit: as written, or a share of what the cgroup allows; never more than there is.

use spanwise_analyzer::units::SizeBytes;

use super::Problems;
use crate::config::raw::RawConfig;

/// Memory limit where the cgroup does not tell.
const DEFAULT: u64 = 512 << 20;
/// Least memory that makes sense.
pub(super) const MIN: u64 = 64 << 20;
/// Share of the cgroup's limit that is used by default.
const CGROUP_SHARE_PERCENT: u64 = 60;

pub(super) fn limit(raw: &RawConfig, problems: &mut Problems) -> Option<u64> {
    let Some(text) = &raw.memory_limit else {
        return Some(
            // Whole MiB, to be shown.
            cgroup()
                .map_or(DEFAULT, |limit| (limit / 100 * CGROUP_SHARE_PERCENT).max(MIN) >> 20 << 20),
        );
    };
    let (message, fix) = match SizeBytes::parse(text) {
        Err(error) => (error.to_string(), "write a size such as 512MiB".to_owned()),
        Ok(SizeBytes(bytes)) => match available() {
            _ if bytes < MIN => (format!("{text} is too little"), "give at least 64MiB".to_owned()),
            Some(there) if bytes > there => {
                let there = there >> 20;
                let message = format!("{text} is more than the {there}MiB of this machine");
                (message, format!("give at most {there}MiB, or leave it out"))
            }
            _ => return Some(bytes),
        },
    };
    problems.error("memory_limit", "C002", message, &fix);
    None
}

/// What this process could have at most: the memory of the machine, or less if its cgroup says so;
/// `None` where neither tells.
fn available() -> Option<u64> {
    [machine(), cgroup()].into_iter().flatten().min()
}

fn machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The limit of the cgroup (version 2) this process runs in; `None` if there is none.
fn cgroup() -> Option<u64> {
    std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()
}
