"""Fidelity and added latency of every window on its way through two processes.

A recording is replayed to spanwise A, which archives windows and sends them to spanwise B, which brings
the traces back and sends them as OTLP to a third process, a spanwise that counts them. The workload
changes on the way if several files are given: they are replayed one after the other.

    python3 benches/archive_stream.py target/release/spanwise FILE... --window 60s --speed 60

Prints a row for each window; `latency` is the time from the window's opening (its first trace closed)
to the last of its spans being acknowledged by the third process, so that of the span which waited
longest; `fit`, `way` (the rest) and the window itself are its parts. Ends with the windows lost, the
spans sent and those that came out, and the CPU time of each process.

Needs nothing but Python. Exit 1 if a window is lost or spans are missing.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

START_TIMEOUT_S = 30
FIGURES = ("q1", "q2", "q3", "q4", "error_trace_rel", "w1", "p50_rel", "p99_rel", "trace_w1")
# Where each figure stands in a row; a window without failed traces has no Q3.
FREE = "127.0.0.1:0"


class Process:
    """`spanwise serve` in a folder of its own."""

    def __init__(self, spanwise, folder, config):
        folder.mkdir()
        (folder / "spanwise.yaml").write_text(config)
        self.log = open(folder / "log", "w+", encoding="utf-8")
        self.child = subprocess.Popen(
            [spanwise, "serve", "--otlp-grpc", FREE, "--otlp-http", FREE, "--http", FREE],
            cwd=folder,
            stderr=self.log,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            said = (folder / "log").read_text(encoding="utf-8")
            grpc = re.search(r"OTLP +grpc (\S+)", said)
            api = re.search(r"API +(http://\S+)", said)
            if grpc and api:
                self.grpc, self.api = grpc[1], api[1]
                return
            if self.child.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{folder}: does not start:\n{said}")
            time.sleep(0.05)

    def status(self):
        with urllib.request.urlopen(f"{self.api}/api/v1/status", timeout=10) as reply:
            return json.load(reply)

    def cpu_s(self):
        """CPU time and peak memory, from the kernel."""
        stat = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.child.pid}/status").read_text())
        ticks = os.sysconf("SC_CLK_TCK")
        return (int(stat[11]) + int(stat[12])) / ticks, int(peak[1]) / 1024

    def end(self):
        self.child.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(30)
        self.child.kill()


def wait(holds, what, timeout_s):
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not within {timeout_s} s")
        time.sleep(0.25)


def seconds(begin, end):
    from datetime import datetime

    def parse(text):
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*Z$", r"\1+00:00", text))

    return (parse(end) - parse(begin)).total_seconds()


def number(value, digits=3):
    return "–" if value is None else f"{value:.{digits}f}"


def row(window, emitted):
    length = seconds(window["opened"], window["closed"])
    way = emitted["latency_s"] - length - window["waited_s"] - window["fit_s"]
    steps = "".join(f", not {step['level']}" for step in window["steps"])
    return [
        str(window["traces"]),
        str(window["spans"]),
        f"{window['bytes_otlp'] / 1e6:.1f}",
        f"{window['bytes'] / 1e3:.1f}",
        window["level"] + steps,
        str(window["traces_verbatim"]),
        *(number(window["fidelity"].get(figure)) for figure in FIGURES),
        number(length, 1),
        number(window["waited_s"] + window["fit_s"], 2),
        number(way, 2),
        number(emitted["latency_s"], 1),
    ]


def show(rows):
    head = ["traces", "spans", "OTLP MB", "KB", "level", "verbatim", *FIGURES]
    head += ["window s", "fit s", "way s", "latency s"]
    for cells in [head, ["--:"] * len(head), *rows]:
        print("| " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spanwise")
    parser.add_argument("files", nargs="+")
    parser.add_argument("--window", default="60s")
    parser.add_argument("--traces", default="20000")
    parser.add_argument("--level", default="l3")
    parser.add_argument("--verbatim", default="1%")
    parser.add_argument("--floor", default="{q1: 0.9, q3: 0.9, error_trace_rel: 0.1}")
    parser.add_argument("--speed", default="60")
    parser.add_argument("--memory", default="2GiB")
    args = parser.parse_args()
    spanwise = str(Path(args.spanwise).resolve())
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        run(args, spanwise, Path(folder), stack)


def run(args, spanwise, folder, stack):
    def start(name, config):
        process = Process(spanwise, folder / name, config)
        stack.callback(process.end)
        return process

    store = start("store", "")
    b = start("b", f"forward: [{{endpoint: 'http://{store.grpc}', send: archives}}]\n")
    a = start(
        "a",
        f"memory_limit: {args.memory}\n"
        "sampler: {traces: {budget: 1%}}\n"
        f"archive: {{to: 'http://{b.grpc}', window: {args.window}, traces: {args.traces}, "
        f"level: {args.level}, verbatim: {args.verbatim}, floor: {args.floor}}}\n",
    )
    n_sent = 0
    for file in args.files:
        sent = subprocess.run(
            [spanwise, "replay", file, "--to", f"http://{a.grpc}", "--speed", args.speed]
            + ["--no-progress", "-o", "json"],
            check=True,
            capture_output=True,
        )
        n_sent += json.loads(sent.stdout)["spans"]

    def gone_through():
        archives = a.status()["archives"]
        # Spans of archives count again as received, so that they are told apart by their number.
        n_windows = sum(window["spans"] for window in archives["windows"])
        return n_windows + archives["lost_spans"] >= n_sent

    wait(gone_through, "the last window", 300)
    n_windows = len(a.status()["archives"]["windows"])
    wait(lambda: b.status()["archives"]["emitted"] >= n_windows, "the last archive", 300)
    made, came = a.status()["archives"], b.status()["archives"]
    by_id = {archive["archive"]: archive for archive in came["emitted_archives"]}
    show([row(window, by_id[window["archive"]]) for window in made["windows"]])
    n_came = came["emitted_archives"]
    n_out = sum(archive["spans"] for archive in n_came)
    usage = {name: process.cpu_s() for name, process in [("A", a), ("B", b), ("store", store)]}
    shown = ", ".join(f"{name} {cpu:.1f} s, {peak:.0f} MiB" for name, (cpu, peak) in usage.items())
    print(f"\n{n_sent} spans in, {n_out} out; windows lost {made['lost']}, spans {made['lost_spans']}")
    print(f"CPU and peak memory: {shown}; {platform.machine()}, {os.cpu_count()} CPUs")
    sys.exit(bool(made["lost"]) or made["lost_spans"] > 0 or n_out != n_sent)


if __name__ == "__main__":
    main()
