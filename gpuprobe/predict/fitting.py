"""Fitting one head to one data set: constants of the core, residual forest, spreads, bands; judged on unseen (n,k)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.ops.gemm import DTYPES
from gpuprobe.predict import boosting, domain, fitting_lasting, intervals
from gpuprobe.predict.arithmetic import ARRAY, Value
from gpuprobe.predict.boosting import Recipe
from gpuprobe.predict.core import Core, Problem, bound, core, rates
from gpuprobe.predict.dataset import Dataset
from gpuprobe.predict.features import features
from gpuprobe.predict.fitting_lasting import Judged
from gpuprobe.predict.forest import Forest, joined
from gpuprobe.predict.head import Head
from gpuprobe.predict.lasting import Lasting
from gpuprobe.predict.machine import Machine
from gpuprobe.predict.power import core_power_w
from gpuprobe.predict.search import searched

Array = NDArray[np.float64]
Say = Callable[[str], None]

SPREAD_RECIPE: Final = Recipe(trees=60, depth=6, step=0.1, damping=30.0)
_POWER: Final[dict[str, Any]] = {"trees": 180, "step": 0.27}  # fewer, longer steps: every tree costs time in a query
_FITTED: Final = ("launch_s", "mma_efficiency", "dram_efficiency", "l2_bytes_per_clock", "step_s")


@dataclass(frozen=True)
class HeldOut:
    """Predictions of rows by models that never saw their (n,k): log(measured / predicted) and spread per target.

    ``lasting`` and ``settled`` are the model of the sustained state and its own held-out rows, where there are any.
    """

    data: Dataset
    errors: Array
    spreads: Array
    regimes: NDArray[np.int64]
    bands: list[list[list[float]]]
    machine: Machine
    lasting: Lasting | None = None
    settled: Judged | None = None


@dataclass(frozen=True)
class _Seen:
    """What a forest sees of a data set: features, and log(measured / core) of each target.

    The first ``timed`` are times.
    """

    columns: list[Value]
    targets: Array
    timed: int
    regimes: NDArray[np.int64]


def fit(
    data: Dataset, machine: Machine, recipe: Recipe, folds: int, protocol: str, say: Say, slow: Dataset | None = None
) -> tuple[Head, HeldOut]:
    """The head fitted to all rows, and the predictions of each row by the model of the other folds.

    ``slow`` are sustained rows of the same class.
    """
    held_out = cross_validate(data, machine, recipe, folds, say, slow)
    seen = _seen(data, held_out.machine)
    say("fitting all rows")
    forest = _grown(seen.columns, seen.targets, recipe, seen.timed)
    spreads = intervals.spread_target(held_out.errors)
    judging = _take(seen.columns, data.fair)
    spread = boosting.grow(judging, spreads, replace(SPREAD_RECIPE, depth=recipe.depth), seed=1)
    head = Head(
        dtype=data.dtype, ragged=bool(data.ragged.any()), layouts=data.layouts, targets=tuple(data.targets),
        protocol=protocol, machine=held_out.machine, forest=joined(forest, spread).rounded(), bands=held_out.bands,
        ranges=domain.ranges_of(seen.columns), lasting=held_out.lasting,
    )  # fmt: skip
    return head, held_out


def cross_validate(
    data: Dataset, machine: Machine, recipe: Recipe, folds: int, say: Say, slow: Dataset | None = None
) -> HeldOut:
    """Each fair row predicted by a model of all rows of the other folds; folds are whole (n,k) pairs.

    Sustained rows (``slow``) are predicted from the cold times that the models of the other folds predict of them.
    """
    machine = tuned(data, machine)
    seen = _seen(data, machine)
    fold = data.folds(folds)
    errors, spreads = np.zeros(seen.targets.shape), np.zeros(seen.targets.shape)
    settles = slow is not None and len(slow) >= fitting_lasting.FEWEST_ROWS and "cold" in data.targets
    colds = _Colds(slow, machine, slow.folds(folds)) if settles and slow is not None else None
    for index in range(folds):
        say(f"fold {index + 1} of {folds}")
        inside = fold != index
        forest = _grown(_take(seen.columns, inside), seen.targets[inside], recipe, seen.timed)
        errors[fold == index] = seen.targets[fold == index] - forest.many(_take(seen.columns, fold == index))
        if colds is not None:
            colds.predict(index, forest, list(data.targets).index("cold"))
    learned = intervals.spread_target(errors)
    for index in range(folds):
        spread: Forest = boosting.grow(
            _take(seen.columns, fold != index), learned[fold != index], SPREAD_RECIPE, seed=1
        )
        spreads[fold == index] = np.exp(spread.many(_take(seen.columns, fold == index)))
    fair, regimes = data.where(data.fair), seen.regimes[data.fair]
    errors, spreads = errors[data.fair], spreads[data.fair]
    bands = [intervals.bands(errors[:, at], spreads[:, at], regimes) for at in range(len(data.targets))]
    if colds is None:
        return HeldOut(fair, errors, spreads, regimes, bands, machine)
    machine, lasting, settled = fitting_lasting.fit(colds.data, colds.cold_s, colds.fold, machine)
    return HeldOut(fair, errors, spreads, regimes, bands, machine, lasting, settled)


class _Colds:
    """Cold times of sustained rows, predicted fold by fold by models that did not see their (n,k)."""

    def __init__(self, data: Dataset, machine: Machine, fold: NDArray[np.int64]) -> None:
        problem, parts = _parts(data, machine)
        self.data, self.fold = data, fold
        self.cold_s: Array = np.array(parts.time_s, np.float64)
        self._columns = [np.asarray(column, np.float64) for column in features(problem, parts, ARRAY)]

    def predict(self, index: int, forest: Forest, output: int) -> None:
        """Turn the core's times of one fold's rows into predicted ones."""
        rows = self.fold == index
        if rows.any():
            self.cold_s[rows] *= np.exp(forest.many(_take(self._columns, rows))[:, output])


def _grown(columns: list[Value], targets: Array, recipe: Recipe, timed: int) -> Forest:
    """A forest of all targets; a power has its own trees: its residuals are larger, and would choose the times' too."""
    forest = boosting.grow(columns, targets[:, :timed], recipe)
    if timed == targets.shape[1]:
        return forest
    return joined(forest, boosting.grow(columns, targets[:, timed:], replace(recipe, **_POWER), seed=2))


