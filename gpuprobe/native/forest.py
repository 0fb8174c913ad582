"""The walk through a forest of oblivious trees as a native part; gpuprobe.predict.walk calls it."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

from gpuprobe.native.part import Part

FEATURES, WIDTH, LEVELS = 128, 16, 8
"""Most features, outputs of a tree and questions of a tree that it has room for, as in forest.cpp."""
INPUTS, PLACES = 4, 1024
"""Inputs of a tape, and its most numbers."""


class Trees(ctypes.Structure):
    """A forest as forest.cpp knows it."""

    _fields_ = (
        ("feature", ctypes.c_void_p),
        ("threshold", ctypes.c_void_p),
        ("leaves", ctypes.c_void_p),
        ("base", ctypes.c_void_p),
        ("unit", ctypes.c_double),
        *((name, ctypes.c_int64) for name in ("trees", "first", "depth", "width", "outputs", "features")),
    )


class Tape(ctypes.Structure):
    """Formulas and the forest that they feed, as forest.cpp knows them."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("forest", "constants", "code", "places")),
        *((name, ctypes.c_int64) for name in ("constant_count", "operations", "features", "kept")),
    )


_POINTER, _NUMBER = ctypes.c_void_p, ctypes.c_double

FOREST: Final = Part(
    "forest",
    (Path(__file__).resolve().parent / "forest.cpp",),
    (
        ("forest_one", None, (_POINTER, ctypes.c_char_p, _POINTER)),
        ("forest_many", None, (_POINTER, _POINTER, ctypes.c_int64, _POINTER)),
        ("forest_query", None, (_POINTER, _NUMBER, _NUMBER, _NUMBER, _NUMBER, _POINTER)),
    ),
    flags=("-O3", "-ffp-contract=off"),
)
