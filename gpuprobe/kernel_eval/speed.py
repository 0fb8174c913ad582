"""What windows come to: times with intervals, speed-ups of paired rounds, fast_p, server latencies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.kernel_eval.findings import Verdict
from gpuprobe.stats import Interval, Ratio

FAST_P: Final = (0.0, 0.5, 0.8, 1.0, 1.5, 2.0)
"""Thresholds that fast_p is stated for."""
QUANTILES: Final = (0.5, 0.9, 0.99)
RESAMPLES: Final = 400
LEAST_SHARE: Final = 0.01
"""Share of the shorter time that a time drawn anew is taken for at least: none can be negative."""
FEW: Final = 6
REPEAT_SHARE, REPEAT_SIGMA = 0.5, 2.5


@dataclass(frozen=True)
class Speed:
    """Time of a call in s on both sides in one regime, and the speed-up (reference over candidate) of paired rounds."""

    regime: str
    gate: str
    calls: int
    reference: Interval
    candidate: Interval
    speedup: Ratio


def speed(regime: str, gate: str, calls: int, rounds: Sequence[tuple[float, float, float]]) -> Speed | None:
    """Times from rounds of windows (nothing, reference, candidate) in s of ``calls`` calls each.

    A side's window is the mean of its faster half: what a host adds to a window it only adds, now and then. The window
    without a model is taken off both sides: gate, changes and witnesses cost the same there. The intervals are those
    of rounds drawn anew (bootstrap, always the same draws), so what a whole round shares cancels in the ratio. None
    where more than a quarter of the windows are no longer than those without a model: nothing is known then.
    """
    table = np.asarray(rounds, dtype=np.float64)
    empty, *sides = map(float, faster_half(table))
    if empty >= min(sides) or (table[:, 1:] <= empty).mean(axis=0).max() > 0.25:
        return None
    drawn = np.random.default_rng(0).integers(len(table), size=(RESAMPLES, len(table)))
    samples = faster_half(table[drawn])
    if len(table) < FEW:  # few rounds drawn anew say little: each one's own outcome is counted in
        samples = np.concatenate([samples, table])
    spread = (samples[:, 1:] - samples[:, :1]) / calls
    reference, candidate = ((side - empty) / calls for side in sides)
    spread = np.maximum(spread, LEAST_SHARE * min(reference, candidate))
    return Speed(
        regime,
        gate,
        calls,
        Interval(reference, *_ends(spread[:, 0], reference)),
        Interval(candidate, *_ends(spread[:, 1], candidate)),
        Ratio(reference / candidate, *_ends(spread[:, 0] / spread[:, 1], reference / candidate)),
    )


def faster_half(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the faster half of windows, along the last axis but one."""
    kept = -(-windows.shape[-2] // 2)
    mean: NDArray[np.float64] = np.sort(windows, axis=-2)[..., :kept, :].mean(axis=-2)
    return mean


def _ends(values: NDArray[np.float64], value: float) -> tuple[float, float]:
    """Ends of the 95 % interval of values drawn anew, the value itself inside."""
    low, high = np.percentile(values, [2.5, 97.5])
    return min(float(low), value), max(float(high), value)


def fast_p(results: Iterable[tuple[Verdict, float | None]], thresholds: Sequence[float] = FAST_P) -> dict[str, float]:
    """Share of candidates that are correct and more than p times as fast as their reference (KernelBench's measure)."""
    known = list(results)
    right = [speedup for verdict, speedup in known if verdict == Verdict.CORRECT and speedup is not None]
    return {f"{p:g}": sum(speedup > p for speedup in right) / max(1, len(known)) for p in thresholds}


def repeat_gain(same: Sequence[float], changed: Sequence[float], empty: float) -> float | None:
    """How many times faster windows (s) are whose inputs repeat than windows whose inputs change; None if not clearly.

    Clearly: the medians, less an ``empty`` window, differ by a factor of two, and so many of all pairs agree as by
    chance do in 0.6 % of trials (Mann and Whitney 1947; of nine windows each 85 %, of 27 each 70 %), before the medians
    are asked. A cheat that gains less gains nothing: its times are those of changing inputs.
    """
    taken = (np.asarray(same) - empty, np.asarray(changed) - empty)
    fewer = taken[0][:, None] < taken[1][None, :]
    rest = max(float(np.median(taken[0])), 0.0) / max(float(np.median(taken[1])), 1e-9)
    chance = ((len(same) + len(changed) + 1) / (12 * len(same) * len(changed))) ** 0.5
    if rest > REPEAT_SHARE or float(fewer.mean()) < 0.5 + REPEAT_SIGMA * chance:
        return None
    return 1 / max(rest, 1e-3)


def latencies(by_side: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Quantiles in s of the latency of single requests, by side (``empty``: what the harness itself takes)."""
    return {
        side: {f"p{round(100 * q)}": float(np.quantile(values, q)) for q in QUANTILES}
        for side, values in by_side.items()
        if len(values)
    }


def headline(speeds: Sequence[Speed]) -> Speed | None:
    """The regime that a kernel is ranked by: cold where it was timed, since a cache cannot flatter it there."""
    by_name: dict[str, Any] = {row.regime: row for row in speeds}
    return by_name.get("cold") or next(iter(speeds), None)
