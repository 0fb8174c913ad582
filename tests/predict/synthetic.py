"""A small data set of a made-up GPU, and a head fitted to it: what the tests train on."""

from functools import cache

import numpy as np

from gpuprobe import device
from gpuprobe.predict import fitting
from gpuprobe.predict.boosting import Recipe
from gpuprobe.predict.dataset import Dataset
from gpuprobe.predict.machine import machine

RECIPE = Recipe(trees=60, depth=5, step=0.2, damping=1.0, bins=32)
MACHINE = machine(device.load("h100-sxm"), "bf16")


def dataset(rows=1500, seed=0):
    rng = np.random.default_rng(seed)
    pairs = np.exp(rng.uniform(np.log(64), np.log(16384), (rows // 4, 2))).astype(int) // 8 * 8
    n, k = pairs[rng.integers(0, len(pairs), rows)].T.astype(float)
    m = np.exp(rng.uniform(0, np.log(8192), rows)).astype(int).astype(float)
    hot = 2e-6 + np.maximum(2 * m * n * k / 6e14, 2 * (m * k + n * k + m * n) / 4e12)
    hot *= np.exp(0.02 * rng.normal(size=rows))
    cold = hot * 1.1
    empty = np.full(rows, "", np.str_)
    return Dataset("bf16", m, n, k, np.zeros(rows), {"hot": hot, "cold": cold}, {}, empty)


@cache
def fitted():
    return fitting.fit(dataset(), MACHINE, RECIPE, 3, "made up", lambda text: None)
