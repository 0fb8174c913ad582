"""Predictions in bulk: CSV in and out, columns and row order kept; and one JSON query a line for tuners."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.ops.gemm import DTYPES, LARGEST_DIMENSION, LAYOUTS
from gpuprobe.predict.predictor import COLUMNS, Predictor

_AT_ONCE: Final = 50_000
_FORM: Final = "write a header m,n,k[,dtype,layout] and one GEMM a line, sizes as whole numbers from 1 to 2147483647"
_LONGEST_SHOWN: Final = 40


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
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _queries(path, csv.reader(file, strict=True), dtype, layout)
    except OSError as error:
        raise GpuprobeError(f"cannot read {path}: {error.strerror or error}", "check the path after --csv") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise GpuprobeError(f"{path} is no CSV: {error}", _FORM) from error


def _queries(path: Path, reader: Any, dtype: str, layout: str) -> Queries:
    header = [name.strip() for name in next(reader, [])]
    _check_header(path, header)
    at = [header.index(name) for name in "mnk"]
    dtype_at, layout_at = (header.index(name) if name in header else None for name in ("dtype", "layout"))
    cells: list[list[str]] = []
    sizes: list[tuple[int, ...]] = []
    kinds: list[tuple[str, str]] = []
    for row in reader:
        if not row:
            continue
        line = reader.line_num
        if len(row) != len(header):
            raise GpuprobeError(f"{path}, line {line}: {len(row)} cells instead of {len(header)}", _FORM)
        sizes.append(tuple(_size(path, line, name, row[place]) for name, place in zip("mnk", at, strict=True)))
        kind = (
            dtype if dtype_at is None else row[dtype_at].strip(),
            layout if layout_at is None else row[layout_at].strip(),
        )
        if kind[0] not in DTYPES or kind[1] not in LAYOUTS:
            raise GpuprobeError(
                f"{path}, line {line}: type '{_short(kind[0])}', layout '{_short(kind[1])}'",
                f"types: {', '.join(DTYPES)}; layouts: {', '.join(LAYOUTS)}",
            )
        kinds.append(kind)
        cells.append(row)
    return Queries(header, cells, np.array(sizes, np.int64).reshape(-1, 3), kinds)


def _check_header(path: Path, header: list[str]) -> None:
    missing = [name for name in "mnk" if name not in header]
    if missing:
        raise GpuprobeError(f"{path} has no column {', '.join(missing)}", _FORM)
    twice = sorted({name for name in header if header.count(name) > 1 or name in COLUMNS})
    if twice:
        raise GpuprobeError(f"{path}: the column {', '.join(twice)} would be there twice", "rename or remove it")


def _size(path: Path, line: int, name: str, text: str) -> int:
    try:
        size = int(text)
    except ValueError:
        raise GpuprobeError(f"{path}, line {line}: {name} = '{_short(text)}' is not a whole number", _FORM) from None
    if not 1 <= size <= LARGEST_DIMENSION:
        raise GpuprobeError(f"{path}, line {line}: {name} = {_short(text)} is out of range", _FORM)
    return size


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def write_predictions(predictor: Predictor, queries: Queries, path: Path) -> None:
    """The CSV with COLUMNS after its own, in the same order, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([*queries.header, *COLUMNS])
                for rows in _rows(predictor, queries):
                    writer.writerows(rows)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise GpuprobeError(
            f"cannot write {path}: {error.strerror or error}", "choose another path with -o", Exit.MACHINE_LACKS
        ) from error


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
                column[index] = _text(value)
    return texts


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


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
