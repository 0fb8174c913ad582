"""What a campaign measures and in which order: sampled or given shapes, with 2 % of them repeated later on."""

from __future__ import annotations

import csv
import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.gemm import DTYPES, UNSURE, Gemm
from gpuprobe.sweep.doubt import Doubt
from gpuprobe.sweep.shapes import Limits, sample

REPEAT_EVERY = 50
"""One GEMM in so many is a repetition of an earlier one: they state the noise floor."""
_REPEAT_DISTANCE = 100
_OTHER_SAMPLE = 1_000_003
_CANDIDATES = 16
"""So many samples one is chosen from where a predictor's doubt decides."""


@dataclass(frozen=True)
class Task:
    """One GEMM to time: its place, how it was chosen, and whose repetition it is (its own index if none)."""

    index: int
    family: str
    gemm: Gemm
    repeats: int


@dataclass(frozen=True)
class Campaign:
    """What makes the sequence of tasks; the same values give the same sequence on GPUs with as many SMs.

    Types and layouts take turns, so one that is named twice is measured twice as often. With ``shapes`` those are
    measured instead of samples. With ``doubt`` every second one is the sample of several that it is least sure of,
    of family ``unsure``; the others stay a fair sample.
    """

    seed: int = 0
    dtypes: tuple[str, ...] = ("bf16",)
    layouts: tuple[str, ...] = ("tn",)
    shapes: tuple[Gemm, ...] = ()
    doubt: Doubt | None = None

    @property
    def identity(self) -> Mapping[str, object]:
        """What must agree for a journal to be continued."""
        listed = hashlib.sha256(repr(self.shapes).encode()).hexdigest()[:16] if self.shapes else ""
        same = {"seed": self.seed, "dtypes": list(self.dtypes), "layouts": list(self.layouts), "shapes": listed}
        if self.doubt is None:
            return same
        return {**same, "unsure": sorted({self.doubt.model(*turn) for turn in self._turns()})}

    def tasks(self, limits: Limits) -> Iterator[Task]:
        """The tasks in order; endless where shapes are sampled."""
        if self.shapes:
            return (Task(index, "listed", gemm, index) for index, gemm in enumerate(self.shapes))
        return self._sampled(limits)

    def _sampled(self, limits: Limits) -> Iterator[Task]:
        turns = self._turns()
        if not turns:
            raise GpuprobeError(f"{' and '.join(self.dtypes)} cannot be had in layout {' or '.join(self.layouts)}")
        done: list[Task] = []
        seen: set[Gemm] = set()
        for index in count():
            if index % REPEAT_EVERY == REPEAT_EVERY - 1 and index >= _REPEAT_DISTANCE:
                first = done[random.Random(f"{self.seed}:repeat:{index}").randrange(index - _REPEAT_DISTANCE + 1)]
                task = Task(index, first.family, first.gemm, first.repeats)
            else:
                round_, turn = divmod(index, len(turns))
                unseen = self._unseen(index, *turns[turn], seen, limits)
                family, gemm = next(unseen) if round_ % 2 == 0 else self._unsure(unseen)
                task = Task(index, family, gemm, index)
            seen.add(task.gemm)
            done.append(task)
            yield task

    def _turns(self) -> list[tuple[str, str]]:
        """Types and layouts in the order in which they take turns."""
        return [(dtype, layout) for dtype in self.dtypes for layout in self.layouts if layout in DTYPES[dtype].layouts]

    def _unseen(
        self, index: int, dtype: str, layout: str, seen: set[Gemm], limits: Limits
    ) -> Iterator[tuple[str, Gemm]]:
        """Samples for one place that were not timed yet, with their families."""
        for attempt in range(100):
            family, gemm = sample(self.seed, index + attempt * _OTHER_SAMPLE, dtype, layout, limits)
            if gemm not in seen:
                yield family, gemm
        raise GpuprobeError(
            f"no new {dtype} shape found after {len(seen)}",
            "stop the campaign there with --count, or use another --seed",
        )

    def _unsure(self, unseen: Iterator[tuple[str, Gemm]]) -> tuple[str, Gemm]:
        if self.doubt is None:
            return next(unseen)
        gemms = [gemm for _, gemm in islice(unseen, _CANDIDATES)]
        return UNSURE, gemms[self.doubt.least_sure(gemms)]


def read_shapes(path: Path, dtypes: tuple[str, ...], layouts: tuple[str, ...]) -> tuple[Gemm, ...]:
    """GEMMs of a CSV with columns m,n,k and maybe dtype,layout; else each in every type and layout asked for."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            lacking = {"m", "n", "k"} - set(reader.fieldnames or ())
            if lacking:
                raise GpuprobeError(
                    f"{path} has no column {', '.join(sorted(lacking))}", "its first line must name m,n,k"
                )
            gemms = [gemm for row in reader for gemm in _listed(path, reader.line_num, row, dtypes, layouts)]
    except (OSError, UnicodeDecodeError) as error:
        raise GpuprobeError(f"cannot read {path}: {error}", "give a CSV with columns m,n,k[,dtype,layout]") from error
    if not gemms:
        raise GpuprobeError(f"{path} lists no shape", "add lines of m,n,k below its first line")
    return tuple(gemms)


def _listed(
    path: Path, line: int, row: Mapping[str, str | None], dtypes: tuple[str, ...], layouts: tuple[str, ...]
) -> Iterator[Gemm]:
    try:
        m, n, k = (int(row[name] or "") for name in ("m", "n", "k"))
    except ValueError as error:
        raise GpuprobeError(f"{path}, line {line}: m, n, k must be whole numbers", f"it holds {dict(row)}") from error
    for dtype in (row["dtype"],) if row.get("dtype") else dtypes:
        for layout in (row["layout"],) if row.get("layout") else layouts:
            try:
                yield Gemm(m, n, k, str(dtype), str(layout))
            except GpuprobeError as error:
                raise GpuprobeError(f"{path}, line {line}: {error.message}", error.hint) from error
