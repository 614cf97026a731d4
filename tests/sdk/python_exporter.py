"""Sends spans with the OpenTelemetry Python SDK and writes down what it sent.

Usage: python_exporter.py grpc|http ENDPOINT N_TRACES OUT_FILE

The spans are rich: every type of attribute, arrays, events, exceptions, links, kinds, statuses,
trace state, dropped attributes, text that is not ASCII. Each exported batch is appended to OUT_FILE
as a little-endian u32 length and an ExportTraceServiceRequest (`.otlp.pb`), as the SDK's own encoder
makes it. Prints the number of spans; fails if the server refused anything.
"""

import random
import struct
import sys

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

KINDS = [SpanKind.SERVER, SpanKind.CLIENT, SpanKind.INTERNAL, SpanKind.PRODUCER, SpanKind.CONSUMER]


class Recorder(SpanExporter):
    """Writes down each batch, hands it on, and remembers refusals."""

    def __init__(self, exporter, out):
        self.exporter = exporter
        self.out = out
        self.n_spans = 0
        self.n_refused = 0

    def export(self, spans):
        request = encode_spans(spans).SerializeToString()
        self.out.write(struct.pack("<I", len(request)) + request)
        result = self.exporter.export(spans)
        self.n_spans += len(spans)
        if result is not SpanExportResult.SUCCESS:
            self.n_refused += len(spans)
        return result

    def shutdown(self):
        self.exporter.shutdown()

    def force_flush(self, timeout_millis=30000):
        return self.exporter.force_flush(timeout_millis)


def exporter_for(protocol, endpoint):
    if protocol == "grpc":
        from grpc import Compression
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=endpoint, insecure=True, compression=Compression.Gzip)
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint, compression=Compression.Gzip)


def attributes(rng, idx):
    return {
        "http.route": f"/cart/{idx}",
        "text": "Grüße, 世界 \U0001f642 \x00\t",
        "empty": "",
        "long": "x" * rng.randrange(2000),
        "bool": idx % 2 == 0,
        "int": rng.randrange(-(2**63), 2**63),
        "float": rng.uniform(-1e300, 1e300),
        "nan": float("nan"),
        "infinity": float("-inf"),
        "strings": ["a", "", "ü"],
        "ints": [-1, 0, 2**62],
        "floats": [0.5, -0.0],
        "bools": [True, False],
        "bytes": bytes(range(256)),
    }


def remote(rng):
    state = TraceState([("ot", "th:c"), ("vendor", "a=b")])
    return SpanContext(rng.getrandbits(128) | 1, rng.getrandbits(64) | 1, True, TraceFlags(1), state)


def send_trace(tracer, rng, idx):
    links = [Link(remote(rng), {"reason": "retry", "n": n}) for n in range(idx % 3)]
    with tracer.start_as_current_span(f"GET /cart/{idx}", kind=KINDS[0], links=links) as root:
        root.set_attributes(attributes(rng, idx))
        root.add_event("cache miss", {"key": "cart", "size": idx})
        for child_idx in range(1, 1 + idx % 6):
            kind = KINDS[child_idx % len(KINDS)]
            with tracer.start_as_current_span(f"step {child_idx}", kind=kind) as child:
                child.set_attributes(attributes(rng, child_idx))
                if child_idx == 2:
                    child.record_exception(ValueError("out of stock"))
                    child.set_status(Status(StatusCode.ERROR, "out of stock"))
                if child_idx == 3:
                    # More than the limit: the SDK counts what it drops.
                    child.set_attributes({f"key.{n}": n for n in range(60)})
        root.set_status(Status(StatusCode.OK))


def main():
    protocol, endpoint, n_traces, out_file = sys.argv[1:]
    rng = random.Random(42)
    resource = Resource.create(
        {"service.name": "python-shop", "service.instance.id": "pod-1", "deployment": "test"},
        schema_url="https://opentelemetry.io/schemas/1.30.0",
    )
    limits = SpanLimits(max_attributes=40, max_events=8, max_links=8)
    provider = TracerProvider(resource=resource, span_limits=limits)
    with open(out_file, "wb") as out:
        recorder = Recorder(exporter_for(protocol, endpoint), out)
        # A queue that holds everything: the SDK itself must not drop spans.
        processor = BatchSpanProcessor(recorder, max_queue_size=100_000, max_export_batch_size=256)
        provider.add_span_processor(processor)
        tracer = provider.get_tracer("shop", "1.2.3", attributes={"scope.kind": "test"})
        for idx in range(int(n_traces)):
            send_trace(tracer, rng, idx)
        provider.shutdown()
    print(recorder.n_spans)
    return 1 if recorder.n_refused else 0


if __name__ == "__main__":
    sys.exit(main())
