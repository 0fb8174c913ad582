"""Predictions in bulk: CSV in and out, columns and row order kept; and one JSON query a line for tuners."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.gemm import DTYPES, LAYOUTS
from gpuprobe.predict import csv_file
from gpuprobe.predict.predictor import COLUMNS, Predictor

_AT_ONCE: Final = 50_000
_FORM: Final = "write a header m,n,k[,dtype,layout] and one GEMM a line, sizes as whole numbers from 1 to 2147483647"


@dataclass(frozen=True)
class Queries:
    """The rows of a CSV: its header, its cells as they are, and what they ask."""

    header: list[str]
    cells: list[list[str]]
    sizes: NDArray[np.int64]
    kinds: list[tuple[str, str]]


def read_queries(path: Path, dtype: str, layout: str) -> Queries:
    """Every row of a CSV, checked before anything is predicted; GpuprobeError names the first bad line.

    ``dtype`` and ``layout`` stand in where the file has no such column. Blank lines are passed over.
    """
    table = csv_file.read(path, "mnk", COLUMNS, _FORM)
    sizes = [table.whole(name) for name in "mnk"]
    kinds = list(zip(table.column("dtype", dtype), table.column("layout", layout), strict=True))
    for line, kind in zip(table.lines, kinds, strict=True):
        if kind[0] not in DTYPES or kind[1] not in LAYOUTS:
            raise table.bad(
                line,
                f"type '{csv_file.short(kind[0])}', layout '{csv_file.short(kind[1])}'",
                f"types: {', '.join(DTYPES)}; layouts: {', '.join(LAYOUTS)}",
            )
    return Queries(table.header, table.cells, np.array(sizes, np.int64).T.reshape(-1, 3), kinds)


def write_predictions(predictor: Predictor, queries: Queries, path: Path) -> None:
    """The CSV with COLUMNS after its own, in the same order, whole or not at all."""
    rows = (row for block in _rows(predictor, queries) for row in block)
    csv_file.write(path, [*queries.header, *COLUMNS], rows)


def _rows(predictor: Predictor, queries: Queries) -> Iterator[list[list[str]]]:
    for start in range(0, len(queries.cells), _AT_ONCE):
        stop = min(start + _AT_ONCE, len(queries.cells))
        columns = _texts(predictor, queries.sizes[start:stop], queries.kinds[start:stop])
        added = zip(*columns, strict=True)
        yield [[*cells, *more] for cells, more in zip(queries.cells[start:stop], added, strict=True)]


def _texts(predictor: Predictor, sizes: NDArray[np.int64], kinds: Sequence[tuple[str, str]]) -> list[list[str]]:
    """COLUMNS of some rows as texts: numbers to six digits."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, kind in enumerate(kinds):
        groups[kind].append(index)
    texts = [[""] * len(kinds) for _ in COLUMNS]
    for (dtype, layout), members in groups.items():
        answer = predictor.gemm_many(sizes[members], dtype, layout)
        for column, name in zip(texts, COLUMNS, strict=True):
            for index, value in zip(members, answer[name].tolist(), strict=True):
                column[index] = csv_file.text_of(value)
    return texts


def answers(predictor: Predictor, lines: Iterable[str], dtype: str, layout: str) -> Iterator[dict[str, Any]]:
    """An answer per line of JSON: the prediction, or ``error`` and ``hint`` where the line asks nothing sensible.

    A key ``id`` comes back with the answer. Blank lines are passed over.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _answer(predictor, number, line, dtype, layout)


def _answer(predictor: Predictor, number: int, line: str, dtype: str, layout: str) -> dict[str, Any]:
    named: dict[str, Any] = {}
    try:
        query = _query(line)
        named = {"id": query["id"]} if "id" in query else {}
        m, n, k = (query[name] for name in "mnk")
        prediction = predictor.gemm(m, n, k, query.get("dtype", dtype), query.get("layout", layout))
    except GpuprobeError as error:
        return {**named, "line": number, "error": error.message, "hint": error.hint}
    return {**named, **prediction.document()}


def _query(line: str) -> Mapping[str, Any]:
    hint = 'write {"m": 4096, "n": 4096, "k": 4096, "dtype": "bf16", "layout": "tn"}'
    try:
        query = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise GpuprobeError(f"not JSON: {error}", hint) from error
    if not isinstance(query, dict):
        raise GpuprobeError("not a JSON object", hint)
    unknown = sorted(query.keys() - {"m", "n", "k", "dtype", "layout", "id"})
    missing = [name for name in "mnk" if name not in query]
    if unknown or missing:
        raise GpuprobeError(f"unknown or missing keys: {', '.join([*unknown, *missing])}", hint)
    for name in ("dtype", "layout"):
        if not isinstance(query.get(name, ""), str):
            raise GpuprobeError(f"{name} is no text", hint)
    for name in "mnk":
        if isinstance(query[name], bool):
            raise GpuprobeError(f"GEMM dimension {name} is no number", hint)
    return query
