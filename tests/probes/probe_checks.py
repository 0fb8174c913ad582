"""What the tests of the probes' checks share: probes and points by name, what a check says to words that a test made.

A truth is computed by walking through what the kernel does; a check must accept it, and refuse zeros, a pass more or
less and, where the result tells, a step of the chain more or less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from gpuprobe import device
from gpuprobe.estimate import Point
from gpuprobe.operands import mix as uncached_mix
from gpuprobe.probe import Probe, discover
from gpuprobe.record import Sample

H100 = device.load("h100-sxm")
SEED = 41
MASK = 0xFFFFFFFF
POISON = 0xA5A5A5A5
mix = cache(uncached_mix)


def probe(name: str) -> Probe:
    """A probe by its name."""
    return next(found for found in discover() if found.name == name)


def points(name: str, **params: object) -> list[Point]:
    """The points of a probe on an H100, in full, with these parameters; at least one."""
    found = [p for p in probe(name).points("full", H100) if all(p[key] == value for key, value in params.items())]
    assert found, (name, params)
    return found


def point(name: str, **params: object) -> Point:
    """The first of the points of a probe with these parameters."""
    return points(name, **params)[0]


def verdict(one: Probe, at: Point, out: np.ndarray, seed: int = SEED) -> str | None:
    """What a probe's check says to these words, taken modulo 2**32 and with poison behind them."""
    assert one.check is not None
    padded = np.full(max(out.size, one.out_words), POISON, dtype=np.uint32)
    padded[: out.size] = (out.astype(object) & MASK).astype(np.uint32)
    return one.check(at, seed, padded.tobytes())


def assert_told(name: str, at: Point, truth: Callable[[Point], np.ndarray], *, steps_show: bool) -> None:
    """The truth is accepted; zeros, another number of passes and (``steps_show``) of steps are not."""
    one = probe(name)
    assert verdict(one, at, truth(at)) is None
    assert verdict(one, at, np.zeros_like(truth(at))) is not None
    for change in (-1, 1):
        assert verdict(one, at, truth(replace(at, iters=at.iters + change))) is not None
        if steps_show:
            assert verdict(one, at, truth(_with_chain(at, change))) is not None


def _with_chain(at: Point, change: int) -> Point:
    params = tuple((name, int(value) + change if name == "CHAIN" else value) for name, value in at.params)
    return replace(at, params=params)


def table(rows: list[tuple[int, int]]) -> np.ndarray:
    """Words of a launch that goes through settings: a row of two for each."""
    return np.array(rows, dtype=np.uint64).astype(np.uint32).ravel()


def sampled(values: dict[str, float]) -> Sample:
    """A sample with these columns."""
    return Sample(1.0, 1.0, 1e-3, 1e-3, 2e9, values=values)


def found_by(one: Probe, columns: dict[Point, dict[str, float]]) -> dict[str, float]:
    """Quantities without parameters, from the columns of each point."""
    estimates = one.estimate({point: sampled(values) for point, values in columns.items()})
    return {estimate.quantity: estimate.value for estimate in estimates if not estimate.params}
