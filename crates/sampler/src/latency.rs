//! The model of one latency (duration or self time) of one call site.
//!
//! Live counts fill a window; when it is full they *flip* into two references. The adaptive one is
//! the last window alone: it follows whatever happens, so it is good at saying what is new and
//! blind to an incident that lasts. The trusted one is a long memory from which everything above
//! the *cap* is kept out with weight exactly 0, and all of a window that holds an incident. A small
//! weight is not enough: an incident lasts thousands of spans, and at a weight of 0.02 a quarter of
//! the precision is gone.
//!
//! A model that never learns what it calls anomalous must have ways back to normal. There are three:
//! a *step* (the median of every window above the cap for `accept_after`) makes the trusted
//! reference start over from the live window; so does, three windows later, a *deployment* (a new
//! `service.version`); a *steady minority* (see [`crate::slots`]) is let
//! through the gate.

use spanwise_hst::Grid;
use spanwise_model::Timestamp;

use crate::bits::Stored;
use crate::reference::{Builder, Masses, Quantiles};
use crate::slots::Slots;

/// Length of the first window: enough for a median, and the end of a site's cold start.
pub(crate) const WINDOW_FIRST: u32 = 32;
/// A window that is not full flips at this age if it holds at least [`WINDOW_FIRST`] spans.
const WINDOW_AGE_NS: u64 = 600 * 1_000_000_000;
/// Memory of the trusted reference: e^(-1/144) every ten minutes is a time constant of 24 h.
pub(crate) const KEPT_PER_SLOT: f32 = 0.993_08;
/// The trusted scores are rebuilt when its mass has grown by this factor, and in each new slot.
const REBUILD_GROWTH: f32 = 1.125;
/// A float counts single spans up to 2^24; beyond this mass everything is halved.
pub(crate) const MASS_MAX: f32 = 4_194_304.0;
/// A window with more than this share above the cap, ten times what is usual, holds an incident: it
/// teaches nothing. Without it the lower part of a slow-down is learned, the cap creeps up, and the
/// next window may teach more of it.
const INCIDENT_SHARE: f32 = 0.05;
/// Windows after a deployment up to the one that becomes the reference.
const RENEW_WINDOWS: u32 = 3;
/// Windows that must have been above the cap before a step is accepted, however long ago it began.
const STEP_WINDOWS_MIN: u32 = 3;

/// Most spans in a window, which only merging can exceed its length with: far from where counting
/// overflows.
pub(crate) const N_LIVE_MAX: u32 = 1 << 30;

/// What differs between the models of a sampler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Longest window, in spans.
    pub(crate) window_max: u32,
    /// Quantile of the trusted reference the cap is taken from.
    pub(crate) cap_share: f64,
    /// How long a step must last before it is the new normal.
    pub(crate) accept_after_ns: u64,
    /// Whether the adaptive scores are asked for.
    pub(crate) adaptive: bool,
}

/// One bin: everything a span touches lies side by side.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) trusted: Stored,
    pub(crate) adaptive: Stored,
    pub(crate) live: u16,
    /// Spans that other shards have not been told of; nobody asks where there are none.
    pub(crate) news: u16,
}

/// Spans by bin that other shards have not been told of.
pub(crate) type LatencyNews = Vec<(u16, u16)>;

/// What a flip did, for the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flipped {
    /// A step was accepted.
    pub(crate) rebaselined: bool,
    /// The model is still young: its window was not a full one.
    pub(crate) is_young: bool,
}

/// Counts, references and clocks of one latency.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    pub(crate) cells: Box<[Cell; Grid::N_BINS]>,
    pub(crate) masses: Box<Masses>,
    pub(crate) trusted: Quantiles,
    /// Spans in the window being filled, and how many fill it.
    pub(crate) n_live: u32,
    pub(crate) window: u32,
    /// When the first span of the window came.
    pub(crate) opened: Timestamp,
    /// When the last flip was; 0 = never.
    pub(crate) flipped: Timestamp,
    /// Since when the median of every window has been above the cap, and how many those are.
    pub(crate) stepping_since: Timestamp,
    pub(crate) n_stepping: u32,
    pub(crate) n_rebaselined: u32,
    pub(crate) slots: Slots,
    /// Flips until the trusted reference starts over because of a deployment; 0 = none is expected.
    renew_in: u32,
    /// Whether some cell has news.
    has_news: bool,
}

