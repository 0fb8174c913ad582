"""Collectives with the sizes that the file states: time and bandwidth as nccl-tests define them.

Algorithm bandwidth is bytes over time, of the larger of input and output; bus bandwidth multiplies it by what each link
must carry: 2(n-1)/n for all-reduce, (n-1)/n for all-gather, reduce-scatter and all-to-all, 1 for the rest. A kernel's
time holds its waiting for the other ranks, so the fastest of a kind says most about the links.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.classes import COMMUNICATION, work_of
from gpuprobe.trace.model import Trace

BYTES = {
    **dict.fromkeys(("char", "byte", "bool", "int8", "uint8", "float8_e4m3fn", "float8_e5m2"), 1),
    **dict.fromkeys(("half", "bfloat16", "short", "float16", "int16"), 2),
    **dict.fromkeys(("float", "int", "float32", "int32"), 4),
    **dict.fromkeys(("double", "long", "float64", "int64"), 8),
}
"""Bytes of an element by PyTorch's name of its type."""
MOST = 1 << 60


def collective_table(trace: Trace) -> list[dict[str, Any]]:
    """One row per collective, type, size and group size, longest first; bandwidths in B/s, None where unknown."""
    gpu = trace.gpu
    known = np.flatnonzero((work_of(trace) == COMMUNICATION) & (gpu.detail != 0))
    details = {text: _object(trace.texts[text]) for text in np.unique(gpu.detail[known]).tolist()}
    rows = [_row(detail, gpu.dur[known[gpu.detail[known] == text]]) for text, detail in details.items() if detail]
    return sorted(rows, key=lambda row: (-row["sum_ns"], row["collective"], row["bytes"] or 0))


def _object(text: str) -> dict[str, Any]:
    """A JSON object of a file; empty where it is none."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _row(detail: dict[str, Any], durations: NDArray[np.int64]) -> dict[str, Any]:
    name, ranks = str(detail.get("collective", "")), detail.get("group_size")
    ranks = ranks if isinstance(ranks, int) and 0 < ranks < MOST else None
    moved = _bytes(detail)
    fastest, middle = int(durations.min()), float(np.median(durations))
    factor = _bus_factor(name, ranks)
    best = moved / fastest * 1e9 if moved and fastest > 0 else None
    return {
        "collective": name,
        "dtype": str(detail.get("dtype", "")),
        "bytes": moved,
        "ranks": ranks,
        "count": len(durations),
        "sum_ns": int(durations.sum()),
        "median_ns": middle,
        "fastest_ns": fastest,
        "best_algorithm_bytes_per_s": best,
        "best_bus_bytes_per_s": best * factor if best and factor else None,
        "median_bus_bytes_per_s": moved / middle * 1e9 * factor if moved and middle > 0 and factor else None,
    }


def _bytes(detail: dict[str, Any]) -> int | None:
    """Bytes of the larger of input and output."""
    size = BYTES.get(str(detail.get("dtype", "")).lower())
    elements = [detail.get(key) for key in ("in_elements", "out_elements")]
    whole = [count for count in elements if isinstance(count, int) and 0 <= count < MOST]
    return size * max(whole) if size and whole else None


def _bus_factor(name: str, ranks: int | None) -> float | None:
    """What each link carries of the bytes; None where the group's size is not known."""
    plain = name.lower().replace("_", "")
    if any(mark in plain for mark in ("allreduce", "allgather", "reducescatter", "alltoall")):
        if ranks is None:
            return None
        return (2 if "allreduce" in plain else 1) * (ranks - 1) / ranks
    return 1.0
