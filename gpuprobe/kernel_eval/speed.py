"""What windows come to: times with intervals, speed-ups of paired rounds, fast_p, server latencies."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gpuprobe.kernel_eval.findings import Verdict
from gpuprobe.stats import Interval, Ratio, median_interval

FAST_P: Final = (0.0, 0.5, 0.8, 1.0, 1.5, 2.0)
"""Thresholds that fast_p is stated for."""
QUANTILES: Final = (0.5, 0.9, 0.99)
REPEAT_SHARE, REPEAT_PAIRS = 0.5, 0.85


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

    The median window without a model is taken off both sides: gate, changes and witnesses cost the same there. The
    speed-up is the median over rounds of the ratio within a round, which clocks and temperature share. None where more
    than a quarter of the windows are no longer than those without a model: nothing is known then.
    """
    empty = float(np.median([row[0] for row in rounds]))
    sides = [[(row[side] - empty) / calls for row in rounds] for side in (1, 2)]
    if any(sum(value <= 0.0 for value in side) > len(rounds) / 4 for side in sides):
        return None
    smallest = min(value for side in sides for value in side if value > 0.0)
    sides = [[max(smallest, value) for value in side] for side in sides]
    logs = median_interval([math.log(r / c) for r, c in zip(*sides, strict=True)])
    return Speed(
        regime,
        gate,
        calls,
        median_interval(sides[0]),
        median_interval(sides[1]),
        Ratio(*(math.exp(value) for value in logs)),
    )


def fast_p(results: Iterable[tuple[Verdict, float | None]], thresholds: Sequence[float] = FAST_P) -> dict[str, float]:
    """Share of candidates that are correct and more than p times as fast as their reference (KernelBench's measure)."""
    known = list(results)
    right = [speedup for verdict, speedup in known if verdict == Verdict.CORRECT and speedup is not None]
    return {f"{p:g}": sum(speedup > p for speedup in right) / max(1, len(known)) for p in thresholds}


def repeat_gain(same: Sequence[float], changed: Sequence[float], empty: float) -> float | None:
    """How many times faster windows (s) are whose inputs repeat than windows whose inputs change; None if not clearly.

    Clearly: the medians, less an ``empty`` window, differ by a factor of two, and 85 % of all pairs agree (by chance
    0.5 % of trials of nine windows each come so far, before the medians are asked). A cheat that gains less gains
    nothing: its times are those of changing inputs.
    """
    taken = (np.asarray(same) - empty, np.asarray(changed) - empty)
    fewer = taken[0][:, None] < taken[1][None, :]
    rest = max(float(np.median(taken[0])), 0.0) / max(float(np.median(taken[1])), 1e-9)
    if rest > REPEAT_SHARE or float(fewer.mean()) < REPEAT_PAIRS:
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
