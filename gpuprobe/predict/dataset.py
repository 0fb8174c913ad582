"""Measured GEMM times to train on: the project's Parquet of a sweep, and CSV of published data, as plain columns."""

from __future__ import annotations

import csv
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.ops.gemm import DTYPES, LAYOUTS, UNSURE
from gpuprobe.predict.alignment import alignments

Array = NDArray[np.float64]

Key = tuple[int, int, int, str, str]
Timings = Mapping[Key, dict[str, list[float]]]

TIMED: Final = ("hot", "cold")
BLOCKS: Final = "blocks"
"""Target of timed rows whose kernels are known: thread blocks of the library's kernel."""
LASTING: Final = ("sustained", "power", "clock")
"""Targets of sustained rows: time in s, power in W, SM clock in Hz."""
_SUSTAINED: Final = dict(zip(("time_us", "power_w", "sm_mhz"), LASTING, strict=True))


@dataclass(frozen=True)
class Dataset:
    """GEMMs of one type, one row each: sizes, layout (1.0 for nn), and per target its value in s, W or Hz.

    ``twice`` holds, per target, pairs of timings of the same GEMM: the noise floor. ``kernel`` is the family of the
    library's kernel, empty where not recorded. ``unsure`` marks rows that a predictor's doubt chose (None: no row):
    they train and judge nothing, for they are no fair sample.
    """

    dtype: str
    m: Array
    n: Array
    k: Array
    nn: Array
    targets: Mapping[str, Array]
    twice: Mapping[str, Array]
    kernel: NDArray[np.str_]
    unsure: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.m)

    @property
    def alignment(self) -> NDArray[np.int64]:
        """Class of alignment of each row."""
        return alignments(self.n.astype(np.int64), self.k.astype(np.int64), self.dtype)

    @property
    def fair(self) -> NDArray[np.bool_]:
        """The rows that may judge a model."""
        return np.ones(len(self), bool) if self.unsure is None else ~self.unsure

    @property
    def layouts(self) -> tuple[str, ...]:
        """Layouts that occur."""
        return tuple(name for index, name in enumerate(LAYOUTS) if (self.nn == index).any())

    def where(self, mask: NDArray[np.bool_]) -> Dataset:
        """The rows of a mask."""
        targets = {name: values[mask] for name, values in self.targets.items()}
        return replace(
            self, m=self.m[mask], n=self.n[mask], k=self.k[mask], nn=self.nn[mask], targets=targets,
            kernel=self.kernel[mask], unsure=None if self.unsure is None else self.unsure[mask],
        )  # fmt: skip

    def folds(self, count: int) -> NDArray[np.int64]:
        """Fold of each row, by its whole (n, k) pair: no pair is in two folds."""
        pairs = zip(self.n.astype(int).tolist(), self.k.astype(int).tolist(), strict=True)
        return np.array([zlib.crc32(f"{n},{k}".encode()) % count for n, k in pairs])


