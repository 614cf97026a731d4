//! The endpoints that answer with one picture: status, services, rules, anomalies, decisions.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};

use crate::page::{PageParams, Params, take};
use crate::problem::Problem;
use crate::snapshot::Site;
use crate::state::ApiState;
use crate::view::{
    AnomalyList, AnomalyView, DecisionList, DecisionView, RuleList, RuleStateView, ServiceList,
    ServiceView, StatusView, decision_id,
};

/// The process at a glance.
pub(crate) async fn status(State(state): State<ApiState>) -> Json<StatusView> {
    Json(StatusView::from(&state.snapshot.borrow().status))
}

/// Services in order of their names, each with its operations.
pub(crate) async fn services(
    State(state): State<ApiState>,
    Params(params): Params<PageParams>,
) -> Result<Json<ServiceList>, Problem> {
    let limit = params.limit()?;
    let after = params.cursor.as_deref().unwrap_or_default();
    let snapshot = state.snapshot.borrow().clone();
    let mut by_service: BTreeMap<&str, Vec<&Site>> = BTreeMap::new();
    for site in snapshot.sites.iter() {
        let service = &*site.site.service;
        let wanted = params.service.as_deref().is_none_or(|wanted| wanted == service);
        if wanted && service > after {
            by_service.entry(service).or_default().push(site);
        }
    }
    let views = by_service.into_iter().map(|(service, sites)| ServiceView::of(service, &sites));
    let (items, more) = take(views, limit);
    let next = items.last().filter(|_| more).map(|last| last.service.clone());
    Ok(Json(ServiceList { items, next }))
}

/// Rules in the order of the configuration, and what each has seen.
pub(crate) async fn rules(State(state): State<ApiState>) -> Json<RuleList> {
    let snapshot = state.snapshot.borrow().clone();
    let views = snapshot.rules.iter().map(|rule| RuleStateView::of(rule, &snapshot.sites));
    Json(RuleList { items: views.collect(), next: None })
}

/// The latest anomalies, newest first.
pub(crate) async fn anomalies(
    State(state): State<ApiState>,
    Params(params): Params<PageParams>,
) -> Result<Json<AnomalyList>, Problem> {
    let limit = params.limit()?;
    let before = params.cursor_number("a-")?.unwrap_or(u64::MAX);
    let snapshot = state.snapshot.borrow().clone();
    let same = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|w| w == name);
    let wanted = snapshot.anomalies.iter().rev().filter(|anomaly| {
        anomaly.seq < before
            && same(&params.service, &anomaly.site.service)
            && same(&params.operation, &anomaly.site.operation)
    });
    let (items, more) = take(wanted.map(|anomaly| AnomalyView::from(&**anomaly)), limit);
    let next = items.last().filter(|_| more).map(|last| last.id.clone());
    Ok(Json(AnomalyList { items, next }))
}

/// The latest decisions, newest first.
pub(crate) async fn decisions(
    State(state): State<ApiState>,
    Params(params): Params<PageParams>,
) -> Result<Json<DecisionList>, Problem> {
    let limit = params.limit()?;
    let before = params.cursor_number("d-")?.unwrap_or(u64::MAX);
    let (outcome, reason) = params.decided()?;
    let snapshot = state.snapshot.borrow().clone();
    let wanted = snapshot.decisions.iter().rev().filter(|decision| {
        decision.id < before
            && outcome.is_none_or(|outcome| outcome == decision.outcome)
            && reason.is_none_or(|reason| reason == decision.reason)
            && params.target.as_deref().is_none_or(|target| target == &*decision.target.name)
    });
    let (items, more) = take(wanted.map(|decision| DecisionView::from(&**decision)), limit);
    let next = items.last().filter(|_| more).map(|last| last.id.clone());
    Ok(Json(DecisionList { items, next }))
}

/// One decision.
pub(crate) async fn decision(
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<Json<DecisionView>, Problem> {
    let number = decision_id(&id).ok_or_else(|| {
        let detail = format!("{:?} is no decision", id.chars().take(40).collect::<String>());
        Problem::invalid(detail, "decisions are called d-1, d-2, ...")
    })?;
    let snapshot = state.snapshot.borrow().clone();
    let found = snapshot.decisions.iter().rev().find(|decision| decision.id == number);
    found.map(|decision| Json(DecisionView::from(&**decision))).ok_or_else(|| {
        let hint = "only the latest are in memory; older ones are in the data directory's log";
        Problem::not_found(format!("there is no decision d-{number} in memory"), hint)
    })
}
