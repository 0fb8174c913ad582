"""Fitting the model of tiled kernels to measured configurations, judged on GEMMs it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.predict import boosting, intervals
from gpuprobe.predict.boosting import Recipe
from gpuprobe.predict.forest import Forest, joined
from gpuprobe.tune.data import Measured
from gpuprobe.tune.model import seen

Array = NDArray[np.float64]
Say = Callable[[str], None]

FOLDS: Final = 5
RECIPE: Final = Recipe(trees=300, depth=8, step=0.15, damping=10.0, features=0.25, rows=0.7, clip=0.9)
_SPREADS: Final = Recipe(trees=30, depth=8, step=0.16, damping=30.0)
_DISTURBED: Final = 3.3
"""Times its core that a configuration may take which one launch alone has timed."""


class Ranking(NamedTuple):
    """How well configurations were ranked, over GEMMs: mean Spearman correlation; loss of the best of the top k.

    A loss is the geometric mean of time of the best of the first k predicted over the best measured; ``worst_top5`` the
    largest of them for k = 5.
    """

    gemms: int
    spearman: float
    top1: float
    top5: float
    top10: float
    worst_top5: float


@dataclass(frozen=True)
class Judged:
    """Held-out log errors (measured / predicted), their spreads, and the band that holds 90 % of error / spread."""

    errors: Array
    spreads: Array
    band: tuple[float, float]
    predicted_s: Array


def is_undisturbed(data: Measured, name: str) -> NDArray[np.bool_]:
    """Whether each row is none of those whose only launch something else on the machine held up.

    A configuration that seems hopeless is timed by one launch; a few in a thousand then read 0.4 to 0.9 ms, whatever
    they are, in bursts. All others are medians of five.
    """
    _, core_s = seen(data.work, data.dtype, name)
    kept: NDArray[np.bool_] = (data.spread > 0) | (data.time_s < _DISTURBED * core_s)
    return kept


def undisturbed(data: Measured, name: str) -> Measured:
    """The rows whose launches nothing held up, as far as one can tell."""
    return data.rows(is_undisturbed(data, name))


def cross_validate(data: Measured, name: str, say: Say) -> Judged:
    """Each row predicted by a model of the other folds; folds are whole GEMMs."""
    columns, core_s = seen(data.work, data.dtype, name)
    target = np.log(data.time_s / core_s)[:, None]
    fold = data.folds(FOLDS)
    errors, spreads = np.zeros(len(data)), np.zeros(len(data))
    for index in range(FOLDS):
        say(f"fold {index + 1} of {FOLDS}")
        out = fold == index
        forest = boosting.grow([c[~out] for c in columns], target[~out], RECIPE)
        errors[out] = target[out, 0] - forest.many([c[out] for c in columns])[:, 0]
    learned = intervals.spread_target(errors)[:, None]
    for index in range(FOLDS):
        out = fold == index
        spread = boosting.grow([c[~out] for c in columns], learned[~out], _SPREADS, seed=1)
        spreads[out] = np.exp(spread.many([c[out] for c in columns])[:, 0])
    low, high = intervals.ends(errors / spreads)
    return Judged(errors, spreads, (low, high), data.time_s * np.exp(-errors))


def fit(data: Measured, name: str, judged: Judged) -> Forest:
    """The forest fitted to all rows: residual and spread."""
    columns, core_s = seen(data.work, data.dtype, name)
    forest = boosting.grow(columns, np.log(data.time_s / core_s)[:, None], RECIPE)
    spread = boosting.grow(columns, intervals.spread_target(judged.errors)[:, None], _SPREADS, seed=1)
    return joined(forest, spread).rounded()


def ranking(time_s: Array, predicted_s: Array, gemm: NDArray[np.int64]) -> Ranking:
    """How predictions rank the configurations of each GEMM."""
    spearman, losses = [], []
    for index in np.unique(gemm):
        times, predicted = time_s[gemm == index], predicted_s[gemm == index]
        order = np.argsort(predicted, kind="stable")
        spearman.append(_spearman(times, predicted))
        losses.append([times[order[:count]].min() / times.min() for count in (1, 5, 10)])
    table = np.array(losses)
    top1, top5, top10 = np.exp(np.log(table).mean(axis=0))
    return Ranking(
        len(table), float(np.mean(spearman)), float(top1), float(top5), float(top10), float(table[:, 1].max())
    )


def _spearman(a: Array, b: Array) -> float:
    """Rank correlation of two columns without ties to speak of."""
    ranks = [np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(float) for values in (a, b)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
