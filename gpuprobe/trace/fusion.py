"""Which kernels always follow each other: candidates for one fused launch, by SKIP's proximity score.

Score of a chain: how often it occurs / how often its first kernel occurs; 1.0 means that the first kernel is always
followed by the rest. Chains never cross a stream, a host synchronisation between their launches, a copy or set, a
communication kernel or a graph (inside one there is no launch to save). Chains are found longest first, without
overlap. Each length costs one sort of the kernels, so the time is n log n for the fixed number of lengths.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.classes import COMPUTE, stream_ids, work_of
from gpuprobe.trace.idle import synchronising
from gpuprobe.trace.launches import Launches
from gpuprobe.trace.model import I64, Trace

LONGEST_CHAIN = 16
TOP_CHAINS = 20


def fusion(trace: Trace, launches: Launches, threshold: float = 1.0, longest: int = LONGEST_CHAIN) -> dict[str, Any]:
    """Chains with a score of ``threshold`` or more that occur twice or more, most launches saved first; ns."""
    names, segment = _sequence(trace, launches)
    call_ns = _launch_cost(trace, launches)
    rows = _chains(names, segment, threshold, longest)
    chains: list[dict[str, Any]] = [
        {
            "kernels": [trace.texts[name] for name in names[first : first + length].tolist()],
            "length": length,
            "occurrences": fused,
            "score": score,
            "launches_saved": fused * (length - 1),
            "saved_ns": round(fused * (length - 1) * call_ns),
        }
        for first, length, fused, score in rows
    ]
    chains.sort(key=lambda row: (-row["launches_saved"], row["kernels"]))
    saved = sum(row["launches_saved"] for row in chains)
    return {
        "threshold": threshold,
        "candidates": len(chains),
        "kernels_considered": len(names),
        "launches_saved": saved,
        "launch_cost_ns": call_ns,
        "saved_ns": round(saved * call_ns),
        "ideal_speedup_of_launching": len(names) / (len(names) - saved) if len(names) else 1.0,
        "chains": chains[:TOP_CHAINS],
    }


def _sequence(trace: Trace, launches: Launches) -> tuple[I64, I64]:
    """Names of the kernels that may be fused, stream by stream in the order of their start, and their segment."""
    gpu = trace.gpu
    stream = stream_ids(trace)
    order = np.lexsort((gpu.end, gpu.start, stream))
    fusible = ((work_of(trace) == COMPUTE) & launches.known & ~launches.graph)[order]
    syncs = synchronising(trace)
    epoch = np.searchsorted(syncs.end, launches.start[order])
    cut = np.ones(len(order), bool)
    cut[1:] = (stream[order][1:] != stream[order][:-1]) | (epoch[1:] != epoch[:-1]) | ~fusible[:-1]
    segment = np.cumsum(cut)
    return gpu.name[order][fusible].astype(np.int64), segment[fusible]


def _launch_cost(trace: Trace, launches: Launches) -> float:
    """Median time of a launch call outside graphs, ns."""
    rows = launches.known & ~launches.graph
    return float(np.median((launches.end - launches.start)[rows])) if rows.any() else 0.0


def _chains(names: I64, segment: I64, threshold: float, longest: int) -> list[tuple[int, int, int, float]]:
    """(first position, length, occurrences to fuse, score) of each chosen chain."""
    windows = _windows(names, segment, longest)
    frequency = np.bincount(names) if len(names) else np.zeros(0, np.intp)
    taken = np.zeros(len(names) + 1, np.int64)
    chosen = []
    for length in range(longest, 1, -1):
        chain, positions = windows[length]
        if len(positions) == 0:
            continue
        counts = np.bincount(chain)
        score = counts[chain] / frequency[names[positions]]
        used = np.append(0, np.cumsum(taken[:-1]))
        free = used[positions + length] == used[positions]
        good = (counts[chain] > 1) & (score >= threshold) & free
        for number, starts in _apart(chain[good], positions[good], length):
            if len(starts) > 1:
                for start in starts:
                    taken[start : start + length] = 1
                first = starts[0]
                chosen.append((first, length, len(starts), float(counts[number] / frequency[names[first]])))
    return chosen


def _windows(names: I64, segment: I64, longest: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """For each length: a number for each window's chain, and the windows' positions (inside one segment only)."""
    found = [(np.zeros(0, np.intp), np.zeros(0, np.intp))] * (longest + 1)
    positions = np.arange(len(names))
    chain = names
    for length in range(2, longest + 1):
        inside = positions + length - 1 < len(names)
        positions, chain = positions[inside], chain[inside]
        same = segment[positions] == segment[positions + length - 1]
        positions, chain = positions[same], chain[same]
        if len(positions) == 0:
            break
        base = int(names.max()) + 1
        _, numbers = np.unique(chain * base + names[positions + length - 1], return_inverse=True)
        chain = numbers.astype(np.int64)
        found[length] = (numbers, positions)
    return found


def _apart(chain: NDArray[np.intp], positions: NDArray[np.intp], length: int) -> list[tuple[int, list[int]]]:
    """Windows that overlap no window taken before, by chain, more frequent chains first."""
    if len(chain) == 0:
        return []
    counts = np.bincount(chain)
    order = np.lexsort((positions, chain, -counts[chain]))
    groups: dict[int, list[int]] = {}
    taken: set[int] = set()
    for number, position in zip(chain[order].tolist(), positions[order].tolist(), strict=True):
        cells = range(position, position + length)
        if not any(cell in taken for cell in (cells[0], cells[-1])):
            taken.update(cells)
            groups.setdefault(number, []).append(position)
    return list(groups.items())
