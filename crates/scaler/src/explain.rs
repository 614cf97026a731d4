//! A decision as lines a person reads: what, why, on which evidence, what held it back, what came
//! of it. One function for the command line and for the API, so that both say the same.

use std::fmt::Write as _;

use spanwise_model::{Axis, Decision, Direction, Timestamp};

use crate::text;

/// Renders a decision. Several lines, each ending in a newline; no colours. Names that come from
/// spans are shown with control characters escaped.
pub fn explain(decision: &Decision) -> String {
    let mut out = String::new();
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            // Writing into a String cannot fail.
            let _ = writeln!(out, "  {label:<10} {}", escape(value));
        }
    };
    line("when", &rfc3339(decision.at));
    line("target", &target(decision));
    line("action", &action(decision));
    line("why", &decision.summary);
    let call_site = format!("{}::{}", decision.call_site.0, decision.call_site.1);
    line("condition", &format!("{} at {call_site}", text::condition(&decision.condition)));
    line("evidence", &evidence(decision));
    for rule in &decision.rules {
        line("rule", &format!("{} (version {:016x})", rule.name, rule.hash));
    }
    for bound in &decision.bounds {
        line("bound", &format!("{}: {}", bound.reason.as_str(), bound.detail));
    }
    for trace_id in &decision.trace_ids {
        line("trace", &trace_id.to_string());
    }
    line("backend", decision.orchestrator.as_deref().unwrap_or_default());
    let anchor = decision.reason.as_str().to_ascii_lowercase();
    line("see", &format!("docs/reasons.md#{anchor}"));
    let reason = decision.reason.as_str();
    format!("d-{} {} ({reason})\n{out}", decision.id, decision.outcome.as_str())
}

/// A point in time as RFC 3339 in UTC with milliseconds.
pub fn rfc3339(at: Timestamp) -> String {
    let secs = at.as_secs();
    let (days, second) = (secs / 86_400, secs % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let millis = at.as_ns() / 1_000_000 % 1_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

fn target(decision: &Decision) -> String {
    let target = &decision.target;
    if target.backend.is_empty() {
        return target.name.to_string();
    }
    let mut text = format!("{} ({}", target.name, target.backend);
    if !target.kind.is_empty() {
        let _ = write!(text, " {}", target.kind);
    }
    if !target.namespace.is_empty() {
        let _ = write!(text, " {}/{}", target.namespace, target.object);
    }
    text.push(')');
    text
}

fn action(decision: &Decision) -> String {
    let Decision { axis, direction, from, to, memory_bytes, mode, .. } = decision;
    let mode = mode.as_str();
    if decision.target.backend.is_empty() {
        return format!("none, mode {mode}");
    }
    if *direction == Direction::Hold {
        return format!("{} hold, mode {mode}", axis.as_str());
    }
    let before = match (axis, from) {
        (_, None) => "?".to_owned(),
        (Axis::Horizontal, Some(replicas)) => replicas.to_string(),
        (Axis::Vertical, Some(millis)) => format!("{millis}m"),
    };
    let change = to.map(|_| format!("{before} -> {}", text::amount(*axis, *to, None)));
    let memory = memory_bytes.map(|bytes| text::amount(*axis, None, Some(bytes)));
    let changes: Vec<String> = change.into_iter().chain(memory).collect();
    format!("{} {}, {}, mode {mode}", axis.as_str(), direction.as_str(), changes.join(", "))
}

fn evidence(decision: &Decision) -> String {
    let condition = &decision.condition;
    format!(
        "{} spans seen, {} breaches in {} of 4 quarters of the window, from {} of {} instances",
        condition.n_spans,
        condition.n_breaches,
        condition.n_quarters,
        condition.n_breaching_instances,
        condition.n_instances,
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar: the
/// algorithm of H. Hinnant's `civil_from_days` for non-negative days.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests;
