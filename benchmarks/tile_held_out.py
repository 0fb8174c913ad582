"""A GPU's sweeps of tiled kernels, each GEMM predicted by a model that has not seen it; kept in a file where asked.

``shipped`` reads the sweeps that no model is trained on, and lets the shipped model predict them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gpuprobe import resources
from gpuprobe.tune import KernelPredictor, data, fitting
from gpuprobe.tune.model import Times


def options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Adds --gpu, and --predicted: a file that keeps the predictions, which take minutes to make."""
    parser.add_argument("--gpu", default="h100-sxm")
    parser.add_argument("--predicted", type=Path, metavar="FILE.npz")
    return parser


def predicted(gpu: str, path: Path | None) -> tuple[data.Measured, fitting.Judged]:
    """What was measured on ``gpu`` (without disturbed launches), and the predictions of five folds of whole GEMMs."""
    swept = data.read(sorted((resources.folder("models") / "data" / gpu).glob("tiles-*.jsonl.gz")))
    measured = fitting.undisturbed(swept, gpu)
    if path is not None and path.is_file():
        kept = np.load(path)
        return measured, fitting.Judged(kept["errors"], kept["spreads"], tuple(kept["band"]), kept["predicted_s"])
    judged = fitting.cross_validate(measured, gpu, lambda text: print(text, file=sys.stderr))
    if path is not None:
        np.savez(path, **vars(judged))
    return measured, judged


def shipped(gpu: str, journals: Sequence[Path] = ()) -> tuple[data.Measured, Times]:
    """What was measured in ``journals``, else in models/data/GPU/held-out-*, and what the shipped model says of it."""
    folder = resources.folder("models") / "data" / gpu
    measured = data.read(journals or sorted(folder.glob("held-out-*.jsonl.gz")))
    columns = np.empty((3, len(measured)))
    for dtype in np.unique(measured.dtype):
        mask = measured.dtype == dtype
        times = KernelPredictor.load(gpu).work_times(measured.work.rows(mask), str(dtype))
        columns[:, mask] = times.time_s, times.low_s, times.high_s
    return measured, Times(*columns)
