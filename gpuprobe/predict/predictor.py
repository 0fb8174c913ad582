"""``Predictor``: time, power and energy of GEMMs on one GPU, by fitted models where there are any, else analytic."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpuprobe import device
from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.gemm import DTYPES, LARGEST_DIMENSION, LAYOUTS
from gpuprobe.predict import artefact, zero_shot
from gpuprobe.predict.alignment import Alignment, alignment, alignments, present
from gpuprobe.predict.arithmetic import ARRAY, SCALAR
from gpuprobe.predict.core import BOUNDS
from gpuprobe.predict.dataset import BLOCKS
from gpuprobe.predict.head import Head
from gpuprobe.predict.power import core_blocks, sustained
from gpuprobe.predict.shipped import artefact_path
from gpuprobe.predict.zero_shot import ANALYTIC

SCHEMA: Final = 1

COLUMNS: Final = (
    "hot_us", "cold_us", "sustained_us", "power_w", "energy_mj", "sm_mhz",
    "hot_us_low", "hot_us_high", "cold_us_low", "cold_us_high", "sustained_us_low", "sustained_us_high",
    "power_w_low", "power_w_high", "bound", "in_domain", "protocol",
)  # fmt: skip
"""Columns of ``gemm_many`` and of a predicted CSV, in order."""
_END: Final = LARGEST_DIMENSION + 1
_EXAMPLE: Final = "give m, n and k as whole numbers from 1 to 2147483647"


class Interval(NamedTuple):
    """A value and the ends of its 90 % interval, in SI units."""

    value: float
    low: float
    high: float


class GemmPrediction(NamedTuple):
    """What is predicted of one GEMM: times in s, power in W, energy per GEMM in J, SM clock in Hz.

    ``sustained``, ``power_w``, ``energy_j`` and ``sm_clock_hz`` come from an analytic power balance unless
    ``sustained_in_domain``; ``in_domain`` speaks of ``hot`` and, where its source measured it, ``cold``.
    """

    m: int
    n: int
    k: int
    dtype: str
    layout: str
    gpu: str
    hot: Interval
    cold: Interval
    sustained: Interval
    power_w: Interval
    energy_j: Interval
    sm_clock_hz: float
    bound: str
    in_domain: bool
    sustained_in_domain: bool
    protocol: str
    model_id: str

    def document(self) -> dict[str, Any]:
        """The JSON document of ``gpuprobe predict gemm --json``."""
        return {
            "schema": SCHEMA,
            "m": self.m, "n": self.n, "k": self.k, "dtype": self.dtype, "layout": self.layout, "gpu": self.gpu,
            "hot": _times(self.hot), "cold": _times(self.cold),
            "sustained": {
                **_times(self.sustained), **_named("power_w", self.power_w), **_named("energy_j", self.energy_j),
                "sm_clock_hz": self.sm_clock_hz, "in_domain": self.sustained_in_domain,
            },
            "bound": self.bound, "in_domain": self.in_domain, "protocol": self.protocol, "model_id": self.model_id,
        }  # fmt: skip


class Model(NamedTuple):
    """What answers for a type and class of alignment: the head, its id, and whether it was fitted to that class."""

    head: Head
    model_id: str
    known: bool


class Predictor:
    """Predictions for one GPU; ``Predictor.load`` makes one by name.

    A type and class of alignment without a fitted model takes the device's model of a type as fast, else the analytic
    path; both are marked ``in_domain=False``.
    """

    def __init__(self, gpu: str, fallback: zero_shot.ZeroShot, artefacts: tuple[artefact.Artefact, ...] = ()) -> None:
        self.gpu = gpu
        self._fallback = fallback
        self._models: dict[tuple[str, int], Model] = {}
        for found in artefacts:
            for head in found.heads:
                self._models.setdefault((head.dtype, head.ragged), Model(head, found.model_id, True))

    @classmethod
    def load(cls, gpu: str, source: str | None = None) -> Self:
        """The predictor of a catalogue's device, or of a device file PATH.toml.

        ``source`` asks for one source's model (``gpuprobe``, ``aiconfigurator``, ``vidur``); by default this project's
        own where there is one, else for each type the first that has it. Without any, predictions are analytic.
        """
        spec = device.load(gpu)
        paths = [] if gpu.endswith(".toml") else artefact_path(spec.name, source)
        artefacts = tuple(map(artefact.read, paths))
        for path, found in zip(paths, artefacts, strict=True):
            if found.device != spec.name:
                raise GpuprobeError(
                    f"{path} is a model of {found.device}, not of {spec.name}", "rebuild it with: gpuprobe train"
                )
        return cls(spec.name, zero_shot.ZeroShot(spec), artefacts)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """The predictor of one artefact file, as ``gpuprobe train -o`` writes it."""
        found = artefact.read(path)
        return cls(found.device, zero_shot.ZeroShot(device.load(found.device)), (found,))

    def gemm(self, m: int, n: int, k: int, dtype: str = "bf16", layout: str = "tn") -> GemmPrediction:
        """The prediction for one GEMM C[m,n] = A[m,k]·B[k,n]."""
        if not (type(m) is type(n) is type(k) is int and 0 < m < _END and 0 < n < _END and 0 < k < _END):
            m, n, k = _size("m", m), _size("n", n), _size("k", k)
        head, model_id, known = self.model(dtype, layout, alignment(n, k, dtype))
        answer = head.one(m, n, k, layout)
        hot = answer.values["hot"]
        cold = answer.values.get("cold") or zero_shot.cold(hot, answer.parts)
        known_blocks = answer.values.get(BLOCKS)
        blocks = known_blocks[0] if known_blocks else core_blocks(answer.problem, head.machine, SCALAR)
        state = sustained(answer.problem, answer.parts, cold[0], blocks, head.machine)
        if head.lasting is not None:
            settled = head.lasting.one(answer.row, answer.parts, state, cold[0], blocks, answer.regime, layout)
        else:
            settled = zero_shot.settled(state, cold, answer.values.get("power"), head.machine, SCALAR)
        energy = zero_shot.energy(settled.power_w, hot if "power" in answer.values else settled.time_s)
        make = tuple.__new__  # a NamedTuple at a third of the cost
        return make(GemmPrediction, (
            m, n, k, dtype, layout, self.gpu, make(Interval, hot), make(Interval, cold),
            make(Interval, settled.time_s), make(Interval, settled.power_w), make(Interval, energy),
            settled.sm_clock_hz, BOUNDS[answer.regime], known and answer.in_domain, known and settled.in_domain,
            head.protocol, model_id,
        ))  # fmt: skip

    def gemm_many(self, sizes: ArrayLike, dtype: str = "bf16", layout: str = "tn") -> dict[str, NDArray[Any]]:
        """The columns of COLUMNS for an array of rows (m, n, k): times in µs, energy in mJ, power in W, clock in MHz.

        GpuprobeError that names the first row (from 0) whose sizes are none.
        """
        table = _sizes(sizes)
        classes = alignments(table[:, 1], table[:, 2], dtype)
        columns = _empty(len(table))
        for found in present(classes):
            mask = classes == found
            for name, values in self._many(table[mask], dtype, layout, found).items():
                columns[name][mask] = values
        if not len(table):
            self.model(dtype, layout, Alignment.ALIGNED)
        return columns

    def _many(self, table: NDArray[np.int64], dtype: str, layout: str, ragged: int) -> dict[str, Any]:
        head, _, known = self.model(dtype, layout, ragged)
        m, n, k = table.T.astype(np.float64)
        nn = np.full(len(table), float(LAYOUTS.index(layout)))
        answer = head.many(m, n, k, nn)
        hot = answer.values["hot"]
        cold = answer.values["cold"] if "cold" in answer.values else zero_shot.cold_many(hot, answer.parts)
        known_blocks = answer.values.get(BLOCKS)
        blocks = known_blocks[0] if known_blocks else core_blocks(answer.problem, head.machine, ARRAY)
        state = sustained(answer.problem, answer.parts, cold[0], blocks, head.machine, ARRAY)
        if head.lasting is not None:
            settled = head.lasting.many(answer.row, answer.parts, state, cold[0], blocks, answer.regime, nn)
        else:
            settled = zero_shot.settled(state, cold, answer.values.get("power"), head.machine, ARRAY)
        energy = zero_shot.energy(settled.power_w, hot if "power" in answer.values else settled.time_s)
        rows: dict[str, Any] = {
            "energy_mj": energy[0] * 1e3, "sm_mhz": settled.sm_clock_hz * 1e-6,
            "bound": np.array(BOUNDS)[answer.regime], "in_domain": answer.in_domain & known, "protocol": head.protocol,
        }  # fmt: skip
        times = {"hot_us": hot, "cold_us": cold, "sustained_us": settled.time_s, "power_w": settled.power_w}
        for name, triple in times.items():
            factor = 1.0 if name == "power_w" else 1e6
            for suffix, column in zip(("", "_low", "_high"), triple, strict=True):
                rows[name + suffix] = column * factor
        return rows

    def model(self, dtype: str, layout: str, ragged: int) -> Model:
        """The model that answers for a type and class of alignment; GpuprobeError for an unknown type or layout."""
        found = self._models.get((dtype, ragged))
        if found is not None and layout in LAYOUTS:
            return found
        if dtype not in DTYPES:
            raise GpuprobeError(f"unknown GEMM type '{dtype}'", f"use one of: {', '.join(DTYPES)}")
        if layout not in LAYOUTS:
            raise GpuprobeError(f"unknown GEMM layout '{layout}'", f"use one of: {', '.join(LAYOUTS)}")
        twin = self._models.get((zero_shot.TWINS.get(dtype, ""), ragged))
        if twin is None:
            made = Model(self._fallback.head(dtype, ragged), f"gemm-{self.gpu}-{ANALYTIC}", False)
        else:
            made = Model(zero_shot.borrowed(twin.head, dtype), twin.model_id, False)
        self._models[dtype, ragged] = made
        return made

    def with_models(self, models: Mapping[tuple[str, int], Model]) -> Predictor:
        """A copy in which these models answer for their types and classes."""
        copy = Predictor(self.gpu, self._fallback)
        copy._models = {**self._models, **models}
        return copy


def _size(name: str, value: int) -> int:
    """A dimension as a whole number within bounds; GpuprobeError otherwise."""
    try:
        size = operator.index(value)
    except TypeError:
        raise GpuprobeError(f"GEMM dimension {name} = {value} is not a whole number", _EXAMPLE) from None
    if not 1 <= size <= LARGEST_DIMENSION:
        raise GpuprobeError(f"GEMM dimension {name} = {size} is out of range", _EXAMPLE)
    return size


def _sizes(sizes: ArrayLike) -> NDArray[np.int64]:
    """The rows (m, n, k) as whole numbers; GpuprobeError names the first bad row."""
    try:
        table = np.asarray(sizes)
    except ValueError as error:
        raise GpuprobeError(f"the sizes are no array of rows (m, n, k): {error}", _EXAMPLE) from error
    if table.size == 0:
        return np.empty((0, 3), np.int64)
    if table.ndim != 2 or table.shape[1] != 3 or table.dtype.kind not in "iuf":
        raise GpuprobeError(
            f"the sizes are an array of shape {table.shape} and type {table.dtype}, not rows of (m, n, k)", _EXAMPLE
        )
    with np.errstate(invalid="ignore"):
        good = (table >= 1) & (table <= LARGEST_DIMENSION) & (table == np.floor(table))
    if not good.all():
        row = int(np.flatnonzero(~good.all(axis=1))[0])
        name = "mnk"[int(np.flatnonzero(~good[row])[0])]
        raise GpuprobeError(f"row {row}: GEMM dimension {name} = {table[row, 'mnk'.index(name)]}", _EXAMPLE)
    return table.astype(np.int64)


def _empty(rows: int) -> dict[str, NDArray[Any]]:
    kinds: Mapping[str, Any] = {"bound": "U8", "in_domain": bool, "protocol": object}
    return {name: np.zeros(rows, kinds.get(name, np.float64)) for name in COLUMNS}


def _times(interval: Interval) -> dict[str, float]:
    return _named("time_s", interval)


def _named(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
