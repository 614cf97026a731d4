//! A decision as it is shown, logged and read back. Nothing of a [`Decision`] is lost on the way.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use spanwise_model::{
    Axis, Bound, Condition, Decision, Direction, Mode, Outcome, Reason, RuleRef, TraceId,
};

use super::ns::Ns;
use super::target::TargetView;
use crate::time::{format_time, parse_time};

/// Names the format; grows a new number when a field changes its meaning.
pub const DECISION_SCHEMA: &str = "spanwise.decision/v1";

/// A decision or non-decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionView {
    /// [`DECISION_SCHEMA`].
    pub schema: String,
    /// `d-` and a number.
    pub id: String,
    /// Where it is shown.
    pub href: String,
    /// When it was taken.
    pub time: String,
    /// For what.
    pub target: TargetView,
    /// `horizontal` or `vertical`.
    pub axis: String,
    /// `up`, `down` or `hold`.
    pub direction: String,
    /// Replicas before; CPU millicores on the vertical axis.
    pub from: Option<u64>,
    /// Replicas wanted; CPU millicores on the vertical axis.
    pub to: Option<u64>,
    /// Memory wanted, in bytes.
    pub memory_bytes: Option<u64>,
    /// `observe`, `recommend` or `act`.
    pub mode: String,
    /// `acted`, `recommended`, `suppressed` or `failed`.
    pub outcome: String,
    /// Code of a closed set.
    pub reason: String,
    /// One sentence for people.
    pub summary: String,
    /// The decisive rule; `null` if no rule led here.
    pub rule: Option<RuleView>,
    /// Every rule that was folded into it, the decisive one first.
    pub rules: Vec<RuleView>,
    /// The figures of the decisive rule.
    pub condition: ConditionView,
    /// Where the decisive rule fired.
    pub call_site: CallSiteView,
    /// Bounds and brakes that were applied, in order.
    pub guards: Vec<BoundView>,
    /// Ids of traces that show the breach.
    pub traces: Vec<String>,
    /// What the orchestrator said.
    pub orchestrator: Option<String>,
}

/// A version of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleView {
    /// Name.
    pub name: String,
    /// Hash of its text in hexadecimal.
    pub hash: String,
}

/// Both sides of `Count(D > T, window) >= N`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConditionView {
    /// `total`, `self`, `gap` or `self+gap`.
    pub metric: String,
    /// Always `>`.
    pub op: String,
    /// T in nanoseconds.
    pub threshold: Ns,
    /// N.
    pub count: f64,
    /// Window in nanoseconds.
    pub window: Ns,
    /// Weighted breaches in the window.
    pub observed: f64,
    /// Raw spans seen.
    pub spans: u64,
    /// Raw breaches.
    pub breaches: u64,
    /// Quarters of the window with a breach.
    pub quarters: u32,
    /// Instances that sent spans.
    pub instances: u32,
    /// Instances that breached.
    pub breaching_instances: u32,
}

/// A call site by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSiteView {
    /// Service.
    pub service: String,
    /// Operation.
    pub operation: String,
}

/// A bound or brake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundView {
    /// Reason code.
    pub reason: String,
    /// One sentence with the figures.
    pub detail: String,
}

/// A page of decisions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DecisionList {
    /// Newest first.
    pub items: Vec<DecisionView>,
    /// `cursor` of the next page; `null` on the last.
    pub next: Option<String>,
}

/// A field of a decision that cannot be read back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a decision's {field} cannot be {value:?}")]
pub struct Malformed {
    /// The field.
    pub field: &'static str,
    /// What it held.
    pub value: String,
}

/// The number of `d-7` or `7`.
pub(crate) fn decision_id(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("d-").unwrap_or(text);
    digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
}

impl From<&Decision> for DecisionView {
    fn from(decision: &Decision) -> Self {
        let rules: Vec<RuleView> = decision.rules.iter().map(RuleView::from).collect();
        let (service, operation) = &decision.call_site;
        Self {
            schema: DECISION_SCHEMA.to_owned(),
            id: format!("d-{}", decision.id),
            href: format!("/api/v1/decisions/d-{}", decision.id),
            time: format_time(decision.at),
            target: TargetView::from(&decision.target),
            axis: decision.axis.as_str().to_owned(),
            direction: decision.direction.as_str().to_owned(),
            from: decision.from,
            to: decision.to,
            memory_bytes: decision.memory_bytes,
            mode: decision.mode.as_str().to_owned(),
            outcome: decision.outcome.as_str().to_owned(),
            reason: decision.reason.as_str().to_owned(),
            summary: decision.summary.clone(),
            rule: rules.first().cloned(),
            rules,
            condition: ConditionView::from(&decision.condition),
            call_site: CallSiteView {
                service: service.to_string(),
                operation: operation.to_string(),
            },
            guards: decision.bounds.iter().map(BoundView::from).collect(),
            traces: decision.trace_ids.iter().map(TraceId::to_string).collect(),
            orchestrator: decision.orchestrator.clone(),
        }
    }
}

