//! Models by their words: levels, and the networks of the paper with appendix B's ablations.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use spanwise_archive::evaluation::Recording;
use spanwise_archive::fidelity::Scorer;
use spanwise_archive::traces::Window;
use spanwise_archive::{
    Archive, Compressed, GanOptions, HeadMetadata, Level, Limits, Options, Rolling, Support, Times,
    TopologyCode, compress, train,
};

use super::row::Run;
use crate::cli::archive::generated;
use crate::resources;

/// Epochs where none are asked for, the paper's.
const EPOCHS: u32 = 10;
/// Networks and their ablations.
const GANS: [&str; 6] =
    ["ctgan", "ctgan-learned", "ctgan-one-hot", "ctgan-no-head", "ctgan-absolute", "ctgan-c3"];

/// A model to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Model {
    /// An archive of a level.
    Level(Level),
    /// Networks, by their place among the words.
    Gan(usize),
}

/// A model fitted, stored, generated and scored.
pub(super) struct Measured {
    /// Of models that are trained in epochs.
    pub(super) epochs: Option<u32>,
    pub(super) run: Run,
    pub(super) window: Window,
}

impl FromStr for Model {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        if let Ok(level) = word.parse() {
            return Ok(Self::Level(level));
        }
        match GANS.iter().position(|gan| *gan == word) {
            Some(at) => Ok(Self::Gan(at)),
            None => {
                bail!("unknown model `{word}`\n  fix: give l0, l1, l2, l3 or {}", GANS.join(", "))
            }
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(level) => f.write_str(level.name()),
            Self::Gan(at) => f.write_str(GANS[*at]),
        }
    }
}

impl Model {
    pub(super) fn level(self) -> Option<Level> {
        match self {
            Self::Level(level) => Some(level),
            Self::Gan(_) => None,
        }
    }

    /// The numbers of epochs of which each is a row.
    pub(super) fn epochs(self, asked: &[u32]) -> Vec<Option<u32>> {
        match self {
            Self::Level(_) => vec![None],
            Self::Gan(_) if asked.is_empty() => vec![Some(EPOCHS)],
            Self::Gan(_) => asked.iter().copied().map(Some).collect(),
        }
    }

    /// Compresses, generates and scores what was generated; networks once for all `epochs`.
    pub(super) fn measure(
        self,
        recording: &Recording,
        seed: u64,
        epochs: &[u32],
        scorer: &mut Scorer,
    ) -> Result<Vec<Measured>> {
        resources::forget_peak();
        let began = resources::cpu_s();
        match self {
            Self::Level(level) => {
                let options = Options { level, seed, ..Options::default() };
                let compressed = compress(recording.requests().iter().cloned(), &options)?;
                let fit_cpu_s = elapsed(began);
                Ok(vec![measured(compressed, None, fit_cpu_s, scorer)?])
            }
            Self::Gan(at) => {
                let gan = Some(GanOptions { seed, ..gan(GANS[at]) });
                let options = Options { seed, gan, ..Options::default() };
                let mut rolling = Rolling::default();
                let mut epochs = epochs.to_vec();
                epochs.sort_unstable();
                epochs.dedup();
                let mut all = Vec::new();
                // CPU time that went into measuring earlier checkpoints.
                let mut spent = 0.0;
                train(
                    recording.requests(),
                    &options,
                    &epochs,
                    &mut rolling,
                    &mut |n, compressed| {
                        let fit_cpu_s = elapsed(began).map(|s| s - spent);
                        let measuring = resources::cpu_s();
                        all.push(measured(compressed, Some(n), fit_cpu_s, scorer));
                        spent += elapsed(measuring).unwrap_or(0.0);
                    },
                )?;
                all.into_iter().collect()
            }
        }
    }
}

/// What a word stands for. Ablations are those of the paper, so they start from its way of learning
/// everything (`ctgan-learned`).
fn gan(word: &str) -> GanOptions {
    let learned = GanOptions { support: Support::Learned, ..GanOptions::default() };
    match word {
        "ctgan-learned" => learned,
        "ctgan-one-hot" => GanOptions { topology: TopologyCode::OneHot, ..learned },
        "ctgan-no-head" => GanOptions { head: HeadMetadata::Withheld, ..learned },
        "ctgan-absolute" => GanOptions { times: Times::Absolute, ..learned },
        "ctgan-c3" => GanOptions { chain_length: 3, ..learned },
        _ => GanOptions::default(),
    }
}

pub(super) fn elapsed(began: Option<f64>) -> Option<f64> {
    Some(resources::cpu_s()? - began?)
}

fn measured(
    compressed: Compressed,
    epochs: Option<u32>,
    fit_cpu_s: Option<f64>,
    scorer: &mut Scorer,
) -> Result<Measured> {
    let bytes = compressed.bytes.len() as u64;
    let near = compressed.summary.near_lossless.map(|near| (near.ideal_bytes, near.timing_error));
    let archive = Archive::open(compressed.bytes.into(), &Limits::default())?;
    let began = resources::cpu_s();
    archive.generate(&mut |request| {
        std::hint::black_box(request);
        Ok(())
    })?;
    let generate_cpu_s = elapsed(began);
    let peak_rss = resources::peak_rss();
    // Once more, since turning requests into columns is not part of generating them.
    let window = generated(&archive)?;
    let fidelity = scorer.score(&window.traces, 1.0);
    let run = Run { bytes, fit_cpu_s, generate_cpu_s, peak_rss, fidelity, near };
    Ok(Measured { epochs, run, window })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_a_model_and_says_so() {
        for word in ["l0", "l3"].into_iter().chain(GANS) {
            assert_eq!(word.parse::<Model>().unwrap().to_string(), word);
        }
        let error = "l9".parse::<Model>().unwrap_err().to_string();
        assert!(error.contains("l0, l1, l2, l3 or ctgan,"), "{error}");
    }

    #[test]
    fn networks_have_a_row_for_each_number_of_epochs() {
        let model = |word: &str| word.parse::<Model>().unwrap();
        assert_eq!(model("l3").epochs(&[1, 5]), [None]);
        assert_eq!(model("ctgan").epochs(&[1, 5]), [Some(1), Some(5)]);
        assert_eq!(model("ctgan").epochs(&[]), [Some(10)]);
    }

    #[test]
    fn each_word_of_an_ablation_changes_one_thing() {
        assert_eq!(gan("ctgan"), GanOptions::default());
        let learned = gan("ctgan-learned");
        for word in GANS.into_iter().filter(|word| *word != "ctgan-learned") {
            assert_ne!(gan(word), learned, "{word}");
        }
    }
}
