"""The scanner as a native part. Where there is none, Python reads the same."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

from gpuprobe.native.part import Part

WORTH_BUILDING: Final = 48 << 20
"""Bytes of a trace from which on the second that a build takes is won back."""
_POINTER, _NUMBER = ctypes.c_void_p, ctypes.c_int64

SCANNER: Final = Part(
    "scanner",
    tuple(Path(__file__).resolve().parent / name for name in ("scanner.cpp", "json.h", "intern.h")),
    (
        ("scanner_new", _POINTER, (ctypes.c_uint64,)),
        ("scanner_free", None, (_POINTER,)),
        ("scanner_scan", _NUMBER, (_POINTER, _POINTER)),
        ("scanner_known", _NUMBER, (_POINTER,)),
        ("scanner_text", _POINTER, (_POINTER, _NUMBER, _POINTER, _POINTER)),
    ),
)


def scanner_library(size: int) -> ctypes.CDLL | None:
    """The scanner for a trace of about ``size`` bytes; None where there is none and none is worth or able to be built.

    What it reads is the same either way; only the time differs.
    """
    return SCANNER.library(worth_building=size >= WORTH_BUILDING)
