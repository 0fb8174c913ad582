"""A Gaussian process over a finite set of candidates, updated in place as they are measured, one at a time."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NOISE_SD: Final = 0.01
"""Of a measured log time."""
_MOST: Final = 400  # measurements that are learned from: each costs a column of memory and time


class Belief(NamedTuple):
    """Mean and standard deviation of each candidate, and the log likelihood of what was measured."""

    mean: Array
    sd: Array
    likelihood: float


class Process:
    """Candidates at ``places`` (a row each) whose values have standard deviation ``sd`` and a common offset.

    Values of two candidates are alike by a Matérn kernel (5/2) of their distance over ``reach``, which is the distance
    in four features. The Cholesky factor and its solution for all candidates grow by a row a measurement, so that each
    costs candidates × measurements.
    """

    def __init__(self, places: Array, sd: Array, reach: float, offset_sd: float) -> None:
        self._places = places / (reach * math.sqrt(max(places.shape[1], 1) / 4))
        self._sd, self._offset = sd, offset_sd**2
        self._variance = sd**2 + self._offset
        self._rows = np.empty((0, len(sd)))  # the factor's inverse times the covariance with every candidate
        self._factor = np.empty((0, 0))
        self.at: list[int] = []

    def add(self, index: int) -> None:
        """Candidate ``index`` was measured."""
        count = len(self.at)
        if count >= _MOST:
            return
        if count == len(self._rows):
            more = max(16, count)
            self._rows = np.vstack([self._rows, np.empty((more, len(self._sd)))])
            self._factor = np.pad(self._factor, (0, more))
        known = self._rows[:count, index].copy()
        pivot = math.sqrt(max(float(self._variance[index]), 0.0) + NOISE_SD**2)
        row = (self._covariance(index) - known @ self._rows[:count]) / pivot
        self._rows[count] = row
        self._factor[count, :count], self._factor[count, count] = known, pivot
        self._variance = self._variance - row**2
        self.at.append(index)

    def believe(self, values: Array) -> Belief:
        """What is believed where ``values`` were measured at ``at``."""
        count = len(self.at)
        factor = self._factor[:count, :count]
        solved = np.linalg.solve(factor, values)
        likelihood = -0.5 * float(solved @ solved) - float(np.log(np.diag(factor)).sum())
        return Belief(solved @ self._rows[:count], np.sqrt(np.maximum(self._variance, 1e-12)), likelihood)

    def _covariance(self, index: int) -> Array:
        """Of one candidate's value with all others'."""
        distance = np.sqrt(5 * ((self._places - self._places[index]) ** 2).sum(axis=1))
        alike: Array = (1 + distance + distance**2 / 3) * np.exp(-distance)
        covariance: Array = alike * self._sd * self._sd[index] + self._offset
        return covariance
