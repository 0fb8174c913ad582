"""Is the run bound by the CPU or by the GPU, and at which batch of a sweep does that turn? Always with the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MOST_FIND_IDLE = 0.5
FEW_FIND_IDLE = 0.2
RISE = 1.5
"""TKLQT per kernel above this multiple of its flat level has risen."""


def verdict(
    skip: dict[str, Any], devices: dict[str, dict[str, Any]], idle: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """``cpu``, ``gpu`` or ``mixed`` bound, by whether launches find their stream idle; ``unknown`` without launches."""
    share = skip["found_idle_share"]
    span = sum(device["span_ns"] for device in devices.values())
    host = sum(device["causes_ns"][cause] for device in idle.values() for cause in ("host", "host_sync", "launch"))
    busy = sum(device["busy_ns"] for device in devices.values())
    bound = (
        "unknown" if share is None else "cpu" if share > MOST_FIND_IDLE else "gpu" if share < FEW_FIND_IDLE else "mixed"
    )
    waits = skip["tklqt"]["graph_once"]
    return {
        "bound": bound,
        "launches_that_found_the_stream_idle": share,
        "gpu_busy_share": busy / span if span else None,
        "idle_share_caused_by_the_host": host / span if span else None,
        "queueing_share_of_tklqt": waits["queueing_ns"] / waits["clamped_ns"] if waits["clamped_ns"] else None,
    }


def turning_point(batches: Sequence[float], per_kernel_ns: Sequence[float], floor_ns: int = 0) -> dict[str, Any]:
    """The first batch from which TKLQT per kernel stays above RISE times its flat level (SKIP's CPU- to GPU-bound
    turn).

    The flat level is the smallest value over the sweep (never below the launch floor). ``turns_at`` is None where TKLQT
    never rises; ``flat_until`` is the last batch before the turn, None where the smallest batch is already queueing.
    """
    points = sorted(zip(batches, per_kernel_ns, strict=True))
    flat = min((value for _, value in points), default=0.0)
    flat = max(flat, float(floor_ns))
    turn = len(points)
    while turn > 0 and points[turn - 1][1] > RISE * flat:
        turn -= 1
    return {
        "flat_ns": flat,
        "rise": RISE,
        "turns_at": points[turn][0] if turn < len(points) else None,
        "flat_until": points[turn - 1][0] if turn > 0 else None,
        "points": [{"batch": batch, "tklqt_per_kernel_ns": value} for batch, value in points],
    }
