"""Rebuilding the shipped models of tiled kernels from models/data, with their cards; deterministic to the bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpuprobe import device, resources
from gpuprobe.errors import GpuprobeError
from gpuprobe.files import write_atomically
from gpuprobe.ops.tiling import FORMS
from gpuprobe.predict.errors_of import summary
from gpuprobe.tune import data, fitting, model
from gpuprobe.tune.data import Measured
from gpuprobe.tune.fitting import Judged
from gpuprobe.tune.predictor import FILE

Say = Callable[[str], None]
_PROTOCOL = "hot: CUDA graph of back-to-back launches on one operand set, at boost clock; operands standard normal"


@dataclass(frozen=True)
class TileJob:
    """A device and the sweeps of tiled kernels measured on it."""

    device: str
    files: tuple[Path, ...]


def jobs(devices: Sequence[str]) -> Iterator[TileJob]:
    """What there is to fit for the devices named (none: all)."""
    wanted = {device.load(name).name for name in devices}
    for folder in sorted(path for path in (resources.folder("models") / "data").glob("*") if path.is_dir()):
        files = tuple(sorted(folder.glob("tiles-*.jsonl.gz")))
        if files and (not wanted or folder.name in wanted):
            yield TileJob(folder.name, files)


def train(job: TileJob, folder: Path, say: Say) -> tuple[str, Path]:
    """Fit a device's model, write it and its entry in the device's card below ``folder``; its model_id and path."""
    swept = data.read(job.files)
    measured = fitting.undisturbed(swept, job.device)
    judged = fitting.cross_validate(measured, job.device, lambda text: say(f"{job.device} kernels: {text}"))
    path = folder / job.device / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    model_id = model.write(path, job.device, fitting.fit(measured, job.device, judged), judged.band)
    _write_card(path.with_name("card.json"), model_id, measured, judged, len(swept) - len(measured))
    return model_id, path


def tables(measured: Measured, judged: Judged) -> Iterator[dict[str, Any]]:
    """Ranking and errors by form and type, of GEMMs that the model which predicted them had not seen."""
    for index, form in enumerate(FORMS):
        for dtype in sorted(set(measured.dtype.tolist())):
            mask = (measured.work.form == index) & (measured.dtype == dtype)
            if mask.any():
                ranking = fitting.ranking(measured.time_s[mask], judged.predicted_s[mask], measured.gemm[mask])
                yield {
                    "kernel": form,
                    "dtype": dtype,
                    "rows": int(mask.sum()),
                    **{name: round(float(value), 4) for name, value in ranking._asdict().items()},
                    "ape_percent": [round(value, 2) for value in summary(judged.errors[mask])],
                }


def _write_card(path: Path, model_id: str, measured: Measured, judged: Judged, disturbed: int) -> None:
    card: dict[str, Any] = {"schema": 1, "device": path.parent.name, "models": {}}
    if path.is_file():
        try:
            card = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise GpuprobeError(f"{path} is no model card: {error}", f"delete {path} and train again") from error
    inside = (judged.errors >= judged.band[0] * judged.spreads) & (judged.errors <= judged.band[1] * judged.spreads)
    width = np.exp(judged.band[1] * judged.spreads) - np.exp(judged.band[0] * judged.spreads)
    card["kernels"] = {
        "model_id": model_id,
        "file": FILE,
        "licence": "Apache-2.0, measured by this project",
        "protocol": _PROTOCOL,
        "judged": (
            f"{fitting.FOLDS} folds of whole GEMMs; loss: time of the best of the first k predicted over the best "
            "measured, geometric mean; absolute percentage errors as median / mean / 90th percentile"
        ),
        "rows_disturbed": disturbed,
        "noise_percent": round(100 * float(np.median(measured.spread)), 2),
        "interval_coverage": round(float(inside.mean()), 3),
        "interval_median_width": round(float(np.median(width)), 3),
        "classes": list(tables(measured, judged)),
    }
    write_atomically(path, (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode())
