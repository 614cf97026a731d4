"""spanwise and an OpenTelemetry Collector with `tail_sampling`: same policies, same requests.

Each server is started anew for each repeat, receives recorded requests over gRPC and exports what it
keeps to a sink in this process. CPU is that of the server process alone, by the kernel's clock of the
process, from the first request until everything is decided; memory is its peak (VmHWM). Servers take
turns within a repeat. The recording is sent several times over, each time with other trace ids, so that
there is something to measure.

The policies are one file in the Collector's words: the Collector reads it as it is, spanwise reads what
`spanwise config convert` makes of it. `probabilistic` has a hash_salt, so that both choose by the same
hash and the kept sets can be compared trace by trace. A third row shows spanwise's own sampler with the
share that the policies kept as its budget. A trace is anomalous if a span of it is labelled slow_path
or trace_struct; the labels are looked up here and reach no server.

Not measured: wall time and latency (the client is Python), and what the kernel does outside the
server's threads.
"""

import argparse
import contextlib
import json
import os
import platform
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from concurrent import futures
from pathlib import Path

import grpc
import pyarrow.parquet
import zstandard
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
IN_FLIGHT = 4
START_TIMEOUT_S = 20
# The Collector decides so long after the first span of a trace; spanwise a second after its root, and
# 10 s after its last span at the latest.
DECISION_WAIT_S = 10
SETTLE_S = 14
POLICIES = """
      - {name: slow, type: latency, latency: {threshold_ms: 1000}}
      - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
      - name: checkout
        type: and
        and:
          and_sub_policy:
            - {name: s, type: string_attribute, string_attribute: {key: service.name, values: ['^checkout'], enabled_regex_matching: true}}
            - {name: l, type: latency, latency: {threshold_ms: 300}}
      - {name: large, type: span_count, span_count: {min_spans: 100}}
      - {name: chance, type: probabilistic, probabilistic: {hash_salt: spanwise, sampling_percentage: 1}}
"""
COLLECTOR = """
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{grpc}'}}}}}}}}
processors:
  tail_sampling:
    decision_wait: {wait}s
    num_traces: 1000000
    policies:{policies}
exporters:
  otlp:
    endpoint: 127.0.0.1:{sink}
    tls: {{insecure: true}}
    compression: none
service:
  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}
  pipelines:
    traces: {{receivers: [otlp], processors: [tail_sampling], exporters: [otlp]}}
"""
FORWARD = """
forward: [{{endpoint: 'http://127.0.0.1:{sink}', send: traces, stamp: false}}]
"""


def recording(path, n_times, n_spans_min):
    """Requests of the recording, `n_times` over with other first bytes of the trace ids; the ids of
    the first pass are as recorded. Times are moved so that the last span ends now. Requests that follow
    each other are put together until they have `n_spans_min` spans."""
    raw = zstandard.ZstdDecompressor().stream_reader(Path(path).open("rb")).read()
    requests = []
    at = 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        requests.append(ExportTraceServiceRequest.FromString(raw[at + 4:at + 4 + length]))
        at += 4 + length
    requests = merged(requests, n_spans_min)
    last = max(span.end_time_unix_nano for span in spans(requests))
    delta = time.time_ns() - last
    n_spans = 0
    for span in spans(requests):
        span.start_time_unix_nano += delta
        span.end_time_unix_nano += delta
        n_spans += 1
    passes = []
    for nth in range(n_times):
        for span in spans(requests):
            first = span.trace_id[0] if nth == 0 else (span.trace_id[0] + 1) % 256
            span.trace_id = bytes([first]) + span.trace_id[1:]
        passes += [request.SerializeToString() for request in requests]
    return passes, n_spans * n_times


def merged(requests, n_spans_min):
    out = []
    n_spans = n_spans_min
    for request in requests:
        if n_spans >= n_spans_min:
            out.append(ExportTraceServiceRequest())
            n_spans = 0
        out[-1].resource_spans.extend(request.resource_spans)
        n_spans += sum(1 for _ in spans([request]))
    return out


