//! Sampling must not blind rules: neither the anomaly budget nor head sampling changes what fires.

use std::sync::Arc;

use spanwise_analyzer::rules::{RuleSet, RuleWindows};
use spanwise_model::{Finding, Timestamp};

use crate::support::{MS, Rig, Span, at, rules};

/// A small generator for tests: xorshift64*, never 0.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// How a stream is thinned.
#[derive(Clone, Copy)]
struct Thinning {
    /// Rejection threshold of head sampling, out of 2^56.
    threshold: u64,
    /// Share of spans the anomaly sampler keeps.
    kept: f64,
}

const WHOLE: Thinning = Thinning { threshold: 0, kept: 1.0 };
/// `ot=th:fd70a`: 1 % of traces.
const ONE_PERCENT: Thinning = Thinning { threshold: 0xfd_70a0_0000_0000, kept: 1.0 };

/// 250 spans a second of about 20 ms, five times slower from second 60 on. The same seed gives the
/// same spans whatever the thinning.
fn incident(set: &Arc<RuleSet>, thinning: Thinning, seed: u64) -> Vec<Finding> {
    let mut rig = Rig::new(Arc::clone(set));
    let mut windows = RuleWindows::new(Arc::clone(set));
    let mut random = Random(seed * 2 + 1);
    let mut findings = Vec::new();
    for second in 0..120 {
        for n in 0..250_u64 {
            let factor = if second >= 60 { 5.0 } else { 1.0 };
            let duration_ns = ((10.0 + 20.0 * random.unit()) * factor) as u64 * MS;
            let randomness = random.next() >> 8;
            let is_sampled = random.unit() < thinning.kept;
            if randomness < thinning.threshold {
                continue;
            }
            let end = at(second).plus_ns(n * 4 * MS);
            rig.now = end;
            let mut span = Span { end, duration_ns, self_ns: duration_ns, ..Span::default() };
            span.is_sampled = is_sampled;
            span.instance = format!("pod-{}", random.next() % 5);
            if thinning.threshold > 0 {
                span.change = |head| head.threshold = ONE_PERCENT.threshold;
            }
            rig.send(&span);
        }
        let now = at(second + 1);
        for count in rig.drain() {
            windows.add(&count, now);
        }
        windows.tick(now, &mut findings);
    }
    findings.retain(|finding| !finding.resting);
    findings
}

fn cart_slow(over: &str, count: u64, on: &str) -> Arc<RuleSet> {
    rules(&format!(
        "- {{name: cart-slow, when: {{service: cart, op: GetCart, on: {on}, over: {over}, \
         count: {count}, window: 30s}}, do: {{scale: cart, by: 1}}}}"
    ))
}

fn fired_at(findings: &[Finding]) -> Vec<Timestamp> {
    findings.iter().map(|finding| finding.at).collect()
}

/// Scenario: every span becomes five times slower, so that at a budget of 1 % nearly all of the
/// slow spans are dropped.
/// Guarantees: rules fire exactly as if every span were kept.
#[test]
fn a_uniform_slowdown_fires_whatever_the_sampler_keeps() {
    for on in ["total", "self", "self+gap"] {
        let set = cart_slow("60ms", 1_000, on);
        let all = incident(&set, WHOLE, 7);
        assert_eq!(all.first().map(|f| f.at), Some(at(65)), "{on}");
        for kept in [0.01, 0.0] {
            assert_eq!(incident(&set, Thinning { kept, ..WHOLE }, 7), all, "{on} {kept}");
        }
    }
}

/// Scenario: only 1 % of traces reach us, marked `ot=th`; in the incident a window of the whole
/// stream holds 6,750 matches.
/// Guarantees: the same rule fires for the same target, within one window of the whole stream.
#[test]
fn one_percent_of_traces_fires_the_same_rule_within_one_window() {
    const WINDOW_NS: u64 = 30_000_000_000;
    let set = cart_slow("60ms", 5_000, "self+gap");
    let mut worst_ns = 0;
    for seed in 0..10 {
        let whole = incident(&set, WHOLE, seed);
        let thin = incident(&set, ONE_PERCENT, seed);
        assert!(!whole.is_empty() && !thin.is_empty(), "seed {seed}");
        let (a, b) = (fired_at(&whole)[0], fired_at(&thin)[0]);
        worst_ns = worst_ns.max(a.since(b).max(b.since(a)));
        assert!(worst_ns <= WINDOW_NS, "seed {seed}: {a:?} {b:?}");
        let identity = |f: &Finding| (f.rule.clone(), f.action.clone(), f.call_site.clone());
        assert_eq!(identity(&whole[0]), identity(&thin[0]), "seed {seed}");
    }
    assert!(worst_ns < WINDOW_NS / 2, "worst {worst_ns}");
}

/// Guarantees: without an incident neither the whole nor the thinned stream fires.
#[test]
fn a_calm_stream_fires_neither_whole_nor_thinned() {
    let set = cart_slow("200ms", 5_000, "self+gap");
    for seed in 0..2 {
        assert_eq!(incident(&set, WHOLE, seed), []);
        assert_eq!(incident(&set, ONE_PERCENT, seed), []);
    }
}
