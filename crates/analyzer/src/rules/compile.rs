//! From configured rules to a rule set that can be evaluated, or to the list of everything that is
//! wrong with them. The codes are explained in `docs/reasons.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use spanwise_model::{
    CallSite, MAX_DURATION_NS, Problem, Reserved, RuleRef, Severity, SpanKind, ValueRef,
    WantedAction, fold_operation,
};

use super::action;
use super::config::{AttributeValue, CountOn, Metric, RuleConfig, Status};
use super::hash::stable_hash;
use super::pattern::{Pattern, STARS_MAX};
use super::windows::LATE_S;

/// Most rules in a set.
pub const RULES_MAX: usize = 256;
/// Most 1 s buckets all windows may need together; bounds the memory of
/// [`RuleWindows`](super::RuleWindows) to about 40 MB in the worst case.
pub const BUCKETS_MAX: u64 = 100_000;
/// Longest window: spans that ended earlier are not counted at all.
pub const WINDOW_S_MAX: u64 = 3_600;
const NS_PER_S: u64 = 1_000_000_000;
const NAME_BYTES_MAX: usize = 128;
/// Names of call sites are cut at this length; a longer pattern or service could not match.
const OPERATION_BYTES_MAX: usize = 256;
/// No window sees so many spans; a larger count is a slip and would never be reached.
const COUNT_MAX: u64 = 1_000_000_000;
const ATTRIBUTES_MAX: usize = 16;
const COOLDOWN_NS_MAX: u64 = 24 * 3_600 * NS_PER_S;

/// A target that rules may name, as far as checking rules needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTarget {
    /// The name rules use: the service it serves.
    pub name: Arc<str>,
    /// Whether it may be scaled at all.
    pub scalable: bool,
    /// Most replicas it may have.
    pub max: u32,
}

/// Compiled rules. Immutable; shared by [`Predicates`](super::Predicates) and
/// [`RuleWindows`](super::RuleWindows), which may live in two processes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSet {
    rules: Vec<Rule>,
}

/// One compiled rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Name, and hash of its text.
    pub reference: RuleRef,
    /// What it wants done.
    pub action: WantedAction,
    /// What is compared.
    pub metric: Metric,
    /// Threshold T in nanoseconds.
    pub over_ns: u64,
    /// N, at least 1.
    pub count: f64,
    /// Window in whole seconds, 1 to 3,600.
    pub window_s: u64,
    /// Rest after firing, in nanoseconds, at least 1 s.
    pub cooldown_ns: u64,
    /// Which spans count.
    pub count_on: CountOn,
    /// Service whose spans it looks at.
    pub service: Arc<str>,
    /// Operation or pattern, folded, as shown to people.
    pub operation: Arc<str>,
    pub(super) pattern: Pattern,
    pub(super) kind: Option<SpanKind>,
    pub(super) status: Status,
    pub(super) attributes: Vec<(Box<str>, AttributeValue)>,
}

impl RuleSet {
    /// Checks and compiles rules. `targets` is what actions may name. Problems come in the order of
    /// the rules, errors and warnings mixed; the set is `None` if one of them is an error.
    pub fn compile(
        configs: &[RuleConfig],
        targets: &[KnownTarget],
    ) -> (Option<Self>, Vec<Problem>) {
        Self::compile_for(configs, Some(targets))
    }

    /// Compiles rules in a process that only counts for them and does not know their targets: a
    /// sampler whose processor is elsewhere. The set has the same fingerprint as the processor's.
    pub fn compile_for_counting(configs: &[RuleConfig]) -> (Option<Self>, Vec<Problem>) {
        Self::compile_for(configs, None)
    }

    fn compile_for(
        configs: &[RuleConfig],
        targets: Option<&[KnownTarget]>,
    ) -> (Option<Self>, Vec<Problem>) {
        let mut problems = Problems::default();
        check_set(configs, &mut problems);
        let mut rules = Vec::new();
        for (idx, config) in configs.iter().enumerate().take(RULES_MAX) {
            problems.prefix = format!("scaler.rules[{idx}]");
            check_when(config, &mut problems);
            let action = action::compile(&config.action, targets, &mut problems);
            rules.extend(action.map(|action| build(config, action)));
        }
        let set = (!problems.has_error()).then_some(Self { rules });
        (set, problems.list)
    }

    /// The rules, by their index.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of an index.
    pub fn get(&self, rule_idx: u32) -> Option<&Rule> {
        self.rules.get(rule_idx as usize)
    }

