//! Settings of the span sampler.

use crate::budget::Budget;
use crate::error::Error;

/// Which sampler.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Profile {
    /// One model per call site, two references, a budget.
    #[default]
    Default,
    /// The sampler of the SCALE paper as published; keeps by `min_score`, whatever the budget.
    Scale(ScaleConfig),
}

/// What decides when a trace has closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decisive {
    /// Where the time was lost.
    #[default]
    Cause,
    /// There, and on the way from there up to the root.
    Impact,
}

/// Table I of the SCALE paper, by its names. Defaults are those of its public code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleConfig {
    /// Number of half-space trees, 1 to 1024. Default 10.
    pub n_tree: u32,
    /// Height of each tree, 1 to 15. Default 8.
    pub height: u32,
    /// Observations in each window, 1 or more. Default 250.
    pub window_size: u32,
    /// A span is kept when river's score is above it; 0 to 1. Default 0.60.
    pub min_score: f64,
    /// Upper limit of the duration feature in milliseconds, above 0. Longer spans are legal and
    /// fall into the outermost half-space. Default 5000.
    pub max_duration_ms: f64,
    /// Spans that are learned before scoring begins; nothing is learned afterwards. Default 10,000.
    pub train_size: u64,
}

impl Default for ScaleConfig {
    fn default() -> Self {
        Self {
            n_tree: 10,
            height: 8,
            window_size: 250,
            min_score: 0.60,
            max_duration_ms: 5000.0,
            train_size: 10_000,
        }
    }
}

impl ScaleConfig {
    /// 25 trees and a limit of one second: the strongest setting of the published sampler we know
    /// of, used as the referee in comparisons.
    pub fn referee() -> Self {
        Self { n_tree: 25, max_duration_ms: 1000.0, ..Self::default() }
    }
}

/// Settings. [`Config::default`] is meant to be run as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Which sampler.
    pub profile: Profile,
    /// How many spans to keep. Default 1 %.
    pub budget: Budget,
    /// Seed of the trees. Default 42.
    pub seed: u64,
    /// Trees of the forest all call sites share, 1 to 1024. More trees smooth the scores and make
    /// building a reference slower, nothing else. Default 50.
    pub n_trees: u32,
    /// Height of the trees, 1 to 8. Default 8.
    pub height: u32,
    /// Longest window of a call site in spans, 32 to 60,000. Default 512.
    pub window: u32,
    /// How long a call site must be slower than ever before it is the new normal. Default 30 min.
    pub accept_after_ns: u64,
    /// Models held at once, 1 or more; beyond it one that was not seen for long makes room. A model
    /// takes about 10 kB. Default 12,000.
    pub n_models_max: u32,
    /// What decides at the close of a trace. Default [`Decisive::Cause`].
    pub decisive: Decisive,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: Profile::Default,
            budget: Budget::default(),
            seed: 42,
            n_trees: 50,
            height: 8,
            window: 512,
            accept_after_ns: 30 * 60 * 1_000_000_000,
            n_models_max: 12_000,
            decisive: Decisive::Cause,
        }
    }
}

impl Config {
    /// Checks every range.
    pub fn validate(&self) -> Result<(), Error> {
        let fail = |name, expected| Err(Error::Setting { name, expected });
        self.budget.validate()?;
        if !(1..=8).contains(&self.height) {
            return fail("height", "1 to 8");
        }
        if !(32..=60_000).contains(&self.window) {
            return fail("window", "32 to 60000");
        }
        if self.n_models_max == 0 {
            return fail("n_models_max", "1 or more");
        }
        let Profile::Scale(scale) = &self.profile else { return Ok(()) };
        if !(0.0..=1.0).contains(&scale.min_score) {
            return fail("min_score", "0 to 1");
        }
        if !(scale.max_duration_ms > 0.0 && scale.max_duration_ms < 1e300) {
            return fail("max_duration", "above 0");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: Config, expected: Result<(), &str>) {
        let found = config.validate().map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        let scale = |scale| Config { profile: Profile::Scale(scale), ..Config::default() };
        check(Config::default(), Ok(()));
        check(scale(ScaleConfig::referee()), Ok(()));
        check(Config { height: 9, ..Config::default() }, Err("height must be 1 to 8"));
        check(Config { window: 9, ..Config::default() }, Err("window must be 32 to 60000"));
        let budget = Budget::Share(2.0);
        let expected = "budget must be a share up to 100% or a rate above 0/s";
        check(Config { budget, ..Config::default() }, Err(expected));
        let bad = ScaleConfig { min_score: f64::NAN, ..ScaleConfig::default() };
        check(scale(bad), Err("min_score must be 0 to 1"));
        let bad = ScaleConfig { max_duration_ms: 0.0, ..ScaleConfig::default() };
        check(scale(bad), Err("max_duration must be above 0"));
    }
}
