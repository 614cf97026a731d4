//! What happened, for people: recent anomalies and decisions in bounded rings, the feed of events,
//! and the decision log on disk.
//!
//! The log holds each record as the JSON object the API shows, so that it can be read without
//! spanwise. A decision is written before the orchestrator is called (the intent) and again with
//! what came of it; of two records with one id the later counts. An intent without outcome is never
//! sent again.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use parking_lot::Mutex;
use spanwise_api::{Anomaly, DecisionView, Event, Feed};
use spanwise_model::{CallSites, Decision, SampledSpan, Timestamp};
use spanwise_wal::{Codec, Kind, Log, StdDisk};
use tracing::{error, warn};

use super::shelf::Shelf;
use super::traces::KeptTrace;

/// Decisions kept in memory.
const DECISIONS_MAX: usize = 1_000;
/// Anomalies kept in memory.
const ANOMALIES_MAX: usize = 1_000;
/// Events kept for clients that resume.
const EVENTS_MAX: usize = 4_096;
/// Anomalies published in one second; a flood is counted, not shown.
const ANOMALIES_PER_S_MAX: u32 = 200;
/// Folder of the decision log below the data directory.
const FOLDER: &str = "decisions";

/// The rings, the feed and the log. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Records {
    feed: Feed,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    decisions: VecDeque<Arc<Decision>>,
    anomalies: VecDeque<Arc<Anomaly>>,
    n_anomalies: u64,
    second: u64,
    n_in_second: u32,
    log: Option<Log<StdDisk>>,
    shelf: Shelf,
}

impl Records {
    /// Records in memory alone.
    pub fn in_memory(started: Timestamp) -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        Self { feed: Feed::new(started.as_ns(), EVENTS_MAX), shared }
    }

    /// Records that carry on from the log below `data_dir` and write to it.
    pub fn open(data_dir: &Path, started: Timestamp) -> Result<Self> {
        let records = Self::in_memory(started);
        let dir = data_dir.join(FOLDER);
        let named = || format!("decision log in {}", dir.display());
        let disk = StdDisk::new(&dir).with_context(named)?;
        let (log, recovery) =
            Log::open(disk, spanwise_wal::Config::default()).with_context(named)?;
        if recovery.is_degraded() {
            warn!(dir = %dir.display(), "decision log is damaged: {recovery}; what could be read is used");
        }
        {
            let mut shared = records.shared.lock();
            for record in log.records(0) {
                match record {
                    Ok(record) if record.kind == Kind::DECISION => {
                        shared.restore(&record.payload, record.seq);
                    }
                    Ok(_) => {}
                    Err(error) => warn!(%error, "record of the decision log skipped"),
                }
            }
            shared.log = Some(log);
        }
        Ok(records)
    }

    /// Where events are published.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Recent decisions, oldest first.
    pub fn decisions(&self) -> Vec<Arc<Decision>> {
        self.shared.lock().decisions.iter().cloned().collect()
    }

    /// Recent anomalies, oldest first.
    pub fn anomalies(&self) -> Vec<Arc<Anomaly>> {
        self.shared.lock().anomalies.iter().cloned().collect()
    }

    /// Records decisions, on disk too if there is a log; false if that failed. They are shown either
    /// way.
    pub fn decided(&self, decisions: &[Decision]) -> bool {
        if decisions.is_empty() {
            return true;
        }
        let mut shared = self.shared.lock();
        let logged = match shared.write(decisions) {
            Ok(()) => true,
            Err(error) => {
                error!(%error, n = decisions.len(), "decisions could not be logged");
                false
            }
        };
        for decision in decisions {
            let decision = Arc::new(decision.clone());
            self.feed.publish(Event::Decision(Arc::clone(&decision)));
            shared.keep(decision);
        }
        logged
    }

    /// Recent kept traces, oldest first.
    pub fn traces(&self) -> Vec<Arc<spanwise_api::KeptTrace>> {
        self.shared.lock().shelf.all()
    }

    /// Shows kept traces.
    pub fn kept(&self, kept: &[KeptTrace], sites: &CallSites, now: Timestamp) {
        let mut shared = self.shared.lock();
        for trace in kept {
            shared.shelf.put(trace, sites, now);
        }
    }

    /// Shows sampled spans.
    pub fn sampled(&self, sampled: &[SampledSpan], sites: &CallSites, now: Timestamp) {
        if sampled.is_empty() {
            return;
        }
        let mut shared = self.shared.lock();
        for span in sampled {
            if shared.second != now.as_secs() {
                (shared.second, shared.n_in_second) = (now.as_secs(), 0);
            }
            shared.n_in_second += 1;
            shared.n_anomalies += 1;
            if shared.n_in_second > ANOMALIES_PER_S_MAX {
                continue;
            }
            let site = Arc::clone(sites.get(span.reason.site));
            let anomaly = Arc::new(Anomaly::of(shared.n_anomalies, now, span, site));
            self.feed.publish(Event::Anomaly(Arc::clone(&anomaly)));
            if shared.anomalies.len() == ANOMALIES_MAX {
                shared.anomalies.pop_front();
            }
            shared.anomalies.push_back(anomaly);
        }
    }
}

impl Shared {
    fn write(&mut self, decisions: &[Decision]) -> Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        for decision in decisions {
            let payload = serde_json::to_vec(&DecisionView::from(decision))?;
            log.append(Kind::DECISION, Codec::NONE, &payload)?;
        }
        log.sync()?;
        Ok(())
    }

    /// Puts a decision into the ring, in place of an earlier record of it.
    fn keep(&mut self, decision: Arc<Decision>) {
        if let Some(earlier) = self.decisions.iter_mut().rev().find(|one| one.id == decision.id) {
            *earlier = decision;
            return;
        }
        if self.decisions.len() == DECISIONS_MAX {
            self.decisions.pop_front();
        }
        self.decisions.push_back(decision);
    }

    fn restore(&mut self, payload: &[u8], seq: u64) {
        let read = serde_json::from_slice::<DecisionView>(payload)
            .map_err(anyhow::Error::from)
            .and_then(|view| Ok(Decision::try_from(view)?));
        match read {
            Ok(decision) => self.keep(Arc::new(decision)),
            Err(error) => warn!(%error, seq, "decision in the log cannot be read; skipped"),
        }
    }
}
