"""Published tables judged as if their GPU were unknown: by its device file alone, and with a few of its rows measured.

What is learned from other chips' data then leaves out all devices with the GPU's own chip. Tables of GPUs that no model
is trained on are judged too, where the reference folder has them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from gpuprobe import device
from gpuprobe.files import write_atomically
from gpuprobe.ops.gemm import LAYOUTS, Gemm
from gpuprobe.predict import transfer
from gpuprobe.predict.alignment import Alignment
from gpuprobe.predict.calibrate import corrected
from gpuprobe.predict.dataset import Array, Dataset, read_published
from gpuprobe.predict.errors_of import summary
from gpuprobe.predict.evaluate import Row
from gpuprobe.predict.fitting import Say
from gpuprobe.predict.fitting_transfer import Table, grow
from gpuprobe.predict.forest import Forest
from gpuprobe.predict.predictor import Predictor
from gpuprobe.predict.train import AIC, LICENCES, PUBLISHED, VIDUR, Published
from gpuprobe.predict.zero_shot import ZeroShot

NEVER_TRAINED: Final = (
    Published("a40", "vidur", "fp16", f"{VIDUR}/gemm_fp16_a40.csv"),
    Published("b200", "aiconfigurator", "bf16", f"{AIC}/gemm_bf16_b200_sxm.csv"),
)
"""Tables of GPUs without a model; judged where the reference folder has them."""
MEASURED: Final = 16
_DRAWS: Final = 15


def tables(reference: Path) -> list[Table]:
    """The published tables that the folder has, rows of the aligned class."""
    present = [made for made in (*PUBLISHED, *NEVER_TRAINED) if (reference / made.file).is_file()]
    return [_table(reference, made) for made in present]


def learned_from(found: Sequence[Table]) -> list[Table]:
    """The tables that the transfer forest is grown from: those of one source, so that protocols do not mix."""
    never = {table.device for table in NEVER_TRAINED}
    return [table for table in found if table.source == "aiconfigurator" and table.device not in never]


def judged(found: Sequence[Table], devices: Sequence[str], source: str | None, say: Say) -> Iterator[Row]:
    """Errors of the devices named (none: all), by the device file alone and with MEASURED random rows."""
    wanted = {device.load(name).name for name in devices}
    forests: dict[str, Forest] = {}
    for table in found:
        if (wanted and table.device not in wanted) or source not in (None, table.source):
            continue
        say(f"{table.device} {table.source} as if unknown")
        chip = table.chip
        others = [other for other in learned_from(found) if other.chip != chip]
        if not others:
            note = "needs aiconfigurator's tables of other chips in the reference folder"
            yield Row(table.device, table.source, _name(table), "hot", 0, None, note=note)
            continue
        if chip not in forests:
            forests[chip] = grow(others)
        yield from _rows(table, forests[chip])


def train(reference: Path, folder: Path, say: Say) -> tuple[str, Path]:
    """Grow the transfer forest from all its tables, write it and its card below ``folder``; its model_id and path."""
    found = [_table(reference, made) for made in PUBLISHED]
    learned = learned_from(found)
    say("what the core misses on every chip")
    path = folder / transfer.FILE
    model_id = transfer.write(path, grow(learned), [table.device for table in learned])
    card = {
        "schema": 1,
        "model_id": model_id,
        "file": transfer.FILE,
        "licence": LICENCES["aiconfigurator"],
        "devices": [table.device for table in learned],
        "dtypes": list(transfer.DTYPES),
        "judged": "each GPU as if unknown, its chip left out; errors in % as median, mean, 90th percentile",
        "errors": [_entry(row) for row in judged(found, [], None, say)],
    }
    write_atomically(path.with_suffix(".json"), (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode())
    return model_id, path


def _entry(row: Row) -> dict[str, Any]:
    errors, inside, width = row.errors or (), row.coverage or 0.0, row.width or 0.0
    return {
        "device": row.device, "source": row.source, "of": row.group, "rows": row.rows,
        "ape_percent": [round(error, 2) for error in errors],
        "interval_coverage": round(inside, 3), "interval_median_width": round(width, 3),
    }  # fmt: skip


def _table(reference: Path, made: Published) -> Table:
    data = read_published(reference / made.file, made.dtype)
    return Table(made.device, made.source, data.where(data.alignment == Alignment.ALIGNED))


def _name(table: Table) -> str:
    return f"{table.data.dtype} aligned, GPU as if unknown"


def _rows(table: Table, forest: Forest) -> Iterator[Row]:
    predictor = Predictor(table.device, ZeroShot(device.load(table.device), forest))
    name, count = _name(table), len(table.data)
    *errors, inside, width = _judged(predictor, table.data)
    yield Row(table.device, table.source, f"{name}: device file alone", "hot", count, _three(errors), inside, width)
    rng = np.random.default_rng(0)
    draws = [_judged(corrected(predictor, _drawn(table.data, rng)), table.data) for _ in range(_DRAWS)]
    *errors, inside, width = np.mean(draws, axis=0).tolist()
    yield Row(
        table.device, table.source, f"{name}: {MEASURED} random rows", "hot", count, _three(errors), inside, width,
        note=f"mean of {_DRAWS} draws",
    )  # fmt: skip


def _drawn(data: Dataset, rng: np.random.Generator) -> list[tuple[Gemm, float]]:
    """Some rows at random, with their times in s."""
    return [
        (Gemm(int(data.m[row]), int(data.n[row]), int(data.k[row]), data.dtype, LAYOUTS[0]), data.targets["hot"][row])
        for row in rng.choice(len(data), MEASURED, replace=False)
    ]


def _judged(predictor: Predictor, data: Dataset) -> tuple[float, ...]:
    """Median, mean and 90th percentile of the error in %, share inside the intervals, their median relative width."""
    head = predictor.model(data.dtype, LAYOUTS[0], False).head
    value, low, high = head.many(data.m, data.n, data.k, data.nn).values["hot"]
    measured: Array = data.targets["hot"]
    inside = float(((low <= measured) & (measured <= high)).mean())
    return *summary(np.log(measured / value)), inside, float(np.median((high - low) / value))


def _three(errors: Sequence[float]) -> tuple[float, float, float]:
    median, mean, p90 = errors
    return median, mean, p90
