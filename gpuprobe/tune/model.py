"""A fitted model of tiled kernels on one device: the analytic core, a forest on its residual, 90 % intervals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe import device
from gpuprobe.predict import archive
from gpuprobe.predict import forest as forests
from gpuprobe.predict.forest import Forest
from gpuprobe.predict.machine import Machine, machine
from gpuprobe.tune.tiled import NAMES, Work, core, features

Array = NDArray[np.float64]

KIND: Final = "gpuprobe-tiles"
ANALYTIC_BAND: Final = (-0.9, 0.9)  # log; what the bare core misses on an H100, 5th to 95th percentile


@dataclass(frozen=True)
class Times:
    """Predicted time of each configuration and the ends of its 90 % interval, in s."""

    time_s: Array
    low_s: Array
    high_s: Array


@dataclass(frozen=True)
class KernelModel:
    """``forest`` gives log(measured / core) and the log of its error's size; ``band`` quantiles of error / size.

    Without a forest it is the bare core. ``trained_on`` is the device whose configurations it learned from.
    """

    device: str
    trained_on: str
    model_id: str
    forest: Forest | None
    band: tuple[float, float] = ANALYTIC_BAND

    def times(self, work: Work, dtype: str) -> Times:
        """Times of configurations of one type."""
        spec = machine(device.load(self.device), dtype)
        parts = core(work, spec)
        if self.forest is None:
            residual, size = np.zeros(len(parts.time_s)), np.ones(len(parts.time_s))
        else:
            outputs = self.forest.many(features(work, parts, spec))
            residual, size = outputs[:, 0], np.exp(outputs[:, 1])
        time_s = parts.time_s * np.exp(residual)
        return Times(time_s, time_s * np.exp(self.band[0] * size), time_s * np.exp(self.band[1] * size))


def seen(work: Work, dtypes: NDArray[np.str_], name: str) -> tuple[list[Array], Array]:
    """Features (columns) and core times in s of rows of mixed types on the device ``name``."""
    columns = [np.empty(len(dtypes)) for _ in NAMES]
    time_s = np.empty(len(dtypes))
    for dtype in sorted(set(dtypes.tolist())):
        mask = dtypes == dtype
        spec: Machine = machine(device.load(name), dtype)
        parts = core(work.rows(mask), spec)
        time_s[mask] = parts.time_s
        for column, values in zip(columns, features(work.rows(mask), parts, spec), strict=True):
            column[mask] = values
    return columns, time_s


def write(path: Path, name: str, forest: Forest, band: tuple[float, float]) -> str:
    """Write the model of a device; gives its model_id."""
    header = {"device": name, "features": list(NAMES), "band": list(band)}
    return _model_id(name, archive.write(path, KIND, header, forest.arrays("0")))


def read(path: Path, use_for: str | None = None) -> KernelModel:
    """The model in a file, for its own device or, zero-shot, for ``use_for``; GpuprobeError where it is none."""
    header, arrays = archive.read(path, KIND)
    try:
        if tuple(header["features"]) != NAMES:
            raise ValueError("it was fitted on other features")
        low, high = (float(end) for end in header["band"])
        if not low <= 0 <= high:
            raise ValueError("its interval does not hold its own value")
        forest = forests.from_arrays(arrays, "0", len(NAMES), 2)
        name = str(header["device"])
    except archive.DAMAGE as error:
        raise archive.unreadable(path, str(error)) from error
    return KernelModel(use_for or name, name, _model_id(name, header["digest"]), forest, (low, high))


def _model_id(name: str, digest: str) -> str:
    return f"tiles-{name}-{digest[:12]}"
