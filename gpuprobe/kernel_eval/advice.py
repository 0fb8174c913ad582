"""What bounds a kernel and what to try next: rules over measured facts, for a human or a language model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HIGH = 60.0
"""Percent of a unit's peak above which it is what bounds a kernel."""
FEW_WAVES = 0.5
"""Share of the SMs' places below which a grid is too small."""


@dataclass(frozen=True)
class Advice:
    """What bounds the kernel, the evidence for it, and things to try, the most promising first."""

    bound: str
    evidence: tuple[str, ...]
    try_next: tuple[str, ...]


TRIES: Mapping[str, tuple[str, ...]] = {
    "launch": (
        "fuse the kernels of a call into one",
        "capture the call in a CUDA graph",
        "do more work per call (batch)",
    ),
    "memory": (
        "move fewer bytes: fuse neighbours, keep intermediates in registers, use a narrower type where allowed",
        "read and write 16 bytes per thread, neighbouring threads on neighbouring addresses",
    ),
    "l2": (
        "order blocks so that neighbours share operands (grouped or swizzled rasterisation)",
        "make tiles larger, so that each operand is read less often",
    ),
    "l1": (
        "coalesce global accesses and avoid shared-memory bank conflicts (pad or swizzle)",
        "keep more per thread in registers",
    ),
    "compute": (
        "use tensor cores (wgmma on Hopper) in the narrowest type that the tolerance allows",
        "raise the share of matrix instructions: larger tiles, deeper pipelines of asynchronous copies",
    ),
    "latency": (
        "have more bytes in flight: unroll, asynchronous copies (cp.async, TMA), more stages",
        "raise occupancy: fewer registers or less shared memory per block, or more and smaller blocks",
    ),
    "parallelism": (
        "launch more blocks: split the reduction (split-K), smaller tiles, a persistent grid of one block per SM",
    ),
    "host": ("do not wait for the device inside forward: no .item(), no .cpu(), no branches on data",),
}
"""Things to try by what bounds a kernel."""


def _value(metrics: Mapping[str, float], name: str) -> float | None:
    return metrics.get(name)


def from_metrics(metrics: Mapping[str, float]) -> Advice:
    """Advice from hardware metrics of one kernel (names of ``metrics.SUMMARY``; percent of peak where a share)."""
    shares = {key: metrics.get(f"{key}_percent", 0.0) for key in ("dram", "l2", "l1", "sm", "tensor")}
    evidence = [f"{key} at {share:.0f} % of its peak" for key, share in shares.items() if share]
    waves = metrics.get("waves")
    if waves is not None and waves < FEW_WAVES and max(shares.values()) < HIGH:
        evidence.append(f"the grid fills {waves:.2f} of the SMs' places")
        return Advice("parallelism", tuple(evidence), TRIES["parallelism"] + _extras(metrics))
    names = {"dram": "memory", "l2": "l2", "l1": "l1", "sm": "compute", "tensor": "compute"}
    top = max(shares, key=lambda key: shares[key])
    if shares[top] >= HIGH:
        return Advice(names[top], tuple(evidence), TRIES[names[top]] + _extras(metrics))
    if metrics.get("occupancy_percent") is not None:
        evidence.append(f"{metrics['occupancy_percent']:.0f} % of warp places used")
    return Advice("latency", tuple(evidence), TRIES["latency"] + _extras(metrics))


def _extras(metrics: Mapping[str, float]) -> tuple[str, ...]:
    """Remedies for particular sights."""
    extras = []
    sectors = _value(metrics, "sectors_per_load")
    if sectors is not None and sectors > 6.0:
        extras.append(
            f"loads touch {sectors:.1f} sectors per request (4 is coalesced for 4-byte types): reorder accesses"
        )
    if metrics.get("spill_instructions", 0.0) > 0:
        extras.append("registers spill to local memory: smaller tiles or more warps per block")
    if 0.0 < metrics.get("waves", 0.0) < 4.0 and metrics.get("waves", 0.0) % 1 not in (0.0,) and metrics["waves"] > 1.0:
        extras.append(
            f"{metrics['waves']:.2f} waves: the last one leaves SMs idle; change the tile or use a persistent grid"
        )
    return tuple(extras)


def from_times(facts: Mapping[str, Any]) -> Advice:
    """Advice without hardware counters, from times alone.

    ``cold_s``, ``hot_s``: time of a call; ``floor_share`` and ``floor_bound``: how much of which limit is reached;
    ``kernels``: launches of a call; ``host``: calls wait for the device.
    """
    evidence: list[str] = []
    if facts.get("host"):
        return Advice("host", ("calls wait for the device",), TRIES["host"])
    kernels, cold_s, hot_s = facts.get("kernels"), facts.get("cold_s"), facts.get("hot_s")
    if kernels:
        evidence.append(f"{kernels} kernels per call")
    share, bound = facts.get("floor_share"), facts.get("floor_bound") or "memory"
    if share is not None:
        evidence.append(f"{share:.0%} of the {bound} limit")
    if share is not None and share >= HIGH / 100:
        return Advice(bound, tuple(evidence), TRIES[bound])
    if kernels and kernels > 1 and cold_s and cold_s < 5e-6 * kernels:
        return Advice("launch", tuple(evidence), TRIES["launch"])
    if hot_s and cold_s and hot_s < 0.6 * cold_s:
        evidence.append(f"{cold_s / hot_s:.1f} times faster from the L2")
        return Advice("memory", tuple(evidence), TRIES["memory"] + TRIES["latency"])
    if kernels and kernels > 1:
        return Advice("launch", tuple(evidence), TRIES["launch"][:1] + TRIES[bound])
    return Advice("latency", tuple(evidence), TRIES["latency"])
