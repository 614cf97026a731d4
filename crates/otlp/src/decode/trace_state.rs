//! OpenTelemetry's sampling threshold in W3C `tracestate`: `ot=th:c;rv:...`.

/// The rejection threshold T of the first `ot` member, out of 2^56; 0 if there is none or it is
/// malformed. Its 1 to 14 hexadecimal digits are padded with zeros on the right.
pub(super) fn threshold_of(trace_state: &[u8]) -> u64 {
    trace_state
        .split(|byte| *byte == b',')
        .find_map(|member| member.trim_ascii().strip_prefix(b"ot="))
        .and_then(|list| list.split(|byte| *byte == b';').find_map(|e| e.strip_prefix(b"th:")))
        .and_then(parse)
        .unwrap_or(0)
}

fn parse(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 14 {
        return None;
    }
    let mut value = 0;
    for digit in digits {
        value = value << 4 | u64::from(char::from(*digit).to_digit(16)?);
    }
    Some(value << (4 * (14 - digits.len())))
}

#[cfg(test)]
mod tests {
    use super::threshold_of;

    fn check(trace_state: &str, expected: u64) {
        assert_eq!(threshold_of(trace_state.as_bytes()), expected, "{trace_state}");
    }

    #[test]
    fn thresholds_are_padded_on_the_right() {
        check("ot=th:8", 1 << 55);
        check("ot=th:fd70a", 0xfd_70a0_0000_0000);
        check("ot=th:fffffffffffffe", 0xff_ffff_ffff_fffe);
        check("ot=th:0", 0);
    }

    #[test]
    fn the_member_is_found_among_others() {
        check("vendor=a:b, ot=rv:00000000000001;th:c ,x=ot=th:1", 0xc0_0000_0000_0000);
        check("notot=th:8", 0);
        check("ot=oth:8;th:4", 1 << 54);
    }

    #[test]
    fn malformed_thresholds_count_as_none() {
        for text in ["ot=th:", "ot=th:x", "ot=th:123456789012345", "ot=th", "", ",,", "ot=th:-8"] {
            check(text, 0);
        }
    }
}
