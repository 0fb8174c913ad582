"""Statistics of samples as pure functions of arrays: medians, ratios, staircases, clusters, stopping rules.

Everything here is deterministic and distribution-free where it can be, because GPU samples are skewed, heavy-tailed
and quantised. Values keep the unit they come in; widths, shares and ratios are plain numbers (0.01 is 1 %).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpuprobe.errors import GpuprobeError

Array = NDArray[np.float64]

TENFOLD = math.log(10.0)
"""Intervals of a ratio are cut here: beyond a factor of ten nothing is known, and the number stays finite."""


class Interval(NamedTuple):
    """A value with the ends of its confidence interval, all in the unit of the samples."""

    value: float
    low: float
    high: float


class Ratio(NamedTuple):
    """A ratio b/a (a plain number) with the ends of its confidence interval."""

    ratio: float
    low: float
    high: float

    def beyond(self, effect: float) -> bool:
        """Whether the interval excludes 1 and the ratio is at least ``effect`` (0.01 is 1 %) away from it."""
        return (self.low > 1.0 or self.high < 1.0) and abs(math.log(self.ratio)) >= math.log1p(effect)

    def within(self, effect: float) -> bool:
        """Whether the whole interval lies inside a change of ``effect`` either way."""
        band = math.log1p(effect)
        return math.log(self.low) >= -band and math.log(self.high) <= band


def relative_width(interval: Interval) -> float:
    """Full width of an interval as a share of its value (0.01: high - low is 1 % of it); inf around zero."""
    width = interval.high - interval.low
    if interval.value == 0.0:
        return math.inf if width else 0.0
    return width / abs(interval.value)


def median_interval(samples: ArrayLike, confidence: float = 0.95) -> Interval:
    """Median of independent samples and its confidence interval, in the unit of the samples.

    Interpolated order statistics (Hettmansperger and Sheather 1986, Statistics & Probability Letters 4:75): the
    distribution of the bootstrap median is carried by the order statistics too, but its percentiles cover the median
    in 91-97 % of cases at n = 6..32 (n = 16: 91.5 %), these in 94-95.5 % for normal, lognormal, Laplace and mixed
    samples. No random numbers, so the same samples give the same interval. Where even minimum and maximum cannot
    reach the confidence (n < 6 at 95 %) Student's interval of the mean is joined to the range: right for normal
    samples, wide for all. One sample gets +-100 %: nothing is known. Samples that follow each other closely (drift,
    power cap) are not independent; their interval is too narrow, which is what the drift check is for.
    """
    row = _vector(samples)
    values, lows, highs = median_intervals(row[np.newaxis, :], confidence)
    return Interval(float(values[0]), float(lows[0]), float(highs[0]))


def median_intervals(rows: ArrayLike, confidence: float = 0.95) -> tuple[Array, Array, Array]:
    """``median_interval`` of every row of an (m, n) array at once: values, lows and highs, each of length m."""
    matrix = np.asarray(rows, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] == 0 or not np.isfinite(matrix).all():
        raise GpuprobeError("an interval needs rows of one or more finite samples", "drop empty or non-finite samples")
    _check_confidence(confidence)
    ordered = np.sort(matrix, axis=1)
    n = ordered.shape[1]
    value = (ordered[:, (n - 1) // 2] + ordered[:, n // 2]) / 2
    ranks = _order_ranks(n, confidence)
    if ranks is None:
        return value, *_few_sample_ends(ordered, confidence)
    rank, weight = ranks
    low = ordered[:, rank - 1] + weight * (ordered[:, rank] - ordered[:, rank - 1])
    high = ordered[:, n - rank] - weight * (ordered[:, n - rank] - ordered[:, n - rank - 1])
    return value, np.minimum(low, value), np.maximum(high, value)


@lru_cache(maxsize=512)
def _order_ranks(n: int, confidence: float) -> tuple[int, float] | None:
    """Rank d and weight of rank d + 1 for the lower end (the upper mirrors it); None where the range is too narrow."""
    outside = [0.0]  # outside[d]: probability that the median lies outside [x(d), x(n-d+1)], for d = 0..
    while len(outside) <= (n + 1) // 2:
        outside.append(outside[-1] + math.exp(_log_binomial(n, len(outside) - 1) + (1 - n) * math.log(2.0)))
    rank = max(d for d, share in enumerate(outside) if share <= 1.0 - confidence)
    if rank == 0:
        return None
    if 2 * rank >= n:
        return rank, 0.0
    part = (1.0 - confidence - outside[rank]) / (outside[rank + 1] - outside[rank])
    return rank, (n - rank) * part / (rank + (n - 2 * rank) * part)


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _few_sample_ends(ordered: Array, confidence: float) -> tuple[Array, Array]:
    """Ends for rows with too few samples for order statistics: the range joined with Student's interval."""
    n = ordered.shape[1]
    if n == 1:
        return ordered[:, 0] - np.abs(ordered[:, 0]), ordered[:, 0] + np.abs(ordered[:, 0])
    mean = ordered.mean(axis=1)
    half = student_quantile(confidence, n - 1) * ordered.std(axis=1, ddof=1) / math.sqrt(n)
    return np.minimum(ordered[:, 0], mean - half), np.maximum(ordered[:, -1], mean + half)


