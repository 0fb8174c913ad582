"""Kernels, copies and sets by name: count, sum, spread and share of all GPU time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.classes import WORK, work_of
from gpuprobe.trace.model import I64, Trace


def kernel_table(trace: Trace) -> list[dict[str, Any]]:
    """One row per name, largest sum first. ``share`` is of the sum of all durations (1.0 is all). Times in ns."""
    gpu = trace.gpu
    if len(gpu.start) == 0:
        return []
    order = np.lexsort((gpu.dur, gpu.name))
    names, first, counts = np.unique(gpu.name[order], return_index=True, return_counts=True)
    durations = gpu.dur[order]
    sums = np.add.reduceat(durations, first)
    columns = {
        "count": counts,
        "sum_ns": sums,
        "share": sums / max(1, int(sums.sum())),
        "min_ns": durations[first],
        "mean_ns": sums / counts,
        "median_ns": _quantile(durations, first, counts, 0.5),
        "p95_ns": _quantile(durations, first, counts, 0.95),
        "max_ns": durations[first + counts - 1],
        "std_ns": _deviation(durations, first, counts, sums),
    }
    work = work_of(trace)[order][first]
    lists = {key: values.tolist() for key, values in columns.items()}
    rows = [
        {"name": trace.texts[name], "work": WORK[work[index]], **{key: values[index] for key, values in lists.items()}}
        for index, name in enumerate(names.tolist())
    ]
    return sorted(rows, key=lambda row: (-row["sum_ns"], row["name"]))


def _quantile(ordered: I64, first: NDArray[np.intp], counts: NDArray[np.intp], share: float) -> NDArray[np.float64]:
    """Quantile of each group of ascending values, linear between its neighbours (as numpy's default)."""
    position = first + (counts - 1) * share
    low = np.floor(position).astype(np.intp)
    high = np.minimum(low + 1, first + counts - 1)
    found: NDArray[np.float64] = ordered[low] + (ordered[high] - ordered[low]) * (position - low)
    return found


def _deviation(values: I64, first: NDArray[np.intp], counts: NDArray[np.intp], sums: I64) -> NDArray[np.float64]:
    """Standard deviation of each group, of the population."""
    from_mean = values - np.repeat(sums / counts, counts)
    return np.sqrt(np.add.reduceat(from_mean * from_mean, first) / counts)
