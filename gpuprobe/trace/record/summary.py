"""What a recording says about itself: its own cost, the processes, the clocks, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from gpuprobe.trace.record.borders import first_launch, periods_of
from gpuprobe.trace.record.devices import DeviceLabels
from gpuprobe.trace.record.spool import Spool

_TABLES = {
    "kernels": "kernel",
    "memory": "gpu_memory",
    "runtime": "cuda_runtime",
    "driver": "cuda_driver",
    "syncs": "cuda_sync",
    "markers": "marker",
    "overheads": "overhead",
}

_BETWEEN = {
    "profiler-api": "between cudaProfilerStart and cudaProfilerStop",
    "sample": "in any of its windows",
}
_NEVER_BEGAN = {"profiler-api": "never called cudaProfilerStart", "delay": "ended within --delay"}


class Loss(NamedTuple):
    """What became of a process's records.

    ``gpu`` counts the GPU events of the trace; ``unfinished`` those left out for they have no end; ``halves`` ranges
    without the other half; ``cut`` launches across a window's border, left out; ``without_call`` GPU events kept
    without their call; ``without_work`` calls that launch, copy or set kept without GPU work; ``captured`` those that
    need none, for a graph took their work; ``misnumbered`` calls with the number of an earlier one.
    """

    gpu: int
    unfinished: int
    halves: int
    cut: int
    without_call: int
    without_work: int
    captured: int
    misnumbered: int


def describe(
    spools: Sequence[Spool], losses: Sequence[Loss], labels: DeviceLabels, base: int
) -> tuple[dict[str, Any], list[str]]:
    """Meta data of the Trace and its warnings."""
    counts = {name: sum(len(spool[table]) for spool in spools) for table, name in _TABLES.items()}
    meta: dict[str, Any] = {
        "source": {
            "format": "gpuprobe",
            "events": sum(counts.values()),
            "events_by_ph_cat": {f"X/{name}": count for name, count in counts.items() if count},
        },
        "vendor": "nvidia",
        "base_ns": base,
        "devices": labels.properties,
        "processes": {str(spool.pid): spool.info.get("command", "") for spool in spools},
        "recorder": _cost(spools, losses),
        "clock": _clock(spools),
    }
    return {**meta, **_rank(spools)}, _warnings(spools, losses)


def _rank(spools: Sequence[Spool]) -> dict[str, int]:
    """The rank of the job and the number of ranks, where all processes that have one agree."""
    found = {}
    for key in ("rank", "world_size"):
        values = {spool.info[key] for spool in spools if spool.info.get(key, "").isdigit()}
        if len(values) == 1:
            found[key] = int(values.pop())
    return found


def _cost(spools: Sequence[Spool], losses: Sequence[Loss]) -> dict[str, Any]:
    """The recorder's own cost: ``seconds`` in callbacks, ``program_thread_seconds`` of them on its threads."""
    return {
        "records": _sum(spools, "records"),
        "dropped": _sum(spools, "dropped"),
        "unknown": _sum(spools, "unknown"),
        "unfinished": sum(loss.unfinished for loss in losses),
        "launches_cut": sum(loss.cut for loss in losses),
        "without_call": sum(loss.without_call for loss in losses),
        "without_work": sum(loss.without_work for loss in losses),
        "captured": sum(loss.captured for loss in losses),
        "misnumbered": sum(loss.misnumbered for loss in losses),
        "lost_buffers": _sum(spools, "lost_buffers"),
        "buffers": _sum(spools, "buffers"),
        "bytes": sum(spool.size for spool in spools),
        "seconds": (_sum(spools, "callback_ns") + _sum(spools, "request_ns")) / 1e9,
        "program_thread_seconds": _sum(spools, "request_ns") / 1e9,
        "calls": sorted({spool.info.get("calls", "") for spool in spools} - {""}),
        "graphs": sorted({spool.info.get("graphs", "") for spool in spools} - {""}),
        "cupti": sorted({spool.info.get("cupti_version", "") for spool in spools} - {""}),
        "flushed_at_exit": all(spool.closed for spool in spools),
        **_switches(spools),
    }


def _switches(spools: Sequence[Spool]) -> dict[str, Any]:
    """How often windows began and ended, and the seconds that took; nothing where no process lived to say so."""
    told = [spool.info["window_switches"].split() for spool in spools if "window_switches" in spool.info]
    pairs = [(int(count), int(ns)) for count, ns in told]
    if not pairs:
        return {}
    return {"window_switches": sum(count for count, _ in pairs), "window_seconds": sum(ns for _, ns in pairs) / 1e9}