    /// Number of rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// A hash of all rules in their order: counts may only be merged between equal sets.
    pub fn fingerprint(&self) -> u64 {
        let hashes: Vec<u8> =
            self.rules.iter().flat_map(|rule| rule.reference.hash.to_le_bytes()).collect();
        stable_hash(&hashes)
    }
}

impl Rule {
    /// Window in nanoseconds.
    pub const fn window_ns(&self) -> u64 {
        self.window_s * NS_PER_S
    }

    /// Whether the rule looks at spans of this call site. Overflow sites mix unrelated operations,
    /// so no rule does; consumer sites only if the rule says `kind: consumer`.
    pub fn covers(&self, site: &CallSite) -> bool {
        !site.overflow && self.names(&site.service, &site.operation, site.kind)
    }

    fn names(&self, service: &str, operation: &str, kind: SpanKind) -> bool {
        let is_kind = self.kind.map_or(kind != SpanKind::Consumer, |wanted| wanted == kind);
        is_kind && *self.service == *service && self.pattern.matches(operation)
    }

    /// Whether the rule says `kind: consumer`, which admits streaming and batch spans.
    pub(super) fn admits_streaming(&self) -> bool {
        self.kind == Some(SpanKind::Consumer)
    }

    /// Whether it can be decided when a span arrives, before its trace closed.
    pub(super) fn decides_on_arrival(&self) -> bool {
        self.metric == Metric::Total && self.count_on == CountOn::All
    }
}

/// A rule's call sites are never lost in an overflow site, where no rule looks.
impl Reserved for RuleSet {
    fn covers(&self, service: &str, operation: &str, kind: SpanKind) -> bool {
        self.rules.iter().any(|rule| rule.names(service, operation, kind))
    }
}

impl AttributeValue {
    /// Whether an attribute has this value.
    pub fn equals(&self, other: Option<ValueRef<'_>>) -> bool {
        match (self, other) {
            (Self::Bool(a), Some(ValueRef::Bool(b))) => *a == b,
            (Self::Int(a), Some(ValueRef::Int(b))) => *a == b,
            (Self::Int(a), Some(ValueRef::Double(b))) => (*a as f64).total_cmp(&b).is_eq(),
            (Self::Double(a), Some(ValueRef::Double(b))) => a.total_cmp(&b).is_eq(),
            (Self::Double(a), Some(ValueRef::Int(b))) => a.total_cmp(&(b as f64)).is_eq(),
            (Self::Str(a), Some(ValueRef::Str(b))) => a == b,
            _ => false,
        }
    }
}

/// Collects problems under a path prefix.
#[derive(Default)]
pub(super) struct Problems {
    prefix: String,
    list: Vec<Problem>,
}

impl Problems {
    /// Adds an error at `<prefix><suffix>`.
    pub(super) fn error(&mut self, code: &'static str, suffix: &str, message: String, fix: &str) {
        self.add(Severity::Error, code, suffix, message, fix);
    }

    /// Adds a warning at `<prefix><suffix>`.
    pub(super) fn warning(&mut self, code: &'static str, suffix: &str, message: String, fix: &str) {
        self.add(Severity::Warning, code, suffix, message, fix);
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        suffix: &str,
        message: String,
        fix: &str,
    ) {
        let path = format!("{}{suffix}", self.prefix);
        self.list.push(Problem { path, code, severity, message, fix: fix.to_owned() });
    }

    fn has_error(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }
}

/// What concerns the rules together.
fn check_set(configs: &[RuleConfig], problems: &mut Problems) {
    "scaler.rules".clone_into(&mut problems.prefix);
    if configs.len() > RULES_MAX {
        let message = format!("{} rules, more than {RULES_MAX}", configs.len());
        problems.error("R015", "", message, "merge rules with a pattern such as `op: Get*`");
    }
    let buckets: u64 = configs
        .iter()
        .map(|config| config.when.window.secs_ceil().min(WINDOW_S_MAX) + LATE_S)
        .sum();
    if buckets > BUCKETS_MAX {
        let message = format!("windows need {buckets} buckets of 1 s, more than {BUCKETS_MAX}");
        problems.error("R016", "", message, "shorten the longest windows");
    }
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (idx, config) in configs.iter().enumerate().take(RULES_MAX) {
        if let Some(earlier) = first.insert(&config.name, idx) {
            let message = format!("name `{}` is taken by rules[{earlier}]", config.name);
            problems.error(
                "R002",
                &format!("[{idx}].name"),
                message,
                "give each rule its own name",
            );
        }
    }
}

