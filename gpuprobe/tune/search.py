"""Search by measuring: a model's predictions as prior, a Gaussian process on what it got wrong, expected improvement.

With a good prior a handful of measurements finds the best of hundreds; without one (``flat``) the process alone learns
the space, from the middle outwards. Nothing here measures: candidates are asked for by number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from gpuprobe.tune.process import Process

Array = NDArray[np.float64]
Measure = Callable[[int], float | None]
"""Time in s of the candidate of a number, None where it fails."""

_FAILED: Final = 0.7  # log time that a failed candidate is thought to lie above the slowest measured
_OFFSET_SD: Final = 0.3  # of a log time: what is wrong with all predictions of a problem alike
_REACH: Final = 2.0  # standard deviations of the features over which a model's errors are alike
_FLAT_SD: Final = 0.6  # of log times of a space that nothing is known of
_FLAT_OFFSET_SD: Final = 20.0
_FLAT_REACHES: Final = (2.0, 3.5, 6.0)
_FLAT_BOWL: Final = 0.3  # log time by which a candidate is thought slower, a squared deviation from the middle
_CENTRAL: Final = 0.05  # share of the candidates, the most central, of which the first is drawn


class Surrogate:
    """What is believed of every candidate: ``features`` (a row each), ``prior`` log time, ``prior_sd`` of its error."""

    def __init__(self, features: Array, prior: Array, prior_sd: Array) -> None:
        self._prepare(features, prior, prior_sd, _OFFSET_SD, (_REACH,))

    def _prepare(self, features: Array, prior: Array, sd: Array, offset_sd: float, reaches: Sequence[float]) -> None:
        spread = features.std(axis=0)
        places = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        self._prior = prior
        self._processes = [Process(places, sd, reach, offset_sd) for reach in reaches]
        self._start: list[int] = []
        self._learns_failures = False  # a prior errs in times: that one does not run says nothing of the others
        self.known: dict[int, float] = {}
        self.failed: set[int] = set()

    @classmethod
    def flat(cls, features: Array, seed: int = 0) -> Self:
        """Of a space that nothing is known of, but that the ends of a parameter's range are seldom the best.

        The first is a central candidate, drawn with ``seed``; the likeliest reach is used.
        """
        surrogate = cls.__new__(cls)
        count, prior = len(features), _FLAT_BOWL * _eccentricity(features)
        surrogate._prepare(features, prior, np.full(count, _FLAT_SD), _FLAT_OFFSET_SD, _FLAT_REACHES)
        surrogate._learns_failures = True
        central = np.argsort(prior, kind="stable")[: math.ceil(_CENTRAL * count)]
        surrogate._start = [int(np.random.default_rng(seed).choice(central))]
        return surrogate

    def tell(self, index: int, time_s: float | None) -> None:
        """What measuring candidate ``index`` gave: its time in s, None where it failed."""
        if time_s is None:
            self.failed.add(index)
        else:
            self.known[index] = math.log(time_s)
        if time_s is not None or self._learns_failures:
            for process in self._processes:
                process.add(index)

    def correct(self, index: int, time_s: float | None) -> None:
        """What measuring a candidate again gave, instead of what was told of it."""
        self.known.pop(index, None)
        self.failed.discard(index)
        if time_s is None:
            self.failed.add(index)
        else:
            self.known[index] = math.log(time_s)

    def posterior(self) -> tuple[Array, Array]:
        """Mean and standard deviation of each candidate's log time, given what was measured."""
        beliefs = [process.believe(self._errors(process.at)) for process in self._processes]
        mean, sd, _ = max(beliefs, key=lambda belief: belief.likelihood)
        return self._prior + mean, sd

    def _errors(self, at: Sequence[int]) -> Array:
        """What was measured over what was believed, in log time; a failure counts as slow."""
        worst = max(self.known.values(), default=0.0) + _FAILED
        return np.array([self.known.get(index, worst) - self._prior[index] for index in at])

    def suggest(self) -> tuple[int, float] | None:
        """The candidate to measure next and its expected improvement, as a share of the best time; None: all known."""
        left = np.ones(len(self._prior), bool)
        left[[*self.known, *self.failed]] = False
        if not left.any():
            return None
        waiting = [index for index in self._start if left[index]]
        if waiting:
            return waiting[0], math.inf
        mean, sd = self.posterior()
        if not self.known:
            return int(np.argmin(np.where(left, mean, np.inf))), math.inf
        gain = np.where(left, expected_improvement(min(self.known.values()), mean, sd), -1.0)
        index = int(np.argmax(gain))
        return index, float(gain[index])


def _eccentricity(features: Array) -> Array:
    """Squared distance of each candidate from the mean in standard deviations, as a mean over the parameters.

    A parameter of two values has no middle and adds nothing.
    """
    spread = features.std(axis=0)
    away = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    ranged = np.array([len(np.unique(column)) > 2 for column in features.T])
    distance: Array = np.mean(away**2 * ranged, axis=1)
    return distance


def expected_improvement(best: float, mean: Array, sd: Array) -> Array:
    """Expected amount by which a normal variable lies below ``best`` (0 where above)."""
    z = (best - mean) / sd
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return sd * np.maximum(z * _normal_cdf(z) + density, 0.0)


def _normal_cdf(z: Array) -> Array:
    """Of the standard normal, to 1e-7 (Abramowitz and Stegun 26.2.17)."""
    t = 1.0 / (1.0 + 0.2316419 * np.abs(z))
    tail = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi) * t * (
        0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429)))
    )  # fmt: skip
    return np.where(z >= 0, 1.0 - tail, tail)


@dataclass(frozen=True)
class Found:
    """What a search found: candidates in the order measured with their times in s (None: failed), and the best."""

    order: tuple[int, ...]
    times_s: tuple[float | None, ...]
    stopped: str

    @property
    def best(self) -> int:
        """The fastest candidate measured; ValueError where none ran."""
        return min((t, i) for i, t in zip(self.order, self.times_s, strict=True) if t is not None)[1]

    @property
    def best_s(self) -> float:
        """Its time in s."""
        return min(t for t in self.times_s if t is not None)


def search(surrogate: Surrogate, measure: Measure, budget: int, enough: float = 0.0) -> Found:
    """Measure at most ``budget`` candidates, or until the next one promises less than ``enough`` of the best time."""
    order: list[int] = []
    times: list[float | None] = []
    stopped = "budget"
    while len(order) < budget:
        suggestion = surrogate.suggest()
        if suggestion is None:
            stopped = "all candidates measured"
            break
        index, gain = suggestion
        if gain < enough:
            stopped = f"no candidate promises {enough:.2%}"
            break
        time_s = measure(index)
        surrogate.tell(index, time_s)
        order.append(index)
        times.append(time_s)
    return Found(tuple(order), tuple(times), stopped)


def features_of(values: Sequence[Sequence[float]] | Array) -> Array:
    """Parameters of candidates as features: logs of columns that are positive numbers, as tile sizes and counts are."""
    table = np.asarray(values, np.float64)
    return np.where((table > 0).all(axis=0), np.log2(np.maximum(table, 1e-9)), table)