def spans(requests):
    for request in requests:
        for resource_spans in request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                yield from scope_spans.spans


def anomalous(path):
    """Ids of anomalous traces."""
    columns = ["trace_id", "slow_path", "trace_struct"]
    table = pyarrow.parquet.read_table(path, columns=columns)
    ids, slow, odd = (table.column(name).to_pylist() for name in columns)
    return {bytes.fromhex(i) for i, a, b in zip(ids, slow, odd) if a or b}


class Sink(grpc.GenericRpcHandler):
    """Takes exports and remembers the ids of their traces, and how many spans came."""

    def __init__(self):
        self.ids = set()
        self.n_spans = 0
        self.server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[self],
                                  options=[("grpc.max_receive_message_length", -1)])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def service(self, details):
        if details.method != f"/{SERVICE}/Export":
            return None
        return grpc.unary_unary_rpc_method_handler(
            self.take,
            request_deserializer=ExportTraceServiceRequest.FromString,
            response_serializer=ExportTraceServiceResponse.SerializeToString)

    def take(self, request, _):
        for span in spans([request]):
            self.ids.add(span.trace_id)
            self.n_spans += 1
        return ExportTraceServiceResponse()


@contextlib.contextmanager
def running(argv, port):
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            wait_for(port, process, log)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


def free_ports(n):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_for(port, process, log):
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    log.seek(0)
    sys.exit(f"no server on port {port}:\n{log.read().decode(errors='replace')}")


def cpu_ns(pid):
    """CPU time of a process, threads that have ended included: its clock, as clock_getcpuclockid(3)
    names it."""
    return time.clock_gettime_ns(~pid << 3 | 2)


