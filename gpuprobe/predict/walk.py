"""A forest in the native walk, which gives the outputs of numpy's to the bit (a query of 550 trees: 4 µs, not 15)."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.native import forest as native
from gpuprobe.predict.tape import Step, Tape

WORTH_BUILDING: Final = 256
"""Rows a forest is asked for from which on more will be: a build takes under a second, once a machine."""


class Walk:
    """One forest for the native walk.

    ``feature`` and ``threshold`` are (trees, levels), ``leaves`` whole numbers (trees, 2^depth, width) in units of
    ``unit``, ``base`` one number per output. The ``first`` trees speak of the first half of the outputs, the others of
    the second; all of them of all outputs where ``first`` is their number.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        feature: NDArray[np.int16],
        threshold: NDArray[np.float32],
        leaves: NDArray[np.int32],
        base: NDArray[np.float64],
        unit: float,
        first: int,
    ) -> None:
        trees, size, width = leaves.shape
        kept = (
            np.ascontiguousarray(feature, np.int16), np.ascontiguousarray(threshold, np.float32),
            np.ascontiguousarray(leaves, np.int32), np.ascontiguousarray(base, np.float64),
        )  # fmt: skip
        self.needed = int(feature.max(initial=-1)) + 1
        self._trees = native.Trees(
            *(array.ctypes.data for array in kept), unit, trees, first, size.bit_length() - 1, width, len(base),
            self.needed,
        )  # fmt: skip
        self._kept = kept  # what the pointers point at
        self.at = ctypes.addressof(self._trees)
        self.outputs = len(base)
        self._numbers = ctypes.c_double * len(base)
        self.library = library
        self._one = _held(library, "forest_one")
        self._many = library.forest_many

    def one(self, row: Sequence[float]) -> list[float]:
        """The outputs for one row of features."""
        if len(row) < self.needed:
            raise IndexError(f"a row of {len(row)} features, of which the forest asks for {self.needed}")
        outputs = self._numbers()
        self._one(self.at, _doubles(len(row)).pack(*row), outputs)
        return outputs[:]

    def many(self, table: NDArray[np.float32]) -> NDArray[np.float64]:
        """The outputs (rows, outputs) for a table (features, rows)."""
        features, rows = table.shape
        if features < self.needed:
            raise IndexError(f"rows of {features} features, of which the forest asks for {self.needed}")
        whole = np.ascontiguousarray(table)
        outputs = np.empty((rows, self.outputs))
        self._many(self.at, whole.ctypes.data, rows, outputs.ctypes.data)
        return outputs

    def query(self, tape: Tape, row: Sequence[Step], kept: Sequence[Step]) -> Query | None:
        """Queries of the forest by formulas on a tape; None where there is no room for them."""
        if len(row) < self.needed:
            raise IndexError(f"a row of {len(row)} features, of which the forest asks for {self.needed}")
        return Query(self, tape, row, kept) if tape.numbers() <= native.PLACES else None


class Query:
    """Formulas of a GEMM on a tape, which give the features of a forest and some more: one call answers a query."""

    def __init__(self, walk: Walk, tape: Tape, row: Sequence[Step], kept: Sequence[Step]) -> None:
        constants, code, places = tape.constants(), tape.code(), tape.places([*row, *kept])
        pointers = (array.ctypes.data for array in (constants, code, places))
        self._tape = native.Tape(walk.at, *pointers, len(constants), len(code), len(row), len(kept))
        self._kept = walk, constants, code, places  # what the pointers point at
        self._at = ctypes.addressof(self._tape)
        numbers = walk.outputs + len(places)
        self._numbers, self._unpack = ctypes.c_double * numbers, _doubles(numbers).unpack
        self._row, self._rest = walk.outputs, walk.outputs + len(row)
        self._call = _held(walk.library, "forest_query")

    def numbers(self, m: int, n: int, k: int, nn: float) -> tuple[list[float], list[float], list[float]]:
        """The forest's outputs; its features; what is kept."""
        found = self._numbers()
        self._call(self._at, m, n, k, nn, found)
        numbers = [*self._unpack(found)]
        return numbers[: self._row], numbers[self._row : self._rest], numbers[self._rest :]


def _held(library: ctypes.CDLL, name: str) -> Callable[..., None]:
    """A function that is called with the interpreter's lock held: it takes less time than to give it up and back."""
    return ctypes.PYFUNCTYPE(None, *getattr(library, name).argtypes)((name, library))


def library(asked: int, feature: NDArray[np.int16], width: int) -> ctypes.CDLL | None:
    """The native walk for a forest that was asked for so many rows; None where there is none or it has no room."""
    if feature.shape[1] != native.LEVELS or width > native.WIDTH:
        return None
    if not 0 <= int(feature.min(initial=0)) <= int(feature.max(initial=0)) < native.FEATURES:
        return None
    return native.FOREST.library(worth_building=asked >= WORTH_BUILDING)


@cache
def _doubles(count: int) -> struct.Struct:
    """An array of so many doubles."""
    return struct.Struct(f"{count}d")
