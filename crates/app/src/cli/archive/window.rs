//! Windows of an input: by time or by number of traces.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use spanwise_archive::evaluation::Recording;

/// Where windows are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Nanoseconds(u64),
    Traces(u32),
}

impl Cut {
    pub(super) fn parse(text: &str) -> Result<Self> {
        if let Some(n) = text.parse().ok().filter(|n| *n >= 1) {
            return Ok(Self::Traces(n));
        }
        let Some(split) = text.find(|c: char| !c.is_ascii_digit()) else { return wrong(text) };
        let (number, unit) = text.split_at(split);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return wrong(text),
        };
        let ns = |number: u64| number.checked_mul(seconds)?.checked_mul(1_000_000_000);
        match number.parse().ok().and_then(ns) {
            Some(ns) if ns > 0 => Ok(Self::Nanoseconds(ns)),
            _ => wrong(text),
        }
    }

    /// Positions of the traces of each window. Traces belong to the window they start in.
    pub(super) fn windows(self, recording: &Recording) -> Vec<Range<u32>> {
        let n = recording.n_traces() as u32;
        let mut windows = Vec::new();
        let mut begin = 0;
        while begin < n {
            let end = match self {
                Self::Traces(most) => n.min(begin.saturating_add(most)),
                Self::Nanoseconds(width) => {
                    let window = |trace| recording.start_ns(trace) / width;
                    (begin..n).find(|trace| window(*trace) > window(begin)).unwrap_or(n)
                }
            };
            windows.push(begin..end);
            begin = end;
        }
        windows
    }
}

fn wrong(text: &str) -> Result<Cut> {
    bail!("--window {text} is no window\n  fix: give a time such as 60s, or a number of traces")
}

/// The file of a window: the one that was asked for if there is one window, else numbered before its
/// ending.
pub(super) fn numbered(path: &Path, window: usize, n_windows: usize) -> PathBuf {
    if n_windows == 1 {
        return path.to_owned();
    }
    let width = n_windows.to_string().len();
    let number = format!("{:0width$}", window + 1);
    match path.extension() {
        Some(ending) => path.with_extension(format!("{number}.{}", ending.display())),
        None => path.with_extension(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_times_or_numbers_of_traces() {
        let check = |text: &str, expected| assert_eq!(Cut::parse(text).unwrap(), expected);
        check("60s", Cut::Nanoseconds(60_000_000_000));
        check("5m", Cut::Nanoseconds(300_000_000_000));
        check("20000", Cut::Traces(20_000));
        for text in ["", "0", "0s", "60", "x", "s", "9999999999999h"] {
            let is_number = text == "60";
            assert_eq!(Cut::parse(text).is_ok(), is_number, "{text}");
        }
    }

    #[test]
    fn several_windows_are_numbered_before_the_ending() {
        let check = |window, n, expected: &str| {
            assert_eq!(numbered(Path::new("d/x.spwa"), window, n), Path::new(expected));
        };
        check(0, 1, "d/x.spwa");
        check(0, 12, "d/x.01.spwa");
        check(11, 12, "d/x.12.spwa");
    }
}