def _take(columns: list[Value], mask: NDArray[np.bool_]) -> list[Value]:
    return [column[mask] for column in columns]


def _seen(data: Dataset, machine: Machine) -> _Seen:
    problem, parts = _parts(data, machine)
    targets = [
        np.log(values / (core_power_w(problem, parts, machine, ARRAY) if name == "power" else parts.time_s))
        for name, values in data.targets.items()
    ]
    columns = [np.asarray(column, np.float64) for column in features(problem, parts, ARRAY)]
    timed = sum(name != "power" for name in data.targets)
    return _Seen(columns, np.column_stack(targets), timed, bound(parts, ARRAY))


def _parts(data: Dataset, machine: Machine) -> tuple[Problem, Core]:
    dtype = DTYPES[data.dtype]
    problem = Problem(data.m, data.n, data.k, dtype.input_bytes, dtype.output_bytes, data.nn)
    return problem, core(problem, rates(machine, dtype.input_bytes), ARRAY)


def tuned(data: Dataset, machine: Machine) -> Machine:
    """The machine with the core's constants set to what makes the data's median log error least."""
    measured = data.targets.get("cold", data.targets["hot"])

    def loss(candidate: Machine) -> float:
        return float(np.mean(np.abs(np.log(measured / _parts(data, candidate)[1].time_s))))

    return searched(machine, _FITTED, loss)
