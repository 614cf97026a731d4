//! Which level a window gets: the configured one, and one level more faithful for each that does not
//! do.

use std::collections::BTreeMap;

use spanwise_archive::Level;
use spanwise_archive::fidelity::{Fidelity, Metric};

/// Weight of the latest fit in the pace of a level.
const LATEST: f64 = 0.5;

/// The levels, what they must reach, and what they cost.
#[derive(Clone, Debug)]
pub struct Ladder {
    configured: Level,
    floor: Vec<(Metric, f64)>,
    /// Seconds a span, by level, of fits so far.
    pace: BTreeMap<Level, f64>,
}

impl Ladder {
    /// Begins at this level; `floor` is the least, or for distances the most, that each figure may
    /// be.
    pub fn new(configured: Level, floor: Vec<(Metric, f64)>) -> Self {
        Self { configured, floor, pace: BTreeMap::new() }
    }

    /// The configured level and those below it on the ladder, which are the more faithful ones.
    pub fn levels(&self) -> impl DoubleEndedIterator<Item = Level> + use<> {
        let configured = self.configured;
        Level::ALL.into_iter().rev().filter(move |level| *level <= configured)
    }

    /// Where to begin with a window of `n_spans`. While others wait, that is the first level whose
    /// fit is known to take no longer than `seconds`, or is not known at all; without one, the
    /// quickest.
    pub fn begin(&self, n_spans: u64, seconds: f64, is_behind: bool) -> Level {
        if !is_behind {
            return self.configured;
        }
        let takes = |level: Level| self.pace.get(&level).map(|pace| pace * n_spans as f64);
        let fits = |level: &Level| takes(*level).is_none_or(|takes| takes <= seconds);
        self.levels().find(fits).unwrap_or_else(|| {
            let quicker = |a: &Level, b: &Level| {
                takes(*a).unwrap_or_default().total_cmp(&takes(*b).unwrap_or_default())
            };
            self.levels().min_by(quicker).unwrap_or(self.configured)
        })
    }

    /// A fit took this long.
    pub fn took(&mut self, level: Level, n_spans: u64, seconds: f64) {
        let pace = seconds / n_spans.max(1) as f64;
        let known = self.pace.entry(level).or_insert(pace);
        *known += LATEST * (pace - *known);
    }

    /// What a score lacks, if it lacks something.
    pub fn shortfall(&self, fidelity: &Fidelity) -> Option<String> {
        self.floor.iter().find_map(|(metric, floor)| {
            let found = fidelity.get(*metric)?;
            let is_short = if metric.is_greater_better() { found < *floor } else { found > *floor };
            let bound = if metric.is_greater_better() { "least" } else { "most" };
            is_short.then(|| format!("{} is {found:.4}, at {bound} {floor}", metric.name()))
        })
    }
}

#[cfg(test)]
mod tests {
    use Level::{Lossless, Model, NearLossless, Pinned};

    use super::*;

    fn fidelity(metric: Metric, value: f32) -> Fidelity {
        let mut bytes = vec![metric as u8];
        bytes.extend_from_slice(&value.to_le_bytes());
        Fidelity::decode(&bytes).unwrap()
    }

    #[test]
    fn the_ladder_leads_to_the_lossless_level() {
        let check = |level, expected: &[Level]| {
            let levels: Vec<Level> = Ladder::new(level, Vec::new()).levels().collect();
            assert_eq!(levels, expected);
        };
        check(Model, &[Model, Pinned, NearLossless, Lossless]);
        check(NearLossless, &[NearLossless, Lossless]);
        check(Lossless, &[Lossless]);
    }

    #[test]
    fn while_windows_wait_a_level_is_taken_that_is_quick_enough() {
        let mut ladder = Ladder::new(Model, Vec::new());
        assert_eq!(ladder.begin(1_000, 1.0, true), Model, "nothing is known yet");
        ladder.took(Model, 1_000, 3.0);
        assert_eq!(ladder.begin(1_000, 1.0, false), Model);
        assert_eq!(ladder.begin(1_000, 1.0, true), Pinned);
        assert_eq!(ladder.begin(300, 1.0, true), Model, "a small window");
        for (level, seconds) in [(Pinned, 4.0), (NearLossless, 2.0), (Lossless, 2.5)] {
            ladder.took(level, 1_000, seconds);
        }
        assert_eq!(ladder.begin(1_000, 1.0, true), NearLossless, "the quickest");
        assert_eq!(ladder.begin(1_000, 2.2, true), NearLossless);
        for _ in 0..8 {
            ladder.took(Model, 1_000, 0.5);
        }
        assert_eq!(ladder.begin(1_000, 1.0, true), Model);
    }

    #[test]
    fn a_score_is_held_against_the_floor_in_its_direction() {
        let ladder = Ladder::new(Model, vec![(Metric::Q1, 0.9), (Metric::W1, 0.1)]);
        let check = |metric, value, expected: Option<&str>| {
            assert_eq!(ladder.shortfall(&fidelity(metric, value)).as_deref(), expected);
        };
        check(Metric::Q1, 0.95, None);
        check(Metric::Q1, 0.5, Some("q1 is 0.5000, at least 0.9"));
        check(Metric::W1, 0.0625, None);
        check(Metric::W1, 0.5, Some("w1 is 0.5000, at most 0.1"));
        check(Metric::Q3, 0.0, None);
    }
}
