//! CPU time and memory of this process, as Linux counts them. Elsewhere nothing is known.

/// Ticks of `/proc/self/stat` in a second: fixed in the kernel's interface to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of all threads so far, user and system, to 10 ms.
pub(crate) fn cpu_s() -> Option<f64> {
    cpu_s_of(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// The program's name, in parentheses, may hold anything: fields are counted behind it.
fn cpu_s_of(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// Forgets the peak of memory so far; [`peak_rss`] begins anew. Where that is not allowed, the peak
/// stays that of the whole run.
pub(crate) fn forget_peak() {
    drop(std::fs::write("/proc/self/clear_refs", "5"));
}

/// Bytes of memory that were in use at once at most.
pub(crate) fn peak_rss() -> Option<u64> {
    peak_rss_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Bytes of memory in use now.
pub(crate) fn resident() -> Option<u64> {
    resident_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn resident_of(status: &str) -> Option<u64> {
    bytes_of(status, "VmRSS:")
}

fn peak_rss_of(status: &str) -> Option<u64> {
    bytes_of(status, "VmHWM:")
}

fn bytes_of(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 100 0 0";
        assert_eq!(cpu_s_of(stat), Some(3.0));
        let status = "Name: x\nVmHWM:\t   12 kB\nVmRSS:\t 7 kB\n";
        assert_eq!((peak_rss_of(status), resident_of(status)), (Some(12 * 1024), Some(7 * 1024)));
        assert_eq!((cpu_s_of(""), peak_rss_of("")), (None, None));
    }
}
