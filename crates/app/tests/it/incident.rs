//! An incident does not blind the rules: whatever the sampler keeps, they fire as if it kept
//! everything.
//!
//! In virtual time through the same stages that `serve` runs, so that *exactly* means exactly; then
//! over loopback, in one process and split.

use std::collections::BTreeSet;
use std::sync::Arc;

use spanwise::pipeline::core::{self, Core};
use spanwise::serve::Role;
use spanwise_analyzer::rules::RuleWindows;
use spanwise_model::{Decision, Finding, Timestamp};
use spanwise_otlp::{Limits, decode};
use spanwise_testkit::{EPOCH, SpanSpec, batch};

use crate::support::requests::{Purchase, mix, recent, request};
use crate::support::server::{Running, config};
use crate::support::until;

/// Purchases a second.
const RATE: u64 = 250;
/// When every purchase becomes five times slower, and when the stream ends.
const SLOW_FROM_S: u64 = 60;
const END_S: u64 = 120;
/// `ot=th:fd70a` keeps a trace if the last 56 bits of its randomness are at least this.
const ONE_PERCENT: u64 = 0xfd_70a0_0000_0000;

fn rules(count: u64, count_on: &str) -> String {
    format!(
        "scaler:
  targets:
    - {{service: cart, orchestrator: recorder, max: 5}}
  rules:
    - name: cart-slow
      when: {{service: cart, op: GetCart, kind: server, over: 60ms, count: {count}, window: 30s, count_on: {count_on}}}
      do: {{scale: cart, by: 1}}
"
    )
}

/// What came of a stream.
struct Played {
    findings: Vec<Finding>,
    n_spans: u64,
    n_kept: u64,
}

impl Played {
    /// Findings that are firings.
    fn fired(&self) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| !finding.resting).collect()
    }
}

/// Plays the incident in virtual time. `is_thin` leaves 1 % of the traces, marked as head sampling
/// does.
fn play(budget: &str, rules: &str, is_thin: bool) -> Played {
    play_among(budget, rules, is_thin, |_, _| {})
}

/// The same; `noise` may take its turn at the core before each second.
fn play_among(
    budget: &str,
    rules: &str,
    is_thin: bool,
    noise: impl Fn(&mut Core, Timestamp),
) -> Played {
    let config = config(&format!("sampler: {{budget: {budget}}}\n{rules}"));
    let mut core = Core::new(core::Config {
        sampler: config.sampler,
        assembler: config.assembler,
        rules: Arc::clone(&config.rules),
        traces: None,
    })
    .unwrap();
    let mut windows = RuleWindows::new(config.rules);
    let mut findings = Vec::new();
    let mut sampled = Vec::new();
    for second in 0..END_S {
        let start = EPOCH.plus_ns(second * 1_000_000_000);
        noise(&mut core, start);
        let request = request(purchases(second, start, is_thin));
        let batch = decode(request, &Limits::default()).unwrap().batch;
        let end = start.plus_ns(1_000_000_000);
        core.batch(batch, end, &mut sampled);
        for tick in 0..4 {
            let now = end.plus_ns(tick * 250_000_000);
            core.tick(now, &mut sampled);
            core.counted(|counted| {
                assert_eq!(counted.n_dropped, 0);
                for count in counted.counts {
                    windows.add(count, now);
                }
            });
            windows.tick(now, &mut findings);
        }
    }
    let counters = core.counters();
    let n_kept = counters.n_kept_early + counters.n_kept_late;
    Played { findings, n_spans: counters.n_spans, n_kept }
}

fn purchases(second: u64, start: Timestamp, is_thin: bool) -> impl Iterator<Item = Purchase> {
    (0..RATE).filter_map(move |idx| {
        let n = 1 + second * RATE + idx;
        let randomness = mix(n ^ 0x5eed) >> 8;
        if is_thin && randomness < ONE_PERCENT {
            return None;
        }
        let end = start.plus_ns(idx * (1_000_000_000 / RATE));
        let mut purchase = Purchase::new(n, end);
        if second >= SLOW_FROM_S {
            purchase = purchase.slow();
        }
        purchase.trace_state = if is_thin { "ot=th:fd70a" } else { "" };
        Some(purchase)
    })
}

/// Scenario: everything becomes five times slower, so that at a budget of 1 % nearly all slow spans
/// are dropped.
/// Guarantees: the same findings, with the same figures at the same moments, as if all were kept.
#[test]
fn a_uniform_slowdown_at_one_percent_fires_exactly_as_without_sampling() {
    let rules = rules(5_000, "all");
    let whole = play("100%", &rules, false);
    let sampled = play("1%", &rules, false);
    assert!(whole.n_kept > whole.n_spans / 2, "{} of {}", whole.n_kept, whole.n_spans);
    assert!(sampled.n_kept < sampled.n_spans / 10, "{} of {}", sampled.n_kept, sampled.n_spans);
    assert!(!whole.fired().is_empty());
    assert!(whole.fired()[0].at > EPOCH.plus_ns(SLOW_FROM_S * 1_000_000_000));
    assert_eq!(whole.findings, sampled.findings);
}

