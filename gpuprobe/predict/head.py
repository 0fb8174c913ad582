"""One fitted model: GEMMs of one type and alignment class on one GPU by one protocol; core, residual, bands, domain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.ops.gemm import DTYPES, LAYOUTS
from gpuprobe.predict import forest as forests
from gpuprobe.predict import intervals
from gpuprobe.predict.arithmetic import ARRAY, SCALAR, Arithmetic, Value
from gpuprobe.predict.core import BOUNDS, Core, Problem, Rates, bound, core, rates
from gpuprobe.predict.features import NAMES, features
from gpuprobe.predict.forest import Forest
from gpuprobe.predict.machine import Machine
from gpuprobe.predict.machine import from_document as machine_from_document
from gpuprobe.predict.power import core_power_w

TARGETS: Final = ("hot", "cold", "power")
RANGED: Final = ("log_m", "log_n", "log_k", "log_flop", "log_bytes")
"""Features whose training range is the domain."""
_LOG_CORE: Final = NAMES.index("log_core")  # followed by the shares of DRAM and of the matrix units
_LOG_10_US: Final = math.log(1e-5)
_RANGED_AT: Final = tuple(NAMES.index(name) for name in RANGED)
WIDER_PER_LOG: Final = 0.5  # an interval outside the domain grows so much (of its width) per unit of log distance
OUTSIDE_SPREAD: Final = 0.15  # least log half-width outside the domain


class Answer(NamedTuple):
    """What a head says of one GEMM: (value, low, high) of each target, in s or W; its bound; whether it knows."""

    values: dict[str, tuple[float, float, float]]
    bound: str
    in_domain: bool
    problem: Problem
    parts: Core


@dataclass(frozen=True)
class Head:
    """A fitted model of one class of GEMMs.

    ``forest`` gives log(measured / core) of each target, then the log of each target's spread; ``bands`` hold, per
    target and regime, the quantiles of error / spread; ``ranges`` the training range of each feature of RANGED;
    ``correction``, where there is one, the factors of ``correction_terms`` that measured rows call for.
    """

    dtype: str
    ragged: bool
    layouts: tuple[str, ...]
    targets: tuple[str, ...]
    protocol: str
    machine: Machine
    forest: Forest
    bands: list[list[list[float]]]
    ranges: tuple[tuple[float, float], ...]
    correction: tuple[float, ...] = ()
    rates: Rates = field(init=False)
    element_bytes: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        dtype = DTYPES[self.dtype]
        object.__setattr__(self, "rates", rates(self.machine, dtype.input_bytes))
        object.__setattr__(self, "element_bytes", (dtype.input_bytes, dtype.output_bytes))

    def one(self, m: int, n: int, k: int, layout: str) -> Answer:
        """The answer for one GEMM."""
        problem = self.problem(float(m), float(n), float(k), float(layout == "nn"))
        parts = core(problem, self.rates, SCALAR)
        row = features(problem, parts, SCALAR)
        outputs = self.forest.one(row)
        regime: int = bound(parts, SCALAR)
        outside = self._outside(row)
        count = len(self.targets)
        if self.correction:
            self._correct(outputs, row)
        values = {}
        for index, target in enumerate(self.targets):
            value = self._core_value(target, problem, parts, SCALAR) * math.exp(outputs[index])
            low, high = self.bands[index][regime]
            spread = math.exp(outputs[count + index])
            down, up = low * spread, high * spread
            if outside > 0:
                down, up = _widened(down, outside), _widened(up, outside)
            values[target] = (value, value * math.exp(down), value * math.exp(up))
        in_domain = outside == 0 and layout in self.layouts
        return Answer(values, BOUNDS[regime], in_domain, problem, parts)

    def many(
        self, m: NDArray[np.float64], n: NDArray[np.float64], k: NDArray[np.float64], nn: NDArray[np.float64]
    ) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64], NDArray[np.bool_]]:
        """Per target (rows, 3) of value, low, high; index in BOUNDS; whether in the domain."""
        problem = self.problem(m, n, k, nn)
        parts = core(problem, self.rates, ARRAY)
        columns = features(problem, parts, ARRAY)
        outputs = self.forest.many(columns)
        if self.correction:
            self._correct(outputs.T, columns)
        regimes: NDArray[np.int64] = bound(parts, ARRAY)
        outside = self._outside_many(columns)
        values = {}
        for index, target in enumerate(self.targets):
            value = self._core_value(target, problem, parts, ARRAY) * np.exp(outputs[:, index])
            ends = np.array(self.bands[index])[regimes] * np.exp(outputs[:, len(self.targets) + index, None])
            is_out = outside[:, None] > 0
            wide = (np.abs(ends) + OUTSIDE_SPREAD) * (1 + WIDER_PER_LOG * outside[:, None]) * np.array([-1.0, 1.0])
            ends = np.where(is_out, wide, ends)
            values[target] = np.column_stack([value, value[:, None] * np.exp(ends)])
        known = np.array([layout in self.layouts for layout in LAYOUTS])[nn.astype(np.int64)]
        return values, regimes, (outside == 0) & known

    def problem(self, m: Value, n: Value, k: Value, nn: Value) -> Problem:
        """The sizes with the bytes of this head's type."""
        return Problem(m, n, k, self.element_bytes[0], self.element_bytes[1], nn)

    def _core_value(self, target: str, problem: Problem, parts: Core, ops: Arithmetic) -> Value:
        return core_power_w(problem, parts, self.machine, ops) if target == "power" else parts.time_s

    def _correct(self, outputs: Any, row: list[Value]) -> None:
        """Add the correction to the outputs of the times, in place; ``outputs`` has one entry (or row) per output."""
        shift = sum(factor * term for factor, term in zip(self.correction, correction_terms(row), strict=True))
        for index, target in enumerate(self.targets):
            if target != "power":
                outputs[index] += shift

    def _outside(self, row: list[float]) -> float:
        """Sum of the distances (in logs) to the training range; 0 inside."""
        distance = 0.0
        for at, (low, high) in zip(_RANGED_AT, self.ranges, strict=True):
            value = row[at]
            if value < low:
                distance += low - value
            elif value > high:
                distance += value - high
        return distance

    def _outside_many(self, columns: list[Value]) -> NDArray[np.float64]:
        distance = np.zeros(len(columns[0]))
        for at, (low, high) in zip(_RANGED_AT, self.ranges, strict=True):
            distance += np.maximum(low - columns[at], 0) + np.maximum(columns[at] - high, 0)
        return distance

    def document(self) -> dict[str, Any]:
        """Everything but the forest, as a JSON object."""
        return {
            "dtype": self.dtype, "ragged": self.ragged, "layouts": list(self.layouts), "targets": list(self.targets),
            "protocol": self.protocol, "machine": self.machine.document(), "bands": self.bands,
            "ranges": dict(zip(RANGED, self.ranges, strict=True)), "features": list(NAMES),
        }  # fmt: skip