impl Latency {
    /// Bytes of the boxes.
    pub(crate) const HEAP_BYTES: usize = size_of::<[Cell; Grid::N_BINS]>() + size_of::<Masses>();

    pub(crate) fn new() -> Self {
        Self {
            cells: Box::new([Cell::default(); Grid::N_BINS]),
            masses: Box::new([0.0; Grid::N_BINS]),
            trusted: Quantiles::default(),
            n_live: 0,
            window: WINDOW_FIRST,
            opened: Timestamp::default(),
            flipped: Timestamp::default(),
            stepping_since: Timestamp::default(),
            n_stepping: 0,
            n_rebaselined: 0,
            slots: Slots::default(),
            renew_in: 0,
            has_news: false,
        }
    }

    /// Whether there has been no flip yet, so that no score means anything.
    pub(crate) fn is_cold(&self) -> bool {
        self.trusted.total <= 0.0
    }

    /// Scores of a bin; meaningless while cold.
    #[inline]
    pub(crate) fn cell(&self, bin: usize) -> Cell {
        self.cells[bin]
    }

    /// Counts a span. Whether the window is full now: then [`Latency::flip`] must follow.
    #[inline]
    pub(crate) fn learn(&mut self, bin: usize, now: Timestamp) -> bool {
        let cell = &mut self.cells[bin];
        cell.live = cell.live.saturating_add(1);
        cell.news = cell.news.saturating_add(1);
        self.has_news = true;
        if self.n_live == 0 {
            self.opened = now;
        }
        self.n_live += 1;
        self.is_full(now)
    }

    /// Whether the window is full, or old enough and not empty: then [`Latency::flip`] must follow.
    #[inline]
    pub(crate) fn is_full(&self, now: Timestamp) -> bool {
        self.n_live >= self.window
            || (self.n_live >= WINDOW_FIRST && now.since(self.opened) >= WINDOW_AGE_NS)
    }

    /// Takes the spans learned since the last call.
    pub(crate) fn news(&mut self) -> LatencyNews {
        if !std::mem::take(&mut self.has_news) {
            return LatencyNews::new();
        }
        let cells = (0_u16..).zip(self.cells.iter_mut()).filter(|(_, cell)| cell.news > 0);
        cells.map(|(bin, cell)| (bin, std::mem::take(&mut cell.news))).collect()
    }

    /// Counts the spans of another shard into the window; see [`Latency::is_full`].
    pub(crate) fn hear(&mut self, news: &LatencyNews, now: Timestamp) {
        if self.n_live == 0 {
            self.opened = now;
        }
        for &(bin, count) in news {
            let live = &mut self.cells[usize::from(bin)].live;
            let added = count.min(u16::MAX - *live);
            *live += added;
            self.n_live = (self.n_live + u32::from(added)).min(N_LIVE_MAX);
        }
    }

    /// Turns the window into references and starts the next one. `taught` becomes what the trusted
    /// reference was taught, as (bin, count).
    #[cold]
    pub(crate) fn flip(
        &mut self,
        now: Timestamp,
        builder: &mut Builder,
        policy: Policy,
        taught: &mut Vec<(u16, u16)>,
    ) -> Flipped {
        taught.clear();
        let new_slot = self.advance(now);
        let cap = if self.is_cold() { Grid::N_BINS } else { usize::from(self.trusted.cap) };
        let n_above = self.n_live - self.n_live_up_to(cap);
        self.slots.count(self.n_live, n_above);
        let stepped = self.is_step_accepted(n_above, now, policy.accept_after_ns);
        let rebaselined = stepped || self.renew_in == 1;
        self.renew_in = self.renew_in.saturating_sub(1);
        if rebaselined {
            self.forget_trusted();
        }
        let open = rebaselined || self.slots.is_steady(self.n_live, n_above);
        let is_incident = n_above as f32 > INCIDENT_SHARE * self.n_live as f32;
        // The first bin that is not taught.
        let end = if open {
            Grid::N_BINS
        } else if is_incident {
            0
        } else {
            cap + 1
        };
        for (bin, (cell, mass)) in self.cells.iter().zip(self.masses.iter_mut()).enumerate() {
            if cell.live > 0 && bin < end {
                *mass += f32::from(cell.live);
                taught.push((bin as u16, cell.live));
            }
        }
        self.rebuild(builder, policy, new_slot || rebaselined);
        for cell in self.cells.iter_mut() {
            cell.live = 0;
        }
        self.n_live = 0;
        self.flipped = now;
        let is_young = self.window < policy.window_max;
        self.window = (2 * self.window).min(policy.window_max);
        Flipped { rebaselined, is_young }
    }

