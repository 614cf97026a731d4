//! Protobuf to OTLP/JSON: what is written is read back as the same request.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Request;
use proptest::prelude::*;
use prost::Message as _;
use spanwise_otlp::{Limits, json_to_protobuf, protobuf_to_json};

use crate::generate::request;
use crate::oracle::without_bad_ids;
use crate::requests::rich;
use crate::sample::protobuf_requests;

/// Compared without what OTLP/JSON does not know.
fn check(bytes: &[u8]) {
    let request = without_bad_ids(Request::decode(bytes).unwrap());
    let text = protobuf_to_json(&request.encode_to_vec()).unwrap();
    assert!(!text.contains('\n'), "{text}");
    let back = json_to_protobuf(text.as_bytes(), &Limits::default()).unwrap();
    let back = Request::decode(back).unwrap();
    // NaN is not equal to itself, its text is.
    assert_eq!(format!("{back:?}"), format!("{request:?}"), "{text}");
}

#[test]
fn every_field_is_written_and_read_back() {
    check(&rich(3).encode_to_vec());
    for request in protobuf_requests() {
        check(&request);
    }
}

#[test]
fn pieces_and_repeated_fields_are_written_as_protobuf_reads_them() {
    let span = |fields: &[u8]| {
        let ids = [&[0x0a, 16][..], &[1; 16], &[0x12, 8], &[2; 8]].concat();
        let span = [&ids, fields].concat();
        let scope = [&[0x12, span.len() as u8][..], &span].concat();
        let resource = [&[0x12, scope.len() as u8][..], &scope].concat();
        [&[0x0a, resource.len() as u8][..], &resource].concat()
    };
    // Twice a name, and a status in two pieces.
    check(&span(&[0x2a, 1, b'a', 0x2a, 1, b'b', 0x7a, 2, 0x18, 2, 0x7a, 3, 0x12, 1, b'm']));
    // A value that is a number, then a text.
    check(&span(&[0x4a, 10, 0x0a, 1, b'k', 0x12, 5, 0x18, 7, 0x0a, 1, b'v']));
}

#[test]
fn what_is_no_request_is_refused() {
    assert!(protobuf_to_json(&[0x0a, 9]).is_err());
    assert_eq!(protobuf_to_json(&[]).unwrap(), "{}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_requests_become_json_that_says_the_same(bytes in request()) {
        let direct = protobuf_to_json(&bytes);
        if let Ok(text) = direct {
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
    }
}
