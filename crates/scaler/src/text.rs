//! Figures and sentences as people read them.

use spanwise_model::{Axis, Condition, Decision};

/// A length of time in the largest unit that keeps it exact to three digits: `80ms`, `1.5s`, `5m`.
pub(crate) fn duration(ns: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
    ];
    for (factor, unit) in UNITS {
        let exact = ns.is_multiple_of(factor) || factor <= 1_000_000_000;
        if ns >= factor && exact {
            return format!("{}{unit}", number(ns as f64 / factor as f64));
        }
    }
    if ns == 0 { "0s".to_owned() } else { format!("{ns}ns") }
}

/// A figure with at most three decimals and no trailing zeros.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `1 replica`, `2 replicas`, `500m cpu`, `512MiB memory`.
pub(crate) fn amount(axis: Axis, cpu_or_replicas: Option<u64>, memory: Option<u64>) -> String {
    let mut parts = Vec::new();
    match (axis, cpu_or_replicas) {
        (Axis::Horizontal, Some(1)) => parts.push("1 replica".to_owned()),
        (Axis::Horizontal, Some(n)) => parts.push(format!("{n} replicas")),
        (Axis::Vertical, Some(millis)) => parts.push(format!("{millis}m cpu")),
        (_, None) => {}
    }
    if let Some(bytes) = memory {
        parts.push(format!("{} MiB memory", number(bytes as f64 / f64::from(1 << 20))));
    }
    parts.join(" and ")
}

/// `count(self+gap > 80ms in 30s) = 12 >= 10`.
pub(crate) fn condition(condition: &Condition) -> String {
    format!(
        "count({} > {} in {}) = {} >= {}",
        condition.metric,
        duration(condition.over_ns),
        duration(condition.window_ns),
        number(condition.observed),
        number(condition.count),
    )
}

/// Why the decisive rule fired, as half a sentence.
pub(crate) fn because(decision: &Decision) -> String {
    let condition = &decision.condition;
    let (service, operation) = &decision.call_site;
    let rule = decision.rules.first().map_or("", |rule| &*rule.name);
    format!(
        "rule {rule} counted {} spans (needs {}) of {service}::{operation} with {} over {} in {}",
        number(condition.observed),
        number(condition.count),
        condition.metric,
        duration(condition.over_ns),
        duration(condition.window_ns),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_read_as_people_write_them() {
        let check = |ns, expected: &str| assert_eq!(duration(ns), expected);
        check(0, "0s");
        check(7, "7ns");
        check(80_000_000, "80ms");
        check(1_500_000_000, "1.5s");
        check(30_000_000_000, "30s");
        check(90_000_000_000, "90s");
        check(300_000_000_000, "5m");
        check(7_200_000_000_000, "2h");
    }

    #[test]
    fn amounts_name_what_they_count() {
        assert_eq!(amount(Axis::Horizontal, Some(1), None), "1 replica");
        assert_eq!(amount(Axis::Horizontal, Some(3), None), "3 replicas");
        let memory = Some(512 << 20);
        assert_eq!(amount(Axis::Vertical, Some(500), memory), "500m cpu and 512 MiB memory");
        assert_eq!(amount(Axis::Vertical, None, memory), "512 MiB memory");
    }
}
