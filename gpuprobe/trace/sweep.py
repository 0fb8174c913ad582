"""A sweep over batch sizes: one recording cut into its points, and where the run turns from CPU- to GPU-bound.

A point is a range of the recorded program (``python -m gpuprobe.gpu.llm`` marks them); its trace carries the point's
description in ``meta["workload"]``, so that a file alone says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.model import Trace
from gpuprobe.trace.record.window import Window, cut
from gpuprobe.trace.verdict import turning_point

_SERIES = ("model", "phase", "context", "mode")


def split(trace: Trace, points: Sequence[Mapping[str, Any]]) -> list[Trace]:
    """A trace for each point by its ``name``, the point as ``meta["workload"]``; GpuprobeError where one is gone."""
    parts = []
    for point in points:
        part = cut(trace, Window(phase=f"^{re.escape(str(point['name']))}$"))
        if "window" not in part.meta:
            raise GpuprobeError(f"the recording holds no range '{point['name']}'", "record again: the program failed")
        parts.append(replace(part, meta={**part.meta, "workload": dict(point)}))
    return parts


def point_row(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a sweep keeps of one analysed point; GpuprobeError where the file describes no point."""
    workload = document.get("workload")
    if not isinstance(workload, dict) or not all(key in workload for key in (*_SERIES, "batch")):
        raise GpuprobeError(
            f"{document['file']} does not say which point of a sweep it is",
            "record it with: gpuprobe workload; or name the batches: gpuprobe trace analyze --batch 1,4 FILE FILE",
        )
    skip, verdict = document["skip"], document["verdict"]
    waits = skip["tklqt"]["graph_once"]
    steps = [step["dur_ns"] for step in document["exact"]["steps"]]
    step_ns = median(steps) if steps else None
    kernels = skip["kernels"] / len(steps) if steps else None
    return {
        **{key: workload[key] for key in (*_SERIES, "batch")},
        "file": document["file"],
        "steps": len(steps),
        "step_ns": step_ns,
        "tokens_per_s": workload.get("tokens_per_step", 0) / step_ns * 1e9 if step_ns else None,
        "kernels_per_step": kernels,
        "tklqt_per_step_ns": waits["clamped_ns"] / len(steps) if steps else None,
        "tklqt_per_kernel_ns": waits["clamped_ns"] / waits["n"] if waits["n"] else 0.0,
        "floor_ns": skip["floor"]["ns"],
        "akd_ns": skip["akd_ns"],
        "gpu_busy_share": verdict["gpu_busy_share"],
        "found_idle_share": verdict["launches_that_found_the_stream_idle"],
        "bound": verdict["bound"],
        "energy_per_token_j": _energy_per_token(document, str(workload["phase"])),
    }


def _energy_per_token(document: Mapping[str, Any], phase: str) -> float | None:
    for device in document["energy"]["devices"].values():
        found = device["phases"].get(phase, {}).get("energy_per_token_j")
        if found is not None:
            return float(found)
    return None


def sweep_report(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each model, phase, context and mode: its points by batch, the turning point, and the evidence."""
    series: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        series.setdefault(tuple(row[key] for key in _SERIES), []).append(row)
    return [_series(dict(zip(_SERIES, key, strict=True)), points) for key, points in series.items()]


def _series(what: dict[str, Any], rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    points = sorted(rows, key=lambda row: row["batch"])
    floors = [point["floor_ns"] for point in points if point["floor_ns"]]
    turn = turning_point(
        [point["batch"] for point in points], [point["tklqt_per_kernel_ns"] for point in points], min(floors, default=0)
    )
    del turn["points"]
    return {**what, **turn, "evidence": _evidence(points, turn), "points": [dict(point) for point in points]}


def _evidence(points: list[Mapping[str, Any]], turn: Mapping[str, Any]) -> str:
    """One sentence: TKLQT per kernel against its flat level, and how many launches found the stream idle."""
    if len(points) < 2:
        return "one batch alone shows no turn"

    def at(batch: float | None) -> str:
        point = next(point for point in points if point["batch"] == batch)
        share = point["found_idle_share"]
        idle = "" if share is None else f", {share:.0%} of launches found the stream idle"
        return f"{point['tklqt_per_kernel_ns'] / 1e3:.1f} us a kernel at batch {batch:g}{idle}"

    if turn["turns_at"] is None:
        return f"TKLQT never rises above {turn['rise']} times its flat level: {at(points[-1]['batch'])}"
    before = (
        at(turn["flat_until"]) if turn["flat_until"] is not None else "no flat part (queueing from the first batch)"
    )
    return f"TKLQT {before}; {at(turn['turns_at'])}; flat level {turn['flat_ns'] / 1e3:.1f} us"