@lru_cache(maxsize=512)
def student_quantile(confidence: float, degrees: int) -> float:
    """Two-sided quantile of Student's t (2.228 for 0.95 and 10 degrees of freedom); the normal one beyond 1000."""
    _check_confidence(confidence)
    if degrees > 1000:
        return NormalDist().inv_cdf(0.5 + confidence / 2)
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_coverage(middle, degrees) < confidence else (low, middle)
    return math.sqrt(degrees) * math.tan((low + high) / 2)


def _student_coverage(angle: float, degrees: int) -> float:
    """P(|t| < sqrt(degrees) tan(angle)) by the finite series of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    cosine = math.cos(angle)
    odd = degrees % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(1 + odd, degrees, 2):
        total += term
        term *= cosine * cosine * k / (k + 1)
    return (angle + math.sin(angle) * total) * 2 / math.pi if odd else math.sin(angle) * total


def ratio_of(a: Interval, b: Interval, noise: float = 0.0, stretch: float = 1.0) -> Ratio:
    """Ratio b/a of two positive values from their intervals, which are asymmetric and stay so.

    The distances to the ends are added in quadrature in the logarithm (MOVER, Zou and Donner 2008, Statistics in
    Medicine 27:1693). ``stretch`` widens them to another confidence; ``noise`` is a further half width in the
    logarithm (0.01 is about 1 %), for what the samples cannot know. A value of zero or below is a GpuprobeError.
    """
    value = math.log(_positive(b.value)) - math.log(_positive(a.value))
    down = math.hypot(stretch * _fall(b), stretch * _rise(a), noise)
    up = math.hypot(stretch * _rise(b), stretch * _fall(a), noise)
    return Ratio(math.exp(value), math.exp(value - min(down, TENFOLD)), math.exp(value + min(up, TENFOLD)))


def _positive(value: float) -> float:
    if not (value > 0.0 and math.isfinite(value)):
        raise GpuprobeError(
            f"a ratio needs positive values, not {value!r}", "leave this quantity out, or measure it again"
        )
    return value


def _fall(interval: Interval) -> float:
    if interval.low <= 0.0:
        return TENFOLD
    return min(TENFOLD, max(0.0, math.log(interval.value / interval.low)))


def _rise(interval: Interval) -> float:
    return min(TENFOLD, max(0.0, math.log(interval.high / interval.value)))


def is_different(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Ratio:
    """Ratio of medians b/a with its interval from the samples of one run; ask ``.beyond(effect)`` of it.

    It knows nothing of what changes between processes; ``gpuprobe.comparison`` adds that.
    """
    return ratio_of(median_interval(a, confidence), median_interval(b, confidence))


def drift(first: ArrayLike, last: ArrayLike, confidence: float = 0.99) -> Ratio:
    """Ratio last/first of one configuration at both ends of a run; ``.beyond(0.01)`` says it drifted by 1 %."""
    return is_different(first, last, confidence)


class Clusters(NamedTuple):
    """Two groups of values: centres and threshold in their unit, counts, and the separation of the centres.

    ``separation`` is the distance of the centres in standard deviations within the groups (2.7 for one normal cloud
    cut in two, 3.5 for a uniform one; inf where both groups are points, 0 where all values are equal).
    """

    low_center: float
    high_center: float
    threshold: float
    low_count: int
    high_count: int
    separation: float

    @property
    def distinct(self) -> bool:
        """Whether there really are two groups: each holds two values and 5 %, and they stand clear of each other.

        The bound 4.5 (1 + 4 / n) calls one normal cloud two in under 0.5 % of cases from n = 12, one uniform cloud
        in under 3 %, and finds groups six deviations apart in 97 % of cases from n = 50.
        """
        n = self.low_count + self.high_count
        smaller = min(self.low_count, self.high_count)
        return smaller >= max(2.0, 0.05 * n) and self.separation > 4.5 * (1 + 4 / n)


def two_clusters(values: ArrayLike) -> Clusters:
    """Best cut of values in two (exact one-dimensional two-means, which is Otsu's threshold): near and far L2, say.

    Always cuts; ask ``.distinct`` whether there were two groups. Equal values give an empty upper group.
    """
    ordered = np.sort(_vector(values))
    n = len(ordered)
    if ordered[0] == ordered[-1]:
        level = float(ordered[0])
        return Clusters(level, level, level, n, 0, 0.0)
    shifted = ordered - ordered.mean()
    size = np.arange(1, n)
    sums = np.cumsum(shifted)
    between = (sums[-1] - sums[:-1]) / (n - size) - sums[:-1] / size
    cut = int(np.argmax(size * (n - size) * between**2)) + 1
    low, high = ordered[:cut], ordered[cut:]
    within = math.sqrt((low.var() * cut + high.var() * (n - cut)) / max(n - 2, 1))
    distance = float(high.mean() - low.mean())
    separation = distance / within if within > 1e-12 * abs(distance) else math.inf
    threshold = float(low[-1] + high[0]) / 2
    return Clusters(float(low.mean()), float(high.mean()), threshold, cut, n - cut, separation)


class StopReason(Enum):
    """Why sampling ended."""

    NARROW = "the interval is narrow enough"
    MAX_SAMPLES = "the most samples were taken"
    MAX_SECONDS = "the time for this configuration is over"


@dataclass(frozen=True)
class StopRule:
    """When to stop sampling: a narrow interval from ``min_samples`` on, else a number of samples or of seconds.

    ``relative_width`` is the full width of the 95 % interval of the median over the median. Looking again after every
    sample lets luck stop some runs early: in simulation, from 11 samples on, 95 % intervals then cover 91-95 %.
    """

    relative_width: float = 0.01
    min_samples: int = 11
    max_samples: int = 31
    max_seconds: float = 2.0

    def __post_init__(self) -> None:
        if not (self.relative_width >= 0 and 1 <= self.min_samples <= self.max_samples and self.max_seconds > 0):
            raise GpuprobeError(
                f"{self} cannot be met", "use 1 <= min_samples <= max_samples, a width of 0 or more and some seconds"
            )

    def done(self, samples: Sequence[float], elapsed: float) -> StopReason | None:
        """Why to stop after these samples and ``elapsed`` seconds; None to go on. Time may run out with few samples."""
        if len(samples) >= self.min_samples and relative_width(median_interval(samples)) <= self.relative_width:
            return StopReason.NARROW
        if len(samples) >= self.max_samples:
            return StopReason.MAX_SAMPLES
        if len(samples) >= 1 and elapsed >= self.max_seconds:
            return StopReason.MAX_SECONDS
        return None


class Plateau(NamedTuple):
    """A flat stretch of a curve: its level (median, unit of y), the first and last x on it, and its points."""

    level: float
    first_x: float
    last_x: float
    points: int


class Staircase(NamedTuple):
    """Plateaus in order of x and, between each two, the edge: where the curve leaves the lower-x one (unit of x)."""

    plateaus: tuple[Plateau, ...]
    edges: tuple[float, ...]


def plateaus(x: ArrayLike, y: ArrayLike, tolerance: float = 0.03, min_points: int = 3) -> Staircase:
    """Levels and edges of a staircase on logarithmic x, for latency (cycles) against footprint (bytes).

    The cheapest cut into pieces: a point costs its distance from its piece's median in units of ``tolerance``
    (relative), at most 4.5, and a piece costs 3: a ramp is cut off, a lone outlier is not (two pieces more). Pieces of
    ``min_points`` whose points lie within ``tolerance`` (one in five may not) are plateaus; the ramps between them are
    not. Neighbours closer than twice the tolerance are joined. An edge is the geometric mean of the last x on a
    plateau and the next x measured.
    """
    x_values, y_values = _points(x, y)
    if x_values.min() <= 0.0 or y_values.min() <= 0.0:
        raise GpuprobeError("a staircase on logarithmic axes needs positive values", "drop the points at or below zero")
    order = np.argsort(x_values, kind="stable")
    x_values, y_values = x_values[order], y_values[order]
    heights = np.log(y_values) / math.log1p(tolerance)
    pieces = [(begin, end) for begin, end in _cheapest_cut(heights) if _is_flat(heights[begin:end], min_points)]
    joined = _join_level(heights, pieces)
    found = tuple(_plateau(x_values, y_values, begin, end) for begin, end in joined)
    edges = tuple(float(math.sqrt(x_values[end - 1] * x_values[end])) for _, end in joined[:-1])
    return Staircase(found, edges)


PIECE_COST, POINT_COST = 3.0, 4.5


def _cheapest_cut(heights: Array) -> list[tuple[int, int]]:
    """Pieces (begin, end) of least total cost, by dynamic programming over all ends."""
    n = len(heights)
    best, start = [0.0] + [math.inf] * n, [0] * (n + 1)
    for end in range(1, n + 1):
        for begin in range(end):
            if best[begin] + PIECE_COST >= best[end]:
                continue  # points only add to it
            piece = heights[begin:end]
            cost = best[begin] + PIECE_COST + float(np.minimum(np.abs(piece - np.median(piece)), POINT_COST).sum())
            if cost < best[end]:
                best[end], start[end] = cost, begin
    pieces, end = [], n
    while end > 0:
        pieces.append((start[end], end))
        end = start[end]
    return pieces[::-1]


def _is_flat(piece: Array, min_points: int) -> bool:
    close = np.abs(piece - np.median(piece)) <= 1.0
    return len(piece) >= min_points and float(close.mean()) >= 0.8


def _join_level(heights: Array, pieces: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for begin, end in pieces:
        if joined and abs(np.median(heights[begin:end]) - np.median(heights[joined[-1][0] : joined[-1][1]])) < 2.0:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return joined


def _plateau(x: Array, y: Array, begin: int, end: int) -> Plateau:
    return Plateau(float(np.median(y[begin:end])), float(x[begin]), float(x[end - 1]), end - begin)


def _vector(values: ArrayLike) -> Array:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or len(vector) == 0 or not np.isfinite(vector).all():
        raise GpuprobeError("statistics need one or more finite samples", "drop empty or non-finite samples")
    return vector


def _points(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    x_values, y_values = _vector(x), _vector(y)
    if len(x_values) != len(y_values) or x_values.min() == x_values.max():
        raise GpuprobeError("a curve needs as many x as y and two different x", "measure at two or more settings")
    return x_values, y_values


def _check_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise GpuprobeError(f"a confidence of {confidence!r} is not between 0 and 1", "use 0.95 or 0.99")
