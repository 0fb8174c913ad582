"""Fitting one head to one data set: constants of the core, residual forest, spreads, bands; judged on unseen (n,k)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.ops.gemm import DTYPES
from gpuprobe.predict import boosting, intervals
from gpuprobe.predict.arithmetic import ARRAY, Value
from gpuprobe.predict.boosting import Recipe
from gpuprobe.predict.core import Core, Problem, bound, core, rates
from gpuprobe.predict.dataset import Dataset
from gpuprobe.predict.features import NAMES, features
from gpuprobe.predict.forest import Forest, joined
from gpuprobe.predict.head import RANGED, Head
from gpuprobe.predict.machine import Machine
from gpuprobe.predict.power import core_power_w

Array = NDArray[np.float64]
Say = Callable[[str], None]

SPREAD_RECIPE: Final = Recipe(trees=60, depth=6, step=0.1, damping=30.0)
_FITTED: Final = ("launch_s", "mma_efficiency", "dram_efficiency", "l2_bytes_per_clock", "step_s")
_FACTORS: Final = (1.3, 1.1, 1.03)  # steps of the search for the core's constants, coarse to fine


@dataclass(frozen=True)
class HeldOut:
    """Predictions of rows by models that never saw their (n,k): log(measured / predicted) and spread per target."""

    data: Dataset
    errors: Array
    spreads: Array
    regimes: NDArray[np.int64]
    bands: list[list[list[float]]]
    machine: Machine


@dataclass(frozen=True)
class _Seen:
    """What a forest sees of a data set: features, and log(measured / core) of each target."""

    columns: list[Value]
    targets: Array
    regimes: NDArray[np.int64]


def fit(data: Dataset, machine: Machine, recipe: Recipe, folds: int, protocol: str, say: Say) -> tuple[Head, HeldOut]:
    """The head fitted to all rows, and the predictions of each row by the model of the other folds."""
    held_out = cross_validate(data, machine, recipe, folds, say)
    seen = _seen(data, held_out.machine)
    say("fitting all rows")
    forest = boosting.grow(seen.columns, seen.targets, recipe)
    spreads = intervals.spread_target(held_out.errors)
    spread = boosting.grow(seen.columns, spreads, replace(SPREAD_RECIPE, depth=recipe.depth), seed=1)
    ranges = tuple(
        (float(seen.columns[at].min()), float(seen.columns[at].max())) for at in (NAMES.index(name) for name in RANGED)
    )
    head = Head(
        dtype=data.dtype, ragged=bool(data.ragged.any()), layouts=data.layouts, targets=tuple(data.targets),
        protocol=protocol, machine=held_out.machine, forest=joined(forest, spread).rounded(), bands=held_out.bands,
        ranges=ranges,
    )  # fmt: skip
    return head, held_out


def cross_validate(data: Dataset, machine: Machine, recipe: Recipe, folds: int, say: Say) -> HeldOut:
    """Each row predicted by a model of the other folds; folds are whole (n,k) pairs."""
    machine = tuned(data, machine)
    seen = _seen(data, machine)
    fold = data.folds(folds)
    errors, spreads = np.zeros(seen.targets.shape), np.zeros(seen.targets.shape)
    for index in range(folds):
        say(f"fold {index + 1} of {folds}")
        forest = boosting.grow(_take(seen.columns, fold != index), seen.targets[fold != index], recipe)
        errors[fold == index] = seen.targets[fold == index] - forest.many(_take(seen.columns, fold == index))
    learned = intervals.spread_target(errors)
    for index in range(folds):
        spread: Forest = boosting.grow(
            _take(seen.columns, fold != index), learned[fold != index], SPREAD_RECIPE, seed=1
        )
        spreads[fold == index] = np.exp(spread.many(_take(seen.columns, fold == index)))
    bands = [intervals.bands(errors[:, at], spreads[:, at], seen.regimes) for at in range(len(data.targets))]
    return HeldOut(data, errors, spreads, seen.regimes, bands, machine)


def _take(columns: list[Value], mask: NDArray[np.bool_]) -> list[Value]:
    return [column[mask] for column in columns]


def _seen(data: Dataset, machine: Machine) -> _Seen:
    problem, parts = _parts(data, machine)
    targets = [
        np.log(values / (core_power_w(problem, parts, machine, ARRAY) if name == "power" else parts.time_s))
        for name, values in data.targets.items()
    ]
    columns = [np.asarray(column, np.float64) for column in features(problem, parts, ARRAY)]
    return _Seen(columns, np.column_stack(targets), bound(parts, ARRAY))


def _parts(data: Dataset, machine: Machine) -> tuple[Problem, Core]:
    dtype = DTYPES[data.dtype]
    problem = Problem(data.m, data.n, data.k, dtype.input_bytes, dtype.output_bytes, data.nn)
    return problem, core(problem, rates(machine, dtype.input_bytes), ARRAY)


def tuned(data: Dataset, machine: Machine) -> Machine:
    """The machine with the core's constants set to what makes the data's median log error least."""
    measured = data.targets.get("cold", data.targets["hot"])

    def loss(candidate: Machine) -> float:
        return float(np.mean(np.abs(np.log(measured / _parts(data, candidate)[1].time_s))))

    best = loss(machine)
    for factor in _FACTORS:
        moved = True
        while moved:
            moved = False
            for name in _FITTED:
                for scale in (factor, 1 / factor):
                    candidate = replace(machine, **{name: getattr(machine, name) * scale})
                    if (value := loss(candidate)) < best - 1e-5:
                        machine, best, moved = candidate, value, True
    return machine
