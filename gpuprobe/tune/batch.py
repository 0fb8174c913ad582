"""Configurations predicted in bulk: a CSV in, its columns and more out; row order kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.ops.tiling import FORMS, INPUT_BYTES
from gpuprobe.predict import csv_file
from gpuprobe.tune.predictor import KernelPredictor
from gpuprobe.tune.tiled import Work, is_valid

COLUMNS: Final = ("us", "us_low", "us_high", "valid")
"""Columns that predictions add: time and the ends of its 90 % interval in µs; whether it can be launched."""
_NAMES: Final = ("m", "n", "k", "BM", "BN", "BK", "GM", "warps", "stages")
_FORM: Final = "write a header m,n,k[,dtype],BM,BN,BK,GM,warps,stages and one configuration a line"


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
