//! From policies as written to policies that can rule.

use std::sync::Arc;

use spanwise_analyzer::words::nearest;
use spanwise_model::{Problem, Severity, StatusCode};
use spanwise_sampler::trace::policy::{
    Action, Attribute, Chance, Composite, Error, Latency, Limiter, Part, Payment, Policy,
    PolicySet, Rest, Rule, StateMember, Test, Values,
};

use super::{
    RawAllocation, RawBoolean, RawComposite, RawLatency, RawNumeric, RawPolicy, RawProbabilistic,
    RawSpanCount, RawStatus, RawString, RawTraceState,
};

/// Types that are read.
const TYPES: [&str; 17] = [
    "always_sample",
    "latency",
    "numeric_attribute",
    "probabilistic",
    "status_code",
    "string_attribute",
    "rate_limiting",
    "bytes_limiting",
    "span_count",
    "trace_state",
    "trace_flags",
    "boolean_attribute",
    "ottl_condition",
    "and",
    "not",
    "drop",
    "composite",
];

/// Policies that can rule, and what happens beside them.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// In the order of the list.
    pub policies: Vec<Policy>,
    /// What becomes of traces that no policy keeps.
    pub rest: Rest,
    /// Whether no further policy is asked once one votes for a trace.
    pub is_first_match: bool,
}

impl Policies {
    /// The set for one of `n_shards` that share the traces.
    ///
    /// # Errors
    /// None for policies that [`build`] has made.
    pub fn set(&self, n_shards: u32) -> Result<PolicySet, Error> {
        let set = PolicySet::new(self.policies.clone(), self.rest, n_shards)?;
        Ok(set.first_match(self.is_first_match))
    }
}

/// Validates the policies that stand at `path`. `None` if there is an error; problems may be warnings
/// alone.
pub fn build(path: &str, raw: &[RawPolicy]) -> (Option<Vec<Policy>>, Vec<Problem>) {
    let mut builder = Builder::default();
    let built: Vec<Option<Policy>> =
        (0..).zip(raw).map(|(idx, raw)| builder.policy(&format!("{path}[{idx}]"), raw)).collect();
    builder.check_names(path, raw);
    let policies: Option<Vec<Policy>> = built.into_iter().collect();
    if let Some(policies) = &policies {
        builder.check_bounds(path, policies);
    }
    let is_usable = builder.n_errors() == 0;
    (policies.filter(|_| is_usable), builder.problems)
}

#[derive(Default)]
struct Builder {
    problems: Vec<Problem>,
}

