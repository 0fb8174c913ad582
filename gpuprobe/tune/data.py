"""Measured configurations to learn from: the journal of ``gpuprobe sweep kernel``, as columns."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.tiling import FORMS, INPUT_BYTES, Tiling, input_bytes
from gpuprobe.tune.tiled import Work

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """Configurations that ran, a row each: work, type, time in s, relative spread of its samples, index of its GEMM."""

    work: Work
    dtype: NDArray[np.str_]
    time_s: Array
    spread: Array
    gemm: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time_s)

    def rows(self, mask: NDArray[np.bool_]) -> Measured:
        """The rows of a mask."""
        return Measured(self.work.rows(mask), self.dtype[mask], self.time_s[mask], self.spread[mask], self.gemm[mask])

    def folds(self, count: int) -> NDArray[np.int64]:
        """Fold of each row, by its whole GEMM: no GEMM is in two folds, in whatever form and type."""
        sizes = zip(*(column.astype(int).tolist() for column in self.work[:3]), strict=True)
        return np.array([zlib.crc32(f"{m},{n},{k}".encode()) % count for m, n, k in sizes])


def read(paths: Iterable[Path]) -> Measured:
    """The rows of journals (.jsonl or .jsonl.gz) that have a time; GpuprobeError where a file is no such journal."""
    rows: list[tuple[float, ...]] = []
    dtypes: list[str] = []
    count = 0
    for path in paths:
        for record in records(path, "row"):
            try:
                found = _rows(record, count)
            except (KeyError, TypeError, ValueError) as error:
                raise GpuprobeError(
                    f"{path} is no sweep of kernels: {error}", "make one with: gpuprobe sweep kernel"
                ) from error
            rows += found
            dtypes += [record["dtype"]] * len(found)
            count += 1
    if not rows:
        raise GpuprobeError("the sweeps hold no measured configuration", "make one with: gpuprobe sweep kernel")
    columns = np.array(rows, np.float64).T
    return Measured(
        Work(*columns[:11]), np.array(dtypes), columns[11] * 1e-6, columns[12], columns[13].astype(np.int64)
    )


def records(path: Path, kind: str) -> list[dict[str, Any]]:
    """The records of a kind in a journal: "session" (what measured, and how) or "row" (a GEMM)."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.name.endswith(".gz") else data).decode()
        return [record for record in map(json.loads, text.splitlines()) if record["kind"] == kind]
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise GpuprobeError(f"cannot read {path}: {error}", "make one with: gpuprobe sweep kernel") from error


def _rows(record: dict[str, Any], gemm: int) -> list[tuple[float, ...]]:
    names = record["columns"]
    found: list[tuple[float, ...]] = []
    for values in record["rows"]:
        row = dict(zip(names, values, strict=True))
        if not row["error"]:
            tiling = Tiling(*(int(row[name]) for name in Tiling._fields))
            sizes = (record["m"], record["n"], record["k"], INPUT_BYTES[record["dtype"]], FORMS.index(record["form"]))
            found.append((*sizes, *tiling, row["time_us"], row["spread"], gemm))
    return found


def work_of(m: int, n: int, k: int, dtype: str, form: str, tilings: Sequence[Sequence[int]] | NDArray[Any]) -> Work:
    """One GEMM in many configurations; GpuprobeError where a size, type, form or configuration is none."""
    if form not in FORMS:
        raise GpuprobeError(f"unknown kernel '{form}'", f"use one of: {', '.join(FORMS)}")
    if min(m, n, k) < 1:
        raise GpuprobeError(f"{m}×{n}×{k} is no GEMM", "give m, n and k from 1")
    table = np.asarray(tilings, np.float64)
    if table.ndim != 2 or table.shape[1] != len(Tiling._fields) or not (table >= 1).all():
        raise GpuprobeError(
            f"the configurations are an array of shape {table.shape}, not rows of {', '.join(Tiling._fields)}",
            "give whole numbers from 1",
        )
    same = [np.full(len(table), float(value)) for value in (m, n, k, input_bytes(dtype), FORMS.index(form))]
    return Work(*same, *np.ascontiguousarray(table.T))
