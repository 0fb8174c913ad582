"""Sustained time, power and clock where they were measured: a small residual forest on the power balance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.ops.gemm import DTYPES, LAYOUTS
from gpuprobe.predict import domain, intervals
from gpuprobe.predict import forest as forests
from gpuprobe.predict.arithmetic import ARRAY, Arithmetic, Value
from gpuprobe.predict.core import Core
from gpuprobe.predict.dataset import LASTING
from gpuprobe.predict.features import NAMES
from gpuprobe.predict.forest import Forest
from gpuprobe.predict.machine import Machine
from gpuprobe.predict.power import Sustained

FEATURES: Final = (
    *NAMES, "log_load", "log_cold_us", "log_mma_use", "log_l2_use", "log_dram_use", "log_blocks", "log_rate",
    "input_bytes", "ragged",
)  # fmt: skip
"""What the forest sees: the features of the GEMM, the power at full clock over the cap's, its cold time, how much of it
the matrix units, L2 and DRAM are busy, its blocks, and its kind: the type's rate and bytes, the class of alignment."""

Kind = tuple[float, float, float]

_LOG_MICRO: Final = math.log(1e6)

Triple = tuple[Any, Any, Any]


class Settled(NamedTuple):
    """(value, low, high) of time in s and power in W, SM clock in Hz, and whether data stand behind them."""

    time_s: Triple
    power_w: Triple
    sm_clock_hz: Value
    in_domain: Value


@dataclass(frozen=True)
class Lasting:
    """``forest`` gives log(measured / balance) of LASTING, then the log of each one's spread; the rest as in a Head.

    All heads of an artefact have one forest; ``kind`` tells it whose GEMM it is. No power interval ends above
    ``most_w`` unless its value does.
    """

    forest: Forest
    bands: list[list[list[float]]]
    layouts: tuple[str, ...]
    ranges: domain.Ranges
    kind: Kind
    most_w: float = math.inf

    def one(
        self,
        row: Sequence[float],
        parts: Core,
        state: Sustained,
        cold_s: float,
        blocks: float,
        regime: int,
        layout: str,
    ) -> Settled:
        """The settled state of one GEMM by its features, the core's parts, its power balance, cold time and blocks."""
        log, exp = math.log, math.exp
        log_cold = log(cold_s)
        # with_state in plain numbers; a test holds them together
        time, power, clock, time_width, power_width, _ = self.forest.one([
            *row, log(state.load), log_cold + _LOG_MICRO, log(parts.mma_s) - log_cold, log(parts.l2_s) - log_cold,
            log(parts.dram_s) - log_cold, log(blocks), *self.kind,
        ])  # fmt: skip
        apart = domain.outside(row, self.ranges)
        times, powers, _ = self.bands
        time_s, power_w = state.time_s * exp(time), state.power_w * exp(power)
        low_s, high_s = _ends(times[regime], exp(time_width), apart)
        low_w, high_w = _ends(powers[regime], exp(power_width), apart)
        return Settled(
            (time_s, time_s * exp(low_s), time_s * exp(high_s)),
            (power_w, power_w * exp(low_w), min(power_w * exp(high_w), max(power_w, self.most_w))),
            state.sm_clock_hz * exp(clock), not apart and layout in self.layouts,
        )  # fmt: skip

    def many(
        self,
        columns: Sequence[Value],
        parts: Core,
        state: Sustained,
        cold_s: Value,
        blocks: Value,
        regimes: NDArray[np.int64],
        nn: Value,
    ) -> Settled:
        """As ``one``, for arrays."""
        outputs = self.forest.many(with_state(columns, parts, state, cold_s, blocks, self.kind, ARRAY))
        apart = domain.outside_many(columns, self.ranges)
        triples = []
        for index, value in enumerate((state.time_s, state.power_w)):
            middle, spread = value * np.exp(outputs[:, index]), np.exp(outputs[:, len(LASTING) + index, None])
            ends = np.exp(domain.widened_many(np.array(self.bands[index])[regimes] * spread, apart))
            triples.append((middle, middle * ends[:, 0], middle * ends[:, 1]))
        power_w, low_w, high_w = triples[1]
        triples[1] = power_w, low_w, np.minimum(high_w, np.maximum(power_w, self.most_w))
        known = np.array([layout in self.layouts for layout in LAYOUTS])[nn.astype(np.int64)]
        return Settled(triples[0], triples[1], state.sm_clock_hz * np.exp(outputs[:, 2]), (apart == 0) & known)

    def document(self) -> dict[str, Any]:
        """Everything but the forest, as a JSON object."""
        most = {"most_w": self.most_w} if math.isfinite(self.most_w) else {}
        return {
            "bands": self.bands, "layouts": list(self.layouts), "features": list(FEATURES),
            "ranges": dict(zip(domain.RANGED, self.ranges, strict=True)), "kind": list(self.kind), **most,
        }  # fmt: skip


def _ends(band: Sequence[float], spread: float, apart: float) -> tuple[float, float]:
    """The ends of an interval in logs, widened outside the domain."""
    low, high = band[0] * spread, band[1] * spread
    return (domain.widened(low, apart), domain.widened(high, apart)) if apart else (low, high)


def kind_of(machine: Machine, dtype: str, alignment: int) -> Kind:
    """What tells types and classes apart: log of the rate in TFLOP/s, bytes of an input, class of alignment."""
    return math.log(machine.flop_per_s * 1e-12), float(DTYPES[dtype].input_bytes), float(alignment)


def with_state(
    columns: Sequence[Value], parts: Core, state: Sustained, cold_s: Value, blocks: Value, kind: Kind, ops: Arithmetic
) -> list[Value]:
    """The columns of FEATURES."""
    log = ops.log
    log_cold = log(cold_s)
    same = columns[0] * 0.0
    return [
        *columns, log(state.load), log_cold + _LOG_MICRO, log(parts.mma_s) - log_cold, log(parts.l2_s) - log_cold,
        log(parts.dram_s) - log_cold, log(blocks), *(same + part for part in kind),
    ]  # fmt: skip


def balance(state: Sustained) -> tuple[Value, Value, Value]:
    """What the residual of each of LASTING is relative to."""
    return state.time_s, state.power_w, state.sm_clock_hz


def shared_forest(arrays: Mapping[str, NDArray[np.generic]], prefix: str) -> Forest:
    """The forest of all heads from its arrays; KeyError or ValueError where they are none."""
    return forests.from_arrays(arrays, prefix, len(FEATURES), 2 * len(LASTING))


def from_document(document: Mapping[str, Any], forest: Forest) -> Lasting:
    """From its JSON object and the artefact's forest; KeyError, TypeError or ValueError where it is none."""
    if tuple(document["features"]) != FEATURES:
        raise ValueError("its sustained part was fitted on other features")
    return Lasting(
        forest=forest,
        bands=intervals.checked(document["bands"], len(LASTING)),
        layouts=tuple(document["layouts"]),
        ranges=domain.checked(document["ranges"]),
        kind=_kind(document["kind"]),
        most_w=_positive(document.get("most_w", math.inf)),
    )


def _kind(numbers: Sequence[float]) -> Kind:
    rate, input_bytes, alignment = map(float, numbers)
    if not all(map(math.isfinite, (rate, input_bytes, alignment))):
        raise ValueError("its sustained part is damaged")
    return rate, input_bytes, alignment


def _positive(number: float) -> float:
    if not float(number) > 0:
        raise ValueError("its sustained part is damaged")
    return float(number)
