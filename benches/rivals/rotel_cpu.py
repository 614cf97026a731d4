"""CPU per span of OTLP servers that receive the same requests over gRPC on loopback.

Each server is started anew for each repeat, warmed with the first requests, then sent the rest by
one client in this process; what is measured is the CPU time of the server process alone, as the
kernel's clock of the process counts it. Servers take turns within a repeat, so that a
slow minute of the machine falls on all of them. rotel batches and exports to its `blackhole`:
nothing leaves the process, which favours it. With `--traces` there are three more: spanwise decides
whole traces and forwards a tenth of them over gRPC, in memory and with a data directory (`fsync`), and
rotel, which samples nothing, forwards all. Who receives that is another rotel. Prints one JSON document.

Not measured: wall time and latency (the client is Python), and what the kernel does outside the
server's threads.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import random
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import rotel
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

TRACES = """
sampler: {{traces: {{budget: 10%}}}}
forward: [{{endpoint: 'http://127.0.0.1:{sink}', send: traces}}]
"""
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
N_RESOURCES = 8
TRACE_SPANS = 16
IN_FLIGHT = 4
START_TIMEOUT_S = 20
# Long enough for batches and closed traces to be worked off: rotel flushes after 0.2 s, spanwise
# closes a trace 10 s after its last span at the latest.
SETTLE_S = 12
OPERATIONS = [
    "GET /api/v1/cart/{user}",
    "hipstershop.CartService/GetCart",
    "SELECT cart.items",
    "POST /api/v1/checkout",
    "hipstershop.PaymentService/Charge",
    "publish orders",
]
USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0 Safari/537.36"
)
STACK_TRACE = (
    "java.net.SocketTimeoutException: Read timed out\n"
    "\tat java.base/java.net.Socket$SocketInputStream.read(Socket.java:1099)\n"
    "\tat shop.cart.CartClient.get(CartClient.java:57)\n"
    "\tat shop.checkout.CheckoutService.place(CheckoutService.java:131)"
)


def payload(n_requests, n_spans, seed):
    """Requests of `n_spans` spans from 8 resources, 11 or 12 attributes each, an exception on one
    in ten, ending about now."""
    noise = random.Random(seed)
    now_ns = time.time_ns()
    requests = []
    for first in range(0, n_requests * n_spans, n_spans):
        request = ExportTraceServiceRequest()
        scopes = []
        for i in range(N_RESOURCES):
            group = request.resource_spans.add()
            for key, value in [("service.name", f"service-{i}"), ("k8s.pod.name", f"pod-{i}")]:
                group.resource.attributes.add(key=key).value.string_value = value
            scope = group.scope_spans.add()
            scope.scope.name = "bench"
            scopes.append(scope)
        for nth in range(first, first + n_spans):
            add_span(scopes[nth // TRACE_SPANS % N_RESOURCES].spans.add(), nth, now_ns, noise)
        requests.append(request.SerializeToString())
    return requests


def span_id(nth):
    return (nth * 0x9E3779B97F4A7C15 % 2**64 | 1).to_bytes(8, "big")


def add_span(span, nth, now_ns, noise):
    in_trace = nth % TRACE_SPANS
    span.trace_id = random.Random(nth // TRACE_SPANS).randbytes(15) + b"\x01"
    span.span_id = span_id(nth)
    if in_trace:
        span.parent_span_id = span_id(nth - (in_trace + 1) // 2)
    span.name = OPERATIONS[nth % len(OPERATIONS)]
    span.kind = (2, 3, 1)[nth % 3]
    span.start_time_unix_nano = now_ns - 2_000_000_000 + nth * 1_000
    span.end_time_unix_nano = span.start_time_unix_nano + noise.randrange(500_000, 20_500_000)
    failed = nth % 10 == 7
    texts = [
        ("http.request.method", "POST"),
        ("url.path", f"/api/v1/cart/{noise.randrange(10**6):06}"),
        ("server.address", "cart.shop.svc.cluster.local"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", USER_AGENT),
        ("client.address", f"10.0.{noise.randrange(256)}.{noise.randrange(256)}"),
        ("db.system.name", "postgresql"),
        ("app.user.id", f"{noise.getrandbits(64):016x}"),
    ]
    if failed:
        texts.append(("error.type", "java.net.SocketTimeoutException"))
    for key, value in texts:
        span.attributes.add(key=key).value.string_value = value
    for key, value in [("http.response.status_code", 500 if failed else 200), ("server.port", 8080),
                       ("thread.id", nth % 64)]:
        span.attributes.add(key=key).value.int_value = value
    if failed:
        span.status.code = 2
        event = span.events.add(name="exception", time_unix_nano=span.end_time_unix_nano)
        event.attributes.add(key="exception.stacktrace").value.string_value = STACK_TRACE


class Server:
    """One process under test. `command` has `{grpc}`, `{http}` and `{admin}` for free ports, and `{dir}`
    for an empty folder."""

    def __init__(self, name, command):
        self.name = name
        self.command = command

    @contextlib.contextmanager
    def running(self):
        ports = dict(zip(("grpc", "http", "admin"), free_ports(3)))
        with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as folder:
            argv = [part.format(dir=folder, **ports) for part in shlex.split(self.command)]
            process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            try:
                wait_for(ports["grpc"], process, log)
                yield process.pid, ports["grpc"]
            finally:
                process.terminate()
                try:
                    process.wait(timeout=20)
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


def send(port, requests):
    """Sends every request, a few at a time; exits when one is refused in part or whole."""
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        export = channel.unary_unary(
            EXPORT,
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
        sys.exit(f"{response.partial_success.rejected_spans} spans rejected: "
                 f"{response.partial_success.error_message}")


def measure(server, requests, n_warm, n_spans):
    with server.running() as (pid, port):
        send(port, requests[:n_warm])
        time.sleep(1)
        before = cpu_ns(pid)
        send(port, requests[n_warm:])
        time.sleep(SETTLE_S)
        spent = cpu_ns(pid) - before
        idle_from = cpu_ns(pid)
        time.sleep(1)
        idle = cpu_ns(pid) - idle_from
        rss_kib = next(int(line.split()[1]) for line in Path(f"/proc/{pid}/status").read_text()
                       .splitlines() if line.startswith("VmHWM"))
    n_measured = (len(requests) - n_warm) * n_spans
    return {"ns_per_span": spent / n_measured, "idle_ns_per_s": idle, "peak_rss_kib": rss_kib}


def version(argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def machine():
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text()
                  .splitlines() if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--spans", type=int, default=512, help="spans per request")
    parser.add_argument("--warm", type=int, default=300, help="requests before measuring starts: so many that memory held for some"
                             " seconds is used again; fewer measure its first pages too")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--spanwise", default="target/release/spanwise")
    parser.add_argument("--server", action="append", default=[], metavar="NAME=COMMAND",
                        help="one more server; {grpc}, {http}, {admin} stand for free ports, {dir} for a"
                             " folder")
    parser.add_argument("--traces", action="store_true",
                        help="also with whole traces decided and a tenth forwarded")
    parser.add_argument("--only", action="append", help="measure only the servers so named")
    args = parser.parse_args()

    agent = str(Path(rotel.__file__).with_name("rotel-agent"))
    ours = (f"{args.spanwise} serve --otlp-grpc 127.0.0.1:{{grpc}} --otlp-http 127.0.0.1:{{http}}"
            " --http 127.0.0.1:{admin}")
    theirs = (f"{agent} start --otlp-grpc-endpoint 127.0.0.1:{{grpc}}"
              " --otlp-http-endpoint 127.0.0.1:{http} --pid-file /dev/null")
    drop = Server("rotel", f"{theirs} --exporter blackhole")
    servers = [Server("spanwise", ours), drop]
    with contextlib.ExitStack() as stack:
        if args.traces:
            _, sink = stack.enter_context(drop.running())
            settings = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".yaml"))
            settings.write(TRACES.format(sink=sink))
            settings.flush()
            traces = f"{ours} --config {settings.name}"
            servers += [
                Server("spanwise_traces", traces),
                Server("spanwise_traces_fsync", f"{traces} --data-dir {{dir}}"),
                Server("rotel_forwards_all", f"{theirs} --exporter otlp --otlp-exporter-endpoint"
                       f" http://127.0.0.1:{sink} --otlp-exporter-protocol grpc"
                       " --otlp-exporter-compression none"),
            ]
        servers += [Server(*each.split("=", 1)) for each in args.server]
        servers = [each for each in servers if not args.only or each.name in args.only]
        report(args, agent, servers)


def report(args, agent, servers):
    requests = payload(args.requests, args.spans, args.seed)
    runs = {server.name: [] for server in servers}
    for repeat in range(args.repeats):
        for server in servers:
            result = measure(server, requests, args.warm, args.spans)
            runs[server.name].append(result)
            print(f"{repeat + 1}/{args.repeats} {server.name}: {result['ns_per_span']:.0f} ns/span",
                  file=sys.stderr)
    median = {name: statistics.median(run["ns_per_span"] for run in each)
              for name, each in runs.items()}
    found = {
        "cpu_ns_per_span": median,
        "ratio_to_spanwise": {name: ns / median["spanwise"] for name, ns in median.items()}
        if "spanwise" in median else None,
        "runs": runs,
        "requests": args.requests - args.warm,
        "spans_per_request": args.spans,
        "bytes_per_span": sum(map(len, requests)) / (args.requests * args.spans),
        "versions": {
            "rotel": f"{importlib.metadata.version('rotel')} ({version([agent, '--version'])})",
            "spanwise": version([args.spanwise, "--version"])
            if "spanwise" in median else None,
        },
        "machine": machine(),
    }
    json.dump(found, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
