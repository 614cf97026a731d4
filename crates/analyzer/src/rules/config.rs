//! Rules as they stand in the configuration. [`RuleSet::compile`](super::RuleSet::compile) turns
//! them into something that can be evaluated, or says everything that is wrong with them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use spanwise_model::SpanKind;

use crate::units::{DurationNs, SizeBytes};

/// One rule: SCALE's "scale service A if operation B reaches a latency of X, N times within a
/// given window" (eq. 4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleConfig {
    /// Unique name; it stands in every record the rule causes.
    pub name: String,
    /// The condition.
    pub when: When,
    /// Rest after firing: one burst is one action. Default: the window. At least 1 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<DurationNs>,
    /// What to do.
    #[serde(rename = "do")]
    pub action: ActionConfig,
}

/// When a rule fires: Count(metric > over, window) >= count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Service name, exactly.
    pub service: String,
    /// Operation: exact, or with `*` for any run of characters. Ids in it are folded to `{}` as in
    /// span names, so `GET /cart/17` means `GET /cart/{}`.
    pub op: String,
    /// Span kind. Default: any kind but `consumer`, whose duration is a matter of the queue.
    /// `consumer` written here admits consumer, batch and streaming spans.
    #[serde(default, with = "kind", skip_serializing_if = "Option::is_none")]
    pub kind: Option<SpanKind>,
    /// What is compared. Default `self+gap`.
    #[serde(default)]
    pub on: Metric,
    /// Threshold T: a span breaches when it is longer, more than 0, at most 24 h.
    pub over: DurationNs,
    /// N: breaches that fire, at least 1. Compared with the weighted count, so that head-sampled
    /// spans stand for those that were left out.
    pub count: u64,
    /// Sliding window over the spans' end times, in whole seconds, 1 s to 1 h.
    pub window: DurationNs,
    /// Which spans count. Default `all`.
    #[serde(default)]
    pub count_on: CountOn,
    /// Which status counts. Default `any`.
    #[serde(default)]
    pub status: Status,
    /// Attributes that must be equal, all of them, on the span or its resource. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, AttributeValue>,
}

/// What a rule compares with its threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Metric {
    /// D of the paper: end - start (SCALE eq. 1). Known when the span arrives.
    #[serde(rename = "total")]
    Total,
    /// Own work: duration without the calls it waits for.
    #[serde(rename = "self")]
    SelfTime,
    /// Waiting before the server began and after it answered, as its caller saw it, less what the
    /// way between the two usually takes.
    #[serde(rename = "gap")]
    Gap,
    /// Both: what more or larger replicas of this service can shorten.
    #[default]
    #[serde(rename = "self+gap")]
    SelfAndGap,
}

/// Which spans a rule counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CountOn {
    /// All spans: what the sampler keeps makes no difference.
    #[default]
    All,
    /// Only spans the sampler kept, as in the paper.
    Sampled,
}

/// Which status of a span a rule counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Any.
    #[default]
    Any,
    /// Only ERROR.
    Error,
    /// Anything but ERROR: most instrumentation leaves success unset.
    Ok,
}

/// A value an attribute must have. Types are compared too: `500` is not `"500"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AttributeValue {
    /// A boolean.
    Bool(bool),
    /// An integer; also equal to a float of the same value.
    Int(i64),
    /// A float.
    Double(f64),
    /// Text.
    Str(String),
}

/// What a rule does: exactly one of `scale`, `vertical`, `alert`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActionConfig {
    /// Target whose replicas change; with `by` or `to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<String>,
    /// Replicas to add to what the target has, at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<i64>,
    /// Replicas to have, at least 1. Never takes any away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// Target whose replicas become larger; with `cpu`, `memory` or both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vertical: Option<String>,
    /// `+100%`, `500m` or `2` (cores).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuChange>,
    /// `+50%` or `512MiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryChange>,
    /// Name of an alert: the decision is recorded, nothing is scaled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
}

/// CPU wanted for each replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuChange {
    /// Percent on top of what it has.
    Percent(u32),
    /// Millicores.
    Millis(u64),
}

/// Memory wanted for each replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryChange {
    /// Percent on top of what it has.
    Percent(u32),
    /// Bytes.
    Bytes(u64),
}

impl Metric {
    /// `total`, `self`, `gap` or `self+gap`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::SelfTime => "self",
            Self::Gap => "gap",
            Self::SelfAndGap => "self+gap",
        }
    }
}