impl TryFrom<DecisionView> for Decision {
    type Error = Malformed;

    fn try_from(view: DecisionView) -> Result<Self, Malformed> {
        if view.schema != DECISION_SCHEMA {
            return Err(malformed("schema", &view.schema));
        }
        let rules: Result<Vec<RuleRef>, Malformed> =
            view.rules.iter().map(RuleRef::try_from).collect();
        let bounds: Result<Vec<Bound>, Malformed> =
            view.guards.into_iter().map(Bound::try_from).collect();
        let traces: Result<Vec<TraceId>, Malformed> = view
            .traces
            .iter()
            .map(|id| TraceId::from_hex(id).ok_or_else(|| malformed("traces", id)))
            .collect();
        Ok(Self {
            id: decision_id(&view.id).ok_or_else(|| malformed("id", &view.id))?,
            at: parse_time(&view.time).ok_or_else(|| malformed("time", &view.time))?,
            target: view.target.into(),
            axis: one_of("axis", &view.axis, [Axis::Horizontal, Axis::Vertical], Axis::as_str)?,
            direction: one_of(
                "direction",
                &view.direction,
                [Direction::Up, Direction::Down, Direction::Hold],
                Direction::as_str,
            )?,
            from: view.from,
            to: view.to,
            memory_bytes: view.memory_bytes,
            mode: one_of(
                "mode",
                &view.mode,
                [Mode::Observe, Mode::Recommend, Mode::Act],
                Mode::as_str,
            )?,
            outcome: one_of(
                "outcome",
                &view.outcome,
                [Outcome::Acted, Outcome::Recommended, Outcome::Suppressed, Outcome::Failed],
                Outcome::as_str,
            )?,
            reason: reason(&view.reason)?,
            summary: view.summary,
            rules: rules?,
            condition: view.condition.into(),
            call_site: (Arc::from(view.call_site.service), Arc::from(view.call_site.operation)),
            bounds: bounds?,
            trace_ids: traces?,
            orchestrator: view.orchestrator,
        })
    }
}

impl From<&RuleRef> for RuleView {
    fn from(rule: &RuleRef) -> Self {
        Self { name: rule.name.to_string(), hash: format!("{:016x}", rule.hash) }
    }
}

impl TryFrom<&RuleView> for RuleRef {
    type Error = Malformed;

    fn try_from(view: &RuleView) -> Result<Self, Malformed> {
        let hash = u64::from_str_radix(&view.hash, 16);
        let hash = hash.map_err(|_| malformed("rule hash", &view.hash))?;
        Ok(Self { name: Arc::from(&*view.name), hash })
    }
}

impl From<&Condition> for ConditionView {
    fn from(condition: &Condition) -> Self {
        Self {
            metric: condition.metric.to_string(),
            op: ">".to_owned(),
            threshold: Ns(condition.over_ns),
            count: condition.count,
            window: Ns(condition.window_ns),
            observed: condition.observed,
            spans: condition.n_spans,
            breaches: condition.n_breaches,
            quarters: condition.n_quarters,
            instances: condition.n_instances,
            breaching_instances: condition.n_breaching_instances,
        }
    }
}

impl From<ConditionView> for Condition {
    fn from(view: ConditionView) -> Self {
        Self {
            metric: view.metric.into(),
            over_ns: view.threshold.0,
            count: view.count,
            window_ns: view.window.0,
            observed: view.observed,
            n_spans: view.spans,
            n_breaches: view.breaches,
            n_quarters: view.quarters,
            n_instances: view.instances,
            n_breaching_instances: view.breaching_instances,
        }
    }
}

impl From<&Bound> for BoundView {
    fn from(bound: &Bound) -> Self {
        Self { reason: bound.reason.as_str().to_owned(), detail: bound.detail.clone() }
    }
}

impl TryFrom<BoundView> for Bound {
    type Error = Malformed;

    fn try_from(view: BoundView) -> Result<Self, Malformed> {
        Ok(Self { reason: reason(&view.reason)?, detail: view.detail })
    }
}

fn reason(name: &str) -> Result<Reason, Malformed> {
    Reason::from_name(name).ok_or_else(|| malformed("reason", name))
}

fn one_of<T: Copy, const N: usize>(
    field: &'static str,
    name: &str,
    all: [T; N],
    as_str: impl Fn(T) -> &'static str,
) -> Result<T, Malformed> {
    all.into_iter().find(|&value| as_str(value) == name).ok_or_else(|| malformed(field, name))
}

fn malformed(field: &'static str, value: &str) -> Malformed {
    Malformed { field, value: value.chars().take(80).collect() }
}
