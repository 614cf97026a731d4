use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;

use super::*;

/// `google.rpc.Status` and what it may carry, as prost would generate them.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

fn partial(n_rejected: u64, message: &str) -> PartialSuccess {
    PartialSuccess { n_rejected, message: message.to_owned() }
}

#[test]
fn full_success_is_an_empty_message() {
    assert_eq!(export_response(None, Encoding::Protobuf), b"");
    assert_eq!(export_response(None, Encoding::Json), b"{}");
    assert_eq!(parse_export_response(b""), None);
}

#[test]
fn partial_success_reads_back() {
    for partial in [partial(3, "bad ids"), partial(0, "a warning"), partial(1 << 40, "x")] {
        let bytes = export_response(Some(&partial), Encoding::Protobuf);
        let read = ExportTraceServiceResponse::decode(&bytes[..]).unwrap().partial_success.unwrap();
        assert_eq!(read.rejected_spans.cast_unsigned(), partial.n_rejected);
        assert_eq!(read.error_message, partial.message);
        assert_eq!(parse_export_response(&bytes), Some(partial));
    }
    let json = export_response(Some(&partial(3, "bad \"ids\"")), Encoding::Json);
    let expected = r#"{"partialSuccess":{"errorMessage":"bad \"ids\"","rejectedSpans":"3"}}"#;
    assert_eq!(String::from_utf8(json).unwrap(), expected);
}

#[test]
fn texts_are_cut_between_characters() {
    let status = Status { code: 3, message: "ä".repeat(500), detail: None };
    let read = RpcStatus::decode(&status.encode(Encoding::Protobuf)[..]).unwrap();
    assert_eq!((read.code, read.message), (3, "ä".repeat(128)));
}

#[test]
fn details_are_found_by_their_type() {
    let delay = Duration::new(7, 500);
    let detail = Some(Detail::RetryInfo(delay));
    let status = Status { code: 14, message: "busy".to_owned(), detail };
    let bytes = status.encode(Encoding::Protobuf);
    let read = RpcStatus::decode(&bytes[..]).unwrap();
    assert_eq!(read.details[0].type_url, RETRY_INFO);
    assert_eq!(parse_retry_delay(&bytes), Some(delay));

    let detail = Some(Detail::BadRequest("malformed".to_owned()));
    let status = Status { code: 3, message: String::new(), detail };
    let bytes = status.encode(Encoding::Protobuf);
    let read = RpcStatus::decode(&bytes[..]).unwrap();
    assert_eq!(read.details[0].value, b"\x0a\x0b\x12\x09malformed");
    assert_eq!(parse_retry_delay(&bytes), None);
    let json = String::from_utf8(status.encode(Encoding::Json)).unwrap();
    assert!(json.contains(r#""fieldViolations":[{"description":"malformed"}]"#), "{json}");
}

#[test]
fn absurd_pauses_are_cut() {
    let detail = Some(Detail::RetryInfo(Duration::from_secs(u64::MAX >> 1)));
    let status = Status { code: 14, message: String::new(), detail };
    assert_eq!(parse_retry_delay(&status.encode(Encoding::Protobuf)), Some(RETRY_DELAY_MAX));
    assert_eq!(parse_retry_delay(b"\x1a\xff"), None);
}
