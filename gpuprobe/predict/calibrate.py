"""A few measured rows of a GPU correct its predictions: a Gaussian process on log errors, per type and class."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.gemm import DTYPES, LAYOUTS, Gemm
from gpuprobe.predict.alignment import alignment
from gpuprobe.predict.correction import fitted, places
from gpuprobe.predict.predictor import Model, Predictor

Array = NDArray[np.float64]

_FORM: Final = "write a header m,n,k,dtype,layout,time_us and one measured GEMM a line"
_LONGEST_US: Final = 1e9
_FACTOR: Final = (0.3, 3.0)  # how far the rows may narrow or widen the intervals
_Z90: Final = 1.645


def calibrated(predictor: Predictor, path: Path) -> Predictor:
    """The predictor corrected by the measured rows of a CSV; GpuprobeError names the first bad line."""
    return corrected(predictor, read_rows(path))


def corrected(predictor: Predictor, rows: Sequence[tuple[Gemm, float]]) -> Predictor:
    """The predictor corrected by measured GEMMs and their times in s."""
    groups: dict[tuple[str, int], list[tuple[Gemm, float]]] = defaultdict(list)
    for gemm, time_s in rows:
        groups[gemm.dtype, alignment(gemm.n, gemm.k, gemm.dtype)].append((gemm, time_s))
    return predictor.with_models({key: _corrected(predictor, key, rows) for key, rows in groups.items()})


def read_rows(path: Path) -> list[tuple[Gemm, float]]:
    """GEMMs and their times in s of a CSV m,n,k[,dtype,layout],time_us."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            missing = {"m", "n", "k", "time_us"} - set(reader.fieldnames or ())
            if missing:
                raise GpuprobeError(f"{path} has no column {', '.join(sorted(missing))}", _FORM)
            rows = [_row(path, reader.line_num, row) for row in reader]
    except OSError as error:
        raise GpuprobeError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise GpuprobeError(f"{path} is no CSV: {error}", _FORM) from error
    if not rows:
        raise GpuprobeError(f"{path} has no rows", _FORM)
    return rows


def _row(path: Path, line: int, row: dict[str, str | None]) -> tuple[Gemm, float]:
    try:
        m, n, k = (int(row[name] or "") for name in "mnk")
        time_us = float(row["time_us"] or "")
    except ValueError as error:
        raise GpuprobeError(f"{path}, line {line}: {error}", _FORM) from None
    if not 0 < time_us < _LONGEST_US or not math.isfinite(time_us):
        raise GpuprobeError(f"{path}, line {line}: time_us = {time_us} is no time", _FORM)
    try:
        gemm = Gemm(m, n, k, row.get("dtype") or next(iter(DTYPES)), row.get("layout") or LAYOUTS[0])
    except GpuprobeError as error:
        raise GpuprobeError(f"{path}, line {line}: {error.message}", error.hint) from None
    return gemm, time_us * 1e-6


def _corrected(predictor: Predictor, key: tuple[str, int], rows: list[tuple[Gemm, float]]) -> Model:
    model = predictor.model(key[0], LAYOUTS[0], key[1])
    head = model.head
    answers = [(head.one(gemm.m, gemm.n, gemm.k, gemm.layout), time_s) for gemm, time_s in rows]
    columns = [np.array(column, np.float64) for column in zip(*(answer.row for answer, _ in answers), strict=True)]
    hot = np.array([answer.values["hot"] for answer, _ in answers])
    errors: Array = np.log([time_s for _, time_s in answers] / hot[:, 0])
    widths: Array = np.log(hot[:, 2] / hot[:, 1]) / (2 * _Z90)
    correction, left = fitted(places(columns), errors)
    # as many rows as the prior's weight halve the trust in the rows' own scatter
    scatter = float(np.sqrt((np.sum(left**2) + 4 * np.median(widths) ** 2) / (len(left) + 4)))
    factor = min(max(scatter / float(np.median(widths)), _FACTOR[0]), _FACTOR[1])
    bands = [[[low * factor, high * factor] for low, high in regimes] for regimes in head.bands]
    corrected = replace(
        head, correction=correction, bands=bands,
        protocol=f"{head.protocol}; corrected by {len(rows)} measured rows",
    )  # fmt: skip
    return Model(corrected, f"{model.model_id}+{len(rows)}", model.known)
