//! What the caller of `compress` decides.

use std::collections::BTreeSet;

use spanwise_model::TraceId;

use crate::gan_options::GanOptions;
use crate::level::Level;

/// How to compress a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What is kept. Default [`Level::Model`].
    pub level: Level,
    /// Seed of generation, stored in the file. L0 does not use it. Default 0.
    pub seed: u64,
    /// Seeds tried from [`seed`](Self::seed) on, of which the one that scores best is stored.
    /// 0 and 1 try none. Default 1.
    pub seed_search: u32,
    /// Traces stored as they are and left out of the model. L0 keeps all of them anyway. Default
    /// none.
    pub keep_verbatim: KeepVerbatim,
    /// Largest share of the window's OTLP bytes that may be kept verbatim, in [0, 1]; traces beyond
    /// it go into the model, later ones first. Default .25.
    pub verbatim_share: f64,
    /// Weight of data bits when a tree is split: more makes larger and more faithful models.
    /// Useful from .03 to 3. Default 1.
    pub beta: f64,
    /// Trains the networks of the Gen-T paper in the place of trees; the level is then
    /// [`Level::Model`]. Needs the cargo feature `ctgan`. Default none.
    pub gan: Option<GanOptions>,
}

/// Which traces are kept verbatim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeepVerbatim {
    /// None.
    #[default]
    Nothing,
    /// Those with a span whose status is an error.
    Errors,
    /// These.
    Traces(BTreeSet<TraceId>),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            level: Level::Model,
            seed: 0,
            seed_search: 1,
            keep_verbatim: KeepVerbatim::Nothing,
            verbatim_share: 0.25,
            beta: 1.0,
            gan: None,
        }
    }
}
