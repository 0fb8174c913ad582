"""Fitting one head to one data set: constants of the core, residual forest, spreads, bands; judged on unseen (n,k)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.ops.gemm import DTYPES
from gpuprobe.predict import boosting, domain, intervals
from gpuprobe.predict.arithmetic import ARRAY, Value
from gpuprobe.predict.boosting import Recipe
from gpuprobe.predict.core import Core, Problem, bound, core, rates
from gpuprobe.predict.dataset import BLOCKS, TIMED, Dataset
from gpuprobe.predict.features import features
from gpuprobe.predict.fitting_lasting import Colds
from gpuprobe.predict.forest import Forest, answered_no, joined, summed, with_constant
from gpuprobe.predict.head import Head, core_value
from gpuprobe.predict.machine import Machine
from gpuprobe.predict.search import searched

Array = NDArray[np.float64]
Say = Callable[[str], None]

SPREAD_RECIPE: Final = Recipe(trees=60, depth=6, step=0.1, damping=30.0)
TWIN_RECIPE: Final = Recipe(trees=100, depth=6, step=0.08, damping=12.0, bins=64)
_POWER: Final[dict[str, Any]] = {"trees": 180, "step": 0.27}  # fewer, longer steps: every tree costs time in a query
_BLOCKS: Final[dict[str, Any]] = {"trees": 90, "step": 0.3}
_FITTED: Final = ("launch_s", "mma_efficiency", "dram_efficiency", "l2_bytes_per_clock", "step_s")


@dataclass(frozen=True)
class HeldOut:
    """Predictions of rows by models that never saw their (n,k): log(measured / predicted) and spread per target.

    ``colds`` are the sustained rows of the class, where there are any, ``kin_colds`` those of another GPU of the chip.
    """

    data: Dataset
    errors: Array
    spreads: Array
    regimes: NDArray[np.int64]
    bands: list[list[list[float]]]
    machine: Machine
    colds: Colds | None = None
    kin_colds: Colds | None = None
    forests: tuple[Forest, ...] = ()
    """The forest of each fold, then that of all rows."""
    twin: str = ""
    """Type whose trees come first."""


@dataclass(frozen=True)
class Kin:
    """Rows of the same type and class timed on another GPU of the chip, which train and judge nothing.

    ``machine`` is that GPU's; what the trees learn is relative to its own core. ``slow`` are its sustained rows;
    ``short`` says whether its short runs train too.
    """

    device: str
    data: Dataset
    machine: Machine
    slow: Dataset | None = None
    short: bool = True


@dataclass(frozen=True)
class _Seen:
    """What a forest sees of a data set: features, and log(measured / core) of each target.

    The first ``timed`` are times; ``apart`` is how the trees of the others differ.
    """

    columns: list[Value]
    targets: Array
    timed: int
    regimes: NDArray[np.int64]
    apart: Mapping[str, Any]

    def of(self, rows: NDArray[np.bool_]) -> _Seen:
        """Some of the rows."""
        return replace(self, columns=_take(self.columns, rows), targets=self.targets[rows], regimes=self.regimes[rows])


def fit(
    data: Dataset,
    machine: Machine,
    recipe: Recipe,
    folds: int,
    protocol: str,
    say: Say,
    slow: Dataset | None = None,
    twin: HeldOut | None = None,
    kin: Kin | None = None,
) -> tuple[Head, HeldOut]:
    """The head fitted to all rows, and the predictions of each row by the model of the other folds.

    ``slow`` are sustained rows of the same class; ``twin`` and ``kin`` are as in ``cross_validate``.
    """
    held_out = cross_validate(data, machine, recipe, folds, say, slow, twin, kin)
    seen = _seen(data, held_out.machine)
    say("fitting all rows")
    known = _known(seen, data.folds(folds), twin)
    forest = _grown(seen, known, recipe, twin.forests[-1] if twin else None, _seen_of(kin))
    held_out = replace(held_out, forests=(*held_out.forests, forest))
    spreads = intervals.spread_target(held_out.errors)
    judging = _take(seen.columns, data.fair)
    spread = boosting.grow(judging, spreads, replace(SPREAD_RECIPE, depth=forest.depth, sees=recipe.sees), seed=1)
    head = Head(
        dtype=data.dtype, ragged=int(data.alignment.max()), layouts=data.layouts, targets=tuple(data.targets),
        protocol=protocol, machine=held_out.machine, forest=joined(forest, spread).rounded(), bands=held_out.bands,
        ranges=domain.ranges_of(seen.columns),
    )  # fmt: skip
    return head, held_out


def cross_validate(
    data: Dataset,
    machine: Machine,
    recipe: Recipe,
    folds: int,
    say: Say,
    slow: Dataset | None = None,
    twin: HeldOut | None = None,
    kin: Kin | None = None,
) -> HeldOut:
    """Each fair row predicted by a model of all rows of the other folds; folds are whole (n,k) pairs.

    Sustained rows (``slow``) are predicted from the cold times that the models of the other folds predict of them.
    With a ``twin``, a type with more rows that runs on the same kernels, a few trees learn what differs from it; of
    the twin too only the model of the other folds speaks. Of ``kin`` the rows of the other folds train beside the own;
    the cold times of its sustained rows are what the own forest makes of its core.
    """
    machine = tuned(data, machine) if twin is None else twin.machine
    seen = _seen(data, machine)
    fold = data.folds(folds)
    known = _known(seen, fold, twin)
    others = _seen_of(kin)
    their_fold = kin.data.folds(folds) if kin is not None else fold
    errors, spreads = np.zeros(seen.targets.shape), np.zeros(seen.targets.shape)
    colds = _colds(slow, machine, folds) if "cold" in data.targets else None
    kin_colds = None
    if colds is not None and kin is not None and kin.slow is not None and len(kin.slow):
        kin_colds = _colds(kin.slow, tuned(kin.data, kin.machine), folds)
    forests = []
    for index in range(folds):
        say(f"fold {index + 1} of {folds}")
        out = fold == index
        theirs = others.of(their_fold != index) if others is not None else None
        forest = _grown(seen.of(~out), known[~out], recipe, twin.forests[index] if twin else None, theirs)
        errors[out] = seen.targets[out] - forest.many(_take(seen.columns, out))
        forests.append(forest)
        for slow_rows in (colds, kin_colds):
            if slow_rows is not None:
                slow_rows.predict(index, forest, tuple(data.targets))
    learned = intervals.spread_target(errors)
    for index in range(folds):
        spread: Forest = boosting.grow(
            _take(seen.columns, fold != index), learned[fold != index], replace(SPREAD_RECIPE, sees=recipe.sees), seed=1
        )
        spreads[fold == index] = np.exp(spread.many(_take(seen.columns, fold == index)))
    fair, regimes = data.where(data.fair), seen.regimes[data.fair]
    errors, spreads = errors[data.fair], spreads[data.fair]
    bands = [intervals.bands(errors[:, at], spreads[:, at], regimes) for at in range(len(data.targets))]
    return HeldOut(
        fair, errors, spreads, regimes, bands, machine, colds, kin_colds, tuple(forests),
        twin.data.dtype if twin else "",
    )  # fmt: skip


def _colds(slow: Dataset | None, machine: Machine, folds: int) -> Colds | None:
    return Colds(slow, machine, slow.folds(folds)) if slow is not None and len(slow) else None


def _known(seen: _Seen, fold: NDArray[np.int64], twin: HeldOut | None) -> Array:
    """What the twin's models of the other folds say of each row; nothing without a twin."""
    known = np.zeros(seen.targets.shape)
    if twin is not None:
        for index in np.unique(fold):
            known[fold == index] = twin.forests[index].many(_take(seen.columns, fold == index))
    return known


