"""Tuning one GEMM: predict every configuration, measure the promising few, learn from them, and keep the evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.ops.tiling import Tiling, every, input_bytes
from gpuprobe.predict import csv_file
from gpuprobe.tune.predictor import KernelPredictor
from gpuprobe.tune.search import Surrogate, features_of, search

BUDGET: Final = 12
ENOUGH: Final = 0.003
"""Expected improvement, as a share of the best time, below which measuring more is not worth it."""
_NAMES: Final = ("BM", "BN", "BK", "GM", "warps", "stages")


@dataclass(frozen=True)
class Reading:
    """What measuring a configuration gave: s per GEMM and the relative spread of its samples, or why it has no time."""

    time_s: float | None
    spread: float = 0.0
    error: str = ""


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
        read = self.reading
        return named | {"measured_s": read.time_s, "spread": read.spread, "error": read.error or None}


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


def tune(space: Sequence[Candidate], measure: Measure, budget: int = BUDGET, enough: float = ENOUGH) -> Tuned:
    """Measure at most ``budget`` candidates, each chosen by the predictions and by what was measured so far."""
    predicted, low, high = (np.array([getattr(c, name) for c in space]) for name in ("predicted_s", "low_s", "high_s"))
    surrogate = Surrogate(features_of([c.tiling for c in space]), np.log(predicted), np.log(high / low) / (2 * 1.645))
    readings: dict[int, Reading] = {}

    def time_of(index: int) -> float | None:
        readings[index] = measure(space[index].tiling)
        return readings[index].time_s

    found = search(surrogate, time_of, budget, enough)
    measured = tuple(
        Candidate(space[i].tiling, space[i].predicted_s, space[i].low_s, space[i].high_s, readings[i])
        for i in found.order
    )
    return Tuned(measured, found.stopped, len(space))


def space_of(dtype: str, path: Path | None) -> list[Tiling]:
    """The configurations to choose from: a CSV of BM,BN,BK,GM,warps,stages, or the whole grid that tuners search."""
    if path is None:
        return list(every(input_bytes(dtype)))
    if not path.is_file():
        raise GpuprobeError(f"there is no file {path}", "check the path after --configs")
    table = csv_file.read(path, _NAMES, (), "write a header BM,BN,BK,GM,warps,stages and one configuration a line")
    return list(dict.fromkeys(Tiling(*row) for row in zip(*(table.whole(name) for name in _NAMES), strict=True)))
