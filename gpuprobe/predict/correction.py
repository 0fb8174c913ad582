"""What a few measured rows say of a GEMM: regression by a Gaussian process on log errors.

A row speaks of everything (an offset), more of GEMMs of about its time and bounds, and most of its neighbours in sizes.
Far from any row the offset alone is left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.predict.arithmetic import Value
from gpuprobe.predict.features import NAMES

Array = NDArray[np.float64]

# Variances and lengths of the process, in logs: of those tried about the best over six tables of A100, H100, H200 and
# L40S, each as if its GPU were unknown, with 16 random rows; a smaller offset does as well where data sheets are right.
_OFFSET: Final = 0.1
_SIZES_NEAR, _SIZES_LENGTH = 0.1, 0.7
_PARTS_NEAR, _PARTS_LENGTH = 0.07, 2.0
NOISE: Final = 0.08
"""Variance of a row's log error that no other row shares."""
_SIZES: Final = tuple(NAMES.index(name) for name in ("log_m", "log_n", "log_k"))
_PARTS: Final = tuple(NAMES.index(name) for name in ("log_core", "log_dram_share", "log_mma_share"))
_LOG_10_US: Final = math.log(1e-5)


@dataclass(frozen=True)
class Correction:
    """Measured rows as places (rows, 6), and the weight of each one's likeness in the correction of a log time."""

    places: Array
    weights: Array

    def at(self, columns: Sequence[Value]) -> Value:
        """The correction of a row of features (a float), or of columns of them."""
        found = likeness(places(columns), self.places) @ self.weights
        return float(found[0]) if isinstance(columns[0], float) else found


def fitted(where: Array, errors: Array) -> tuple[Correction, Array]:
    """The correction by rows at ``where`` with log errors, and the error of each row by a correction without it."""
    inverse = np.linalg.inv(likeness(where, where) + NOISE * np.eye(len(errors)))
    weights: Array = inverse @ errors
    left: Array = weights / np.diag(inverse)
    return Correction(where, weights), left


def places(columns: Sequence[Value]) -> Array:
    """(rows, 6): half the logs of m, n, k; the core's time over 10 µs and its shares of DRAM and matrix units."""
    sizes = [np.atleast_1d(columns[at]) / 2 for at in _SIZES]
    time, dram, mma = (np.atleast_1d(columns[at]) for at in _PARTS)
    return np.column_stack([*sizes, time - _LOG_10_US, dram, mma])


def likeness(first: Array, second: Array) -> Array:
    """Covariance of the log errors at two sets of places."""
    sizes = _SIZES_NEAR * _near(first[:, :3], second[:, :3], _SIZES_LENGTH)
    parts = _PARTS_NEAR * _near(first[:, 3:], second[:, 3:], _PARTS_LENGTH)
    result: Array = _OFFSET + sizes + parts
    return result


def _near(first: Array, second: Array, length: float) -> Array:
    squares = np.sum(first**2, axis=1)[:, None] + np.sum(second**2, axis=1) - 2 * first @ second.T
    result: Array = np.exp(squares / (-2 * length**2))
    return result
