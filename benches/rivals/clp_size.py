#!/usr/bin/env python3
"""Compresses recorded spans with CLP's logging library, the Gen-T paper's baseline; prints one JSON object.

    python3 -m venv target/rivals/clp
    target/rivals/clp/bin/pip install clp-logging==0.0.15 opentelemetry-proto==1.45.2
    target/rivals/clp/bin/python benches/rivals/clp_size.py examples/data/synthetic_shop.otlp.pb.zst
    spanwise eval archive examples/data/synthetic_shop.otlp.pb.zst --models '' --baselines head:1 \\
        --codecs none,gzip,zstd,clp-like -o json        # the same spans, our reading of the format

The paper does not say how a span becomes a log line. Here a span is one line of JSON in the words of
OTLP/JSON with its resource, the same text that the codec `clp-like` encodes; the handler stamps it with
the time of writing, not of the span. `clp_bytes` is the size of the handler's file (its stream format
under zstd, which is what the paper measures), the others are general compressors over the same lines and
over the same OTLP requests.
"""
import argparse
import gzip
import importlib.metadata
import json
import logging
import platform
import struct
import tempfile
from pathlib import Path

import zstandard
from clp_logging.handlers import CLPFileHandler
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def requests(path):
    """The requests of a length-framed file, decompressed if need be."""
    data = Path(path).read_bytes()
    if str(path).endswith(".zst"):
        data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    elif str(path).endswith(".gz"):
        data = gzip.decompress(data)
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def value(any_value):
    kind = any_value.WhichOneof("value")
    plain = kind in ("string_value", "bool_value", "int_value", "double_value")
    return getattr(any_value, kind) if plain else None


def attributes(pairs):
    return {pair.key: value(pair.value) for pair in pairs}


def lines(request):
    for resource_spans in ExportTraceServiceRequest.FromString(request).resource_spans:
        resource = attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield json.dumps(as_json(span, resource))


def as_json(span, resource):
    known = {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "parentSpanId": span.parent_span_id.hex(),
        "traceState": span.trace_state,
        "name": span.name,
        "kind": int(span.kind),
        "startTimeUnixNano": span.start_time_unix_nano,
        "endTimeUnixNano": span.end_time_unix_nano,
        "message": span.status.message,
        "code": int(span.status.code),
    }
    line = {key: content for key, content in known.items() if content not in ("", 0)}
    line["attributes"] = attributes(span.attributes)
    if span.events:
        line["events"] = [
            {
                "timeUnixNano": event.time_unix_nano,
                "name": event.name,
                "attributes": attributes(event.attributes),
            }
            for event in span.events
        ]
    line["resource"] = resource
    return line


class Counter:
    """A file that only counts."""

    def __init__(self):
        self.n_bytes = 0

    def write(self, content):
        self.n_bytes += len(content)
        return len(content)

    def flush(self):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="length-framed OTLP requests: .otlp.pb[.zst|.gz]")
    args = parser.parse_args()

    counters = {name: Counter() for name in ("text_gzip", "text_zstd_19", "otlp_gzip", "otlp_zstd_19")}
    text_gzip = gzip.GzipFile(fileobj=counters["text_gzip"], mode="wb", compresslevel=6, mtime=0)
    otlp_gzip = gzip.GzipFile(fileobj=counters["otlp_gzip"], mode="wb", compresslevel=6, mtime=0)
    strong = zstandard.ZstdCompressor(level=19)
    text_zstd = strong.stream_writer(counters["text_zstd_19"], closefd=False)
    otlp_zstd = zstandard.ZstdCompressor(level=19).stream_writer(counters["otlp_zstd_19"], closefd=False)
    n_spans = text_bytes = otlp_bytes = 0

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spans.clp.zst"
        handler = CLPFileHandler(path, mode="wb")
        logger = logging.getLogger("spans")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(handler)
        for request in requests(args.file):
            otlp_bytes += len(request)
            otlp_gzip.write(request)
            otlp_zstd.write(request)
            for line in lines(request):
                n_spans += 1
                logger.info(line)
                content = line.encode() + b"\n"
                text_bytes += len(content)
                text_gzip.write(content)
                text_zstd.write(content)
        handler.close()
        clp_bytes = path.stat().st_size
    for stream in (text_gzip, otlp_gzip, text_zstd, otlp_zstd):
        stream.close()

    sizes = {f"{name}_bytes": counter.n_bytes for name, counter in counters.items()}
    print(json.dumps({
        "file": Path(args.file).name,
        "spans": n_spans,
        "clp_bytes": clp_bytes,
        "clp_bytes_per_span": clp_bytes / max(n_spans, 1),
        "text_bytes": text_bytes,
        "otlp_bytes": otlp_bytes,
        **sizes,
        "clp_logging": importlib.metadata.version("clp-logging"),
        "clp_ffi_py": importlib.metadata.version("clp-ffi-py"),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }, indent=2))


if __name__ == "__main__":
    main()
