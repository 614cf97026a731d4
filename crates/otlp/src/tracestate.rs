//! The W3C `tracestate` of a span that is sent on: what of it concerns sampling, and the field to
//! append when the threshold changes. A later field 3 of a `Span` replaces an earlier one, so the
//! bytes that came stay as they are, in front.

use crate::schema::span;
use crate::writer::Writer;

/// Longest value of the `ot` member (OpenTelemetry on probability sampling).
const OT_BYTES_MAX: usize = 256;
/// Most members of a `tracestate` (W3C Trace Context).
const N_MEMBERS_MAX: usize = 32;

/// The explicit randomness R of a `tracestate` (sub-key `rv` of `ot`), out of 2^56; `None` if there
/// is none or it is not exactly 14 hexadecimal digits.
pub fn explicit_randomness(trace_state: &[u8]) -> Option<u64> {
    let list = members(trace_state).find_map(|member| member.strip_prefix(b"ot="))?;
    let digits = list.split(|byte| *byte == b';').find_map(|sub| sub.strip_prefix(b"rv:"))?;
    if digits.len() != 14 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The field that gives a span the threshold `th` (its digits), or takes its threshold away: encoded,
/// to be appended to the span's bytes. Other sub-keys and other vendors' members stay, in their
/// order; the member that changes goes to the front. `None` if nothing would change, or if the
/// threshold finds no room within the limits of the specification.
pub fn threshold_field(trace_state: &[u8], th: Option<&str>) -> Option<Vec<u8>> {
    let list = members(trace_state).find_map(|member| member.strip_prefix(b"ot="));
    let subs = || list.into_iter().flat_map(|list| list.split(|byte| *byte == b';'));
    let old = subs().find_map(|sub| sub.strip_prefix(b"th:"));
    if old == th.map(str::as_bytes) {
        return None;
    }
    let new = th.map(|digits| [b"th:", digits.as_bytes()].concat());
    let others = subs().filter(|sub| !sub.is_empty() && !sub.starts_with(b"th:"));
    let ot = new.as_deref().into_iter().chain(others).collect::<Vec<_>>().join(&b';');
    if ot.len() > OT_BYTES_MAX {
        return None;
    }
    let mut kept: Vec<Vec<u8>> = Vec::new();
    if !ot.is_empty() {
        kept.push([b"ot=", &ot[..]].concat());
    }
    let is_other = |member: &&[u8]| !member.is_empty() && !member.starts_with(b"ot=");
    kept.extend(members(trace_state).filter(is_other).map(<[u8]>::to_vec));
    kept.truncate(N_MEMBERS_MAX);
    let mut writer = Writer::default();
    writer.bytes(span::TRACE_STATE, &kept.join(&b','));
    Some(writer.into_bytes())
}

fn members(trace_state: &[u8]) -> impl Iterator<Item = &[u8]> {
    trace_state.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(trace_state: &str, th: Option<&str>, expected: Option<&str>) {
        let field = threshold_field(trace_state.as_bytes(), th);
        let text = field.map(|field| {
            assert_eq!((field[0], usize::from(field[1])), (3 << 3 | 2, field.len() - 2));
            String::from_utf8(field[2..].to_vec()).unwrap()
        });
        assert_eq!(text.as_deref(), expected, "{trace_state:?} {th:?}");
    }

    #[test]
    fn a_threshold_is_written_and_everything_else_stays() {
        check("", Some("fd70a"), Some("ot=th:fd70a"));
        check("a=1,b=2", Some("8"), Some("ot=th:8,a=1,b=2"));
        check("a=1, ot=rv:00000000000001;x:y ,b=2", Some("8"), {
            Some("ot=th:8;rv:00000000000001;x:y,a=1,b=2")
        });
        check("ot=rv:00000000000001;th:4", Some("8"), Some("ot=th:8;rv:00000000000001"));
        check("ot=th:8", Some("8"), None);
    }

    #[test]
    fn a_threshold_is_taken_away_alone() {
        check("a=1,ot=th:8", None, Some("a=1"));
        check("ot=th:8;rv:00000000000001", None, Some("ot=rv:00000000000001"));
        check("ot=th:8", None, Some(""));
        check("a=1", None, None);
    }

    #[test]
    fn limits_of_the_specification_are_kept() {
        let long = format!("ot=x:{}", "y".repeat(250));
        check(&long, Some("fd70a"), None);
        let many: Vec<String> = (0..32).map(|n| format!("v{n}=1")).collect();
        let expected = format!("ot=th:8,{}", many[..31].join(","));
        // 31 vendors and ours are longer than a length byte says, so only the text is compared.
        let field = threshold_field(many.join(",").as_bytes(), Some("8")).unwrap();
        assert!(String::from_utf8_lossy(&field).ends_with(&expected));
    }

    #[test]
    fn randomness_has_exactly_fourteen_digits() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(explicit_randomness(text.as_bytes()), expected, "{text}");
        };
        check("ot=th:8;rv:0000000000000f", Some(15));
        check("a=1,ot=rv:ffffffffffffff", Some((1 << 56) - 1));
        check("ot=rv:f", None);
        check("ot=rv:+000000000000f", None);
        check("a=rv:0000000000000f", None);
        check("", None);
    }
}
