"""One column of numbers ↔ bytes: narrowest integers of the values or of their differences, shuffled and deflated.

A column's description (plain JSON) has ``rows``, ``encoding`` (``const``, ``plain``, ``delta`` or ``float``), ``base``,
``width`` (bytes a number), ``bytes`` (stored) and ``deflated``. ``plain`` holds value - base; ``delta`` holds the step
to the next value - base, the first value being ``first``. Both are unsigned little-endian integers, byte-shuffled: all
lowest bytes first, then all second bytes, and so on.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_DEFLATED = 1100
"""Deflate can not pack more than about 1030 bytes into one, so a larger promise is a lie."""


def encode_column(values: NDArray[Any]) -> tuple[dict[str, Any], bytes]:
    """Description and bytes of a column (integers up to 63 bits, or doubles)."""
    if values.dtype == np.float64:
        return _packed({"rows": len(values), "encoding": "float", "width": 8}, values.astype("<f8"))
    values = values.astype(np.int64)
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    if low == high:
        return {"rows": len(values), "encoding": "const", "base": low, "width": 0, "bytes": 0, "deflated": False}, b""
    steps = np.diff(values)
    step_low, step_high = int(steps.min()), int(steps.max())
    if step_high >= step_low and _width(step_high - step_low) <= _width(high - low):
        numbers = _unsigned(steps, step_low, _width(step_high - step_low))
        about = {"encoding": "delta", "base": step_low, "first": int(values[0]), "width": numbers.itemsize}
    else:
        numbers = _unsigned(values, low, _width(high - low))
        about = {"encoding": "plain", "base": low, "width": numbers.itemsize}
    return _packed({"rows": len(values), **about}, numbers)


def encode_data_column(values: NDArray[Any]) -> tuple[dict[str, Any], bytes]:
    """As encode_column, but never ``const``, so that a file's size bounds the rows it can promise."""
    about, data = encode_column(values)
    if about["encoding"] != "const" or len(values) == 0:
        return about, data
    numbers = np.zeros(len(values), "<u1")
    return _packed({"rows": len(values), "encoding": "plain", "base": about["base"], "width": 1}, numbers)


def decode_column(about: Mapping[str, Any], data: memoryview) -> NDArray[Any]:
    """The column of a description and its stored bytes; ValueError where they do not fit together."""
    rows, encoding, width = int(about["rows"]), about["encoding"], int(about["width"])
    if rows < 0 or width not in (0, 1, 2, 4, 8):
        raise ValueError("bad column description")
    if encoding == "const":
        return np.full(rows, int(about["base"]), np.int64)
    count = rows - 1 if encoding == "delta" else rows
    raw = _inflated(data, count * width) if about["deflated"] else bytes(data)
    if len(raw) != count * width or count < 0:
        raise ValueError("a column is shorter than it says")
    flat = np.frombuffer(raw, np.uint8).reshape(width, count).T if width > 1 else np.frombuffer(raw, np.uint8)
    if encoding == "float":
        return np.ascontiguousarray(flat).view("<f8").ravel().astype(np.float64)
    numbers = np.ascontiguousarray(flat).view(f"<u{width}").ravel().astype(np.int64)
    numbers += int(about["base"])
    if encoding == "plain":
        return numbers
    if encoding != "delta":
        raise ValueError(f"unknown encoding {encoding!r}")
    values = np.empty(rows, np.int64)
    values[0] = int(about["first"])
    np.cumsum(numbers, out=values[1:])
    values[1:] += values[0]
    return values


def _width(spread: int) -> int:
    return next(width for width in (1, 2, 4, 8) if spread < 1 << (8 * width))


def _unsigned(values: NDArray[np.int64], base: int, width: int) -> NDArray[Any]:
    """Values - base in ``width`` bytes; the wrap of 64-bit arithmetic undoes itself in the reader."""
    return (values.astype(np.uint64) - np.uint64(base % (1 << 64))).astype(f"<u{width}")


def _packed(about: dict[str, Any], numbers: NDArray[Any]) -> tuple[dict[str, Any], bytes]:
    width = numbers.dtype.itemsize
    raw = numbers.view(np.uint8).reshape(len(numbers), width).T.tobytes()
    small = zlib.compress(raw, 1)
    deflated = len(small) < 0.9 * len(raw)
    data = small if deflated else raw
    return {**about, "bytes": len(data), "deflated": deflated}, data


def _inflated(data: memoryview, size: int) -> bytes:
    if size > MOST_DEFLATED * len(data):
        raise ValueError("a column promises more than its bytes can hold")
    inflater = zlib.decompressobj()
    try:
        raw = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError(f"damaged column ({error})") from error
    return raw
