"""A forest of oblivious trees: every level of a tree asks one question, so a leaf's number is the answers' bits.

That makes numpy fast: one gather for a single query, whole columns for many; where there is a C++ compiler, a native
walk is faster still (``walk``). Leaves hold one value per output (say hot and cold), so that one walk answers all.

Outputs are sums of whole numbers: of the leaves in units of a power of two, in which stored leaves of less than 64 in
sum are exact. They are the same in any order, so one row and many, numpy and the native walk agree to the bit, on every
machine.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.predict import walk
from gpuprobe.predict.walk import Walk

Floats = NDArray[np.float32]
Wholes = NDArray[np.int32]

LEVELS: Final = 8  # bits of a byte: trees of fewer levels ask questions whose answer is always no
_ROWS_AT_ONCE: Final = 1 << 14  # keeps a block's columns in the CPU's cache
_GATHERED: Final = 4  # 32-bit values that one load gathers
_FINEST: Final = 24  # float16 has multiples of 2^-24
_HALF_EXPONENT: Final = np.uint16(0x7C00)
_SUM_BITS: Final = 30  # sums of an output stay below 2^30


class Forest:
    """Trees over float32 features.

    ``feature`` and ``threshold`` are (trees, LEVELS); ``leaves`` (trees, 2^depth, outputs); ``base`` (outputs). An
    answer is yes where the feature is above the threshold.
    """

    def __init__(
        self,
        feature: NDArray[np.int16],
        threshold: Floats,
        leaves: NDArray[np.generic],
        base: NDArray[np.float64],
    ) -> None:
        self.feature, self.threshold, self.base = feature, threshold, base
        self._stored = leaves
        self.depth = leaves.shape[1].bit_length() - 1
        self.walk: Walk | None = None
        """The native walk, once there is one."""
        self._rows_asked = 0

    def __getstate__(self) -> dict[str, Any]:
        """All but the native walk, whose pointers are of this process and this forest."""
        return {**vars(self), "walk": None}

    # what only answers need is made for the first of them: an artefact holds a dozen forests, a caller asks of few
    @cached_property
    def leaves(self) -> Floats:
        """The leaves as float32 (trees, 2^depth, outputs)."""
        return self._stored.astype(np.float32, copy=False)

    @cached_property
    def _questions(self) -> NDArray[np.intp]:
        return self.feature.ravel().astype(np.intp)

    @cached_property
    def _thresholds(self) -> Floats:
        return self.threshold.ravel()

    @cached_property
    def _offsets(self) -> NDArray[np.intp]:
        return np.arange(0, len(self.feature) << self.depth, 1 << self.depth, dtype=np.intp)

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
    def _unit(self) -> float:
        return _unit(self.leaves)

    @cached_property
    def _dense(self) -> Wholes:
        """The leaves in units, without outputs that a tree does not speak of.

        With outputs of zeros up to 16 bytes or a multiple: numpy gathers those three times as fast.
        """
        width = self._width
        padded = width + (-width % _GATHERED if width > 1 else 0)
        dense = np.zeros((*self.leaves.shape[:2], padded), np.int32)
        for at, (start, stop) in enumerate(self._ends):
            spoken = self.leaves[start:stop, :, at * width : (at + 1) * width]
            dense[start:stop, :, :width] = np.rint(spoken * np.float32(1 / self._unit))
        return dense

    @cached_property
    def _flat(self) -> NDArray[np.float64]:
        return self._dense.reshape(-1, self._dense.shape[2]).astype(np.float64) * np.float64(self._unit)

    @cached_property
    def _speaks(self) -> NDArray[np.float64]:
        """Which trees speak of which part of the outputs: (parts, trees) of ones and zeros."""
        parts = np.zeros((len(self._ends), len(self.leaves)))
        for at, (start, stop) in enumerate(self._ends):
            parts[at, start:stop] = 1.0
        return parts

    def one(self, row: Sequence[float]) -> list[float]:
        """The outputs for one row of features."""
        native = self.walk or self._asked_for(1)
        return native.one(row) if native else self._one(row)

    def many(self, columns: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """The outputs (rows, outputs) for features given as columns."""
        table = np.array(columns, np.float32)
        native = self.walk or self._asked_for(table.shape[1])
        return native.many(table) if native else self._many(table)

    def _asked_for(self, rows: int) -> Walk | None:
        """The native walk where there is one; looked for at the first row, built at the one that is worth it."""
        before, self._rows_asked = self._rows_asked, self._rows_asked + rows
        if before == 0 or before < walk.WORTH_BUILDING <= self._rows_asked:
            library = walk.library(self._rows_asked, self.feature, self._dense.shape[2])
            if library is not None:
                dense, first = self._dense, self._first
                self.walk = Walk(library, self.feature, self.threshold, dense, self.base, self._unit, first)
        return self.walk

    def _one(self, row: Sequence[float]) -> list[float]:
        answers = _single(row).take(self._questions) > self._thresholds
        held = self._flat.take(np.packbits(answers, bitorder="little") + self._offsets, 0)
        # a matrix product: numpy sums a few columns of many rows five times as slowly; exact, for sums are below 2^53
        sums = self._speaks.dot(held).tolist()
        outputs = sums[0] if len(sums) == 1 else sums[0][: self._width] + sums[1][: self._width]
        return [total + base for total, base in zip(outputs, self._base)]  # noqa: B905 -- padded outputs come last

    @cached_property
    def _base(self) -> list[float]:
        base: list[float] = self.base.tolist()
        return base

    def _many(self, table: Floats) -> NDArray[np.float64]:
        blocks = [
            self._block(np.ascontiguousarray(table[:, start : start + _ROWS_AT_ONCE]))
            for start in range(0, table.shape[1], _ROWS_AT_ONCE)
        ]
        empty = np.empty((0, len(self.base)))
        return np.concatenate([empty, *blocks])

    def _block(self, table: Floats) -> NDArray[np.float64]:
        sums = [self._sums(table, *part)[:, : self._width] for part in self._ends]
        return np.concatenate(sums, axis=1) * self._unit + self.base

    def _sums(self, table: Floats, start: int, stop: int) -> Wholes:
        """Sums over some trees; every step works in place on whole columns."""
        rows, width = table.shape[1], self._dense.shape[2]
        sums, values = np.zeros((rows, width), np.int32), np.empty((rows, width), np.int32)
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
    if np.isnan(threshold).any() or not (_are_finite(leaves) and np.isfinite(base).all()):
        raise ValueError("a forest holds values that are not numbers")
    if depth < LEVELS and not (threshold[:, depth:].astype(np.float64) == np.inf).all():
        raise ValueError("a forest asks more questions than it has leaves for")
    return Forest(feature.astype(np.int16), threshold.astype(np.float32), leaves, base.astype(np.float64))


def _single(row: Sequence[float]) -> Floats:
    """A row as float32, in two thirds of the time numpy takes; what is too large for them is infinite."""
    try:
        return np.frombuffer(_floats(len(row)).pack(*row), np.float32)
    except OverflowError:
        return np.array(row, np.float32)


@cache
def _floats(count: int) -> struct.Struct:
    """An array of so many float32."""
    return struct.Struct(f"{count}f")


def _are_finite(leaves: NDArray[np.generic]) -> bool:
    """Whether no leaf is infinite or NaN; of float16 by its exponent, as numpy knows in ten times the time."""
    if leaves.dtype == np.float16:
        return not (leaves.view(np.uint16) & _HALF_EXPONENT == _HALF_EXPONENT).any()
    return bool(np.isfinite(leaves).all())


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


def _unit(leaves: Floats) -> float:
    """A power of two that leaves are counted in: the finest of float16, or coarser where sums would not fit."""
    trees = leaves.reshape(len(leaves), leaves.shape[1] * leaves.shape[2])
    largest = np.maximum(trees.max(axis=1, initial=0), -trees.min(axis=1, initial=0)).sum(dtype=np.float64)
    return math.ldexp(1.0, -min(_FINEST, _SUM_BITS - math.frexp(float(largest))[1]))