def _seen_of(kin: Kin | None) -> _Seen | None:
    return _seen(kin.data, tuned(kin.data, kin.machine)) if kin is not None and kin.short else None


def _grown(seen: _Seen, known: Array, recipe: Recipe, twin: Forest | None, others: _Seen | None) -> Forest:
    """A forest of all targets from some rows, or the twin's with trees of what it leaves of the times.

    A power has trees of its own: its residuals are larger, and would choose the times' questions too. Of another GPU's
    rows the trees are told by one more feature, which nobody answers for who asks of this GPU: it is no.
    """
    columns, left = seen.columns, seen.targets - known
    if others is not None and twin is None:
        their = np.concatenate([np.zeros(len(left)), np.ones(len(others.targets))])
        columns = [np.concatenate(pair) for pair in zip(columns, others.columns, strict=True)]
        both = replace(seen, columns=[*columns, their], targets=np.concatenate([left, others.targets]))
        return answered_no(_grown(both, np.zeros(both.targets.shape), recipe, None, None), len(columns))
    if twin is not None:
        own = boosting.grow(columns, left[:, : seen.timed], replace(TWIN_RECIPE, depth=twin.depth))
        for _ in range(seen.timed, left.shape[1]):
            own = with_constant(own, 0.0)
        return summed([twin, own], [1.0, 1.0])
    forest = boosting.grow(columns, left[:, : seen.timed], recipe)
    if seen.timed == left.shape[1]:
        return forest
    return joined(forest, boosting.grow(columns, left[:, seen.timed :], replace(recipe, **seen.apart), seed=2))


def _take(columns: list[Value], mask: NDArray[np.bool_]) -> list[Value]:
    return [column[mask] for column in columns]


def _seen(data: Dataset, machine: Machine) -> _Seen:
    problem, parts = _parts(data, machine)
    targets = [
        np.log(_shown(name, values, machine) / core_value(name, problem, parts, machine, ARRAY))
        for name, values in data.targets.items()
    ]
    columns = [np.asarray(column, np.float64) for column in features(problem, parts, ARRAY)]
    timed = sum(name in TIMED for name in data.targets)
    apart = _BLOCKS if BLOCKS in data.targets else _POWER
    return _Seen(columns, np.column_stack(targets), timed, bound(parts, ARRAY), apart)


def _shown(name: str, values: Array, machine: Machine) -> Array:
    """A target as it is learned: blocks beyond one an SM do not matter."""
    return np.minimum(values, machine.sm_count) if name == BLOCKS else values


def _parts(data: Dataset, machine: Machine) -> tuple[Problem, Core]:
    dtype = DTYPES[data.dtype]
    problem = Problem(data.m, data.n, data.k, dtype.input_bytes, dtype.output_bytes, data.nn)
    return problem, core(problem, rates(machine, dtype), ARRAY)


def tuned(data: Dataset, machine: Machine) -> Machine:
    """The machine with the core's constants set to what makes the data's median log error least."""
    measured = data.targets.get("cold", data.targets["hot"])

    def loss(numbers: dict[str, float]) -> float:
        return float(np.mean(np.abs(np.log(measured / _parts(data, replace(machine, **numbers))[1].time_s))))

    return replace(machine, **searched({name: getattr(machine, name) for name in _FITTED}, loss))
