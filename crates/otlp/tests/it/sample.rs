//! The recordings of `examples/data`, read here without the crate that reads files.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Request;
use prost::Message as _;

macro_rules! data {
    ($name:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data/", $name)
    };
}

/// The length-framed requests of the synthetic shop.
pub(crate) fn protobuf_requests() -> Vec<Vec<u8>> {
    let packed = std::fs::read(data!("synthetic_shop.otlp.pb.zst")).unwrap();
    let frames = zstd::stream::decode_all(&packed[..]).unwrap();
    let mut rest = &frames[..];
    let mut requests = Vec::new();
    while let Some((len, tail)) = rest.split_first_chunk() {
        let (request, tail) = tail.split_at(u32::from_le_bytes(*len) as usize);
        requests.push(request.to_vec());
        rest = tail;
    }
    requests
}

/// The OTLP/JSON requests of the Online Boutique.
pub(crate) fn json_lines() -> Vec<String> {
    let packed = std::fs::read(data!("online_boutique.otlp.jsonl.zst")).unwrap();
    let text = String::from_utf8(zstd::stream::decode_all(&packed[..]).unwrap()).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// OpenTelemetry's own example.
pub(crate) fn opentelemetry_json() -> String {
    std::fs::read_to_string(data!("opentelemetry_trace.json")).unwrap()
}

/// A request cut down to its first span, with the resource and scope around it.
pub(crate) fn first_span_of(request: &[u8]) -> Vec<u8> {
    let mut request = Request::decode(request).unwrap();
    request.resource_spans.truncate(1);
    request.resource_spans[0].scope_spans.truncate(1);
    request.resource_spans[0].scope_spans[0].spans.truncate(1);
    request.encode_to_vec()
}
