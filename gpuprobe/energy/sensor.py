"""What a power sensor does, found from its readings beside a load that is known: update period, window, lag, gain.

A reading is taken to be ``offset + gain x mean of the true power over [t - lag - window, t - lag]``, where t is the
moment at which the reading changes. The true power is that of an external meter, or of a load switched on and off at
known times (then gain and offset are the watts of that load and of rest). Every window and lag of a grid is tried; the
others that fit nearly as well give the range.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpuprobe.energy.counter import Tick, on_beat, period_s
from gpuprobe.errors import GpuprobeError

Array = NDArray[np.float64]

FEWEST = 12
"""Changes of a reading below which four numbers are not fitted to it."""
SHORTEST_WINDOW_S, LONGEST_WINDOW_S = 0.002, 1.6
LEAST_LAG_S, LONGEST_LAG_S = -0.04, 0.4
"""Below zero: the clocks of a meter and of the readings may differ."""
OUTLIERS = 0.1
"""Part of the readings that gain and offset are fitted without: a poll or a kernel that came late."""
CONTAMINATED_S = 0.7
"""Until then a long window may hold what ran before."""
STEPS = 48
REFINEMENTS = 4


class Signal:
    """Power against time as its integral, so that the mean over any stretch is one difference."""

    def __init__(self, times_s: ArrayLike, energy_j: ArrayLike) -> None:
        self._times = np.asarray(times_s, dtype=np.float64)
        self._energy = np.asarray(energy_j, dtype=np.float64)

    @classmethod
    def of_samples(cls, times_s: ArrayLike, power_w: ArrayLike) -> Signal:
        """From samples of a meter (W), joined by straight lines."""
        times, power = np.asarray(times_s, dtype=np.float64), np.asarray(power_w, dtype=np.float64)
        steps = np.diff(times) * (power[1:] + power[:-1]) / 2
        return cls(times, np.concatenate([[0.0], np.cumsum(steps)]))

    @classmethod
    def of_load(cls, busy: Sequence[tuple[float, float]], begin_s: float, end_s: float) -> Signal:
        """From the stretches (begin, end) in which a load of one unit was on."""
        times, energy = [begin_s], [0.0]
        for on, off in sorted(busy):
            times += [on, off]
            energy += [energy[-1], energy[-1] + off - on]
        return cls([*times, end_s], [*energy, energy[-1]])

    def mean(self, begin_s: Array, end_s: Array) -> Array:
        """Mean power over each stretch."""
        total = np.interp(end_s, self._times, self._energy) - np.interp(begin_s, self._times, self._energy)
        result: Array = total / (end_s - begin_s)
        return result

    def covers(self, begin_s: float, end_s: float) -> bool:
        """Whether the signal is known over a stretch."""
        return bool(self._times[0] <= begin_s and end_s <= self._times[-1])


class Ends(NamedTuple):
    """A value and the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Sensor:
    """A sensor's update period, averaging window and lag in s, gain and offset, and the fit's RMS error.

    ``window`` and ``lag`` carry the range that fits nearly as well, which is no confidence interval: with jitter of
    polling it holds the truth in half of the cases, and how a value repeats is the better measure of its error. Offset
    and ``residual`` are in the reading's unit.
    """

    period_s: float
    window: Ends
    lag: Ends
    gain: float
    offset: float
    residual: float

    @property
    def delay_s(self) -> float:
        """Mean age of what a reading shows at the moment it appears: lag and half the window."""
        return self.lag.value + self.window.value / 2

    @property
    def share(self) -> float:
        """Part of the time that the sensor looks at; 1 where window and period are equal, more for a running mean."""
        return self.window.value / self.period_s


def characterise(changes: Sequence[Tick], signal: Signal) -> Sensor:
    """The sensor behind ``changes`` of a reading; GpuprobeError where there are too few of them.

    Changes whose longest window is not covered by the signal are left out.
    """
    usable = [tick for tick in changes if signal.covers(tick.at_s - LONGEST_LAG_S - LONGEST_WINDOW_S, tick.at_s)]
    period = period_s(changes)
    if period is None or len(usable) < FEWEST:
        raise GpuprobeError(
            f"a power sensor that changed {len(usable)} times tells nothing of its window (least: {FEWEST})",
            "record for longer, under a load that changes",
        )
    times = np.array([tick.at_s for tick in on_beat(usable, period)])
    readings = np.array([tick.value for tick in usable])
    windows = np.geomspace(SHORTEST_WINDOW_S, LONGEST_WINDOW_S, STEPS)
    lags = np.linspace(LEAST_LAG_S, LONGEST_LAG_S, STEPS)
    for _ in range(REFINEMENTS):
        errors = _errors(times, readings, signal, windows, lags)
        row, column = np.unravel_index(int(np.argmin(errors)), errors.shape)
        accepted = errors <= errors.min() * _allowance(len(times))
        fitted = windows[row], lags[column]
        spans = _span(windows, accepted.any(axis=1)), _span(lags, accepted.any(axis=0))
        windows, lags = (np.linspace(*_grown(span, limit), STEPS) for span, limit in zip(spans, _LIMITS, strict=True))
    window, lag = (Ends(float(value), *span) for value, span in zip(fitted, spans, strict=True))
    ends = (times - lag.value)[np.newaxis, :]
    (gain,), (offset,), (error,) = _lines(signal.mean(ends - window.value, ends), readings)
    return Sensor(period, window, lag, float(gain), float(offset), math.sqrt(float(error) / (len(times) - 4)))


