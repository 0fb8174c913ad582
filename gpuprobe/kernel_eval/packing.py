"""What one worker hands another as JSON: plain values, bytes and numpy arrays. Reading it runs nothing."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

_PLAIN = (type(None), bool, int, float, str)
_NUMBERS = "biufc"
"""Kinds of numpy's data types that are numbers."""


def packed(value: Any) -> Any:
    """A value as a JSON document; TypeError where it, or a part of it, is no data."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [packed(part) for part in value]
    if isinstance(value, tuple):
        return {"tuple": [packed(part) for part in value]}
    if isinstance(value, dict) and all(type(key) is str for key in value):
        return {"dict": {key: packed(part) for key, part in value.items()}}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in _NUMBERS:
        data = base64.b64encode(value.tobytes()).decode()
        return {
            "array": data,
            "dtype": value.dtype.str,
            "shape": list(value.shape) if isinstance(value, np.ndarray) else None,
        }
    raise TypeError(
        f"{type(value).__qualname__} cannot be handed to another process: numbers, text, bytes, lists, tuples, "
        "dictionaries and arrays can"
    )


def unpacked(document: Any) -> Any:
    """The value of ``packed``; ValueError or TypeError where it is none."""
    if isinstance(document, list):
        return [unpacked(part) for part in document]
    if not isinstance(document, dict):
        return document
    if "array" in document:
        flat = np.frombuffer(base64.b64decode(document["array"]), np.dtype(document["dtype"]))
        return flat[0] if document["shape"] is None else flat.reshape(document["shape"]).copy()
    ((kind, held),) = document.items()
    if kind == "bytes":
        return base64.b64decode(held)
    if kind == "tuple":
        return tuple(map(unpacked, held))
    if kind == "dict":
        return {key: unpacked(part) for key, part in held.items()}
    raise ValueError(f"an unknown kind of value: {kind}")
