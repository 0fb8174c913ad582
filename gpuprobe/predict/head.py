"""One fitted model: GEMMs of one type and alignment class on one GPU by one protocol; core, residual, bands, domain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.ops.gemm import DTYPES, LAYOUTS
from gpuprobe.predict import domain, intervals
from gpuprobe.predict import forest as forests
from gpuprobe.predict import lasting as sustained_part
from gpuprobe.predict.alignment import Alignment
from gpuprobe.predict.arithmetic import ARRAY, SCALAR, Arithmetic, Value
from gpuprobe.predict.core import Core, Problem, Rates, bound, core, rates
from gpuprobe.predict.correction import Correction
from gpuprobe.predict.dataset import BLOCKS, TIMED
from gpuprobe.predict.domain import RANGED, Ranges
from gpuprobe.predict.features import NAMES, features
from gpuprobe.predict.forest import Forest
from gpuprobe.predict.lasting import Lasting
from gpuprobe.predict.machine import Machine
from gpuprobe.predict.machine import from_document as machine_from_document
from gpuprobe.predict.power import core_blocks, core_power_w
from gpuprobe.predict.quick import bound_of, quick
from gpuprobe.predict.tape import Tape
from gpuprobe.predict.walk import Query

TARGETS: Final = (*TIMED, "power", BLOCKS)


SHARED: Final = "lasting"
"""Prefix of the arrays that heads of an artefact have in common."""


class Answer(NamedTuple):
    """What a head says of one GEMM: (value, low, high) of each target, in s or W; the place of its bound in BOUNDS."""

    values: dict[str, tuple[Value, Value, Value]]
    regime: Value
    in_domain: Value
    problem: Problem
    parts: Core
    row: list[Value]


@dataclass(frozen=True)
class Head:
    """A fitted model of one class of GEMMs; ``ragged`` is its Alignment.

    ``forest`` gives log(measured / core) of each target, then the log of each target's spread; ``bands`` hold, per
    target and regime, the quantiles of error / spread; ``ranges`` the training range of each feature of RANGED;
    ``lasting`` answers for the sustained state where it was measured; ``correction``, where there is one, is
    what measured rows call for. ``warm``: the core takes operands that fit from the L2.
    """

    dtype: str
    ragged: int
    layouts: tuple[str, ...]
    targets: tuple[str, ...]
    protocol: str
    machine: Machine
    forest: Forest
    bands: list[list[list[float]]]
    ranges: Ranges
    lasting: Lasting | None = None
    correction: Correction | None = None
    warm: bool = False
    rates: Rates = field(init=False)
    element_bytes: tuple[int, int] = field(init=False)
    asked: tuple[tuple[int, str, list[list[float]]], ...] = field(init=False)
    """Of each target where its spread stands in the forest's outputs, its name, its bands."""

    def __post_init__(self) -> None:
        dtype = DTYPES[self.dtype]
        object.__setattr__(self, "rates", rates(self.machine, dtype, warm=self.warm))
        object.__setattr__(self, "element_bytes", (dtype.input_bytes, dtype.output_bytes))
        asked = zip(self.targets, self.bands, strict=True)
        places = tuple((at, *rest) for at, rest in enumerate(asked, start=len(self.targets)))
        object.__setattr__(self, "asked", places)

    def __getstate__(self) -> dict[str, Any]:
        """All but the native queries, which are of this process."""
        return {name: value for name, value in vars(self).items() if name != "_query"}

    def one(self, m: int, n: int, k: int, layout: str) -> Answer:
        """The answer for one GEMM."""
        nn = 1.0 if layout == "nn" else 0.0
        element_bytes, exp = self.element_bytes, math.exp
        make = tuple.__new__  # a NamedTuple at a half of the cost
        problem: Problem = make(Problem, (float(m), float(n), float(k), *element_bytes, nn))
        query = self._query if self.forest.walk else None
        if query is None:
            parts, row = quick(m, n, k, nn, self.rates, element_bytes)
            outputs = self.forest.one(row)
            regime = bound_of(parts)
            cores = [self._core_value(target, problem, parts, SCALAR) for target in self.targets]
        else:
            outputs, row, kept = query.numbers(m, n, k, nn)
            time_s, mma_s, l2_s, dram_s, place, *cores = kept
            parts, regime = make(Core, (time_s, mma_s, l2_s, dram_s, self.rates.launch_s, (), (), (), ())), int(place)
        apart = domain.outside(row, self.ranges)
        if self.correction is not None:
            self._correct(outputs, self.correction.at(row))
        values = {}
        for (at, target, bands), output, known in zip(self.asked, outputs, cores):  # noqa: B905 -- outputs holds spreads too
            value, spread = known * exp(output), exp(outputs[at])
            low, high = bands[regime]
            down, up = low * spread, high * spread
            if apart:
                down, up = domain.widened(down, apart), domain.widened(up, apart)
            values[target] = (value, value * exp(down), value * exp(up))
        return Answer(values, regime, apart == 0 and layout in self.layouts, problem, parts, row)

    @cached_property
    def _query(self) -> Query | None:
        """Queries that play this head's formulas natively; None where there is no room for them."""
        tape = Tape()
        problem, ops = self.problem(*tape.inputs), tape.arithmetic
        parts = core(problem, self.rates, ops)
        cores = (self._core_value(target, problem, parts, ops) for target in self.targets)
        kept = [parts.time_s, parts.mma_s, parts.l2_s, parts.dram_s, bound(parts, ops), *cores]
        return self.forest.walk.query(tape, features(problem, parts, ops), kept) if self.forest.walk else None

    def many(self, m: Value, n: Value, k: Value, nn: Value) -> Answer:
        """As ``one``, for arrays: each value (rows, 3), the columns of the features in place of the row."""
        problem = self.problem(m, n, k, nn)
        parts = core(problem, self.rates, ARRAY)
        columns = features(problem, parts, ARRAY)
        outputs = self.forest.many(columns)
        if self.correction is not None:
            self._correct(outputs.T, self.correction.at(columns))
        regimes: NDArray[np.int64] = bound(parts, ARRAY)
        apart = domain.outside_many(columns, self.ranges)
        values = {}
        for index, target in enumerate(self.targets):
            value = self._core_value(target, problem, parts, ARRAY) * np.exp(outputs[:, index])
            ends = np.array(self.bands[index])[regimes] * np.exp(outputs[:, len(self.targets) + index, None])
            ends = np.exp(domain.widened_many(ends, apart))
            values[target] = (value, value * ends[:, 0], value * ends[:, 1])
        known = np.array([layout in self.layouts for layout in LAYOUTS])[nn.astype(np.int64)]
        return Answer(values, regimes, (apart == 0) & known, problem, parts, columns)

    def problem(self, m: Value, n: Value, k: Value, nn: Value) -> Problem:
        """The sizes with the bytes of this head's type."""
        return Problem(m, n, k, self.element_bytes[0], self.element_bytes[1], nn)

    def _core_value(self, target: str, problem: Problem, parts: Core, ops: Arithmetic) -> Value:
        return core_value(target, problem, parts, self.machine, ops)

    def _correct(self, outputs: Any, shift: Value) -> None:
        """Add the correction to the outputs of the times, in place; ``outputs`` has one entry (or row) per output."""
        for index, target in enumerate(self.targets):
            if target in TIMED:
                outputs[index] += shift

    def document(self) -> dict[str, Any]:
        """Everything but the forest, as a JSON object."""
        document: dict[str, Any] = {
            "dtype": self.dtype, "ragged": int(self.ragged),
            "layouts": list(self.layouts), "targets": list(self.targets),
            "protocol": self.protocol, "machine": self.machine.document(), "bands": self.bands,
            "ranges": dict(zip(RANGED, self.ranges, strict=True)), "features": list(NAMES),
        }  # fmt: skip
        if self.lasting is not None:
            document["lasting"] = self.lasting.document()
        return document

    def arrays(self, prefix: str) -> dict[str, NDArray[np.generic]]:
        """The forests as named arrays; that of the sustained state is one for all heads of an artefact."""
        arrays = self.forest.arrays(prefix)
        return arrays if self.lasting is None else arrays | self.lasting.forest.arrays(SHARED)