    /// A deployment: the third window from now on becomes the trusted reference. The first still
    /// holds spans of before, the second those of a service that warms up.
    pub(crate) fn renew(&mut self) {
        if !self.is_cold() {
            self.renew_in = RENEW_WINDOWS;
        }
    }

    /// Makes the window being filled the trusted reference at the next flip: an operator says that
    /// what is seen now is expected.
    pub(crate) fn accept(&mut self) {
        self.stepping_since = Timestamp(1);
        self.n_stepping = STEP_WINDOWS_MIN;
    }

    fn n_live_up_to(&self, cap: usize) -> u32 {
        let end = (cap + 1).min(Grid::N_BINS);
        self.cells[..end].iter().map(|cell| u32::from(cell.live)).sum()
    }

    /// Lets time pass: the trusted masses fade. Whether a new slot began.
    fn advance(&mut self, now: Timestamp) -> bool {
        let n_slots = self.slots.advance(now.as_ns());
        if n_slots > 0 {
            let kept = KEPT_PER_SLOT.powi(i32::try_from(n_slots).unwrap_or(i32::MAX));
            self.scale_masses(kept);
        }
        if self.trusted.total > MASS_MAX {
            self.scale_masses(0.5);
        }
        n_slots > 0
    }

    fn scale_masses(&mut self, factor: f32) {
        for mass in self.masses.iter_mut() {
            *mass *= factor;
        }
    }

    /// A step is accepted once the median has been above the cap, window after window, for long.
    fn is_step_accepted(&mut self, n_above: u32, now: Timestamp, accept_after_ns: u64) -> bool {
        if self.is_cold() || 2 * n_above <= self.n_live && self.stepping_since.0 != 1 {
            (self.stepping_since, self.n_stepping) = (Timestamp::default(), 0);
            return false;
        }
        if self.n_stepping == 0 {
            self.stepping_since = now;
        }
        self.n_stepping += 1;
        self.n_stepping > STEP_WINDOWS_MIN && now.since(self.stepping_since) >= accept_after_ns
    }

    fn forget_trusted(&mut self) {
        *self.masses = [0.0; Grid::N_BINS];
        self.slots = Slots::default();
        (self.stepping_since, self.n_stepping) = (Timestamp::default(), 0);
        self.n_rebaselined += 1;
    }

    fn rebuild(&mut self, builder: &mut Builder, policy: Policy, must: bool) {
        let cells = &mut self.cells;
        if policy.adaptive {
            let mut adaptive = [Stored::NOT_SLOW; Grid::N_BINS];
            let live = cells.iter().map(|cell| f32::from(cell.live));
            builder.build(live, policy.cap_share, |bin, score| adaptive[bin] = score);
            for (cell, score) in cells.iter_mut().zip(adaptive) {
                cell.adaptive = score;
            }
        }
        let total: f32 = self.masses.iter().sum();
        if must || total >= REBUILD_GROWTH * self.trusted.total {
            let masses = self.masses.iter().copied();
            self.trusted = builder.build(masses, policy.cap_share, |bin, score| {
                cells[bin].trusted = score;
            });
        }
    }

    /// Adds what another model of an equal skeleton has learned; the scores follow at once.
    /// `other` must have been brought to the same time by the caller if they are to fade alike.
    pub(crate) fn merge(&mut self, other: &Self, builder: &mut Builder, policy: Policy) {
        for (mass, more) in self.masses.iter_mut().zip(other.masses.iter()) {
            *mass += more;
        }
        for (cell, more) in self.cells.iter_mut().zip(other.cells.iter()) {
            cell.live = cell.live.saturating_add(more.live);
        }
        if self.n_live == 0 {
            self.opened = other.opened;
        }
        self.n_live = self.n_live.saturating_add(other.n_live).min(N_LIVE_MAX);
        self.window = self.window.max(other.window);
        self.flipped = self.flipped.max(other.flipped);
        let cells = &mut self.cells;
        self.trusted = builder.build(self.masses.iter().copied(), policy.cap_share, |bin, s| {
            cells[bin].trusted = s;
        });
    }
}