def peak_kib(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def send(port, requests):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        export = channel.unary_unary(
            f"/{SERVICE}/Export",
            request_serializer=lambda raw: raw,
            response_deserializer=ExportTraceServiceResponse.FromString,
        )
        waiting = []
        for request in requests:
            if len(waiting) == IN_FLIGHT:
                check(waiting.pop(0).result())
            waiting.append(export.future(request, timeout=60))
        for call in waiting:
            check(call.result())


def check(response):
    if response.partial_success.rejected_spans:
        sys.exit(f"rejected: {response.partial_success.error_message}")


def measure(command, requests, n_spans):
    """`command(grpc, others, sink)` gives what to run."""
    sink = Sink()
    ports = free_ports(3)
    with tempfile.TemporaryDirectory() as folder:
        with running(command(Path(folder), ports, sink.port), ports[0]) as pid:
            before = cpu_ns(pid)
            send(ports[0], requests)
            time.sleep(SETTLE_S)
            spent = cpu_ns(pid) - before
            peak = peak_kib(pid)
            idle_from = cpu_ns(pid)
            time.sleep(2)
            idle = (cpu_ns(pid) - idle_from) / 2
    time.sleep(1)
    sink.server.stop(5).wait()
    return {"cpu_ns_per_span": spent / n_spans, "idle_ns_per_s": idle, "peak_rss_kib": peak,
            "kept": sink.ids,
            "n_spans_exported": sink.n_spans}


def collector(binary):
    def command(folder, ports, sink):
        file = folder / "collector.yaml"
        file.write_text(COLLECTOR.format(grpc=ports[0], sink=sink, wait=DECISION_WAIT_S,
                                         policies=POLICIES))
        return [binary, "--config", str(file)]
    return command


def spanwise(binary, settings):
    def command(folder, ports, sink):
        file = folder / "spanwise.yaml"
        file.write_text(settings + FORWARD.format(sink=sink))
        return [binary, "serve", "-c", str(file), "--otlp-grpc", f"127.0.0.1:{ports[0]}",
                "--otlp-http", f"127.0.0.1:{ports[1]}", "--http", f"127.0.0.1:{ports[2]}"]
    return command


def converted(binary):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "collector.yaml"
        file.write_text(COLLECTOR.format(grpc=1, sink=1, wait=DECISION_WAIT_S, policies=POLICIES))
        return output([binary, "config", "convert", str(file)])


def output(argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def machine():
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text()
                  .splitlines() if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release()}


def row(runs, labelled, n_traces, n_times):
    """Figures over all runs; what was kept is that of the last, its first pass for the labels."""
    kept = runs[-1]["kept"]
    found = kept & labelled["anomalous"]
    recorded = kept & labelled["recorded"]
    return {
        "cpu_ns_per_span": statistics.median(run["cpu_ns_per_span"] for run in runs),
        "cpu_ns_per_span_runs": [run["cpu_ns_per_span"] for run in runs],
        "idle_ns_per_s": statistics.median(run["idle_ns_per_s"] for run in runs),
        "peak_rss_kib": max(run["peak_rss_kib"] for run in runs),
        "kept": len(kept),
        "kept_share": len(kept) / (n_traces * n_times),
        "kept_of_first_pass": len(recorded),
        "anomalous_kept": len(found),
        "anomalous": len(labelled["anomalous"]),
        "precision": len(found) / len(recorded) if recorded else None,
        "coverage": len(found) / len(labelled["anomalous"]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collector", required=True)
    parser.add_argument("--spanwise", required=True)
    parser.add_argument("--file", required=True, help="recorded requests, .otlp.pb.zst")
    parser.add_argument("--labels", required=True, help="the same spans with labels, .parquet")
    parser.add_argument("--spans", type=int, default=512, help="fewest spans in a request")
    parser.add_argument("--times", type=int, default=5, help="how often the recording is sent")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    requests, n_spans = recording(args.file, args.times, args.spans)
    first_pass = requests[:len(requests) // args.times]
    recorded = {span.trace_id for raw in first_pass
                for span in spans([ExportTraceServiceRequest.FromString(raw)])}
    labelled = {"recorded": recorded, "anomalous": anomalous(args.labels) & recorded}
    policies = converted(args.spanwise)
    servers = {"collector": collector(args.collector), "spanwise": spanwise(args.spanwise, policies)}
    runs = {name: [] for name in (*servers, "spanwise_hybrid")}
    for repeat in range(args.repeats):
        for name, command in servers.items():
            runs[name].append(measure(command, requests, n_spans))
        share = 100 * len(runs["collector"][-1]["kept"]) / (len(recorded) * args.times)
        settings = f"sampler: {{traces: {{budget: {share:.3f}%}}}}\n"
        hybrid = spanwise(args.spanwise, settings)
        runs["spanwise_hybrid"].append(measure(hybrid, requests, n_spans))
        said = ", ".join(f"{name} {each[-1]['cpu_ns_per_span']:.0f}" for name, each in runs.items())
        print(f"{repeat + 1}/{args.repeats} ns/span: {said}", file=sys.stderr)
    rows = {name: row(each, labelled, len(recorded), args.times) for name, each in runs.items()}
    theirs, ours = (runs[name][-1]["kept"] for name in ("collector", "spanwise"))
    report = {
        "rows": rows,
        "collector_to_spanwise_cpu":
            rows["collector"]["cpu_ns_per_span"] / rows["spanwise"]["cpu_ns_per_span"],
        "collector_to_spanwise_peak_rss":
            rows["collector"]["peak_rss_kib"] / rows["spanwise"]["peak_rss_kib"],
        "same_policies": {"kept_by_both": len(theirs & ours), "only_collector": len(theirs - ours),
                          "only_spanwise": len(ours - theirs)},
        "spans": n_spans,
        "spans_per_request": n_spans / len(requests),
        "traces": len(recorded) * args.times,
        "versions": {"collector": output([args.collector, "--version"]).strip(),
                     "spanwise": output([args.spanwise, "--version"]).strip()},
        "machine": machine(),
    }
    json.dump(report, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
