//! The span sampler's settings.

use spanwise_analyzer::units::DurationNs;
use spanwise_sampler::{Error, Profile, ScaleConfig};

use super::{BUDGET_DEFAULT, Problems, SEED_DEFAULT};
use crate::config::raw::{RawSampler, RawScaleProfile};

pub(super) fn sampler(
    raw: &RawSampler,
    problems: &mut Problems,
) -> Option<spanwise_sampler::Config> {
    let n_before = problems.n_errors();
    let mut config = spanwise_sampler::Config {
        seed: raw.seed.unwrap_or(SEED_DEFAULT),
        ..spanwise_sampler::Config::default()
    };
    match raw.budget.as_deref().unwrap_or(BUDGET_DEFAULT).parse() {
        Ok(budget) => config.budget = budget,
        Err(error) => {
            let error: Error = error;
            let fix = "write a share such as 1%, or a rate such as 200/s";
            problems.error("sampler.budget", "C009", error.to_string(), fix);
        }
    }
    let scale = raw.scale.as_ref().map(|scale| scale_profile(scale, problems));
    match raw.profile.as_deref() {
        None | Some("default") => {
            if scale.is_some() {
                let message = "has no effect in profile default".to_owned();
                let fix = "write `profile: scale`, or remove it";
                problems.warning("sampler.scale", "C011", message, fix);
            }
        }
        Some("scale") => config.profile = Profile::Scale(scale.unwrap_or_default()),
        Some(other) => {
            let fix = "write default or scale";
            problems.error("sampler.profile", "C009", format!("unknown profile `{other}`"), fix);
        }
    }
    (problems.n_errors() == n_before).then_some(config)
}

fn scale_profile(raw: &RawScaleProfile, problems: &mut Problems) -> ScaleConfig {
    let n_before = problems.n_errors();
    let default = ScaleConfig::default();
    let max_duration_ms = match raw.max_duration.as_deref().map(DurationNs::parse).transpose() {
        Ok(parsed) => parsed.map_or(default.max_duration_ms, |DurationNs(ns)| ns as f64 / 1e6),
        Err(error) => {
            let fix = "write a duration such as 5s";
            problems.error("sampler.scale.max_duration", "C009", error.to_string(), fix);
            default.max_duration_ms
        }
    };
    let whole = ScaleConfig {
        n_tree: raw.n_tree.unwrap_or(default.n_tree),
        height: raw.height.unwrap_or(default.height),
        window_size: raw.window_size.unwrap_or(default.window_size),
        min_score: raw.min_score.unwrap_or(default.min_score),
        max_duration_ms,
        train_size: raw.train_size.unwrap_or(default.train_size),
    };
    // Each figure alone, so that every mistake is told; then all together.
    for alone in [
        ScaleConfig { n_tree: whole.n_tree, height: 1, ..default },
        ScaleConfig { n_tree: 1, height: whole.height, ..default },
        ScaleConfig { window_size: whole.window_size, ..default },
        ScaleConfig { min_score: whole.min_score, ..default },
        ScaleConfig { max_duration_ms, ..default },
    ] {
        refuse(&alone, problems);
    }
    if problems.n_errors() == n_before {
        refuse(&whole, problems);
    }
    if whole.train_size < u64::from(whole.window_size) {
        let message = "is less than window_size, so no window fills and nothing is kept".to_owned();
        let fix = "train on at least one window";
        problems.warning("sampler.scale.train_size", "C016", message, fix);
    }
    whole
}

fn refuse(scale: &ScaleConfig, problems: &mut Problems) {
    match scale.validate() {
        Ok(()) => {}
        Err(Error::Setting { name, expected }) => {
            let path = format!("sampler.scale.{name}");
            let fix = format!("write {expected}");
            problems.error(path, "C009", format!("{name} must be {expected}"), &fix);
        }
        Err(error) => {
            problems.error("sampler.scale", "C009", error.to_string(), "leave it out");
        }
    }
}