impl Builder {
    fn n_errors(&self) -> usize {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    fn problem(&mut self, severity: Severity, path: &str, code: &'static str, said: [String; 2]) {
        let [message, fix] = said;
        self.problems.push(Problem { path: path.to_owned(), code, severity, message, fix });
    }

    fn error(&mut self, path: &str, code: &'static str, message: String, fix: impl Into<String>) {
        self.problem(Severity::Error, path, code, [message, fix.into()]);
    }

    /// The policy does what it says, but hardly what was meant.
    fn warn(&mut self, path: &str, message: &str, fix: &str) {
        self.problem(Severity::Warning, path, "P007", [message.to_owned(), fix.to_owned()]);
    }

    fn check_names(&mut self, path: &str, raw: &[RawPolicy]) {
        for (idx, policy) in raw.iter().enumerate() {
            let path = format!("{path}[{idx}]");
            if policy.name.is_empty() {
                self.error(&path, "P001", "the policy has no name".to_owned(), "add `name:`");
            } else if raw[..idx].iter().any(|earlier| earlier.name == policy.name) {
                let message = format!("`{}` stands twice", policy.name);
                self.error(&format!("{path}.name"), "P001", message, "give it a name of its own");
            }
        }
    }

    /// Of each policy by itself, then of all together.
    fn check_bounds(&mut self, path: &str, policies: &[Policy]) {
        const FIX: &str = "leave some out, or nest them less";
        if self.n_errors() > 0 {
            return;
        }
        let check = |policies: &[Policy]| PolicySet::new(policies.to_vec(), Rest::Sample, 1).err();
        for (idx, policy) in policies.iter().enumerate() {
            if let Some(error) = check(std::slice::from_ref(policy)) {
                self.error(&format!("{path}[{idx}]"), "P006", error.to_string(), FIX);
            }
        }
        if self.n_errors() == 0
            && let Some(error) = check(policies)
        {
            self.error(path, "P006", error.to_string(), FIX);
        }
    }

    fn policy(&mut self, path: &str, raw: &RawPolicy) -> Option<Policy> {
        let payment = self.payment(path, raw.budget.as_deref());
        let action = if raw.kind == "drop" {
            self.check_blocks(path, raw);
            let raw = self.block(path, "drop", raw.drop.as_ref())?;
            let path = format!("{path}.drop.drop_sub_policy");
            Some(Action::Drop(self.rules(&path, &raw.drop_sub_policy)?))
        } else {
            self.rule(path, raw).map(Action::Keep)
        };
        Some(Policy { name: Arc::from(&*raw.name), action: action?, payment: payment? })
    }

    fn payment(&mut self, path: &str, text: Option<&str>) -> Option<Payment> {
        match text {
            None | Some("counted") => Some(Payment::Counted),
            Some("exempt") => Some(Payment::Exempt),
            Some(other) => {
                let message = format!("`{other}` pays for nothing");
                self.error(&format!("{path}.budget"), "P004", message, "write counted or exempt");
                None
            }
        }
    }

    /// Policies inside another one.
    fn rules(&mut self, path: &str, raw: &[RawPolicy]) -> Option<Vec<Rule>> {
        if raw.is_empty() {
            let message = "there are no policies to combine".to_owned();
            self.error(path, "P004", message, "write at least one");
            return None;
        }
        let rules: Vec<Option<Rule>> =
            (0..).zip(raw).map(|(idx, raw)| self.inner(&format!("{path}[{idx}]"), raw)).collect();
        rules.into_iter().collect()
    }

    fn inner(&mut self, path: &str, raw: &RawPolicy) -> Option<Rule> {
        if raw.budget.is_some() {
            let message = "only a policy of the list itself has a budget".to_owned();
            self.error(&format!("{path}.budget"), "P004", message, "move it to the outer policy");
        }
        if raw.kind == "drop" || raw.kind == "composite" {
            let message = format!("`{}` does not stand inside another policy", raw.kind);
            let fix = "move it to the list itself";
            self.error(&format!("{path}.type"), "P003", message, fix);
            return None;
        }
        self.rule(path, raw)
    }

    fn rule(&mut self, path: &str, raw: &RawPolicy) -> Option<Rule> {
        self.check_blocks(path, raw);
        let at = format!("{path}.{}", raw.kind);
        match &*raw.kind {
            "always_sample" => Some(Rule::Always),
            "trace_flags" => Some(Rule::SampledFlag),
            "latency" => {
                let raw = self.block(path, "latency", raw.latency.as_ref())?;
                self.latency(&at, raw)
            }
            "numeric_attribute" => {
                let raw = self.block(path, "numeric_attribute", raw.numeric_attribute.as_ref())?;
                self.numeric(&at, raw)
            }
            "probabilistic" => {
                let raw = self.block(path, "probabilistic", raw.probabilistic.as_ref())?;
                self.probabilistic(&at, raw)
            }
            "status_code" => {
                let raw = self.block(path, "status_code", raw.status_code.as_ref())?;
                self.status(&at, raw)
            }
            "string_attribute" => {
                let raw = self.block(path, "string_attribute", raw.string_attribute.as_ref())?;
                self.string(&at, raw)
            }
            "boolean_attribute" => {
                let raw = self.block(path, "boolean_attribute", raw.boolean_attribute.as_ref())?;
                self.boolean(&at, raw)
            }
            "span_count" => {
                let raw = self.block(path, "span_count", raw.span_count.as_ref())?;
                self.span_count(&at, raw)
            }
            "trace_state" => {
                let raw = self.block(path, "trace_state", raw.trace_state.as_ref())?;
                self.trace_state(&at, raw)
            }
            _ => self.compound(path, raw),
        }
    }

    /// What limits or combines, and what is not known.
    fn compound(&mut self, path: &str, raw: &RawPolicy) -> Option<Rule> {
        let at = format!("{path}.{}", raw.kind);
        match &*raw.kind {
            "rate_limiting" => {
                let raw = self.block(path, "rate_limiting", raw.rate_limiting.as_ref())?;
                self.limiter(&at, raw.spans_per_second, raw.burst_capacity).map(Rule::Spans)
            }
            "bytes_limiting" => {
                let raw = self.block(path, "bytes_limiting", raw.bytes_limiting.as_ref())?;
                self.limiter(&at, raw.bytes_per_second, raw.burst_capacity).map(Rule::Bytes)
            }
            "and" => {
                let raw = self.block(path, "and", raw.and.as_ref())?;
                self.rules(&format!("{at}.and_sub_policy"), &raw.and_sub_policy).map(Rule::All)
            }
            "not" => {
                let raw = self.block(path, "not", raw.not.as_ref())?;
                let rule = self.inner(&format!("{at}.not_sub_policy"), &raw.not_sub_policy)?;
                Some(Rule::Not(Box::new(rule)))
            }
            "composite" => {
                let raw = self.block(path, "composite", raw.composite.as_ref())?;
                self.composite(&at, raw)
            }
            _ => {
                self.refuse(path, raw);
                None
            }
        }
    }

    /// A type that cannot be mapped.
    fn refuse(&mut self, path: &str, raw: &RawPolicy) {
        let kind = &*raw.kind;
        if kind == "ottl_condition" {
            let message =
                format!("`{}` is a condition in OTTL, which is not spoken here", raw.name);
            let fix = "say it with string_attribute, numeric_attribute, boolean_attribute, \
                       status_code or latency, joined by `and`; or set an attribute in a Collector in \
                       front and look for that";
            self.error(&format!("{path}.type"), "P003", message, fix);
        } else if kind.is_empty() {
            self.error(path, "P002", "the policy has no type".to_owned(), "add `type:`");
        } else {
            let known = TYPES.iter().copied().filter(|known| *known != "ottl_condition");
            let fix = nearest(kind, known.clone()).map_or_else(
                || format!("write one of {}", known.collect::<Vec<_>>().join(", ")),
                |known| format!("did you mean `{known}`?"),
            );
            self.error(
                &format!("{path}.type"),
                "P002",
                format!("unknown policy type `{kind}`"),
                fix,
            );
        }
    }

    fn block<'a, T>(&mut self, path: &str, name: &str, block: Option<&'a T>) -> Option<&'a T> {
        if block.is_none() {
            let message = format!("a policy of this type needs `{name}:`");
            self.error(path, "P004", message, format!("add `{name}:` beside `type: {name}`"));
        }
        block
    }

    /// Blocks of other types have no effect.
    fn check_blocks(&mut self, path: &str, raw: &RawPolicy) {
        let blocks = [
            ("latency", raw.latency.is_some()),
            ("numeric_attribute", raw.numeric_attribute.is_some()),
            ("probabilistic", raw.probabilistic.is_some()),
            ("status_code", raw.status_code.is_some()),
            ("string_attribute", raw.string_attribute.is_some()),
            ("rate_limiting", raw.rate_limiting.is_some()),
            ("bytes_limiting", raw.bytes_limiting.is_some()),
            ("span_count", raw.span_count.is_some()),
            ("trace_state", raw.trace_state.is_some()),
            ("boolean_attribute", raw.boolean_attribute.is_some()),
            ("ottl_condition", raw.ottl_condition.is_some()),
            ("and", raw.and.is_some()),
            ("not", raw.not.is_some()),
            ("drop", raw.drop.is_some()),
            ("composite", raw.composite.is_some()),
        ];
        for (name, is_there) in blocks {
            if is_there && name != raw.kind {
                let message = format!("`{name}` has no effect beside `type: {}`", raw.kind);
                self.warn(&format!("{path}.{name}"), &message, "remove it, or change the type");
            }
        }
    }

    /// A number of at least `min`.
    fn at_least(&mut self, path: &str, number: i64, min: i64) -> Option<u64> {
        if number < min {
            let message = format!("{number} is too small");
            self.error(path, "P004", message, format!("write {min} or more"));
            return None;
        }
        u64::try_from(number).ok()
    }

    fn latency(&mut self, at: &str, raw: &RawLatency) -> Option<Rule> {
        let above = self.at_least(&format!("{at}.threshold_ms"), raw.threshold_ms, 0);
        let upper = format!("{at}.upper_threshold_ms");
        let up_to = self.at_least(&upper, raw.upper_threshold_ms, 0);
        let (above_ms, up_to_ms) = (above?, up_to.map(|ms| (ms > 0).then_some(ms))?);
        if up_to_ms.is_some_and(|up_to_ms| up_to_ms <= above_ms) {
            self.warn(&upper, "no duration lies between the bounds", "raise it, or remove it");
        }
        Some(Rule::Latency(Latency { above_ms, up_to_ms }))
    }

    fn numeric(&mut self, at: &str, raw: &RawNumeric) -> Option<Rule> {
        if (raw.min_value, raw.max_value) == (0, 0) {
            let message = "there is neither `min_value` nor `max_value`".to_owned();
            self.error(at, "P004", message, "write one of them; 0 counts as none");
            return None;
        }
        let min = if raw.min_value == 0 { i64::MIN } else { raw.min_value };
        let max = if raw.max_value == 0 { i64::MAX } else { raw.max_value };
        if min > max {
            self.warn(at, "no number lies between the bounds", "exchange them");
        }
        self.attribute(at, &raw.key, Test::Range { min, max }, raw.invert_match)
    }

    fn probabilistic(&mut self, at: &str, raw: &RawProbabilistic) -> Option<Rule> {
        let percent = raw.sampling_percentage;
        let at = format!("{at}.sampling_percentage");
        if !percent.is_finite() {
            self.error(&at, "P004", format!("{percent} is no share"), "write 0 to 100");
            return None;
        }
        if percent <= 0.0 {
            self.warn(&at, "this keeps nothing", "write more than 0, or remove the policy");
        }
        let salt = Some(&*raw.hash_salt).filter(|salt| !salt.is_empty());
        Some(Rule::Chance(Chance::new(percent, salt)))
    }

    fn status(&mut self, at: &str, raw: &RawStatus) -> Option<Rule> {
        let at = format!("{at}.status_codes");
        if raw.status_codes.is_empty() {
            let message = "there are no status codes".to_owned();
            self.error(&at, "P004", message, "write some of OK, ERROR, UNSET");
            return None;
        }
        let mut codes = Vec::new();
        for (idx, text) in raw.status_codes.iter().enumerate() {
            match &**text {
                "OK" => codes.push(StatusCode::Ok),
                "ERROR" => codes.push(StatusCode::Error),
                "UNSET" => codes.push(StatusCode::Unset),
                other => {
                    let message = format!("unknown status code `{other}`");
                    let fix = "write OK, ERROR or UNSET";
                    self.error(&format!("{at}[{idx}]"), "P004", message, fix);
                }
            }
        }
        (codes.len() == raw.status_codes.len()).then(|| Rule::Status(codes.into_iter().collect()))
    }

    fn string(&mut self, at: &str, raw: &RawString) -> Option<Rule> {
        self.check_values(at, &raw.values);
        let values = if raw.enabled_regex_matching {
            match Values::patterns(&raw.values) {
                Ok(values) => values,
                Err(error) => {
                    let idx = if let Error::Pattern { idx, .. } = &error { *idx } else { 0 };
                    let fix = "write an expression without look-around, back-references and \
                               classes such as \\pL, of at most 1024 bytes";
                    self.error(&format!("{at}.values[{idx}]"), "P005", error.to_string(), fix);
                    return None;
                }
            }
        } else {
            Values::exact(&raw.values)
        };
        self.attribute(at, &raw.key, Test::Text(values), raw.invert_match)
    }

    fn boolean(&mut self, at: &str, raw: &RawBoolean) -> Option<Rule> {
        self.attribute(at, &raw.key, Test::Bool(raw.value), raw.invert_match)
    }

    fn attribute(&mut self, at: &str, key: &str, test: Test, invert: bool) -> Option<Rule> {
        let key = self.key(at, key)?;
        Some(Rule::Attribute(Attribute { key: Arc::from(key), test, invert }))
    }

    fn key<'a>(&mut self, at: &str, key: &'a str) -> Option<&'a str> {
        if key.is_empty() {
            self.error(at, "P004", "there is no key".to_owned(), "add `key:`");
            return None;
        }
        Some(key)
    }

    fn check_values(&mut self, at: &str, values: &[String]) {
        if values.is_empty() {
            self.warn(at, "without values nothing matches", "add `values:`");
        }
    }

    fn span_count(&mut self, at: &str, raw: &RawSpanCount) -> Option<Rule> {
        let min = self.at_least(&format!("{at}.min_spans"), raw.min_spans.into(), 0);
        let max = self.at_least(&format!("{at}.max_spans"), raw.max_spans.into(), 0);
        let (min, max) = (min?, max.map(|max| (max > 0).then_some(max))?);
        if max.is_some_and(|max| max < min) {
            self.warn(at, "no number lies between the bounds", "exchange them");
        }
        Some(Rule::SpanCount { min, max })
    }

    fn trace_state(&mut self, at: &str, raw: &RawTraceState) -> Option<Rule> {
        self.check_values(at, &raw.values);
        let key = self.key(at, &raw.key)?;
        Some(Rule::TraceState(StateMember::new(key, &raw.values)))
    }

    fn limiter(&mut self, at: &str, per_second: i64, burst: i64) -> Option<Limiter> {
        match Limiter::new(per_second, Some(burst).filter(|burst| *burst > 0)) {
            Ok(limiter) => Some(limiter),
            Err(error) => {
                self.error(at, "P004", error.to_string(), "write how many a second may pass");
                None
            }
        }
    }

    fn composite(&mut self, at: &str, raw: &RawComposite) -> Option<Rule> {
        let subs = format!("{at}.composite_sub_policy");
        let rules = self.rules(&subs, &raw.composite_sub_policy);
        let names: Vec<&str> = raw.composite_sub_policy.iter().map(|sub| &*sub.name).collect();
        if !raw.policy_order.is_empty() && raw.policy_order != names {
            let message = "policies are asked in the order of `composite_sub_policy`, as the \
                           Collector does, whatever stands here";
            self.warn(&format!("{at}.policy_order"), message, "bring both into the same order");
        }
        for (idx, allocation) in raw.rate_allocation.iter().enumerate() {
            self.check_allocation(&format!("{at}.rate_allocation[{idx}]"), allocation, &names);
        }
        let percent = |name: &str| {
            // As with repeated keys of a map, the last counts.
            let last = raw.rate_allocation.iter().rfind(|allocation| allocation.policy == name);
            last.and_then(|allocation| u32::try_from(allocation.percent).ok())
        };
        let parts = rules?
            .into_iter()
            .zip(&names)
            .map(|(rule, name)| Part::new(*name, rule, percent(name)));
        match Composite::new(raw.max_total_spans_per_second, parts.collect()) {
            Ok(composite) => Some(Rule::Composite(composite)),
            Err(error) => {
                let fix = "write how many spans a second may pass";
                self.error(at, "P004", error.to_string(), fix);
                None
            }
        }
    }

    fn check_allocation(&mut self, at: &str, raw: &RawAllocation, names: &[&str]) {
        if !names.contains(&&*raw.policy) {
            let fix = nearest(&raw.policy, names.iter().copied())
                .map_or_else(|| "remove it".to_owned(), |name| format!("did you mean `{name}`?"));
            let message = format!("no policy here is called `{}`", raw.policy);
            self.error(&format!("{at}.policy"), "P004", message, fix);
        }
        if !(0..=100).contains(&raw.percent) {
            let message = format!("{} is no share", raw.percent);
            self.error(&format!("{at}.percent"), "P004", message, "write 0 to 100");
        }
    }
}
