//! The trace sampler's settings.

use spanwise_analyzer::units::DurationNs;
use spanwise_sampler::trace::policy::Rest;
use spanwise_sampler::trace::{Algorithm, Bound, Budget};

use super::{Problems, SEED_DEFAULT};
use crate::config::raw::{RawSampler, RawTraces};
use crate::config::tail_sampling::{self, Policies};

/// Share of the traces that is kept.
pub(super) const BUDGET_DEFAULT: &str = "1%";
/// How long after its root a trace is waited for: for spans that are sent at once.
pub(super) const WAIT_DEFAULT: &str = "1s";
/// A trace is decided at this age in any case.
pub const WAIT_NS_MAX: u64 = 60 * 1_000_000_000;
/// Budgets that are only counted.
const SHADOWS_MAX: usize = 16;

/// Which whole traces are kept.
#[derive(Clone, Debug)]
pub struct Traces {
    /// How traces are chosen.
    pub sampler: spanwise_sampler::trace::Config,
    /// What may be kept.
    pub bound: Bound,
    /// How long after its root a trace is waited for, in nanoseconds.
    pub wait_ns: u64,
    /// The resource attribute that names the tenant.
    pub tenant: Option<String>,
    /// Budgets that are counted in the same pass.
    pub shadow: Vec<Budget>,
    /// Whether verdicts are carried out or written.
    pub mode: TraceMode,
    /// What is kept or dropped whatever the sampler thinks.
    pub policies: Policies,
}

/// What a verdict does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceMode {
    /// It decides.
    #[default]
    Sample,
    /// It is written on the trace, which is kept in any case.
    Tag,
}

impl TraceMode {
    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Tag => "tag",
        }
    }
}

/// The settings, or nothing if whole traces are not sampled; `None` if something is wrong.
#[expect(clippy::option_option, reason = "absent and wrong are told apart")]
pub(super) fn build(raw: &RawSampler, problems: &mut Problems) -> Option<Option<Traces>> {
    let mode = match raw.mode.as_deref() {
        None | Some("sample") => Some(TraceMode::Sample),
        Some("tag") => Some(TraceMode::Tag),
        Some(other) => {
            let message = format!("unknown mode `{other}`");
            problems.error("sampler.mode", "C020", message, "write sample or tag");
            None
        }
    };
    let Some(traces) = &raw.traces else {
        if mode == Some(TraceMode::Tag) {
            let message = "has no effect: whole traces are not sampled".to_owned();
            problems.warning("sampler.mode", "C023", message, "add `traces: {}`, or remove it");
        }
        return mode.map(|_| None);
    };
    let path = "sampler.traces";
    let algorithm = match traces.sampler.as_deref() {
        None => Some(Algorithm::default()),
        Some(name) => Algorithm::from_name(name).or_else(|| {
            let known: Vec<&str> = Algorithm::ALL.into_iter().map(Algorithm::as_str).collect();
            let message = format!("unknown sampler `{name}`");
            let fix = format!("write one of {}", known.join(", "));
            problems.error(format!("{path}.sampler"), "C020", message, &fix);
            None
        }),
    };
    let wait_ns = wait(path, traces, problems);
    let bound = bound(path, traces, problems);
    let policies = policies(path, traces, problems);
    let shadow: Option<Vec<Budget>> = (0..)
        .zip(&traces.shadow)
        .map(|(idx, text)| budget(&format!("{path}.shadow[{idx}]"), text, problems))
        .collect();
    if traces.shadow.len() > SHADOWS_MAX {
        let message = format!("more than {SHADOWS_MAX} budgets to count");
        problems.error(format!("{path}.shadow"), "C020", message, "leave some out");
        return None;
    }
    let mut sampler = spanwise_sampler::trace::Config {
        algorithm: algorithm?,
        seed: raw.seed.unwrap_or(SEED_DEFAULT),
        ..Default::default()
    };
    let mode = mode?;
    if mode == TraceMode::Tag {
        // Every trace leaves at once, so its verdict is final at once.
        sampler.waiting.n_traces = 0;
    }
    let tenant = traces.tenant.as_ref().map(|tenant| tenant.attribute.clone());
    let (bound, wait_ns, shadow, policies) = (bound?, wait_ns?, shadow?, policies?);
    Some(Some(Traces { sampler, bound, wait_ns, tenant, shadow, mode, policies }))
}

fn wait(path: &str, raw: &RawTraces, problems: &mut Problems) -> Option<u64> {
    let text = raw.decision_wait_after_root_received.as_deref().unwrap_or(WAIT_DEFAULT);
    let message = match DurationNs::parse(text) {
        Ok(DurationNs(ns)) if ns <= WAIT_NS_MAX => return Some(ns),
        Ok(_) => format!("{text} is longer than a trace is waited for in any case"),
        Err(error) => error.to_string(),
    };
    let fix = "write a duration up to 60s, such as 6s";
    problems.error(format!("{path}.decision_wait_after_root_received"), "C020", message, fix);
    None
}

fn policies(path: &str, raw: &RawTraces, problems: &mut Problems) -> Option<Policies> {
    let (policies, found) = tail_sampling::build(&format!("{path}.policies"), &raw.policies);
    problems.0.extend(found);
    let rest = match raw.rest.as_deref() {
        None | Some("sample") => Some(Rest::Sample),
        Some("drop") => Some(Rest::Drop),
        Some(other) => {
            let message = format!("`{other}` is nothing that can become of a trace");
            problems.error(format!("{path}.rest"), "P004", message, "write sample or drop");
            None
        }
    };
    let is_first_match = raw.sample_on_first_match;
    Some(Policies { policies: policies?, rest: rest?, is_first_match })
}

fn bound(path: &str, raw: &RawTraces, problems: &mut Problems) -> Option<Bound> {
    let text = raw.budget.as_deref().unwrap_or(BUDGET_DEFAULT);
    let total = budget(&format!("{path}.budget"), text, problems)?;
    let mut bound = Bound { total, ..Bound::default() };
    if let Some(tenant) = &raw.tenant {
        bound.per_tenant =
            Some(budget(&format!("{path}.tenant.budget"), &tenant.budget, problems)?);
        if tenant.attribute.is_empty() {
            let fix = "write the resource attribute that names the tenant, such as tenant.id";
            let message = "no attribute is named".to_owned();
            problems.error(format!("{path}.tenant.attribute"), "C020", message, fix);
            return None;
        }
    }
    Some(if raw.strict { bound.strict() } else { bound })
}

fn budget(path: &str, text: &str, problems: &mut Problems) -> Option<Budget> {
    match text.parse() {
        Ok(budget) => Some(budget),
        Err(error) => {
            let error: spanwise_sampler::Error = error;
            let fix = "write 5%, 200/s, 20k spans/s, 5MB/s or 100GB/month";
            problems.error(path, "C020", error.to_string(), fix);
            None
        }
    }
}
