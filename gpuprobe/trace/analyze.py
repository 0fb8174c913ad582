"""All analyses of one trace as one JSON document."""

from __future__ import annotations

from typing import Any

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.trace.breakdown import breakdown
from gpuprobe.trace.collectives import collective_table
from gpuprobe.trace.copies import copy_table
from gpuprobe.trace.critical import critical_path
from gpuprobe.trace.energy import energy
from gpuprobe.trace.exact import exact
from gpuprobe.trace.fusion import fusion
from gpuprobe.trace.idle import idle_causes
from gpuprobe.trace.kernels import kernel_table
from gpuprobe.trace.launches import Launches, join_launches, launch_statistics, short_kernels
from gpuprobe.trace.model import Trace
from gpuprobe.trace.queueing import launch_floor, queue_table
from gpuprobe.trace.roofline import roofline
from gpuprobe.trace.skip import skip
from gpuprobe.trace.verdict import verdict

SCHEMA = 1
TOP_NAMES = 20


def analyze(trace: Trace, top: int = TOP_NAMES) -> dict[str, Any]:
    """The document of ``trace analyze --json``. ``top`` bounds the names under ``exact``; every list elsewhere is
    whole.

    A trace without GPU events is a GpuprobeError: nothing here could be said of it. ``exact_only`` still can.
    """
    if len(trace.gpu.start) == 0:
        raise no_gpu_events(trace)
    launches = join_launches(trace)
    floor = launch_floor(trace, launches)
    document = exact_only(trace, launches, top)
    document["breakdown"] = breakdown(trace, launches)
    document["kernels"] = kernel_table(trace)
    document["launches"] = {"by_api": launch_statistics(trace, launches), "short": short_kernels(trace, launches)}
    document["idle"] = idle_causes(trace, launches, floor)
    document["skip"] = skip(trace, launches, floor)
    document["queue"] = queue_table(trace, launches)
    document["copies"] = copy_table(trace)
    document["collectives"] = collective_table(trace)
    document["fusion"] = fusion(trace, launches)
    document["critical_path"] = critical_path(trace, launches, floor)
    document["roofline"] = roofline(trace, launches)
    document["energy"] = energy(trace)
    document["verdict"] = verdict(document["skip"], document["exact"]["devices"], document["idle"])
    document["warnings"] += _remarks(trace, document)
    return document


def exact_only(trace: Trace, launches: Launches, top: int = TOP_NAMES) -> dict[str, Any]:
    """The document with the exact block alone; also for traces without GPU events."""
    keys = ("rank", "world_size", "vendor", "base_ns", "recorder", "workload")
    return {
        "schema": SCHEMA,
        "file": trace.title,
        "format": trace.meta.get("source", {}).get("format", ""),
        **{key: trace.meta[key] for key in keys if key in trace.meta},
        "devices": [device.get("name", "") for device in trace.meta.get("devices", [])],
        "exact": exact(trace, launches, top),
        "warnings": list(trace.warnings),
    }


def no_gpu_events(trace: Trace) -> GpuprobeError:
    """The error of a trace that holds no GPU event, and what to do about it."""
    return GpuprobeError(
        f"{trace.title} holds no GPU events (kernels, copies or sets), only {len(trace.calls.start)} API calls "
        f"and {len(trace.ranges.start)} host ranges{''.join(f'; {warning}' for warning in trace.warnings)}",
        "record it with ProfilerActivity.CUDA, or with: gpuprobe trace record -- COMMAND",
        Exit.WRONG_USE,
    )


def _remarks(trace: Trace, document: dict[str, Any]) -> list[str]:
    """What a reader of the numbers should know."""
    remarks = []
    orphans = document["exact"]["launch"]["orphans"]
    if orphans:
        remarks.append(
            f"{orphans} GPU events have no launch call in the file (launched before the window): left out of delays"
        )
    if backwards := int((trace.gpu.dur < 0).sum()):
        remarks.append(f"{backwards} GPU events end before they begin: sums and unions around them mean nothing")
    if not document["exact"]["steps"]:
        remarks.append("no profiler steps in the file: nothing is said per step")
    if document["skip"]["il_ns"] is None:
        remarks.append("no operators in the file: IL and the idle times of SKIP do not exist")
    if document["skip"]["tklqt"]["all"]["negative"]:
        remarks.append(
            f"{document['skip']['tklqt']['all']['negative']} kernels start before their launch call begins: "
            "the host's and the GPU's clocks disagree by as much"
        )
    if not document["skip"]["floor"]["samples"]:
        remarks.append(
            "no launch found its stream idle: the launch floor is unknown and all waiting counts as queueing"
        )
    if trace.meta.get("vendor") == "amd":
        remarks.append("an AMD trace: analysed by the same definitions; hip calls count as launches")
    return remarks
