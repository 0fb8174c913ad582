"""Tuning one GEMM: predict every configuration, measure the promising few, learn from them, and keep the evidence."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, median_low
from typing import Any, Final

import numpy as np

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.ops.tiling import Tiling, every, input_bytes
from gpuprobe.predict import csv_file
from gpuprobe.stats import Interval, median_interval
from gpuprobe.tune.predictor import KernelPredictor
from gpuprobe.tune.search import Surrogate, features_of, search

BUDGET: Final = 12
ENOUGH: Final = 0.003
"""Expected improvement, as a share of the best time, below which measuring more is not worth it."""
ROUNDS: Final = 9
"""Rounds in which the contenders are timed in turn: nine medians give an interval of the median at 95 %."""
CLOSE: Final = 0.05
"""Share of the best time within which a configuration's quickest sample makes it a contender."""
_CONTENDERS: Final = 6
_NAMES: Final = ("BM", "BN", "BK", "GM", "warps", "stages")


@dataclass(frozen=True)
class Reading:
    """What measuring a configuration gave: s per GEMM and its samples, or why it has no time.

    Of a contender they are the median of its rounds and the rounds' times; ``rounds`` is 0 for the others.
    """

    time_s: float | None
    samples_s: tuple[float, ...] = ()
    error: str = ""
    rounds: int = 0

    @property
    def spread(self) -> float:
        """Range of the samples over the time; 0 where there are none."""
        return (max(self.samples_s) - min(self.samples_s)) / self.time_s if self.time_s and self.samples_s else 0.0

    @property
    def quickest_s(self) -> float:
        """The least sample, infinite where it did not run: what it would take if nothing had come between."""
        return float("inf") if self.time_s is None else min(self.samples_s, default=self.time_s)

    @property
    def interval(self) -> Interval | None:
        """The time with its 95 % interval, of a contender; None of the others, whose samples follow each other."""
        return median_interval(self.samples_s) if self.rounds and self.time_s is not None else None


Measure = Callable[[Tiling], Reading]


@dataclass(frozen=True)
class Candidate:
    """A configuration: predicted time in s with its 90 % interval, and what measuring it gave (None: not measured)."""

    tiling: Tiling
    predicted_s: float
    low_s: float
    high_s: float
    reading: Reading | None = None

    def document(self) -> dict[str, Any]:
        """As a JSON object."""
        predicted = {"predicted_s": self.predicted_s, "predicted_s_low": self.low_s, "predicted_s_high": self.high_s}
        named = dict(zip(_NAMES, self.tiling, strict=True)) | predicted
        if self.reading is None:
            return named
        read, interval = self.reading, self.reading.interval
        return named | {
            "measured_s": read.time_s,
            "measured_s_low": interval.low if interval else None,
            "measured_s_high": interval.high if interval else None,
            "rounds": read.rounds, "spread": read.spread, "error": read.error or None,
        }  # fmt: skip


@dataclass(frozen=True)
class Tuned:
    """The candidates measured, in their order; why it stopped; how many configurations there were to choose from."""

    measured: tuple[Candidate, ...]
    stopped: str
    space: int

    @property
    def best(self) -> Candidate:
        """The fastest measured; GpuprobeError where none ran."""
        ran = [one for one in self.measured if one.reading is not None and one.reading.time_s is not None]
        if not ran:
            errors = {one.reading.error for one in self.measured if one.reading is not None}
            raise GpuprobeError(
                f"no configuration ran: {'; '.join(sorted(errors)) or 'none was measured'}",
                "name others with --configs, or raise --budget",
                Exit.CHECK_FAILED,
            )
        return min(ran, key=lambda one: one.reading.time_s if one.reading and one.reading.time_s else float("inf"))

    @property
    def as_good(self) -> int:
        """How many others the rounds do not tell apart from the best: their intervals meet its own."""
        best = self.best
        end = best.reading.interval if best.reading else None
        if end is None:
            return 0
        others = [one.reading.interval for one in self.measured if one is not best and one.reading]
        return sum(other is not None and other.low <= end.high for other in others)


