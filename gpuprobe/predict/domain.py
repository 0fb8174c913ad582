"""Where a model's data lie: the range of each size it was fitted on, and how intervals widen outside."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.predict.arithmetic import Value
from gpuprobe.predict.features import NAMES

Ranges = tuple[tuple[float, float], ...]

RANGED: Final = ("log_m", "log_n", "log_k", "log_flop", "log_bytes")
"""Features whose training range is the domain."""
WIDER_PER_LOG: Final = 0.5  # an interval outside the domain grows so much (of its width) per unit of log distance
OUTSIDE_SPREAD: Final = 0.15  # least log half-width outside the domain
_AT: Final = tuple(NAMES.index(name) for name in RANGED)
_ranged: Final = itemgetter(*_AT)


def ranges_of(columns: Sequence[Value]) -> Ranges:
    """The range of each feature of RANGED."""
    return tuple((float(columns[at].min()), float(columns[at].max())) for at in _AT)


def checked(document: Mapping[str, Any]) -> Ranges:
    """Ranges as an artefact states them; KeyError or ValueError where they are none."""
    ranges = tuple((float(document[name][0]), float(document[name][1])) for name in RANGED)
    if not all(math.isfinite(low) and math.isfinite(high) and low <= high for low, high in ranges):
        raise ValueError("its domain is damaged")
    return ranges


def outside(row: Sequence[float], ranges: Ranges) -> float:
    """Sum of the distances (in logs) to the ranges; 0 inside."""
    distance = 0.0
    for value, (low, high) in zip(_ranged(row), ranges):  # noqa: B905 -- of RANGED both; strict costs time in every query
        if value < low:
            distance += low - value
        elif value > high:
            distance += value - high
    return distance


def outside_many(columns: Sequence[Value], ranges: Ranges) -> NDArray[np.float64]:
    """As ``outside``, of columns."""
    distance = np.zeros(len(columns[0]))
    for at, (low, high) in zip(_AT, ranges, strict=True):
        distance += np.maximum(low - columns[at], 0) + np.maximum(columns[at] - high, 0)
    return distance


def widened(end: float, distance: float) -> float:
    """An end of an interval in logs, for a GEMM that lies outside the domain by so much."""
    return math.copysign((abs(end) + OUTSIDE_SPREAD) * (1 + WIDER_PER_LOG * distance), end)


def widened_many(ends: NDArray[np.float64], distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ends (rows, 2) of intervals in logs, widened where the distance is above 0."""
    apart = distance[:, None]
    wide = (np.abs(ends) + OUTSIDE_SPREAD) * (1 + WIDER_PER_LOG * apart) * np.array([-1.0, 1.0])
    result: NDArray[np.float64] = np.where(apart > 0, wide, ends)
    return result