def read_sweep(paths: Sequence[Path]) -> list[tuple[Dataset, Dataset]]:
    """Per type in the Parquets of a device's sweeps its short runs (hot, cold) and its sustained rows (perhaps none).

    What several files time is one data set: repetitions are merged by the median and kept apart as noise.
    """
    timings: dict[Key, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    kernels: dict[Key, str] = {}
    fair: set[Key] = set()
    for path in paths:
        for row in _sweep_rows(path):
            if row["error"] or not row["time_us"]:
                continue
            key = row["m"], row["n"], row["k"], row["dtype"], row["layout"]
            kernels[key] = row["family_of_kernel"] or kernels.get(key, "")
            if row["family"] != UNSURE:
                fair.add(key)
            if row["regime"] != "sustained":
                timings[key][row["regime"]].append(row["time_us"] * 1e-6)
                if row["grid_x"]:
                    timings[key][BLOCKS].append(float(row["grid_x"] * row["grid_y"] * row["grid_z"]))
            elif row["power_w"] and row["sm_mhz"]:
                for name, factor in (("time_us", 1e-6), ("power_w", 1.0), ("sm_mhz", 1e6)):
                    timings[key][_SUSTAINED[name]].append(row[name] * factor)
    return [
        (_sweep(dtype, _short(dtype, timings), timings, kernels, fair), _sweep(dtype, LASTING, timings, kernels, fair))
        for dtype in DTYPES
        if any(key[3] == dtype for key in timings)
    ]


def _short(dtype: str, timings: Timings) -> tuple[str, ...]:
    """Targets of a type's short runs: with the kernel's blocks where every kernel is known."""
    timed = [found for key, found in timings.items() if key[3] == dtype and "hot" in found]
    return (*TIMED, BLOCKS) if all(BLOCKS in found for found in timed) else TIMED


def _sweep_rows(path: Path) -> list[dict[str, Any]]:
    try:
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError as error:
        raise GpuprobeError(
            "training reads Parquet through pyarrow", "pip install pyarrow", Exit.MACHINE_LACKS
        ) from error
    names = [
        *"mnk", "dtype", "layout", "family", "regime", "time_us", "power_w", "sm_mhz", "error", "family_of_kernel",
        "grid_x", "grid_y", "grid_z",
    ]  # fmt: skip
    try:
        rows: list[dict[str, Any]] = parquet.read_table(path, columns=names).to_pylist()
    except (OSError, ValueError) as error:
        raise GpuprobeError(f"cannot read {path}: {error}", "pass a Parquet of gpuprobe sweep gemm") from error
    return rows


def _sweep(dtype: str, names: Sequence[str], timings: Timings, kernels: Mapping[Key, str], fair: Set[Key]) -> Dataset:
    keys = [key for key, timed in timings.items() if key[3] == dtype and all(timed.get(name) for name in names)]
    m, n, k = (np.array([key[index] for key in keys], float) for index in range(3))
    twice = {
        name: np.array([timings[key][name][:2] for key in keys if len(timings[key][name]) > 1]).reshape(-1, 2)
        for name in names
        if name != BLOCKS
    }
    targets = {name: np.array([np.median(timings[key][name]) for key in keys]) for name in names}
    nn = np.array([float(LAYOUTS.index(key[4])) for key in keys])
    unsure = np.array([key not in fair for key in keys], bool)
    return Dataset(dtype, m, n, k, nn, targets, twice, np.array([kernels[key] for key in keys], np.str_), unsure)


def read_published(path: Path, dtype: str, repeat: Path | None = None) -> Dataset:
    """A published CSV with columns m,n,k,time_us and perhaps power_w, layout tn; ``repeat`` is a second campaign."""
    rows = _csv(path)
    keys = [(int(row["m"]), int(row["n"]), int(row["k"])) for row in rows]
    m, n, k = (np.array([key[index] for key in keys], float) for index in range(3))
    targets = {"hot": np.array([float(row["time_us"]) for row in rows]) * 1e-6}
    if rows and "power_w" in rows[0]:
        targets["power"] = np.array([float(row["power_w"]) for row in rows])
    again = (
        {(int(r["m"]), int(r["n"]), int(r["k"])): float(r["time_us"]) * 1e-6 for r in _csv(repeat)} if repeat else {}
    )
    pairs = [(time, again[key]) for key, time in zip(keys, targets["hot"].tolist(), strict=True) if key in again]
    twice = {"hot": np.array(pairs).reshape(-1, 2)}
    return Dataset(dtype, m, n, k, np.zeros(len(m)), targets, twice, np.full(len(m), "", np.str_))


def _csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise GpuprobeError(f"cannot read {path}: {error}", "check --reference FOLDER") from error
    if not rows or not {"m", "n", "k", "time_us"} <= rows[0].keys():
        raise GpuprobeError(f"{path} has no rows of m,n,k,time_us", "check --reference FOLDER")
    return rows
