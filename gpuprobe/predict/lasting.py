"""Sustained time, power and clock where they were measured: a small residual forest on the power balance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.ops.gemm import LAYOUTS
from gpuprobe.predict import domain, intervals
from gpuprobe.predict import forest as forests
from gpuprobe.predict.arithmetic import Value
from gpuprobe.predict.dataset import LASTING
from gpuprobe.predict.features import NAMES
from gpuprobe.predict.forest import Forest
from gpuprobe.predict.power import Sustained

FEATURES: Final = (*NAMES, "log_load", "log_cold_us")
"""What the forest sees: the features of the GEMM, the power at full clock over the cap's, and its cold time."""

Triple = tuple[Any, Any, Any]


class Settled(NamedTuple):
    """(value, low, high) of time in s and power in W, SM clock in Hz, and whether data stand behind them."""

    time_s: Triple
    power_w: Triple
    sm_clock_hz: Value
    in_domain: Value


@dataclass(frozen=True)
class Lasting:
    """``forest`` gives log(measured / balance) of LASTING, then the log of each one's spread; the rest as in a Head."""

    forest: Forest
    bands: list[list[list[float]]]
    layouts: tuple[str, ...]
    ranges: domain.Ranges

    def one(self, row: Sequence[float], state: Sustained, cold_s: float, regime: int, layout: str) -> Settled:
        """The settled state of one GEMM by its features, its power balance and cold time."""
        outputs = self.forest.one([*row, math.log(state.load), math.log(cold_s * 1e6)])
        apart = domain.outside(row, self.ranges)
        triples = []
        for index, value in enumerate((state.time_s, state.power_w)):
            middle, spread = value * math.exp(outputs[index]), math.exp(outputs[len(LASTING) + index])
            ends = [end * spread for end in self.bands[index][regime]]
            low, high = [domain.widened(end, apart) for end in ends] if apart > 0 else ends
            triples.append((middle, middle * math.exp(low), middle * math.exp(high)))
        clock_hz = state.sm_clock_hz * math.exp(outputs[2])
        return Settled(triples[0], triples[1], clock_hz, apart == 0 and layout in self.layouts)

    def many(
        self, columns: Sequence[Value], state: Sustained, cold_s: Value, regimes: NDArray[np.int64], nn: Value
    ) -> Settled:
        """As ``one``, for arrays."""
        outputs = self.forest.many(with_state(columns, state, cold_s))
        apart = domain.outside_many(columns, self.ranges)
        triples = []
        for index, value in enumerate((state.time_s, state.power_w)):
            middle, spread = value * np.exp(outputs[:, index]), np.exp(outputs[:, len(LASTING) + index, None])
            ends = np.exp(domain.widened_many(np.array(self.bands[index])[regimes] * spread, apart))
            triples.append((middle, middle * ends[:, 0], middle * ends[:, 1]))
        known = np.array([layout in self.layouts for layout in LAYOUTS])[nn.astype(np.int64)]
        return Settled(triples[0], triples[1], state.sm_clock_hz * np.exp(outputs[:, 2]), (apart == 0) & known)

    def document(self) -> dict[str, Any]:
        """Everything but the forest, as a JSON object."""
        return {
            "bands": self.bands, "layouts": list(self.layouts), "features": list(FEATURES),
            "ranges": dict(zip(domain.RANGED, self.ranges, strict=True)),
        }  # fmt: skip


def with_state(columns: Sequence[Value], state: Sustained, cold_s: Value) -> list[Value]:
    """The columns of FEATURES."""
    return [*columns, np.log(state.load), np.log(cold_s * 1e6)]


def balance(state: Sustained) -> tuple[Value, Value, Value]:
    """What the residual of each of LASTING is relative to."""
    return state.time_s, state.power_w, state.sm_clock_hz


def from_document(document: Mapping[str, Any], arrays: Mapping[str, NDArray[np.generic]], prefix: str) -> Lasting:
    """From its JSON object and arrays; KeyError, TypeError or ValueError where they are none."""
    if tuple(document["features"]) != FEATURES:
        raise ValueError("its sustained part was fitted on other features")
    return Lasting(
        forest=forests.from_arrays(arrays, prefix, len(FEATURES), 2 * len(LASTING)),
        bands=intervals.checked(document["bands"], len(LASTING)),
        layouts=tuple(document["layouts"]),
        ranges=domain.checked(document["ranges"]),
    )
