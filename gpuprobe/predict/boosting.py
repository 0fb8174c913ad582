"""Gradient boosting of oblivious trees with several outputs, in numpy alone and to the bit the same in every run.

Each tree's questions maximise the explained squared error of all outputs together, of residuals clipped at a quantile
so that rows the features cannot explain do not drive it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpuprobe.predict.forest import LEVELS, Forest

Array = NDArray[np.float64]
Bins = NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """How a forest is grown: number and depth of trees, step, and what each tree may see."""

    trees: int = 500
    depth: int = 6
    step: float = 0.08
    damping: float = 3.0
    """Rows without residual that every leaf is thought to hold."""
    features: float = 0.4
    """Share of the features a tree may ask for."""
    rows: float = 0.8
    """Share of the rows a tree is grown from."""
    clip: float = 0.9
    """Quantile of the residuals beyond which they count as the quantile."""
    bins: int = 128
    sees: int = 0
    """Number of leading features a tree may ask for at all; 0: all."""
    median: bool = False
    """Whether a leaf holds the median of its rows, which the mean error asks for, instead of their mean."""


def grow(columns: Sequence[Array], targets: Array, recipe: Recipe, seed: int = 0) -> Forest:
    """A forest that maps features (columns) to targets (rows, outputs)."""
    rng = np.random.default_rng(seed)
    edges = [_edges(column.astype(np.float32), recipe.bins) for column in columns]
    binned = np.array([np.searchsorted(e, c.astype(np.float32)) for e, c in zip(edges, columns, strict=True)], np.int64)
    usable = np.flatnonzero([len(e) > 0 for e in edges[: recipe.sees or None]])
    base = np.median(targets, axis=0)
    left = targets - base
    feature = np.zeros((recipe.trees, LEVELS), np.int16)
    threshold = np.full((recipe.trees, LEVELS), np.inf, np.float32)
    leaves = np.zeros((recipe.trees, 2**recipe.depth, targets.shape[1]), np.float32)
    for tree in range(recipe.trees):
        limit = np.quantile(np.abs(left), recipe.clip)
        clipped = np.clip(left, -limit, limit)
        rows = np.flatnonzero(rng.random(len(left)) < recipe.rows)
        allowed = np.sort(rng.choice(usable, max(1, round(len(usable) * recipe.features)), replace=False))
        questions = _questions(binned[:, rows], clipped[rows], allowed, recipe)
        for level, (asked, place) in enumerate(questions):
            feature[tree, level], threshold[tree, level] = asked, edges[asked][place]
        leaf = _leaf(binned, questions)
        middle = _medians if recipe.median else _means
        leaves[tree] = recipe.step * middle(leaf[rows], clipped[rows], recipe)
        left = left - leaves[tree][leaf]
    return Forest(feature, threshold, leaves, base)


def _edges(column: NDArray[np.float32], bins: int) -> NDArray[np.float32]:
    """Thresholds of a feature: between its values where they are few, else at quantiles."""
    values = np.unique(column)
    if len(values) <= bins:
        return ((values[1:].astype(np.float64) + values[:-1]) / 2).astype(np.float32)
    return np.unique(np.quantile(column, np.linspace(0, 1, bins + 1)[1:-1]).astype(np.float32))


def _questions(binned: Bins, residual: Array, allowed: NDArray[np.intp], recipe: Recipe) -> list[tuple[int, int]]:
    """(feature, place among its thresholds) of each level, the best one after the other."""
    bins = binned[allowed]
    leaf = np.zeros(len(residual), np.int64)
    questions: list[tuple[int, int]] = []
    for level in range(recipe.depth):
        gains = _gains(leaf, 2**level, bins, residual, recipe)
        best, place = divmod(int(gains.argmax()), gains.shape[1])
        questions.append((int(allowed[best]), place))
        leaf |= (bins[best] > place).astype(np.int64) << level
    return questions


def _gains(leaf: Bins, leaf_count: int, bins: Bins, residual: Array, recipe: Recipe) -> Array:
    """Squared error explained by each feature (row) and threshold (column), if it is asked in every leaf."""
    width = int(bins.max()) + 1
    shape = (len(bins), leaf_count, width)
    first = np.arange(len(bins))[:, None] * (leaf_count * width)
    key = (first + leaf * width + bins).ravel()
    below = np.bincount(key, minlength=first.size * leaf_count * width).reshape(shape).cumsum(axis=2)
    above = below[:, :, -1:] - below
    total = np.zeros(shape)
    for column in residual.T:
        sums = np.bincount(key, np.tile(column, len(bins)), below.size).reshape(shape).cumsum(axis=2)
        total += sums**2 / (below + recipe.damping) + (sums[:, :, -1:] - sums) ** 2 / (above + recipe.damping)
    gain: Array = total.sum(axis=1)
    gain[np.arange(width) >= bins.max(axis=1)[:, None]] = -1.0  # beyond a feature's last threshold
    return gain


def _leaf(binned: Bins, questions: Sequence[tuple[int, int]]) -> Bins:
    leaf = np.zeros(binned.shape[1], np.int64)
    for level, (asked, place) in enumerate(questions):
        leaf |= (binned[asked] > place).astype(np.int64) << level
    return leaf


def _means(leaf: Bins, residual: Array, recipe: Recipe) -> Array:
    """Damped mean residual of each leaf and output."""
    size = 2**recipe.depth
    rows = np.bincount(leaf, minlength=size)[:, None] + recipe.damping
    return np.stack([np.bincount(leaf, column, size) for column in residual.T], axis=1) / rows


def _medians(leaf: Bins, residual: Array, recipe: Recipe) -> Array:
    """Median residual of each leaf and output, damped as a mean would be; 0 where a leaf has no rows."""
    counts = np.bincount(leaf, minlength=2**recipe.depth)
    first = np.concatenate([[0], counts.cumsum()[:-1]])
    low, high = (np.minimum(first + half, len(leaf) - 1) for half in (np.maximum(counts - 1, 0) // 2, counts // 2))
    shrink = counts / (counts + recipe.damping)
    columns = [column[np.lexsort((column, leaf))] for column in residual.T]
    return np.stack([shrink * (column[low] + column[high]) / 2 for column in columns], axis=1)
