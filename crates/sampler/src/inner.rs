//! What stands behind the front of a sampler: one of the two profiles. On its own so that the front
//! and the snapshot can both name it.

use crate::scale::ScaleSampler;
use crate::site_sampler::SiteSampler;

/// The sampler of one profile.
#[derive(Clone, Debug)]
pub(crate) enum Inner {
    /// Profile `default`.
    Sites(Box<SiteSampler>),
    /// Profile `scale`.
    Scale(Box<ScaleSampler>),
}
