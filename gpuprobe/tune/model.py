"""A fitted model of tiled kernels on one device: the analytic core, a forest on its residual, 90 % intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
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
_Z90: Final = 1.645  # standard deviations from the middle to an end of a normal 90 % interval
_FEW: Final = 100
_KINDS: Final = {"bf16": "bf16", "fp16": "f16", "fp8": "e4m3"}
ANALYTIC_BAND: Final = (-0.9, 0.9)  # log; what the bare core misses on an H100, 5th to 95th percentile


@dataclass(frozen=True)
class Times:
    """Predicted time of each configuration and the ends of its 90 % interval, in s."""

    time_s: Array
    low_s: Array
    high_s: Array

    @property
    def log_sd(self) -> Array:
        """Standard deviation of the log error, were it normal with that interval."""
        sd: Array = np.log(self.high_s / self.low_s) / (2 * _Z90)
        return sd


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
        spec = _machine(self.device, dtype)
        parts = core(work, spec)
        if self.forest is None:
            residual, size = np.zeros(len(parts.time_s)), np.ones(len(parts.time_s))
        else:
            outputs = _outputs(self.forest, features(work, parts, spec))
            residual, size = outputs[:, 0], np.exp(outputs[:, 1])
        time_s = parts.time_s * np.exp(residual)
        return Times(time_s, time_s * np.exp(self.band[0] * size), time_s * np.exp(self.band[1] * size))


@lru_cache(maxsize=64)
def _machine(name: str, dtype: str) -> Machine:
    """A device and type as the core sees them; a file is read once.

    Its clock is none above that at which the stated peak holds: costs in clocks were fitted to a clock that does, and a
    data sheet that gives its highest clock beside the same peak (H200) would make them too cheap.
    """
    spec = device.load(name)
    made = machine(spec, dtype)
    per_clock = device.tensor_fma(spec, _KINDS[dtype])
    if per_clock is None:
        return made
    return replace(made, clock_hz=min(made.clock_hz, made.flop_per_s / (2 * per_clock * made.sm_count)))


def _outputs(forest: Forest, columns: list[Array]) -> Array:
    """Outputs of all rows: tree by tree of many rows, row by row of few, which is 100 times as fast for one."""
    if len(columns[0]) > _FEW:
        return forest.many(columns)
    return np.array([forest.one(row) for row in np.array(columns).T.tolist()]).reshape(-1, 2)


def seen(work: Work, dtypes: NDArray[np.str_], name: str) -> tuple[list[Array], Array]:
    """Features (columns) and core times in s of rows of mixed types on the device ``name``."""
    columns = [np.empty(len(dtypes)) for _ in NAMES]
    time_s = np.empty(len(dtypes))
    for dtype in sorted(set(dtypes.tolist())):
        mask = dtypes == dtype
        spec = _machine(name, dtype)
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