def candidates(
    predictor: KernelPredictor, m: int, n: int, k: int, dtype: str, space: Sequence[Tiling]
) -> list[Candidate]:
    """Every configuration of ``space`` that can be launched, best predicted first; GpuprobeError where none can."""
    possible = predictor.valid(m, n, k, space, dtype)
    times = predictor.times(m, n, k, space, dtype)
    found = [
        Candidate(space[i], float(times.time_s[i]), float(times.low_s[i]), float(times.high_s[i]))
        for i in np.argsort(times.time_s, kind="stable").tolist()
        if possible[i]
    ]
    if not found:
        raise GpuprobeError(
            f"none of {len(space)} configurations can be launched", "name smaller tiles or fewer stages with --configs"
        )
    return found


def tune(
    space: Sequence[Candidate],
    measure: Measure,
    budget: int = BUDGET,
    enough: float = ENOUGH,
    rounds: int = ROUNDS,
) -> Tuned:
    """Measure at most ``budget`` candidates, each chosen by the predictions and by what was measured so far.

    Those that may be the best are then timed in ``rounds`` by turns, on a GPU that no compiler lets idle, and the
    search goes on from what that gives: one reading beside a compilation can be a third too long. What all of them
    gain by an idle GPU's cooler chip (3 to 4 %) is left out of that, since those read once have it too.
    """
    predicted, low, high = (np.array([getattr(c, name) for c in space]) for name in ("predicted_s", "low_s", "high_s"))
    surrogate = Surrogate(features_of([c.tiling for c in space]), np.log(predicted), np.log(high / low) / (2 * 1.645))
    readings: dict[int, Reading] = {}
    alone_s: dict[int, float] = {}

    def time_of(index: int) -> float | None:
        readings[index] = measure(space[index].tiling)
        time_s = readings[index].time_s
        if time_s is not None:
            alone_s[index] = time_s
        return time_s

    while True:
        found = search(surrogate, time_of, budget - len(readings), enough)
        close = _contenders(readings)
        if not rounds or all(readings[index].rounds for index in close):
            break
        again = dict(_in_turn({index: space[index].tiling for index in close}, measure, rounds))
        readings |= again
        cool = median_low([alone_s[index] / one.time_s for index, one in again.items() if one.time_s] or [1.0])
        for index, one in again.items():
            surrogate.correct(index, one.time_s and one.time_s * cool)
    measured = tuple(
        Candidate(space[i].tiling, space[i].predicted_s, space[i].low_s, space[i].high_s, reading)
        for i, reading in readings.items()
    )
    return Tuned(measured, found.stopped, len(space))


def _contenders(readings: Mapping[int, Reading]) -> list[int]:
    """The best and those whose quickest sample is close to its time, quickest first; none where nothing ran."""
    best_s, best = min(((r.time_s, index) for index, r in readings.items() if r.time_s is not None), default=(0.0, -1))
    close = [index for index, reading in readings.items() if reading.quickest_s <= (1.0 + CLOSE) * best_s]
    return sorted(close, key=lambda index: (index != best, readings[index].quickest_s))[:_CONTENDERS]


def _in_turn(tilings: Mapping[int, Tiling], measure: Measure, rounds: int) -> Iterator[tuple[int, Reading]]:
    """Readings of ``rounds`` over all tilings in random order, after one round that warms the GPU."""
    order, mix = list(tilings), random.Random(0)
    samples: dict[int, list[float]] = {index: [] for index in order}
    errors: dict[int, str] = {}
    for turn in range(rounds + 1):
        for index in mix.sample(order, len(order)):
            reading = measure(tilings[index])
            if reading.time_s is None:
                errors[index] = reading.error
            elif turn:
                samples[index].append(reading.time_s)
    for index in order:
        if index in errors:
            yield index, Reading(None, error=errors[index], rounds=rounds)
        else:
            yield index, Reading(median(samples[index]), tuple(samples[index]), rounds=rounds)


def space_of(dtype: str, path: Path | None) -> list[Tiling]:
    """The configurations to choose from: a CSV of BM,BN,BK,GM,warps,stages, or the whole grid that tuners search."""
    if path is None:
        return list(every(input_bytes(dtype)))
    if not path.is_file():
        raise GpuprobeError(f"there is no file {path}", "check the path after --configs")
    table = csv_file.read(path, _NAMES, (), "write a header BM,BN,BK,GM,warps,stages and one configuration a line")
    return list(dict.fromkeys(Tiling(*row) for row in zip(*(table.whole(name) for name in _NAMES), strict=True)))
