#!/usr/bin/env python3
"""Makes the river_*.txt fixtures beside this file: scores of river's HalfSpaceTrees, to the bit.

    python make_river.py            # needs river==0.26.1; about a minute

Each case is a stream of records from Python's own generator, so that the test can make the same
records, each scored before it is learned. A file has a header of `key value` lines and then every
SHOWN-th score as `record score-bits`; the header carries the sum and the FNV-1a hash of the
little-endian bits of *all* scores, so that all of them are compared.
"""
import pathlib
import random
import struct

import river
from river import anomaly

# Prime, so that the shown scores lie at every place of a window.
SHOWN = 157
HERE = pathlib.Path(__file__).parent


def records(seed, names, limits, missing, n):
    """Two dense clusters, a spread one, values beyond the limits; only +, -, * and comparisons."""
    rng = random.Random(seed)
    for i in range(n):
        # The clusters wander, so that windows differ.
        at = 0.2 + 0.5 * ((i // 1000) % 17) / 17.0
        kind = rng.random()
        x = {}
        for name in names:
            low, high = limits.get(name, (0.0, 1.0))
            u = rng.random()
            if kind < 0.6:
                v = at + 0.05 * u
            elif kind < 0.9:
                v = at * 0.5 + 0.2 * u * u
            else:
                v = u * 2.0 - 0.5
            keep = rng.random() >= missing
            # The first record has every feature that the case splits on.
            if keep or i == 0:
                x[name] = low + v * (high - low)
        yield x


def fnv1a(value, data):
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def make(name, *, n_trees, height, window, seed, names, limits, missing, n, first_lacks=()):
    model = anomaly.HalfSpaceTrees(
        n_trees=n_trees, height=height, window_size=window, limits=limits or None, seed=seed)
    digest, total, shown = 0xCBF29CE484222325, 0.0, []
    for i, x in enumerate(records(seed + 1000, names, limits, missing, n)):
        if i == 0:
            for lacking in first_lacks:
                del x[lacking]
        score = float(model.score_one(x))
        model.learn_one(x)
        bits = struct.pack("<d", score)
        digest = fnv1a(digest, bits)
        total += score
        if i % SHOWN == SHOWN - 1:
            shown.append(f"{i} {struct.unpack('<Q', bits)[0]:016x}")
    header = [
        f"river {river.__version__}",
        f"n_trees {n_trees}", f"height {height}", f"window {window}", f"seed {seed}",
        f"missing {missing!r}", f"records {n}",
    ]
    for key in sorted(names):
        low, high = limits.get(key, (0.0, 1.0))
        lacks = " not-in-first" if key in first_lacks else ""
        header.append(f"feature {key} {names.index(key)} {low!r} {high!r}{lacks}")
    header += [f"hash {digest:016x}", f"sum {struct.unpack('<Q', struct.pack('<d', total))[0]:016x}"]
    (HERE / f"river_{name}.txt").write_text("\n".join(header + ["scores"] + shown) + "\n")
    print(name, f"mean score {total / n:.4f}")


ONE = dict(n_trees=25, window=250, names=["duration"], limits={"duration": (0.0, 10000.0)})
# Named against their sorted order, with ranges of different width: both matter to the drawing.
THREE = dict(n_trees=25, window=250, names=["size", "depth", "duration"],
             limits={"duration": (0.0, 4.0), "size": (-1.0, 2.5)})

make("one_h4", **ONE, height=4, seed=1, missing=0.0, n=100_000)
make("one_h8", **ONE, height=8, seed=42, missing=0.0, n=100_000)
make("one_h8_missing", **ONE, height=8, seed=7, missing=0.1, n=100_000)
make("three_h4_missing", **THREE, height=4, seed=2, missing=0.15, n=100_000)
make("three_h8", **THREE, height=8, seed=42, missing=0.0, n=100_000)
make("three_h8_missing", **THREE, height=8, seed=2**40 + 3, missing=0.15, n=100_000)
make("three_h8_late_key", **THREE, height=8, seed=5, missing=0.3, n=20_000, first_lacks=("depth",))
make("scale_defaults", n_trees=10, height=8, window=250, seed=42, names=["dur", "o1", "s1"],
     limits={"dur": (0.0, 5000.0)}, missing=0.5, n=20_000)
