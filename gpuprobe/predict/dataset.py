"""Measured GEMM times to train on: the project's Parquet of a sweep, and CSV of published data, as plain columns."""

from __future__ import annotations

import csv
import zlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.ops.gemm import DTYPES, LAYOUTS

Array = NDArray[np.float64]

_ALIGNED: Final = 8  # elements: n and k that are multiples of it run on the libraries' main kernels


@dataclass(frozen=True)
class Dataset:
    """GEMMs of one type, one row each: sizes, layout (1.0 for nn), and per target its value in s or W.

    ``twice`` holds, per target, pairs of timings of the same GEMM: the noise floor. ``kernel`` is the family of the
    library's kernel, empty where not recorded.
    """

    dtype: str
    m: Array
    n: Array
    k: Array
    nn: Array
    targets: Mapping[str, Array]
    twice: Mapping[str, Array]
    kernel: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.m)

    @property
    def ragged(self) -> NDArray[np.bool_]:
        """Whether n or k is no multiple of 8."""
        result: NDArray[np.bool_] = (self.n % _ALIGNED != 0) | (self.k % _ALIGNED != 0)
        return result

    @property
    def layouts(self) -> tuple[str, ...]:
        """Layouts that occur."""
        return tuple(name for index, name in enumerate(LAYOUTS) if (self.nn == index).any())

    def where(self, mask: NDArray[np.bool_]) -> Dataset:
        """The rows of a mask."""
        targets = {name: values[mask] for name, values in self.targets.items()}
        return replace(
            self, m=self.m[mask], n=self.n[mask], k=self.k[mask], nn=self.nn[mask], targets=targets,
            kernel=self.kernel[mask],
        )  # fmt: skip

    def folds(self, count: int) -> NDArray[np.int64]:
        """Fold of each row, by its whole (n, k) pair: no pair is in two folds."""
        pairs = zip(self.n.astype(int).tolist(), self.k.astype(int).tolist(), strict=True)
        return np.array([zlib.crc32(f"{n},{k}".encode()) % count for n, k in pairs])


def is_ragged(n: int, k: int) -> bool:
    """Whether a GEMM is of the ragged class: n or k no multiple of 8."""
    return n % _ALIGNED != 0 or k % _ALIGNED != 0


def read_sweep(path: Path) -> list[Dataset]:
    """The data sets of a sweep's Parquet, one per type in it; hot and cold joined, repetitions kept apart as noise."""
    try:
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError as error:
        raise GpuprobeError(
            "training reads Parquet through pyarrow", "pip install pyarrow", Exit.MACHINE_LACKS
        ) from error
    names = ["m", "n", "k", "dtype", "layout", "regime", "time_us", "error", "family_of_kernel"]
    try:
        table = parquet.read_table(path, columns=names).to_pydict()
    except (OSError, ValueError) as error:
        raise GpuprobeError(f"cannot read {path}: {error}", "pass a Parquet of gpuprobe sweep gemm") from error
    timings: dict[tuple[int, int, int, str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    kernels: dict[tuple[int, int, int, str, str], str] = {}
    for m, n, k, dtype, layout, regime, time_us, failure, kernel in zip(*(table[name] for name in names), strict=True):
        if not failure and time_us:
            timings[m, n, k, dtype, layout][regime].append(time_us * 1e-6)
            kernels[m, n, k, dtype, layout] = kernel or ""
    return [_sweep(dtype, timings, kernels) for dtype in DTYPES if any(key[3] == dtype for key in timings)]


def _sweep(dtype: str, timings: Mapping[Any, Mapping[str, list[float]]], kernels: Mapping[Any, str]) -> Dataset:
    regimes = ("hot", "cold")
    keys = [key for key, timed in timings.items() if key[3] == dtype and all(timed.get(regime) for regime in regimes)]
    m, n, k = (np.array([key[index] for key in keys], float) for index in range(3))
    twice = {
        regime: np.array([timings[key][regime][:2] for key in keys if len(timings[key][regime]) > 1]).reshape(-1, 2)
        for regime in regimes
    }
    targets = {regime: np.array([np.median(timings[key][regime]) for key in keys]) for regime in regimes}
    nn = np.array([float(LAYOUTS.index(key[4])) for key in keys])
    return Dataset(dtype, m, n, k, nn, targets, twice, np.array([kernels[key] for key in keys], np.str_))


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
