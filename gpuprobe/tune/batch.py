"""Configurations predicted in bulk: a CSV in, its columns and more out; and one JSON question a line for tuners."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.tiling import FORMS, INPUT_BYTES
from gpuprobe.ops.tiling import read as read_tiling
from gpuprobe.predict import csv_file
from gpuprobe.tune.predictor import KernelPredictor
from gpuprobe.tune.tiled import Work, is_valid

COLUMNS: Final = ("us", "us_low", "us_high", "valid")
"""Columns that predictions add: time and the ends of its 90 % interval in µs; whether it can be launched."""
_NAMES: Final = ("m", "n", "k", "BM", "BN", "BK", "GM", "warps", "stages")
_FORM: Final = "write a header m,n,k[,dtype],BM,BN,BK,GM,warps,stages and one configuration a line"
_QUESTION: Final = 'write {"m": 4096, "n": 4096, "k": 4096, "configs": [[128, 256, 64, 8, 8, 3]]}'
_LARGEST: Final = 2**31 - 1


def predict(predictor: KernelPredictor, source: Path, target: Path, dtype: str) -> int:
    """Predict every row of ``source`` into ``target``; ``dtype`` where it has no such column. Gives the rows."""
    table = csv_file.read(source, _NAMES, COLUMNS, _FORM)
    columns = {name: np.array(table.whole(name), np.float64) for name in _NAMES}
    dtypes = np.array(table.column("dtype", dtype), np.str_)
    for line, name in zip(table.lines, dtypes.tolist(), strict=True):
        if name not in INPUT_BYTES:
            raise table.bad(line, f"type '{csv_file.short(name)}'", f"types: {', '.join(INPUT_BYTES)}")
    answers = _answers(predictor, columns, dtypes)
    rows = ([*cells, *more] for cells, more in zip(table.cells, answers, strict=True))
    csv_file.write(target, [*table.header, *COLUMNS], rows)
    return len(table.cells)


def _answers(
    predictor: KernelPredictor, columns: dict[str, NDArray[np.float64]], dtypes: NDArray[np.str_]
) -> Iterator[list[str]]:
    count = len(dtypes)
    us, low, high, valid = (np.empty(count) for _ in COLUMNS)
    sizes, tiling = (columns[name] for name in "mnk"), [columns[name] for name in _NAMES[3:]]
    m, n, k = sizes
    for dtype in sorted(set(dtypes.tolist())):
        mask = dtypes == dtype
        same = [np.full(count, float(value)) for value in (INPUT_BYTES[dtype], FORMS.index(predictor.kernel))]
        work = Work(m, n, k, *same, *tiling).rows(mask)
        times = predictor.work_times(work, dtype)
        us[mask], low[mask], high[mask] = times.time_s * 1e6, times.low_s * 1e6, times.high_s * 1e6
        valid[mask] = is_valid(work)
    for row in zip(us.tolist(), low.tolist(), high.tolist(), valid.astype(bool).tolist(), strict=True):
        yield [csv_file.text_of(value) for value in row]


def answers(predictor: KernelPredictor, lines: Iterable[str], dtype: str) -> Iterator[dict[str, Any]]:
    """An answer a line of JSON: columns of its ``configs`` and the place of the best, or ``error`` and ``hint``.

    ``best`` is None where none can be launched. A key ``id`` comes back with the answer. Blank lines are passed over.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _answer(predictor, number, line, dtype)


def _answer(predictor: KernelPredictor, number: int, line: str, dtype: str) -> dict[str, Any]:
    named: dict[str, Any] = {}
    try:
        question = _question(line)
        named = {"id": question["id"]} if "id" in question else {}
        m, n, k = (question[name] for name in "mnk")
        if any(type(size) is not int or not 1 <= size <= _LARGEST for size in (m, n, k)):
            raise GpuprobeError(f"m, n, k = {m}, {n}, {k}", f"give whole numbers from 1 to {_LARGEST}")
        tilings = [read_tiling(one) for one in question["configs"]]
        asked = (m, n, k, tilings, question.get("dtype", dtype))
        times, order = predictor.times(*asked), predictor.rank(*asked)
    except GpuprobeError as error:
        return {**named, "line": number, "error": error.message, "hint": error.hint}
    columns = {"us": times.time_s, "us_low": times.low_s, "us_high": times.high_s}
    return {
        **named,
        **{name: [round(value * 1e6, 4) for value in column.tolist()] for name, column in columns.items()},
        "valid": predictor.valid(*asked).tolist(),
        "best": order[0] if order else None,
        "in_domain": predictor.in_domain,
    }


def _question(line: str) -> dict[str, Any]:
    try:
        question = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise GpuprobeError(f"not JSON: {error}", _QUESTION) from error
    if not isinstance(question, dict) or not {"m", "n", "k", "configs"} <= question.keys():
        raise GpuprobeError("not an object with m, n, k and configs", _QUESTION)
    configs = question["configs"]
    if not isinstance(configs, list) or not configs or not all(isinstance(one, list) for one in configs):
        raise GpuprobeError("configs is no list of lists", _QUESTION)
    return question
