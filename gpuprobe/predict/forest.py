"""A forest of oblivious trees: every level of a tree asks one question, so a leaf's number is the answers' bits.

That makes numpy fast enough to need no compiled library: one gather for a single query, whole columns for many. Leaves
hold one value per output (say hot and cold), so that one walk answers all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LEVELS: Final = 8  # bits of a byte: trees of fewer levels ask questions whose answer is always no
_ROWS_AT_ONCE: Final = 1 << 14  # keeps a block's columns in the CPU's cache
_GATHERED: Final = 4  # float32 values that one load gathers


class Forest:
    """Trees over float32 features.

    ``feature`` and ``threshold`` are (trees, LEVELS); ``leaves`` (trees, 2^depth, outputs); ``base`` (outputs). An
    answer is yes where the feature is above the threshold.
    """

    def __init__(
        self, feature: NDArray[np.int16], threshold: Floats, leaves: Floats, base: NDArray[np.float64]
    ) -> None:
        self.feature, self.threshold, self.leaves, self.base = feature, threshold, leaves, base
        trees, leaf_count, _ = leaves.shape
        self.depth = leaf_count.bit_length() - 1
        self._questions = feature.ravel().astype(np.intp)
        self._thresholds = threshold.ravel()
        self._offsets = np.arange(trees) * leaf_count
        self._base = base.tolist()

    # what only answers need is made for the first of them: an artefact holds a dozen forests, a caller asks of few
    @cached_property
    def _first(self) -> int:
        return _first_half(self.leaves)

    @cached_property
    def _ends(self) -> list[tuple[int, int]]:
        first, trees = self._first, len(self.leaves)
        return [(0, first), (first, trees)] if first < trees else [(0, trees)]

    @cached_property
    def _width(self) -> int:
        return int(self.leaves.shape[2]) // len(self._ends)

    @cached_property
    def _dense(self) -> Floats:
        return _padded(_dense(self.leaves, self._first))

    @cached_property
    def _flat(self) -> Floats:
        return self._dense.reshape(-1, self._dense.shape[2])

    @cached_property
    def _is_whole(self) -> bool:
        return len(self._ends) == 1

    @cached_property
    def _ones(self) -> list[Floats]:
        return [np.ones(stop - start, np.float32) for start, stop in self._ends]

    def one(self, row: Sequence[float]) -> list[float]:
        """The outputs for one row of features."""
        answers = np.array(row, np.float32).take(self._questions) > self._thresholds
        held = self._flat.take(np.packbits(answers, bitorder="little") + self._offsets, 0)
        # a product with ones: numpy sums a few columns of many rows five times as slowly
        if self._is_whole:
            sums = self._ones[0].dot(held).tolist()
        else:
            first, second = self._ones
            sums = first.dot(held[: self._first]).tolist()[: self._width] + second.dot(held[self._first :]).tolist()
        return [total + base for total, base in zip(sums, self._base)]  # noqa: B905 -- padded outputs come last

    def many(self, columns: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """The outputs (rows, outputs) for features given as columns."""
        table = np.array(columns, np.float32)
        blocks = [
            self._block(np.ascontiguousarray(table[:, start : start + _ROWS_AT_ONCE]))
            for start in range(0, table.shape[1], _ROWS_AT_ONCE)
        ]
        empty = np.empty((0, len(self.base)))
        return np.concatenate([empty, *blocks]) + self.base

    def _block(self, table: Floats) -> NDArray[np.float64]:
        sums = [self._sums(table, *part)[:, : self._width] for part in self._ends]
        return np.concatenate(sums, axis=1).astype(np.float64)

    def _sums(self, table: Floats, start: int, stop: int) -> Floats:
        """Sums over some trees; every step works in place on whole columns."""
        rows, width = table.shape[1], self._dense.shape[2]
        sums, values = np.zeros((rows, width), np.float32), np.empty((rows, width), np.float32)
        leaf, above = np.empty(rows, np.uint8), np.empty(rows, bool)
        answer = above.view(np.uint8)
        asked, thresholds = self.feature[start:stop].tolist(), self.threshold[start:stop].tolist()
        for feature, threshold, leaves in zip(asked, thresholds, self._dense[start:stop], strict=True):
            leaf[:] = 0
            for level in reversed(range(self.depth)):  # leaf = 2·leaf + answer, by adds: numpy shifts bytes slowly
                np.greater(table[feature[level]], threshold[level], out=above)
                np.add(leaf, leaf, out=leaf)
                np.add(leaf, answer, out=leaf)
            sums += leaves.take(leaf, axis=0, out=values, mode="clip")
        return sums

    def arrays(self, prefix: str) -> dict[str, NDArray[np.generic]]:
        """The forest as named arrays; leaves as float16, which costs less than 0.01 % of a time."""
        return {
            f"{prefix}.feature": self.feature.astype(np.uint8),
            f"{prefix}.threshold": self.threshold,
            f"{prefix}.leaves": self.leaves.astype(np.float16),
            f"{prefix}.base": self.base,
        }

    def rounded(self) -> Forest:
        """The forest as it will be after it was stored and loaded."""
        return Forest(self.feature, self.threshold, self.leaves.astype(np.float16).astype(np.float32), self.base)


def from_arrays(arrays: Mapping[str, NDArray[np.generic]], prefix: str, feature_count: int, outputs: int) -> Forest:
    """A forest from named arrays; KeyError or ValueError where they are none of so many features and outputs."""
    feature, threshold, leaves, base = (
        arrays[f"{prefix}.{name}"] for name in ("feature", "threshold", "leaves", "base")
    )
    trees = feature.shape[0]
    depth = leaves.shape[1].bit_length() - 1 if leaves.ndim == 3 else 0
    shapes = (feature.shape, threshold.shape, leaves.shape, base.shape)
    if shapes != ((trees, LEVELS), (trees, LEVELS), (trees, 2**depth, outputs), (outputs,)) or not 0 < depth <= LEVELS:
        raise ValueError(f"a forest has arrays of shapes {shapes}")
    if feature.dtype != np.uint8 or int(feature.max(initial=0)) >= feature_count:
        raise ValueError("a forest asks for features that there are not")
    if np.isnan(threshold).any() or not (np.isfinite(leaves).all() and np.isfinite(base).all()):
        raise ValueError("a forest holds values that are not numbers")
    if depth < LEVELS and not (threshold[:, depth:].astype(np.float64) == np.inf).all():
        raise ValueError("a forest asks more questions than it has leaves for")
    return Forest(
        feature.astype(np.int16), threshold.astype(np.float32), leaves.astype(np.float32), base.astype(np.float64)
    )


def joined(first: Forest, second: Forest) -> Forest:
    """One forest with the outputs of both, first's before second's; both of one depth."""
    left, right = first.leaves.shape[2], second.leaves.shape[2]
    leaves = np.concatenate(
        [np.pad(first.leaves, ((0, 0), (0, 0), (0, right))), np.pad(second.leaves, ((0, 0), (0, 0), (left, 0)))]
    )
    return Forest(
        np.concatenate([first.feature, second.feature]),
        np.concatenate([first.threshold, second.threshold]),
        leaves,
        np.concatenate([first.base, second.base]),
    )


def summed(forests: Sequence[Forest], shares: Sequence[float]) -> Forest:
    """One forest that gives the sum of several, each times its share; all of one depth and with the same outputs."""
    weighed = list(zip(forests, shares, strict=True))
    return Forest(
        np.concatenate([part.feature for part in forests]),
        np.concatenate([part.threshold for part in forests]),
        np.concatenate([part.leaves * np.float32(share) for part, share in weighed]),
        np.sum([part.base * share for part, share in weighed], axis=0),
    )


def with_constant(forest: Forest, output: float) -> Forest:
    """The forest with one more output, which is the same everywhere."""
    leaves = np.pad(forest.leaves, ((0, 0), (0, 0), (0, 1)))
    return Forest(forest.feature, forest.threshold, leaves, np.append(forest.base, output))


def answered_no(forest: Forest, feature: int) -> Forest:
    """The forest of those rows in which one feature, the last it knows, never is above any threshold."""
    asked = forest.feature == feature
    threshold = np.where(asked, np.float32(np.inf), forest.threshold)
    return Forest(np.where(asked, np.int16(0), forest.feature), threshold, forest.leaves, forest.base)


def _first_half(leaves: Floats) -> int:
    """Number of leading trees that speak only of the first half of the outputs, the others only of the second.

    All trees where it is not so. A joined forest then needs half the memory, and a query half the cache misses.
    """
    half = leaves.shape[2] // 2
    speaks = leaves[:, :, half:].any(axis=(1, 2))
    first = int(speaks.argmax()) if speaks.any() else len(leaves)
    return len(leaves) if half * 2 != leaves.shape[2] or leaves[first:, :, :half].any() else first


def _dense(leaves: Floats, first: int) -> Floats:
    """The leaves without the outputs that a tree does not speak of."""
    if first == len(leaves):
        return leaves
    half = leaves.shape[2] // 2
    return np.concatenate([leaves[:first, :, :half], leaves[first:, :, half:]])


def _padded(leaves: Floats) -> Floats:
    """The leaves with outputs of zeros up to 16 bytes or a multiple: numpy gathers those three times as fast."""
    missing = -leaves.shape[2] % _GATHERED
    return np.pad(leaves, ((0, 0), (0, 0), (0, missing))) if leaves.shape[2] > 1 else leaves
