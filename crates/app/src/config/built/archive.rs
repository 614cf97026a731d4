//! Settings of archives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use spanwise_analyzer::units::{DurationNs, SizeBytes};
use spanwise_archive::Level;
use spanwise_archive::fidelity::Metric;
use spanwise_otlp::transport::{Endpoint, Scheme};

use super::{Forward, ForwardProtocol, Listen, Problems, Sent, forward, listen};
use crate::config::raw::{RawArchive, RawConfig};

/// Code of every mistake.
const CODE: &str = "C021";
const LEVEL_DEFAULT: &str = "l3";
/// Makes no windows.
const OFF: &str = "off";
const WINDOW_NS_DEFAULT: u64 = 60 * SECOND_NS;
const WINDOW_NS_MIN: u64 = SECOND_NS;
const WINDOW_NS_MAX: u64 = 3_600 * SECOND_NS;
const SECOND_NS: u64 = 1_000_000_000;
const TRACES_DEFAULT: u64 = 20_000;
/// As many as an archive holds.
const TRACES_MAX: u64 = 1 << 20;
const VERBATIM_DEFAULT: &str = "1%";
const RETAIN_DEFAULT: u64 = 10 << 30;
const RETAIN_MIN: u64 = 1 << 20;
/// Where there is no data directory.
const DIR_DEFAULT: &str = "spanwise-archive";
/// Its name in the data directory.
const DIR_NAME: &str = "archive";

/// Archives.
#[derive(Clone, Debug, PartialEq)]
pub struct Archive {
    /// Folder for windows and archives.
    pub dir: PathBuf,
    /// Most bytes of archives in each part of it.
    pub retain_bytes: u64,
    /// The windows to be made, if any.
    pub windows: Option<Windows>,
    /// Where archives go, if not into the folder.
    pub to: Option<Peer>,
    /// Whether archives of others are received.
    pub is_receiver: bool,
}

/// Windows to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Windows {
    /// What is kept of them.
    pub level: Level,
    /// Longest time.
    pub every_ns: u64,
    /// Most traces.
    pub n_traces: u64,
    /// Share of the bytes that may be kept as they are, in [0, 1].
    pub verbatim_share: f64,
    /// What figures must reach.
    pub floor: Vec<(Metric, f64)>,
}

/// Another spanwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its gRPC address.
    pub endpoint: Endpoint,
    /// Certificates of authorities trusted beside the system's, in PEM.
    pub ca_pem: Option<Bytes>,
}

/// The settings, or nothing if there is nothing to do; `None` if something is wrong.
#[expect(clippy::option_option, reason = "absent and wrong are told apart")]
pub(super) fn build(
    raw: &RawConfig,
    forward: &[Forward],
    listen: Option<&Listen>,
    problems: &mut Problems,
) -> Option<Option<Archive>> {
    let is_receiver = forward.iter().any(|forward| forward.send == Sent::Archives);
    let default = RawArchive { level: Some(OFF.to_owned()), ..RawArchive::default() };
    let written = match &raw.archive {
        None if !is_receiver => return Some(None),
        None => &default,
        Some(written) => written,
    };
    let n_before = problems.n_errors();
    let windows = windows(written, problems);
    let to = written.to.as_ref().and_then(|to| peer(to, written, listen, problems));
    if written.ca_file.is_some() && written.to.is_none() {
        let fix = "name the other spanwise with `to`";
        problems.error("archive.ca_file", CODE, "has no use without `to`".to_owned(), fix);
    }
    let retain_bytes = retain(written, problems);
    let dir = dir(raw, written, problems);
    let archive = Archive { dir, retain_bytes, windows, to, is_receiver };
    (problems.n_errors() == n_before).then_some(Some(archive))
}

impl Archive {
    /// The settings in force, as they are written.
    pub(super) fn write_to(&self, raw: &mut RawArchive) {
        raw.dir = Some(self.dir.clone());
        raw.retain = Some(SizeBytes(self.retain_bytes).to_string());
        let Some(windows) = &self.windows else {
            raw.level = Some(OFF.to_owned());
            return;
        };
        raw.level = Some(windows.level.name().to_owned());
        raw.window = Some(DurationNs(windows.every_ns).to_string());
        raw.traces = Some(windows.n_traces);
        raw.verbatim.get_or_insert_with(|| VERBATIM_DEFAULT.to_owned());
        let floor = windows.floor.iter();
        raw.floor = Some(floor.map(|(metric, value)| (metric.name().to_owned(), *value)).collect());
    }
}

