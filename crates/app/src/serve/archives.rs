//! Builds what makes, sends, receives and brings back archives.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use spanwise_analyzer::units::DurationNs;
use spanwise_otlp::archives::{Client, Service};
use spanwise_otlp::exporter::Backoff;
use spanwise_otlp::transport::{ChannelLimits, Shutdown, Tls};

use super::Role;
use super::parts::Parts;
use super::spawn::shared;
use crate::archiving::{
    Allowance, Emitter, Fitter, Folder, Inbox, Ladder, MEMORY_FACTOR, News, Pusher, Shown, Signal,
    Waiting, Writer,
};
use crate::config::{Archive, Config, Peer, Windows};
use crate::pipeline::outlets::Outlet;
use crate::pipeline::windows::{self, Collector, Tap, tap};

/// Share of the memory limit for the window that is being fitted.
const FIT_PERCENT: u64 = 25;
/// Share of the memory limit for an archive that is brought back.
const EMIT_PERCENT: u64 = 25;
/// Share of the memory limit for spans on their way to the disk.
const TAP_PERCENT: u64 = 4;
/// Longest wait for the answer to one piece: the last one is answered when the archive is on disk.
const PUSH_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer.
const REPLY_BYTES_MAX: u64 = 4 << 10;

/// What the rest of the process needs of it.
pub(super) struct Archives {
    /// Gathers windows, and the way to who writes them.
    pub gathering: Option<(Collector, Tap)>,
    /// Takes archives.
    pub service: Option<Arc<Service>>,
}

/// What is said of archives on start.
pub(super) fn banner(config: &Config, role: &Role) -> Vec<String> {
    let Some(archive) = config.archive.as_ref().filter(|_| !matches!(role, Role::Processor { .. }))
    else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    if let Some(windows) = &archive.windows {
        let to = archive.to.as_ref().map_or("its folder".to_owned(), |to| to.endpoint.to_string());
        lines.push(format!(
            "archives at {}, a window every {} or {} traces, to {to}",
            windows.level,
            DurationNs(windows.every_ns),
            windows.n_traces,
        ));
    }
    if archive.is_receiver {
        lines.push("archives of others are received and sent on".to_owned());
    }
    lines.push(format!("archives in {}", archive.dir.display()));
    lines
}

/// Every part that the configuration asks for, with its task. `to` is where the spans of received
/// archives go.
pub(super) fn build(
    parts: &mut Parts<'_>,
    to: Vec<(Outlet, u64)>,
    shutdown: &Shutdown,
) -> Result<Option<Archives>> {
    let Some(archive) = &parts.config.archive else { return Ok(None) };
    let folder = Arc::new(Folder::open(&archive.dir, archive.retain_bytes)?);
    let shown = Shown::default();
    let service = receiving(parts, to, (&folder, &shown), shutdown)?;
    let making = |windows| making(parts, archive, windows, (&folder, &shown), shutdown);
    let gathering = archive.windows.as_ref().map(making).transpose()?;
    parts.state.follow_archives(shown);
    Ok(Some(Archives { gathering, service }))
}

fn receiving(
    parts: &mut Parts<'_>,
    to: Vec<(Outlet, u64)>,
    (folder, shown): (&Arc<Folder>, &Shown),
    shutdown: &Shutdown,
) -> Result<Option<Arc<Service>>> {
    if to.is_empty() {
        return Ok(None);
    }
    let stored = Arc::<Signal>::default();
    let allowance = Allowance::new(parts.config.memory_limit / 100 * EMIT_PERCENT);
    let emitter = Emitter {
        folder: Arc::clone(folder),
        destinations: to,
        allowance,
        stored: Arc::clone(&stored),
        shown: shown.clone(),
        clock: parts.clock,
        shutdown: shutdown.clone(),
    };
    parts.blocking("archive emitter", || emitter.run())?;
    let inbox = Inbox::new(Arc::clone(folder), stored, shown.clone(), parts.clock, allowance);
    Ok(Some(Service::new(Arc::new(inbox))))
}

fn making(
    parts: &mut Parts<'_>,
    archive: &Archive,
    windows: &Windows,
    (folder, shown): (&Arc<Folder>, &Shown),
    shutdown: &Shutdown,
) -> Result<(Collector, Tap)> {
    let fitted = Arc::<News>::default();
    if let Some(peer) = &archive.to {
        let pusher = pusher(parts, peer, (folder, shown), &fitted);
        parts.stage("archive pusher", pusher.run(shutdown.clone()));
    }
    let waiting = Arc::<Waiting>::default();
    let fitter = Fitter {
        folder: Arc::clone(folder),
        waiting: Arc::clone(&waiting),
        ladder: Ladder::new(windows.level, windows.floor.clone()),
        window_s: windows.every_ns as f64 / 1e9,
        is_pushed: archive.to.is_some(),
        fitted,
        shutdown: shutdown.clone(),
        shown: shown.clone(),
        clock: parts.clock,
    };
    parts.blocking("archive fitter", || fitter.run())?;
    let memory = parts.config.memory_limit / 100;
    let (tap, pieces, stats) = tap(memory * TAP_PERCENT);
    let mut writer = Writer {
        folder: Arc::clone(folder),
        waiting,
        pieces,
        tap: Arc::clone(&stats),
        shown: shown.clone(),
        clock: parts.clock,
        window: None,
        last: 0,
    };
    writer.recover().context("cannot take up windows that an earlier process left")?;
    parts.blocking("archive writer", || writer.run())?;
    shown.follow_tap(stats);
    let collector = Collector::new(windows::Config {
        every_ns: windows.every_ns,
        n_traces: windows.n_traces,
        n_bytes: memory * FIT_PERCENT / MEMORY_FACTOR,
        verbatim_share: windows.verbatim_share,
    });
    Ok((collector, tap))
}

fn pusher(
    parts: &Parts<'_>,
    peer: &Peer,
    (folder, shown): (&Arc<Folder>, &Shown),
    fitted: &Arc<News>,
) -> Pusher {
    let limits = ChannelLimits { timeout: PUSH_TIMEOUT, reply_bytes_max: REPLY_BYTES_MAX };
    let tls = Tls { ca_pem: peer.ca_pem.clone() };
    let spawn = shared(parts.spawner);
    Pusher {
        folder: Arc::clone(folder),
        client: Client::new(peer.endpoint.clone(), tls, limits, spawn),
        source: source(),
        fitted: Arc::clone(fitted),
        refusals: (String::new(), 0),
        backoff: Backoff::new(parts.config.sampler.seed),
        shown: shown.clone(),
        clock: parts.clock,
    }
}

/// How we name ourselves to a receiver: by our machine.
fn source() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().take(64).collect();
    if name.is_empty() { "spanwise".to_owned() } else { name }
}
