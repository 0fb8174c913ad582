"""Fitting the sustained state: constants of the power balance, then small forests on what it leaves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.ops.gemm import DTYPES
from gpuprobe.predict import boosting, domain, intervals
from gpuprobe.predict.arithmetic import ARRAY, Value
from gpuprobe.predict.boosting import Recipe
from gpuprobe.predict.core import Core, Problem, bound, core, rates
from gpuprobe.predict.dataset import LASTING, Dataset
from gpuprobe.predict.features import features
from gpuprobe.predict.forest import joined
from gpuprobe.predict.lasting import Lasting, balance, with_state
from gpuprobe.predict.machine import Machine
from gpuprobe.predict.power import Sustained, sustained
from gpuprobe.predict.search import searched

Array = NDArray[np.float64]

FEWEST_ROWS: Final = 40
"""Sustained rows of a class below which the power balance stays analytic."""
_RECIPE: Final = Recipe(trees=100, depth=4, step=0.08, damping=8.0, bins=32)
_SPREADS: Final = Recipe(trees=30, depth=4, step=0.1, damping=40.0, bins=32)
_FITTED: Final = ("static_w", "joule_per_flop", "joule_per_byte")


@dataclass(frozen=True)
class Judged:
    """Held-out log errors and spreads of LASTING (and of the energy that follows), regimes, bands, and the rows."""

    data: Dataset
    errors: Array
    spreads: Array
    regimes: NDArray[np.int64]
    bands: list[list[list[float]]]


def fit(data: Dataset, cold_s: Array, fold: NDArray[np.int64], machine: Machine) -> tuple[Machine, Lasting, Judged]:
    """The machine with fitted power, the residual on its balance, and predictions of rows by models of other folds.

    ``cold_s`` are cold times predicted by models that did not see the row's (n,k), so that their errors count too.
    """
    problem, parts = _parts(data, machine)
    machine = _tuned(data, problem, parts, cold_s, machine)
    state = sustained(problem, parts, cold_s, machine, ARRAY)
    base = [np.asarray(column, np.float64) for column in features(problem, parts, ARRAY)]
    columns = with_state(base, state, cold_s)
    targets = np.column_stack(_left(data, state))
    regimes: NDArray[np.int64] = bound(parts, ARRAY)
    errors, spreads = np.zeros(targets.shape), np.zeros(targets.shape)
    for index in np.unique(fold):
        inside, out = fold != index, fold == index
        forest = boosting.grow(_take(columns, inside), targets[inside], _RECIPE)
        errors[out] = targets[out] - forest.many(_take(columns, out))
    learned = intervals.spread_target(errors)
    for index in np.unique(fold):
        inside, out = fold != index, fold == index
        spread = boosting.grow(_take(columns, inside), learned[inside], _SPREADS, seed=1)
        spreads[out] = np.exp(spread.many(_take(columns, out)))
    bands = [intervals.bands(errors[:, at], spreads[:, at], regimes) for at in range(len(LASTING))]
    forest = joined(boosting.grow(columns, targets, _RECIPE), boosting.grow(columns, learned, _SPREADS, seed=1))
    fitted = Lasting(forest.rounded(), bands, data.layouts, domain.ranges_of(base))
    return machine, fitted, Judged(data, errors, spreads, regimes, bands)


def _parts(data: Dataset, machine: Machine) -> tuple[Problem, Core]:
    dtype = DTYPES[data.dtype]
    problem = Problem(data.m, data.n, data.k, dtype.input_bytes, dtype.output_bytes, data.nn)
    return problem, core(problem, rates(machine, dtype.input_bytes), ARRAY)


def _left(data: Dataset, state: Sustained) -> list[Array]:
    values = zip(LASTING, balance(state), strict=True)
    return [np.asarray(np.log(data.targets[name] / value), np.float64) for name, value in values]


def _take(columns: list[Value], mask: NDArray[np.bool_]) -> list[Value]:
    return [column[mask] for column in columns]


def _tuned(data: Dataset, problem: Problem, parts: Core, cold_s: Array, machine: Machine) -> Machine:
    """The machine whose balance is nearest to the measured powers and times."""
    start = replace(
        machine, static_w=max(machine.static_w, 1.0), joule_per_flop=max(machine.joule_per_flop, 1e-14),
        joule_per_byte=max(machine.joule_per_byte, 1e-13),
    )  # fmt: skip

    def loss(candidate: Machine) -> float:
        time, power, _ = _left(data, sustained(problem, parts, cold_s, candidate, ARRAY))
        return float(np.mean(np.abs(power)) + np.mean(np.abs(time)))

    return searched(start, _FITTED, loss)