fn windows(raw: &RawArchive, problems: &mut Problems) -> Option<Windows> {
    let level = match raw.level.as_deref().unwrap_or(LEVEL_DEFAULT) {
        OFF => None,
        word => Some(word.parse().unwrap_or_else(|_| {
            let message = format!("unknown level `{word}`");
            problems.error("archive.level", CODE, message, "write l3, l2, l1, l0 or off");
            Level::Model
        })),
    };
    let every_ns = match raw.window.as_deref().map(DurationNs::parse).transpose() {
        Ok(every) => every.map_or(WINDOW_NS_DEFAULT, |DurationNs(ns)| ns),
        Err(error) => {
            let fix = "write a duration such as 60s";
            problems.error("archive.window", CODE, error.to_string(), fix);
            WINDOW_NS_DEFAULT
        }
    };
    if !(WINDOW_NS_MIN..=WINDOW_NS_MAX).contains(&every_ns) {
        let message = "is not from 1s to 1h".to_owned();
        problems.error("archive.window", CODE, message, "write a duration such as 60s");
    }
    let n_traces = raw.traces.unwrap_or(TRACES_DEFAULT);
    if !(1..=TRACES_MAX).contains(&n_traces) {
        let message = format!("{n_traces} is not from 1 to {TRACES_MAX}");
        problems.error("archive.traces", CODE, message, "write a number such as 20000");
    }
    let verbatim_share = share(raw.verbatim.as_deref().unwrap_or(VERBATIM_DEFAULT), problems);
    let floor = floor(raw.floor.as_ref(), problems);
    Some(Windows { level: level?, every_ns, n_traces, verbatim_share, floor })
}

fn share(text: &str, problems: &mut Problems) -> f64 {
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    if let Some(percent) = percent.filter(|percent| (0.0..=100.0).contains(percent)) {
        return percent / 100.0;
    }
    let message = format!("`{text}` is no share");
    problems.error("archive.verbatim", CODE, message, "write a share from 0% to 100%");
    0.0
}

fn floor(raw: Option<&BTreeMap<String, f64>>, problems: &mut Problems) -> Vec<(Metric, f64)> {
    let Some(raw) = raw else {
        return vec![(Metric::Q1, 0.9), (Metric::Q3, 0.9), (Metric::ErrorTraceRel, 0.1)];
    };
    let mut floor = Vec::new();
    for (name, value) in raw {
        let path = format!("archive.floor.{name}");
        let Some(metric) = Metric::ALL.into_iter().find(|metric| metric.name() == name) else {
            let message = format!("unknown figure `{name}`");
            let fix = "write one that `spanwise archive inspect` shows, such as q1, q3 or w1";
            problems.error(path, CODE, message, fix);
            continue;
        };
        let is_possible = value.is_finite() && *value >= 0.0;
        if !is_possible || (metric.is_greater_better() && *value > 1.0) {
            let message = format!("{value} can never be reached, or always is");
            let fix = "write a number from 0 to 1, for distances 0 or more";
            problems.error(path, CODE, message, fix);
            continue;
        }
        floor.push((metric, *value));
    }
    floor
}

fn peer(
    text: &str,
    raw: &RawArchive,
    listen: Option<&Listen>,
    problems: &mut Problems,
) -> Option<Peer> {
    let endpoint = match forward::endpoint(text, ForwardProtocol::Grpc) {
        Ok(endpoint) => endpoint,
        Err(message) => {
            problems.error("archive.to", CODE, message, "write http://host:4317");
            return None;
        }
    };
    if let Some(own) = listen.and_then(|listen| listen::own_listener(listen, &endpoint)) {
        let message = format!("is the listener {own} of this process");
        problems.error("archive.to", "C013", message, "name another spanwise, or leave it out");
        return None;
    }
    let ca_pem = raw.ca_file.as_deref().and_then(|file| certificates(file, problems));
    if ca_pem.is_some() && endpoint.scheme() == Scheme::Http {
        let message = "has no use without TLS".to_owned();
        problems.error("archive.ca_file", CODE, message, "write to: https://…");
    }
    Some(Peer { endpoint, ca_pem })
}

fn certificates(file: &Path, problems: &mut Problems) -> Option<Bytes> {
    let read = forward::certificates(file);
    let fix = "name a file with certificates in PEM";
    read.map_err(|message| problems.error("archive.ca_file", CODE, message, fix)).ok()
}

fn retain(raw: &RawArchive, problems: &mut Problems) -> u64 {
    let message = match raw.retain.as_deref().map(SizeBytes::parse).transpose() {
        Ok(None) => return RETAIN_DEFAULT,
        Ok(Some(SizeBytes(bytes))) if bytes >= RETAIN_MIN => return bytes,
        Ok(Some(_)) => "is less than 1MiB".to_owned(),
        Err(error) => error.to_string(),
    };
    problems.error("archive.retain", CODE, message, "write a size such as 10GiB");
    RETAIN_DEFAULT
}

fn dir(raw: &RawConfig, archive: &RawArchive, problems: &mut Problems) -> PathBuf {
    let dir = match (&archive.dir, &raw.data_dir) {
        (Some(dir), _) => dir.clone(),
        (None, Some(data_dir)) => data_dir.join(DIR_NAME),
        (None, None) => PathBuf::from(DIR_DEFAULT),
    };
    if dir.as_os_str().is_empty() || dir.is_file() {
        let message = format!("`{}` is no folder", dir.display());
        let fix = "name a folder; it is created if it is missing";
        problems.error("archive.dir", CODE, message, fix);
    }
    dir
}
