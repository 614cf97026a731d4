//! Settings of the trace sampler.

use super::desk::Waiting;
use crate::error::Error;

/// How traces are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Lanes for latency, structure, errors, and a baseline by chance.
    #[default]
    Hybrid,
    /// The latency lane alone.
    Latency,
    /// The structure lane alone.
    Structure,
    /// `SampleHST`, reconstructed from what is published of it.
    SampleHst,
    /// Weighted sampling of execution graphs (Las-Casas et al.), reconstructed from its description.
    LasCasas,
    /// By chance alone.
    Uniform,
    /// The traces with the longest span.
    Slowest,
}

/// Settings. [`Config::default`] is meant to be run as it is; the budget stands in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// How traces are chosen.
    pub algorithm: Algorithm,
    /// How long and how many traces may wait for budget.
    pub waiting: Waiting,
    /// Seed of forests and sketches.
    pub seed: u64,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 7] = [
        Self::Hybrid,
        Self::Latency,
        Self::Structure,
        Self::SampleHst,
        Self::LasCasas,
        Self::Uniform,
        Self::Slowest,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::Latency => "latency",
            Self::Structure => "structure",
            Self::SampleHst => "samplehst",
            Self::LasCasas => "las-casas",
            Self::Uniform => "uniform",
            Self::Slowest => "slowest",
        }
    }

    /// The algorithm of a name, exactly spelt.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

impl Config {
    /// Checks every range.
    pub fn validate(&self) -> Result<(), Error> {
        if self.waiting.n_traces > 1 << 24 {
            return Err(Error::Setting { name: "waiting.n_traces", expected: "at most 16777216" });
        }
        Ok(())
    }
}
