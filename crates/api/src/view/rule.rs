//! Rules: what each has seen, so that one that can never fire is found.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ns::Ns;
use crate::snapshot::{RuleStatus, Site};
use crate::time::format_time;

/// Names listed beside a rule that has seen nothing.
const KNOWN_MAX: usize = 20;

/// A page of rules, in the order of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleList {
    /// The rules.
    pub items: Vec<RuleStateView>,
    /// Always `null`: there is one page.
    pub next: Option<String>,
}

/// A rule and what it has seen since the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleStateView {
    /// Its name.
    pub name: String,
    /// `scale`, `vertical` or `alert`.
    pub action: String,
    /// The target, or the name of the alert.
    pub target: String,
    /// The service whose spans it looks at.
    pub service: String,
    /// The operation or pattern.
    pub op: String,
    /// What is compared: `total`, `self`, `gap` or `self+gap`.
    pub on: String,
    /// The threshold in nanoseconds.
    pub over_ns: Ns,
    /// Breaches needed.
    pub count: f64,
    /// Within so many seconds.
    pub window_s: u64,
    /// Spans seen at its call sites.
    pub spans: u64,
    /// Of these, breaches.
    pub breaches: u64,
    /// How often its condition held.
    pub fired: u64,
    /// When it last fired; `null` if it never did.
    pub fired_last: Option<String>,
    /// Where no span was seen: up to 20 operations that its service did send, with their kinds; or
    /// nothing, if the service sent none.
    pub known_operations: Vec<String>,
    /// Where no span was seen and the service sent none: up to 20 services that did.
    pub known_services: Vec<String>,
}

impl RuleStateView {
    /// A rule beside the call sites that are known.
    pub(crate) fn of(rule: &RuleStatus, sites: &[Site]) -> Self {
        let mut known_operations = BTreeSet::new();
        let mut known_services = BTreeSet::new();
        if rule.n_spans == 0 {
            for site in sites.iter().map(|site| &site.site).filter(|site| !site.overflow) {
                if *site.service == *rule.service {
                    let kind = site.kind.as_str();
                    known_operations.insert(format!("{} ({kind})", site.operation));
                } else {
                    known_services.insert(site.service.to_string());
                }
            }
            if !known_operations.is_empty() {
                known_services.clear();
            }
        }
        Self {
            name: rule.name.to_string(),
            action: rule.action.to_owned(),
            target: rule.target.to_string(),
            service: rule.service.to_string(),
            op: rule.operation.to_string(),
            on: rule.metric.to_owned(),
            over_ns: Ns(rule.over_ns),
            count: rule.count,
            window_s: rule.window_s,
            spans: rule.n_spans,
            breaches: rule.n_breaches,
            fired: rule.n_fired,
            fired_last: rule.fired_last.map(format_time),
            known_operations: known_operations.into_iter().take(KNOWN_MAX).collect(),
            known_services: known_services.into_iter().take(KNOWN_MAX).collect(),
        }
    }
}
