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
    /// Observations in each window, 1 to 1,000,000. Default 250.
    pub window_size: u32,
    /// A span is kept when river's score is above it; 0 to 1. Default 0.60.
    pub min_score: f64,
    /// Upper limit of the duration feature in milliseconds, above 0 and at most 24 h. Longer spans
    /// are legal and fall into the outermost half-space. Default 5000.
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

    /// Checks every range. The error names the setting as Table I does.
    pub fn validate(&self) -> Result<(), Error> {
        /// As the forest counts: `2^(height + 1) - 1` a tree.
        const NODES_MAX: u64 = 1 << 22;
        const DAY_MS: f64 = 86_400_000.0;
        let fail = |name, expected| Err(Error::Setting { name, expected });
        if !(1..=1024).contains(&self.n_tree) {
            return fail("n_tree", "1 to 1024");
        }
        if !(1..=15).contains(&self.height) {
            return fail("height", "1 to 15");
        }
        if u64::from(self.n_tree) * ((2 << self.height) - 1) > NODES_MAX {
            return fail("n_tree", "smaller, or height: n_tree * 2^(height+1) at most 2^22");
        }
        if !(1..=1_000_000).contains(&self.window_size) {
            return fail("window_size", "1 to 1000000");
        }
        if !(0.0..=1.0).contains(&self.min_score) {
            return fail("min_score", "0 to 1");
        }
        if !(self.max_duration_ms > 0.0 && self.max_duration_ms <= DAY_MS) {
            return fail("max_duration", "above 0 and at most 24h");
        }
        Ok(())
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
        match &self.profile {
            Profile::Default => Ok(()),
            Profile::Scale(scale) => scale.validate(),
        }
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
        check(scale(bad), Err("max_duration must be above 0 and at most 24h"));
        let bad = |n_tree, height, window_size| {
            scale(ScaleConfig { n_tree, height, window_size, ..ScaleConfig::default() })
        };
        check(bad(0, 8, 250), Err("n_tree must be 1 to 1024"));
        check(bad(10, 16, 250), Err("height must be 1 to 15"));
        check(bad(10, 8, 0), Err("window_size must be 1 to 1000000"));
        let expected = "n_tree must be smaller, or height: n_tree * 2^(height+1) at most 2^22";
        check(bad(1024, 12, 250), Err(expected));
        let largest = bad(1024, 11, 1_000_000);
        check(largest, Ok(()));
        assert!(crate::SpanSampler::new(largest).is_ok());
    }
}
