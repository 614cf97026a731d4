//! The walk and prost on real, generated and mutated input; OTLP/JSON likewise.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Request;
use proptest::prelude::*;
use prost::Message as _;

use crate::generate::{mutate, mutation, request};
use crate::oracle::{check_json, check_protobuf, without_bad_ids};
use crate::sample::{json_lines, opentelemetry_json, protobuf_requests};

#[test]
fn real_protobuf_is_read_as_prost_reads_it() {
    let requests = protobuf_requests();
    assert_eq!(requests.len(), 16);
    for request in requests {
        assert!(check_protobuf(&request));
    }
}

#[test]
fn real_json_is_read_as_opentelemetry_reads_it() {
    let lines = json_lines();
    assert_eq!(lines.len(), 40);
    for text in lines.iter().chain([&opentelemetry_json()]) {
        assert!(check_json(text.as_bytes()));
    }
}

#[test]
fn every_cut_and_every_flipped_byte_of_a_request_gets_the_verdict_of_prost() {
    let request = protobuf_requests().swap_remove(15);
    let request = crate::sample::first_span_of(&request);
    for at in 0..request.len() {
        check_protobuf(&request[..at]);
        for value in [0, 1, 0x0a, 0x0b, 0x0c, 0x7f, 0x80, 0xff] {
            let mut changed = request.clone();
            changed[at] = value;
            check_protobuf(&changed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_requests_are_read_as_prost_reads_them(bytes in request()) {
        prop_assert!(check_protobuf(&bytes));
    }

    #[test]
    fn mutated_requests_get_the_verdict_of_prost(
        bytes in request(),
        mutations in prop::collection::vec(mutation(), 1..4),
    ) {
        let mut bytes = bytes;
        for mutation in mutations {
            mutate(&mut bytes, mutation);
        }
        check_protobuf(&bytes);
    }

    #[test]
    fn json_written_by_opentelemetry_comes_back_as_the_protobuf_it_was(bytes in request()) {
        let original = Request::decode(&bytes[..]).unwrap();
        let mut tree = serde_json::to_value(&original).unwrap();
        remove_profile_fields(&mut tree);
        let text = serde_json::to_vec(&tree).unwrap();
        // Doubles that are no numbers become null on this way; the second trip takes them out.
        let expected = serde_json::from_slice::<Request>(&text).unwrap();
        let ours = spanwise_otlp::json_to_protobuf(&text, &spanwise_otlp::Limits::default());
        let ours = Request::decode(&ours.unwrap()[..]).unwrap();
        prop_assert_eq!(without_bad_ids(ours), without_bad_ids(expected));
    }

    #[test]
    fn mutated_json_is_read_as_opentelemetry_reads_it_or_refused(
        bytes in request(),
        mutations in prop::collection::vec(mutation(), 0..3),
    ) {
        let mut text = serde_json::to_vec(&Request::decode(&bytes[..]).unwrap()).unwrap();
        for mutation in mutations {
            mutate(&mut text, mutation);
        }
        check_json(&text);
    }
}

fn remove_profile_fields(tree: &mut serde_json::Value) {
    match tree {
        serde_json::Value::Array(list) => list.iter_mut().for_each(remove_profile_fields),
        serde_json::Value::Object(map) => {
            map.remove("keyStrindex");
            map.remove("stringValueStrindex");
            map.values_mut().for_each(remove_profile_fields);
        }
        _ => {}
    }
}