def core_value(target: str, problem: Problem, parts: Core, machine: Machine, ops: Arithmetic) -> Value:
    """What the residual of a target is relative to."""
    if target in TIMED:
        return parts.time_s
    return core_power_w(problem, parts, machine, ops) if target == "power" else core_blocks(problem, machine, ops)


def from_document(
    document: Mapping[str, Any], arrays: Mapping[str, NDArray[np.generic]], prefix: str, shared: Forest | None
) -> Head:
    """A head from its JSON object, its arrays and the sustained forest; KeyError, TypeError or ValueError otherwise."""
    if tuple(document["features"]) != NAMES:
        raise ValueError("it was fitted on other features")
    targets = tuple(document["targets"])
    if document["dtype"] not in DTYPES or not targets or not set(targets) <= set(TARGETS) or "hot" not in targets:
        raise ValueError("its type or targets are unknown")
    settled = None
    if "lasting" in document:
        if shared is None:
            raise ValueError("its sustained forest is missing")
        settled = sustained_part.from_document(document["lasting"], shared)
    return Head(
        dtype=document["dtype"],
        ragged=Alignment(int(document["ragged"])),
        layouts=tuple(document["layouts"]),
        targets=targets,
        protocol=str(document["protocol"]),
        machine=machine_from_document(document["machine"]),
        forest=forests.from_arrays(arrays, prefix, len(NAMES), 2 * len(targets)),
        bands=intervals.checked(document["bands"], len(targets)),
        ranges=domain.checked(document["ranges"]),
        lasting=settled,
    )
