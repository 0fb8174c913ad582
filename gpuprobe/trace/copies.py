"""Copies and sets: bytes, bandwidth, and how much of them hides behind computing."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpuprobe.trace.classes import COMPUTE, work_of
from gpuprobe.trace.intervals import covered, union
from gpuprobe.trace.model import GpuKind, Trace


def copy_table(trace: Trace) -> list[dict[str, Any]]:
    """One row per direction: count, bytes, time in ns, bandwidth in B/s (over all, median); None where unknown."""
    gpu, work = trace.gpu, work_of(trace)
    computing = union(gpu.start[work == COMPUTE], gpu.end[work == COMPUTE])
    moving = gpu.kind != GpuKind.KERNEL
    rows = []
    for name in np.unique(gpu.name[moving]).tolist():
        of_name = moving & (gpu.name == name)
        sized = of_name & (gpu.bytes >= 0) & (gpu.dur > 0)
        total, time = int(gpu.bytes[sized].sum()), int(gpu.dur[sized].sum())
        rates = gpu.bytes[sized] / gpu.dur[sized] * 1e9
        hidden = covered(computing, gpu.start[of_name], gpu.end[of_name])
        rows.append(
            {
                "name": trace.texts[name],
                "count": int(of_name.sum()),
                "bytes": int(np.maximum(gpu.bytes[of_name], 0).sum()),
                "unknown_size": int((gpu.bytes[of_name] < 0).sum()),
                "sum_ns": int(gpu.dur[of_name].sum()),
                "behind_compute_ns": int(hidden.sum()),
                "bandwidth_bytes_per_s": total / time * 1e9 if time else None,
                "median_bandwidth_bytes_per_s": float(np.median(rates)) if len(rates) else None,
            }
        )
    return sorted(rows, key=lambda row: (-row["sum_ns"], row["name"]))
