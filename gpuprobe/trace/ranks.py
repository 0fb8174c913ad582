"""Several ranks of one job: communication overlap, stragglers and clock offsets, with one rank in memory at a time.

Ranks run the same collectives in the same order, so the n-th one of a name belongs together. All ranks leave a
collective together and the last to arrive waits least: its duration is the shortest. Waiting of a rank = its duration
- the shortest; this needs no common clock. The clock offset is the median difference of the collectives' ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gpuprobe.trace.classes import COMMUNICATION, work_of
from gpuprobe.trace.exact import exact
from gpuprobe.trace.launches import join_launches
from gpuprobe.trace.model import I64, Trace

NOTABLE_OFFSET_NS = 1_000_000


class Rank(NamedTuple):
    """What is kept of a rank: its totals, and start and duration of its collectives by kernel name."""

    label: str
    file: str
    devices: dict[str, Any]
    collectives: dict[str, tuple[I64, I64]]
    base_ns: int


def summarise(trace: Trace) -> Rank:
    """What is kept of a trace, so that the trace can be dropped."""
    rows = np.flatnonzero(work_of(trace) == COMMUNICATION)
    rows = rows[np.argsort(trace.gpu.start[rows], kind="stable")]
    collectives = {}
    for name in np.unique(trace.gpu.name[rows]).tolist():
        own = rows[trace.gpu.name[rows] == name]
        collectives[trace.texts[name]] = (trace.gpu.start[own], trace.gpu.dur[own])
    devices = exact(trace, join_launches(trace), 0)["devices"]
    rank = trace.meta.get("rank")
    label = str(rank) if rank is not None else trace.title
    return Rank(label, trace.title, devices, collectives, int(trace.meta.get("base_ns", 0)))


def rank_report(ranks: Sequence[Rank]) -> dict[str, Any]:
    """Overlap per rank, waiting per collective and rank, who came last how often, clock offsets, and warnings."""
    warnings: list[str] = []
    labels = _labels(ranks, warnings)
    shared = _shared(ranks, warnings)
    offsets = _offsets(ranks, shared)
    if any(abs(offset) > NOTABLE_OFFSET_NS for offset in offsets):
        warnings.append(
            "the ranks' clocks differ by more than 1 ms: compare times of different ranks only after correction"
        )
    waiting, last = np.zeros(len(ranks), np.int64), np.zeros(len(ranks), np.int64)
    rows = []
    for name, count in shared:
        durations = np.stack([rank.collectives[name][1][:count] for rank in ranks])
        waits = durations - durations.min(axis=0)
        waiting += waits.sum(axis=1)
        apart = waits.any(axis=0)  # where all waited alike, none came last
        last += np.bincount(durations.argmin(axis=0)[apart], minlength=len(ranks))
        rows.append({"name": name, "count": count, "shortest_ns": int(durations.min(axis=0).sum())})
        rows[-1]["waiting_ns"] = dict(zip(labels, waits.sum(axis=1).tolist(), strict=True))
    return {
        "ranks": [
            {
                "rank": label,
                "file": rank.file,
                "devices": rank.devices,
                "waiting_ns": int(waiting[index]),
                "came_last": int(last[index]),
                "clock_offset_ns": offsets[index],
            }
            for index, (label, rank) in enumerate(zip(labels, ranks, strict=True))
        ],
        "collectives": sorted(rows, key=lambda row: (-sum(row["waiting_ns"].values()), row["name"])),
        "straggler": labels[int(last.argmax())] if last.any() and len(ranks) > 1 else None,
        "warnings": warnings,
    }


def _labels(ranks: Sequence[Rank], warnings: list[str]) -> list[str]:
    """One label each: the rank, or rank and file where two files claim the same rank."""
    names = [rank.label for rank in ranks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        warnings.append(f"several files claim to be rank {', '.join(twice)}: they are told apart by their place")
    return [f"{name} (file {index + 1})" if name in twice else name for index, name in enumerate(names)]


def _shared(ranks: Sequence[Rank], warnings: list[str]) -> list[tuple[str, int]]:
    """Collectives that every rank ran, and how many of each can be matched."""
    if not ranks:
        return []
    common = set.intersection(*(set(rank.collectives) for rank in ranks))
    shared = []
    for name in sorted(common):
        counts = {len(rank.collectives[name][0]) for rank in ranks}
        if len(counts) == 1:
            shared.append((name, counts.pop()))
        else:
            warnings.append(f"ranks ran '{name[:60]}' {min(counts)} to {max(counts)} times: left out of the waiting")
    return shared


def _offsets(ranks: Sequence[Rank], shared: Sequence[tuple[str, int]]) -> list[int]:
    """Each rank's clock minus the first rank's, ns, from the ends of the shared collectives; 0 without any."""
    ends = [
        np.concatenate([sum(rank.collectives[name]) + rank.base_ns for name, _ in shared]) if shared else np.zeros(0)
        for rank in ranks
    ]
    return [int(np.median(end - ends[0])) if len(end) else 0 for end in ends]
