"""Prints the table of sites.rs: 40 call sites as numpy's seeded generator draws them.

The distributions are those of the module documentation; seed 7 for the sites and seed 3 for which
of them have two modes, as in the sketch on which the first figures for such streams were measured.
Needs numpy: python3 sites.py
"""

import numpy as np

N = 40
draw = np.random.default_rng(7)
median_ms = np.exp(draw.uniform(np.log(0.3), np.log(600.0), N))
sigma = draw.uniform(0.2, 0.6, N)
weight = 1.0 / np.arange(1, N + 1) ** 0.9
draw.shuffle(weight)

draw = np.random.default_rng(3)
two_modes = draw.random(N) < 0.6
ratio = np.exp(draw.uniform(np.log(30.0), np.log(80.0), N))

for i in range(N):
    miss = f"Some({ratio[i]:.2f})" if two_modes[i] else "None"
    print(f"    shape({median_ms[i]:.4f}, {sigma[i]:.4f}, {weight[i]:.4f}, {miss}),")
