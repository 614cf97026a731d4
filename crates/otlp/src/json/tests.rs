use super::*;
use crate::{Decoded, decode};

/// The first span of a request whose only span has these members besides good ids.
fn with_members(members: &str) -> Result<Decoded, DecodeError> {
    let ids = r#""traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331""#;
    request(&format!("{{{ids},{members}}}"))
}

fn request(spans: &str) -> Result<Decoded, DecodeError> {
    let text = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
    let limits = Limits::default();
    decode(json_to_protobuf(text.as_bytes(), &limits)?, &limits)
}

fn fault(members: &str) -> &'static str {
    match with_members(members).unwrap_err() {
        DecodeError::MalformedJson { fault, .. } => fault,
        other => panic!("{other:?}"),
    }
}

fn bytes_of_members(members: &str) -> Vec<u8> {
    let Decoded { batch, .. } = with_members(members).unwrap();
    batch.spans[0].raw.of(&batch.bytes).to_vec()
}

#[test]
fn ids_are_hexadecimal_in_either_case() {
    let span = r#"{"traceId":"0AF7651916CD43DD8448EB211C80319C","spanId":"B7ad6b7169203331"}"#;
    let Decoded { batch, .. } = request(span).unwrap();
    assert_eq!(batch.spans[0].trace_id.to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(batch.spans[0].span_id.to_string(), "b7ad6b7169203331");
}

#[test]
fn base64_and_other_wrong_ids_reject_their_span_alone() {
    let good = r#"{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331"}"#;
    for bad in [
        r#"{"traceId":"CvdlGRbNQ92ESOshHIAxnA==","spanId":"b7ad6b7169203331"}"#,
        r#"{"traceId":"0af7651916cd43dd8448eb211c80319","spanId":"b7ad6b7169203331"}"#,
        r#"{"traceId":"00000000000000000000000000000000","spanId":"b7ad6b7169203331"}"#,
        r#"{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"t61rcWkgMzE="}"#,
        r#"{"traceId":"0af7651916cd43dd8448eb211c80319c"}"#,
        "{}",
        "null",
    ] {
        let Decoded { batch, report } = request(&format!("{bad},{good}")).unwrap();
        assert_eq!((batch.spans.len(), report.n_rejected()), (1, 1), "{bad}");
    }
}

#[test]
fn an_empty_or_zero_parent_is_a_root() {
    for parent in ["", "0000000000000000"] {
        let decoded = with_members(&format!(r#""parentSpanId":"{parent}""#)).unwrap();
        assert!(decoded.batch.spans[0].is_root());
    }
    let decoded = with_members(r#""parentSpanId":"nonsense""#).unwrap();
    assert_eq!(decoded.report.n_bad_parent_id, 1);
}

#[test]
fn enum_names_are_refused() {
    assert!(fault(r#""kind":"SPAN_KIND_SERVER""#).starts_with("enum given by name"));
    assert!(fault(r#""status":{"code":"STATUS_CODE_ERROR"}"#).starts_with("enum given by name"));
}

#[test]
fn unknown_and_snake_case_members_are_ignored() {
    let plain = bytes_of_members(r#""name":"a""#);
    let odd = r#""start_time_unix_nano":"5","x":{"y":[1,{"z":null}]},"name":"a","key_strindex":1"#;
    assert_eq!(bytes_of_members(odd), plain);
}

#[test]
fn integers_are_numbers_or_strings() {
    let plain = bytes_of_members(r#""startTimeUnixNano":1544712660000000000"#);
    assert_eq!(bytes_of_members(r#""startTimeUnixNano":"1544712660000000000""#), plain);
    assert_eq!(bytes_of_members(r#""startTimeUnixNano":15447126600e8"#), plain);
    for value in ["1.5", "-1", "1e30", "18446744073709551616"] {
        assert_eq!(fault(&format!(r#""startTimeUnixNano":{value}"#)), "number out of range");
    }
    for value in ["", "x", "+1", "0x1", "Infinity"] {
        assert_eq!(fault(&format!(r#""startTimeUnixNano":"{value}""#)), "not a number", "{value}");
    }
}

#[test]
fn null_is_an_absent_member() {
    let plain = bytes_of_members(r#""name":"a""#);
    let nulls = r#""attributes":null,"status":null,"kind":null,"name":"a","traceState":null"#;
    assert_eq!(bytes_of_members(nulls), plain);
}

#[test]
fn doubles_may_be_named() {
    for (text, value) in [
        (r#""NaN""#, f64::NAN),
        (r#""Infinity""#, f64::INFINITY),
        (r#""-Infinity""#, f64::NEG_INFINITY),
        ("1", 1.0),
        ("-0.5", -0.5),
        (r#""2.5""#, 2.5),
    ] {
        let members = format!(r#""attributes":[{{"key":"k","value":{{"doubleValue":{text}}}}}]"#);
        let bytes = bytes_of_members(&members);
        assert!(bytes.ends_with(&value.to_le_bytes()), "{text}");
    }
}

#[test]
fn the_last_member_of_a_oneof_wins() {
    let members = r#""attributes":[{"key":"k","value":{"stringValue":"a","intValue":"7"}}]"#;
    let Decoded { batch, .. } = with_members(members).unwrap();
    let value = spanwise_model::AttributeSource::attribute(&crate::WireAttributes, &batch, 0, "k");
    assert_eq!(value, Some(spanwise_model::ValueRef::Int(7)));
}

#[test]
fn base64_of_either_alphabet_is_read() {
    for (text, bytes) in [
        ("", &b""[..]),
        ("AQ", b"\x01"),
        ("AQ==", b"\x01"),
        ("-_8=", b"\xfb\xff"),
        ("+/8", b"\xfb\xff"),
    ] {
        let members = format!(r#""attributes":[{{"value":{{"bytesValue":"{text}"}}}}]"#);
        assert!(bytes_of_members(&members).ends_with(bytes), "{text}");
    }
    for text in ["A", "A===", "!!!!", "AQ====="] {
        let members = format!(r#""attributes":[{{"value":{{"bytesValue":"{text}"}}}}]"#);
        assert_eq!(fault(&members), "bytes are not base64", "{text}");
    }
}

#[test]
fn nesting_is_held_to_the_limit() {
    let nested = |n: usize| {
        let open = r#"{"arrayValue":{"values":["#.repeat(n);
        let close = "]}}".repeat(n);
        format!(r#""attributes":[{{"value":{open}{{"intValue":1}}{close}}}]"#)
    };
    assert!(with_members(&nested(15)).is_ok());
    let error = with_members(&nested(16)).unwrap_err();
    assert!(matches!(error, DecodeError::TooDeep { limit: 16, offset: 100.. }), "{error:?}");
    let unknown = format!(r#""x":{}1{}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(with_members(&unknown).is_ok());
}

#[test]
fn errors_name_the_place_and_repeat_nothing() {
    let error = json_to_protobuf(b"{\n \"resourceSpans\": [{]}", &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "malformed otlp/json at line 2 column 21: not valid json");
    for text in ["", "[]", "null", "7", r#"{"resourceSpans":"secret"}"#, "{} secret", "{\"a\":1"] {
        let error = json_to_protobuf(text.as_bytes(), &Limits::default()).unwrap_err();
        assert!(matches!(error, DecodeError::MalformedJson { .. }), "{text}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[test]
fn items_are_counted_before_they_are_written() {
    let limits = Limits { n_items: 3, ..Limits::default() };
    let text = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"events":[{},{},{}]}]}]}]}"#;
    assert_eq!(json_to_protobuf(text, &limits), Err(DecodeError::TooManyItems { limit: 3 }));
}
