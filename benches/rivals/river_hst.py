#!/usr/bin/env python3
"""Times river's HalfSpaceTrees on the stream shape of `spanwise bench hst`; prints one JSON object.

    pip install river==0.26.1
    python benches/rivals/river_hst.py [--trees 25] [--height 8] [--window 1000] [--spans 20000]
    spanwise bench hst -o json        # back to back, on the same idle machine

One model, one feature (log2 of the duration): river has no form for many sites, and one hot model
is its best case. A span is scored, then learned. The first two windows are not timed, so that every
timed score walks trees with a reference; flips inside the timed part are. The best of --rounds
rounds is reported beside the median: `us_per_span` is the best, which favours river.
"""
import argparse
import json
import math
import platform
import random
import statistics
import time

import river
from river import anomaly


def durations(n, seed):
    """Log-normal around 10 ms with 1 % slowed 5 to 20 times, as log2 of nanoseconds."""
    rng = random.Random(seed)
    for _ in range(n):
        ns = 1e7 * math.exp(rng.gauss(0.0, 0.4))
        if rng.random() < 0.01:
            ns *= rng.uniform(5.0, 20.0)
        yield math.log2(ns)


def cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            for line in info:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trees", type=int, default=25)
    parser.add_argument("--height", type=int, default=8)
    parser.add_argument("--window", type=int, default=1000)
    parser.add_argument("--spans", type=int, default=20_000, help="timed spans per round")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    model = anomaly.HalfSpaceTrees(
        n_trees=args.trees, height=args.height, window_size=args.window,
        limits={"duration": (12.0, 38.0)}, seed=42)
    for value in durations(2 * args.window, seed=1):
        model.learn_one({"duration": value})

    per_span = []
    total = 0.0
    for number in range(args.rounds):
        records = [{"duration": value} for value in durations(args.spans, seed=2 + number)]
        start = time.process_time()
        for x in records:
            total += model.score_one(x)
            model.learn_one(x)
        per_span.append((time.process_time() - start) / args.spans * 1e6)

    print(json.dumps({
        "us_per_span": min(per_span),
        "us_per_span_median": statistics.median(per_span),
        "river": river.__version__,
        "python": platform.python_version(),
        "machine": f"{cpu_name()}, {platform.system()} {platform.machine()}",
        "trees": args.trees,
        "height": args.height,
        "window": args.window,
        "spans": args.spans * args.rounds,
        "mean_score": total / (args.spans * args.rounds),
    }))


if __name__ == "__main__":
    main()