def _clock(spools: Sequence[Spool]) -> dict[str, Any]:
    """How the records' clock stands to the system's: medians over all readings, ns."""
    stats = [spool["stats"] for spool in spools if len(spool["stats"])]
    if not stats:
        return {}
    read = {
        name: np.concatenate([table[name] for table in stats]).astype(np.int64)
        for name in ("cupti_ns", "realtime_ns", "monotonic_ns")
    }
    return {
        "records_minus_realtime_ns": int(np.median(read["cupti_ns"] - read["realtime_ns"])),
        "realtime_minus_monotonic_ns": int(np.median(read["realtime_ns"] - read["monotonic_ns"])),
    }


def _warnings(spools: Sequence[Spool], losses: Sequence[Loss]) -> list[str]:
    found = []
    for spool, loss in zip(spools, losses, strict=True):
        who = f"process {spool.pid}"
        if not spool.closed:
            found.append(
                f"{who} did not end by its exit handlers: what came after the recorder's last flush is missing"
            )
        if (why := _NEVER_BEGAN.get(spool.info.get("windows", ""))) and not len(spool["marks"]):
            found.append(f"{who} {why}: nothing of it was recorded")
        if not loss.gpu and (where := _empty(spool)):
            found.append(f"{who} launched no GPU work {where}")
        if _calls_are_missing(spool):
            found.append(f"{who}: CUPTI recorded no call in the windows: launch delays and queueing are unknown")
        if dropped := spool.stat("dropped"):
            found.append(f"{who}: CUPTI dropped {dropped} records for lack of buffers")
        if lost := spool.stat("lost_buffers"):
            found.append(f"{who}: {lost} buffers could not be written (disk full?)")
        found += [f"{who}: {told}" for told in _losses(loss)]
        if spool.info.get("graphs") == "whole" and (spool["kernels"]["graph"] > 0).any():
            found.append(f"{who}: CUDA graphs were recorded whole, without the kernels in them")
        graphs = int((spool["kernels"]["graph"] > 0).sum())
        if spool.info.get("graphs") == "nodes" and graphs > len(spool["kernels"]) / 2:
            found.append(
                f"{who}: {graphs} kernels ran in CUDA graphs, which recording slows by about 0.5 us for each kernel:"
                " --graphs whole leaves graphs as they are"
            )
        if missing := spool.info.get("not_enabled"):
            found.append(f"{who}: CUPTI refused {missing}")
    return found


def _losses(loss: Loss) -> Iterator[str]:
    """What is wrong with records, or missing."""
    if loss.misnumbered:
        yield f"CUPTI gave {loss.misnumbered} calls the number of an earlier one: their launches are unknown"
    if loss.unfinished:
        yield f"{loss.unfinished} GPU operations had not ended at the last flush and are left out"
    if loss.halves:
        yield f"{loss.halves} NVTX ranges lack their begin or end and are left out"


def _empty(spool: Spool) -> str:
    """Of windows without GPU work: where they lay, and when the program launched after a single one; '' without any."""
    periods = periods_of(spool)
    if not periods or (periods[-1].off is None and not spool.info.get("windows")):
        return ""
    if where := _BETWEEN.get(spool.info.get("windows", "")):
        return where
    begin, (_, on, off) = int(spool["stats"]["cupti_ns"][:1].sum()), periods[0]
    if off is None:
        return f"from {(on - begin) / 1e9:.1f} s after CUDA's start on"
    told = f"from {(on - begin) / 1e9:.1f} to {(off - begin) / 1e9:.1f} s after CUDA's start"
    later = first_launch(spool, off)
    if later is None:
        return told
    seconds = (later - begin) // 100_000_000 / 10
    return f"{told}, but at {seconds:.1f} s: --delay {seconds:.1f}"


def _calls_are_missing(spool: Spool) -> bool:
    """Whether windows hold GPU work that no call launched, though calls were asked for."""
    asked = spool.info.get("calls", "none") != "none" and len(spool["marks"]) > 0
    return asked and len(spool["kernels"]) > 0 and not len(spool["runtime"]) and not len(spool["driver"])


def _sum(spools: Sequence[Spool], name: str) -> int:
    return sum(spool.stat(name) for spool in spools)