/// Scenario: before the first purchase come 12,000 services nobody asked for, more than there is
/// room for; then every second a hundred spans at the rule's own call site that each ended in another
/// second of the last hour.
/// Guarantees: the same findings at the same moments as without.
#[test]
fn neither_a_flood_of_names_nor_old_end_times_blind_a_rule() {
    let rules = rules(5_000, "all");
    let calm = play("1%", &rules, false);
    let noisy = play_among("1%", &rules, false, |core, now| {
        let old = |idx: u64| {
            let end = now.minus_ns((300 + idx * 30) * 1_000_000_000);
            SpanSpec::new("cart", "GetCart").id(idx + 1).between(end.minus_ns(1_000_000), end)
        };
        let mut specs: Vec<SpanSpec> = (0..100).map(old).collect();
        if now == EPOCH {
            let flood = (0..12_000).map(|idx| SpanSpec::new(&format!("job-x{idx}y"), "run"));
            specs.splice(0..0, flood);
        }
        let noise = batch(core.sites_mut(), &specs);
        core.shared(&noise, now, &mut Vec::new());
    });
    assert!(!calm.fired().is_empty());
    assert_eq!(noisy.findings, calm.findings);
}

/// Scenario: the same with the paper's way of counting, on sampled spans only.
/// Guarantees: what the test above shows is not true of itself: this rule is blinded.
#[test]
fn counting_on_sampled_spans_is_blinded_by_the_budget() {
    let rules = rules(5_000, "sampled");
    assert!(!play("100%", &rules, false).fired().is_empty());
    let blinded = play("1%", &rules, false);
    assert_eq!(
        blinded.fired(),
        Vec::<&Finding>::new(),
        "{} of {}",
        blinded.n_kept,
        blinded.n_spans
    );
}

/// Scenario: 1 % of the traces reach us, marked `ot=th`; the whole stream has at least 5,000 matches
/// a window.
/// Guarantees: the same rule fires for the same target within one window of the whole stream.
#[test]
fn one_percent_of_the_traces_fires_the_same_rule_within_one_window() {
    const WINDOW_NS: u64 = 30_000_000_000;
    let rules = rules(5_000, "all");
    let whole = play("1%", &rules, false);
    let thin = play("1%", &rules, true);
    assert!(thin.n_spans < whole.n_spans / 50, "{} of {}", thin.n_spans, whole.n_spans);
    let (whole, thin) = (whole.fired()[0], thin.fired()[0]);
    assert!(whole.condition.n_breaches >= 5_000, "{}", whole.condition.n_breaches);
    let apart = whole.at.since(thin.at).max(thin.at.since(whole.at));
    assert!(apart <= WINDOW_NS, "{apart} ns apart");
    let identity = |f: &Finding| (f.rule.clone(), f.action.clone(), f.call_site.clone());
    assert_eq!(identity(whole), identity(thin));
}

/// The rule, target and call site of a decision.
fn identity(decision: &Decision) -> (String, String, (String, String)) {
    let (service, operation) = &decision.call_site;
    let site = (service.as_ref().to_owned(), operation.as_ref().to_owned());
    (decision.rules[0].name.as_ref().to_owned(), decision.target.name.as_ref().to_owned(), site)
}

/// Waits for the first decision of a process and returns what it is about.
fn first_decision(processor: &Running) -> (String, String, (String, String)) {
    let records = &processor.server().state().records;
    identity(&until("a decision", || records.decisions().first().cloned()))
}

/// An incident: slow purchases all over the last 20 seconds.
fn slow_purchases() -> bytes::Bytes {
    request(recent(1, 2_000, 20).map(Purchase::slow))
}

/// Scenario: the same incident into one process with a budget of 100 %, into one with 1 %, and into
/// a sampler with 1 % whose rules another process asked for.
/// Guarantees: the same rule fires for the same target and call site.
#[test]
fn the_same_rule_fires_in_one_process_and_split() {
    let rules = rules(1_000, "all");
    let mut seen = BTreeSet::new();
    for budget in ["100%", "1%"] {
        let whole = Running::start(&format!("sampler: {{budget: {budget}}}\n{rules}"), Role::All);
        whole.send(slow_purchases());
        seen.insert(first_decision(&whole));
        assert!(whole.stop());
    }

    // The sampler has no rules of its own.
    let sampler = Running::start("sampler: {budget: 1%}\n", Role::Sampler);
    let url = format!("http://{}", sampler.grpc());
    let processor = Running::start(&rules, Role::Processor { sampler: url });
    until("the subscription", || processor.server().account().filter(|account| account.connected));
    sampler.send(slow_purchases());
    seen.insert(first_decision(&processor));
    assert!(sampler.server().state().records.decisions().is_empty(), "a sampler decides nothing");
    assert!(processor.stop());
    assert!(sampler.stop());

    let site = ("cart".to_owned(), "GetCart".to_owned());
    let expected = ("cart-slow".to_owned(), "cart".to_owned(), site);
    assert_eq!(seen, BTreeSet::from([expected]));
}