_LIMITS = ((SHORTEST_WINDOW_S, LONGEST_WINDOW_S), (LEAST_LAG_S, LONGEST_LAG_S))


def _errors(times: Array, readings: Array, signal: Signal, windows: Array, lags: Array) -> Array:
    """Error for every window (rows) and lag (columns)."""
    ends = times[np.newaxis, :] - lags[:, np.newaxis]
    return np.array([_lines(signal.mean(ends - width, ends), readings)[2] for width in windows])


def _lines(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Slopes and offsets of lines of ``y`` over each row of ``x``, the worst readings left out, and their errors.

    The error is that of all readings, from the mean distance and not its square: a window that suits the few readings
    on an edge of the load must win, one reading that came late must not.
    """
    gain, offset = _fit(x, y, np.ones_like(x))
    misses = np.abs(y - offset - gain * x)
    kept = (misses <= np.quantile(misses, 1 - OUTLIERS, axis=-1, keepdims=True)).astype(np.float64)
    gain, offset = _fit(x, y, kept)
    return gain[..., 0], offset[..., 0], np.abs(y - offset - gain * x).sum(axis=-1) ** 2 / x.shape[-1]


def _fit(x: Array, y: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted least-squares lines; a signal that never changes has no slope."""
    total = weights.sum(axis=-1, keepdims=True)
    mean_x, mean_y = ((weights * v).sum(axis=-1, keepdims=True) / total for v in (x, y))
    spread = (weights * (x - mean_x) ** 2).sum(axis=-1, keepdims=True)
    gain = (weights * (x - mean_x) * (y - mean_y)).sum(axis=-1, keepdims=True) / np.where(spread > 0, spread, np.inf)
    return gain, mean_y - gain * mean_x


def _allowance(count: int) -> float:
    """Factor on the least error within which a window and lag count as fitting nearly as well.

    It is that of squared errors, of which F(2, n - 4) at 95 % is about 3 + 10 / n; these are errors of mean distance.
    """
    return 1 + 2 * (3 + 10 / count) / (count - 4)


def _span(values: Array, accepted: NDArray[np.bool_]) -> tuple[float, float]:
    found = values[accepted]
    return float(found[0]), float(found[-1])


def _grown(span: tuple[float, float], limit: tuple[float, float]) -> tuple[float, float]:
    """A span with margins for the next, finer grid."""
    margin = max(0.3 * (span[1] - span[0]), 0.02 * abs(span[1]), 0.001)
    return max(limit[0], span[0] - margin), min(limit[1], span[1] + margin)


def mean_powers(changes: Sequence[Tick]) -> list[Tick]:
    """An energy counter's steps as readings of power: the energy of each step over the time since the last, in W."""
    pairs = itertools.pairwise(changes)
    return [Tick(now.at_s, (now.value - last.value) / (now.at_s - last.at_s)) for last, now in pairs]


def held_energy(changes: Sequence[Tick], begin_s: float, end_s: float) -> float:
    """Energy in J over a stretch by a power reading that holds its value from one change to the next."""
    total = 0.0
    for index, tick in enumerate(changes):
        until = changes[index + 1].at_s if index + 1 < len(changes) else end_s
        total += max(0.0, min(until, end_s) - max(tick.at_s, begin_s)) * tick.value
    return total


def changes_of(values: Mapping[str, float], name: str) -> list[Tick]:
    """Changes of the sensor ``name`` as a sample keeps them: ``NAME_n``, then ``NAME_t000``, ``NAME_v000`` …"""
    count = int(values.get(f"{name}_n", 0))
    return [Tick(values[f"{name}_t{i:03d}"], values.get(f"{name}_v{i:03d}", 0.0)) for i in range(count)]


def columns_of(name: str, changes: Sequence[Tick]) -> dict[str, float]:
    """The opposite of ``changes_of``."""
    columns = {f"{name}_n": float(len(changes))}
    for i, tick in enumerate(changes):
        columns |= {f"{name}_t{i:03d}": tick.at_s, f"{name}_v{i:03d}": tick.value}
    return columns