fn check_when(config: &RuleConfig, problems: &mut Problems) {
    let when = &config.when;
    if config.name.is_empty()
        || config.name.len() > NAME_BYTES_MAX
        || config.name.chars().any(char::is_control)
    {
        let message = format!("name is empty, longer than {NAME_BYTES_MAX} bytes or unprintable");
        problems.error("R001", ".name", message, "use a short name such as cart-slow");
    }
    let service = &when.service;
    let is_long = service.len() > OPERATION_BYTES_MAX;
    if service.is_empty() || is_long || service.contains(|c: char| c == '*' || c.is_control()) {
        let shown: String = service.chars().take(40).collect();
        let message = format!("service `{shown}` is not one service's name");
        problems.error("R003", ".when.service", message, "write the service.name of one service");
    }
    check_operation(&when.op, problems);
    if when.over.0 == 0 || when.over.0 > MAX_DURATION_NS {
        let message = format!("threshold {} is not above 0 and at most 24h", when.over);
        problems.error("R005", ".when.over", message, "write a latency such as over: 80ms");
    }
    if !(1..=COUNT_MAX).contains(&when.count) {
        let message = format!("count {} is not from 1 to {COUNT_MAX}", when.count);
        problems.error("R006", ".when.count", message, "write how often it must be so slow");
    }
    check_times(config, problems);
    let entry = matches!(when.kind, None | Some(SpanKind::Server | SpanKind::Consumer));
    if when.on == Metric::Gap && !entry {
        let message = "only spans that a client called have a gap, this never fires".to_owned();
        problems.warning("R018", ".when.kind", message, "use kind: server or on: self");
    }
    if when.attributes.len() > ATTRIBUTES_MAX || when.attributes.contains_key("") {
        let message = format!("more than {ATTRIBUTES_MAX} attributes or an empty key");
        problems.error("R014", ".when.attributes", message, "name only what tells spans apart");
    }
}

fn check_operation(op: &str, problems: &mut Problems) {
    if op.is_empty() || op.len() > OPERATION_BYTES_MAX {
        let message = format!("operation is empty or longer than {OPERATION_BYTES_MAX} bytes");
        problems.error("R004", ".when.op", message, "write a span name, or `*` for all");
    } else if op.matches('*').count() > STARS_MAX {
        let message = format!("pattern `{op}` has more than {STARS_MAX} `*`");
        problems.error("R004", ".when.op", message, "use fewer `*`, or one rule per operation");
    }
}

fn check_times(config: &RuleConfig, problems: &mut Problems) {
    let window = config.when.window;
    if window.0 == 0 || window.0 > WINDOW_S_MAX * NS_PER_S || !window.0.is_multiple_of(NS_PER_S) {
        let message = format!("window {window} is not whole seconds from 1s to 1h");
        problems.error("R007", ".when.window", message, "write whole seconds such as window: 30s");
    } else if window.0 == NS_PER_S {
        let message = "a window of 1s is one bucket, acting needs breaches in two".to_owned();
        problems.warning("R017", ".when.window", message, "use at least window: 2s");
    }
    if let Some(cooldown) = config.cooldown
        && (cooldown.0 < NS_PER_S || cooldown.0 > COOLDOWN_NS_MAX)
    {
        let message = format!("cooldown {cooldown} is not from 1s to 24h");
        problems.error("R008", ".cooldown", message, "leave it out to rest for one window");
    }
}

fn build(config: &RuleConfig, action: WantedAction) -> Rule {
    let when = &config.when;
    let operation = fold_operation(&when.op);
    // The text of the whole rule: Debug writes every field, and nothing that differs between runs.
    let hash = stable_hash(format!("{config:?}").as_bytes());
    Rule {
        reference: RuleRef { name: Arc::from(&*config.name), hash },
        action,
        metric: when.on,
        over_ns: when.over.0,
        count: when.count as f64,
        window_s: when.window.secs_ceil(),
        cooldown_ns: config.cooldown.unwrap_or(when.window).0,
        count_on: when.count_on,
        service: Arc::from(&*when.service),
        pattern: Pattern::new(&operation),
        operation: Arc::from(operation),
        kind: when.kind,
        status: when.status,
        attributes: when
            .attributes
            .iter()
            .map(|(key, value)| (Box::from(&**key), value.clone()))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