def correction_terms(row: list[Value]) -> tuple[Value, ...]:
    """What a correction is linear in: 1, logs of the core's time over 10 µs and of its DRAM and matrix shares."""
    return (1.0, row[_LOG_CORE] - _LOG_10_US, row[_LOG_CORE + 1], row[_LOG_CORE + 2])


def _widened(end: float, outside: float) -> float:
    """An end of an interval in logs, for a GEMM that lies ``outside`` the domain by so much."""
    return math.copysign((abs(end) + OUTSIDE_SPREAD) * (1 + WIDER_PER_LOG * outside), end)


def from_document(document: Mapping[str, Any], arrays: Mapping[str, NDArray[np.generic]], prefix: str) -> Head:
    """A head from its JSON object and arrays; KeyError, TypeError or ValueError where they are none."""
    if tuple(document["features"]) != NAMES:
        raise ValueError("it was fitted on other features")
    targets = tuple(document["targets"])
    if document["dtype"] not in DTYPES or not targets or not set(targets) <= set(TARGETS) or "hot" not in targets:
        raise ValueError("its type or targets are unknown")
    ranges = tuple((float(document["ranges"][name][0]), float(document["ranges"][name][1])) for name in RANGED)
    if not all(math.isfinite(low) and math.isfinite(high) and low <= high for low, high in ranges):
        raise ValueError("its domain is damaged")
    return Head(
        dtype=document["dtype"],
        ragged=bool(document["ragged"]),
        layouts=tuple(document["layouts"]),
        targets=targets,
        protocol=str(document["protocol"]),
        machine=machine_from_document(document["machine"]),
        forest=forests.from_arrays(arrays, prefix, len(NAMES), 2 * len(targets)),
        bands=intervals.checked(document["bands"], len(targets)),
        ranges=ranges,
    )
