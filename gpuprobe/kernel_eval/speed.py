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
STUDENT: Final = (0.0, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36)
"""97.5 % quantiles of Student's t, by number of values."""
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


def speed(
    regime: str,
    gate: str,
    calls: int,
    rounds: Sequence[tuple[float, float, float]],
    processes: Sequence[int] = (),
    offsets_s: Sequence[float] = (),
) -> Speed | None:
    """Times from rounds of windows (nothing, reference, candidate) in s of ``calls`` calls each.

    ``processes`` says how many rounds each pair of processes had, one after the other (none: all were one pair's), and
    ``offsets_s`` what a window without a model takes longer in the candidate's process of a pair. A pair's window is
    the mean of its faster half: what a host adds to a window it only adds, now and then. The window without a model is
    taken off both sides: gate, changes and witnesses cost the same there. A side's time is the mean of its pairs'. The
    intervals are those of pairs and their rounds drawn anew (bootstrap, always the same draws), and no narrower than
    what the pairs scatter by says (Student's t). None where more than a quarter of the windows are no longer than
    those without a model: nothing is known then.
    """
    pairs = _pairs(np.asarray(rounds, dtype=np.float64), processes, offsets_s)
    table = np.concatenate(pairs)
    nets = np.stack([_net(faster_half(pair)) for pair in pairs]) / calls
    if nets.mean(axis=0).min() <= 0 or (table[:, 1:] <= table[:, :1].min()).mean(axis=0).max() > 0.25:
        return None
    reference, candidate = map(float, nets.mean(axis=0))
    samples = np.maximum(_drawn_anew(pairs) / calls, LEAST_SHARE * min(reference, candidate))
    return Speed(
        regime,
        gate,
        calls,
        Interval(reference, *_ends(samples[:, 0], reference, nets[:, 0])),
        Interval(candidate, *_ends(samples[:, 1], candidate, nets[:, 1])),
        Ratio(
            reference / candidate,
            *_ends(samples[:, 0] / samples[:, 1], reference / candidate, nets[:, 0] / nets[:, 1]),
        ),
    )


def _pairs(
    table: NDArray[np.float64], processes: Sequence[int], offsets_s: Sequence[float]
) -> list[NDArray[np.float64]]:
    """The windows of each pair of processes, the candidate's less its process's offset."""
    pairs = np.split(table, np.cumsum(processes)[:-1]) if len(processes) else [table]
    offsets = offsets_s or [0.0] * len(pairs)
    return [pair - np.array([0.0, 0.0, offset]) for pair, offset in zip(pairs, offsets, strict=True)]


def _net(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reference and candidate less nothing, along the last axis."""
    net: NDArray[np.float64] = windows[..., 1:] - windows[..., :1]
    return net


def _drawn_anew(pairs: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The net windows (reference, candidate) that pairs and their rounds drawn anew give, a row each."""
    draw = np.random.default_rng(0)
    each = np.stack([_net(faster_half(pair[draw.integers(len(pair), size=(RESAMPLES, len(pair)))])) for pair in pairs])
    if len(pairs) == 1:  # few rounds drawn anew say little: each one's own outcome is counted in
        return np.concatenate([each[0], _net(pairs[0])]) if len(pairs[0]) < FEW else each[0]
    chosen = draw.integers(len(pairs), size=(len(pairs), RESAMPLES, 1))
    mean: NDArray[np.float64] = np.take_along_axis(each, chosen, axis=0).mean(axis=0)
    return mean


def faster_half(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the faster half of windows, along the last axis but one."""
    kept = -(-windows.shape[-2] // 2)
    mean: NDArray[np.float64] = np.sort(windows, axis=-2)[..., :kept, :].mean(axis=-2)
    return mean


def _ends(values: NDArray[np.float64], value: float, by_pair: NDArray[np.float64]) -> tuple[float, float]:
    """Ends of the 95 % interval of values drawn anew, the value itself inside, and of what pairs scatter by."""
    low, high = np.percentile(values, [2.5, 97.5])
    around = 0.0
    if len(by_pair) > 1:
        around = STUDENT[min(len(by_pair), len(STUDENT)) - 1] * float(by_pair.std(ddof=1)) / len(by_pair) ** 0.5
    return max(min(float(low), value - around), LEAST_SHARE * value), max(float(high), value + around)


def fast_p(results: Iterable[tuple[Verdict, float | None]], thresholds: Sequence[float] = FAST_P) -> dict[str, float]:
    """Share of candidates that are correct and more than p times as fast as their reference (KernelBench's measure)."""
    known = list(results)
    right = [speedup for verdict, speedup in known if verdict == Verdict.CORRECT and speedup is not None]
    return {f"{p:g}": sum(speedup > p for speedup in right) / max(1, len(known)) for p in thresholds}


def repeat_gain(
    same: Sequence[float],
    changed: Sequence[float],
    empty: float,
    share: float = REPEAT_SHARE,
    sigma: float = REPEAT_SIGMA,
) -> float | None:
    """How many times faster windows (s) are whose inputs repeat than windows whose inputs change; None if not clearly.

    Clearly: less an ``empty`` window, the medians and the lower quartiles stand at most in the ratio ``share``, and so
    many of all pairs agree as by chance they do ``sigma`` standard deviations off (Mann and Whitney 1947; with 2.5 in
    0.6 % of trials: of nine windows each 85 %, of 27 each 70 %; with 3.5 in 0.02 %: 99 and 78 %).
    """
    taken = (np.asarray(same) - empty, np.asarray(changed) - empty)
    fewer = taken[0][:, None] < taken[1][None, :]
    low, middle = ([max(float(np.percentile(side, at)), 0.0) for side in taken] for at in (25, 50))
    rest = max(low[0] / max(low[1], 1e-9), middle[0] / max(middle[1], 1e-9))
    chance = ((len(same) + len(changed) + 1) / (12 * len(same) * len(changed))) ** 0.5
    if rest > share or float(fewer.mean()) < 0.5 + sigma * chance:
        return None
    return 1 / max(rest, 1e-3)


def ratio_of(same: Sequence[float], changed: Sequence[float], empty: float, beside: Sequence[float]) -> float:
    """How many times longer the second windows are, by medians or lower quartiles, whichever says more; at least 1.

    What they take longer is held against the first windows or those ``beside`` them, whichever take longer: a short
    reference's noise must not excuse a long candidate.
    """
    ratios = []
    for at in (25, 50):
        one, two, other = (float(np.percentile(side, at)) - empty for side in (same, changed, beside))
        ratios.append(1 + (two - one) / max(one, other, 1e-9))
    return max(1.0, *ratios)


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