impl CpuChange {
    /// Parses `+100%`, `500m`, `2` or `0.5`; `None` if it is none of these.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(percent) = parse_percent(text) {
            return Some(Self::Percent(percent));
        }
        match text.strip_suffix('m') {
            Some(millis) => digits(millis)?.parse().ok().map(Self::Millis),
            None => parse_cores(text).map(Self::Millis),
        }
    }
}

impl MemoryChange {
    /// Parses `+50%` or `512MiB`; `None` if it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        match parse_percent(text) {
            Some(percent) => Some(Self::Percent(percent)),
            None => SizeBytes::parse(text).ok().map(|size| Self::Bytes(size.0)),
        }
    }
}

impl fmt::Display for CpuChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "+{percent}%"),
            Self::Millis(millis) if millis.is_multiple_of(1_000) => write!(f, "{}", millis / 1_000),
            Self::Millis(millis) => write!(f, "{millis}m"),
        }
    }
}

impl fmt::Display for MemoryChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "+{percent}%"),
            Self::Bytes(bytes) => fmt::Display::fmt(&SizeBytes(*bytes), f),
        }
    }
}

impl Serialize for CpuChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for MemoryChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CpuChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(Scalar("cpu such as +100%, 500m or 2"))?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format_args!("invalid cpu `{text}`: write +100%, 500m or 2"))
        })
    }
}

impl<'de> Deserialize<'de> for MemoryChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(Scalar("memory such as +50% or 512MiB"))?;
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom(format_args!("invalid memory `{text}`: write +50% or 512MiB"))
        })
    }
}

/// A scalar read as text: `cpu: 2` and `cpu: "2"` mean the same.
struct Scalar(&'static str);

impl Visitor<'_> for Scalar {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

fn parse_percent(text: &str) -> Option<u32> {
    digits(text.strip_prefix('+')?.strip_suffix('%')?)?.parse().ok()
}

/// Cores with at most three decimals, as millicores.
fn parse_cores(text: &str) -> Option<u64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, digits(fraction)?),
        None => (text, ""),
    };
    if fraction.len() > 3 {
        return None;
    }
    let millis: u64 =
        if fraction.is_empty() { 0 } else { format!("{fraction:0<3}").parse().ok()? };
    digits(whole)?.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(millis)
}

/// Span kinds by the names users write.
pub(crate) mod kind {
    use serde::Serializer;
    use serde::de::{self, Deserialize, Deserializer};
    use spanwise_model::SpanKind;

    #[expect(
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature serde asks for"
    )]
    pub(crate) fn serialize<S: Serializer>(
        kind: &Option<SpanKind>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(kind.map_or("any", SpanKind::as_str))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SpanKind>, D::Error> {
        let text = String::deserialize(deserializer)?;
        SpanKind::from_name(&text).map(Some).ok_or_else(|| {
            de::Error::custom(format_args!(
                "unknown kind `{text}`, expected one of server, client, internal, producer, consumer"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_percent_millicores_or_cores() {
        let check = |text, expected| assert_eq!(CpuChange::parse(text), expected, "{text}");
        check("+100%", Some(CpuChange::Percent(100)));
        check("500m", Some(CpuChange::Millis(500)));
        check("2", Some(CpuChange::Millis(2_000)));
        check("0.25", Some(CpuChange::Millis(250)));
        check("1.5", Some(CpuChange::Millis(1_500)));
        for text in ["", "m", "-1", "100%", "+%", "-50%", "1.2345", "2 cores", "+5", "1."] {
            check(text, None);
        }
    }

    #[test]
    fn memory_is_percent_or_a_size() {
        let check = |text, expected| assert_eq!(MemoryChange::parse(text), expected, "{text}");
        check("+50%", Some(MemoryChange::Percent(50)));
        check("512MiB", Some(MemoryChange::Bytes(512 << 20)));
        check("512", None);
        check("-50%", None);
    }

    #[test]
    fn changes_print_as_they_are_read() {
        for text in ["+100%", "500m", "2"] {
            assert_eq!(CpuChange::parse(text).unwrap().to_string(), text);
        }
        for text in ["+50%", "512MiB", "1GiB"] {
            assert_eq!(MemoryChange::parse(text).unwrap().to_string(), text);
        }
    }
}
