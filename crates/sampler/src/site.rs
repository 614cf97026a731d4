//! The models of one call site, and what is shown of them.

use spanwise_hst::Grid;
use spanwise_model::{ServiceId, Timestamp};

use crate::crowd::Crowd;
use crate::latency::Latency;

/// Everything kept per call site.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) dur: Latency,
    pub(crate) own: Latency,
    pub(crate) crowd: Crowd,
    pub(crate) service: ServiceId,
    pub(crate) first_seen: Timestamp,
    pub(crate) last_seen: Timestamp,
    pub(crate) n_spans: u64,
    /// An overflow site stands for many names and teaches nobody but itself.
    pub(crate) is_overflow: bool,
}

/// The state of a call site's model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SiteState {
    /// It has no reference of its own yet.
    Cold,
    /// It is judged by its own reference.
    Ok,
    /// Its median lies above everything it knows; it becomes the new normal if that lasts.
    Stepping,
}

/// Figures of one latency of a call site.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencyView {
    /// Spans in the trusted reference, faded with time; 0 = none yet.
    pub n_reference: f64,
    /// Median of the trusted reference in nanoseconds, within half a bin (3 %); likewise below.
    pub median_ns: u64,
    /// 95th percentile.
    pub p95_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// What is slower than this is not learned.
    pub cap_ns: u64,
    /// Spans in the window being filled, and how many fill it.
    pub n_live: u32,
    /// Length of the window.
    pub window: u32,
    /// When the last window was full; 0 = never.
    pub flipped: Timestamp,
    /// How often a step was accepted as the new normal.
    pub n_rebaselined: u32,
}

/// What is shown of a call site's models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SiteView {
    /// State of the self time model.
    pub state: SiteState,
    /// First span since the model was made or restored.
    pub first_seen: Timestamp,
    /// Last span.
    pub last_seen: Timestamp,
    /// Spans seen since then.
    pub n_spans: u64,
    /// Duration, end minus start.
    pub duration: LatencyView,
    /// Self time.
    pub self_time: LatencyView,
}

impl Site {
    pub(crate) fn new(service: ServiceId, is_overflow: bool, now: Timestamp) -> Self {
        Self {
            dur: Latency::new(),
            own: Latency::new(),
            crowd: Crowd::default(),
            service,
            first_seen: now,
            last_seen: now,
            n_spans: 0,
            is_overflow,
        }
    }

    pub(crate) fn view(&self) -> SiteView {
        let state = match &self.own {
            own if own.is_cold() => SiteState::Cold,
            own if own.n_stepping > 0 => SiteState::Stepping,
            _ => SiteState::Ok,
        };
        SiteView {
            state,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            n_spans: self.n_spans,
            duration: view(&self.dur),
            self_time: view(&self.own),
        }
    }
}

/// The latency in the middle of a bin.
pub(crate) fn bin_ns(bin: u16) -> u64 {
    Grid::mid_ns(bin.into())
}

fn view(latency: &Latency) -> LatencyView {
    let view = LatencyView {
        n_live: latency.n_live,
        window: latency.window,
        flipped: latency.flipped,
        n_rebaselined: latency.n_rebaselined,
        ..LatencyView::default()
    };
    if latency.is_cold() {
        return view;
    }
    let total: f32 = latency.masses.iter().sum();
    let quantile = |share: f32| {
        let mut sum = 0.0;
        let reaches = |&mass: &f32| {
            sum += mass;
            mass > 0.0 && sum >= share * total
        };
        latency.masses.iter().position(reaches).unwrap_or(0) as u16
    };
    LatencyView {
        n_reference: f64::from(total),
        median_ns: bin_ns(quantile(0.5)),
        p95_ns: bin_ns(quantile(0.95)),
        p99_ns: bin_ns(quantile(0.99)),
        cap_ns: bin_ns(latency.trusted.cap),
        ..view
    }
}
