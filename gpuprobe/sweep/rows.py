"""A row of a sweep: one GEMM in one regime, flat, with the library's kernel and the GPU's condition beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import quantiles
from typing import Any, Final

from gpuprobe.gpu.gemm_timer import KernelLaunch, Timing
from gpuprobe.ops.gemm import Gemm
from gpuprobe.ops.gemm_kernel import main_kernel, parse
from gpuprobe.sweep.campaign import Task
from gpuprobe.sweep.journal import Record

Key = tuple[int, int, int, str, str]

TIMED: Final = {
    "session": "number of the session, from 0",
    "index": "place in the campaign",
    "repeats": "index of the first timing of this GEMM: differs from index where it is a repetition",
    "family": "how the shape was sampled",
    "m": "rows of A and C",
    "n": "columns of B and C",
    "k": "columns of A",
    "dtype": "type",
    "layout": "layout of B",
    "regime": "hot, cold or sustained",
    "time_us": "time of one GEMM in µs: median of the replays; in sustained, mean of the second half",
    "p25_us": "lower quartile of the replays in µs",
    "p75_us": "upper quartile in µs",
    "launches": "GEMMs in a replay",
    "replays": "replays timed",
    "operand_sets": "operand sets a replay rotates",
    "flushed": "whether the L2 was evicted before each replay",
    "sm_mhz": "SM clock in MHz",
    "power_w": "power in W: of the energy counter in sustained, else NVML's reading near the row",
    "temperature_c": "die temperature in °C",
    "throttle": "NVML bits of why the clock was lowered",
    "t_s": "seconds since the session began",
    "error": "why there is no time; empty where there is",
}
KERNEL: Final = {
    "kernel": "name of the library's kernel",
    "family_of_kernel": "family that its name tells",
    "tile_m": "rows of C a tile covers",
    "tile_n": "columns of C a tile covers",
    "tile_k": "k-step of a stage",
    "stages": "stages of the pipeline",
    "cluster_m": "tiles along m in a cluster",
    "cluster_n": "tiles along n in a cluster",
    "split_k": "1 where the name or a reduction says that k is split",
    "alignment": "alignment in elements that the name states",
    "schedule": "warp-group schedule",
    "grid_x": "thread blocks along x",
    "grid_y": "thread blocks along y",
    "grid_z": "thread blocks along z",
    "threads": "threads in a block",
    "registers": "registers a thread",
    "shared_bytes": "shared memory of a block in bytes",
    "helpers": "other kernels of the same GEMM, joined by ' | '",
    "kernel_us": "one launch in µs as the profiler saw it, its kernels added",
}
COLUMNS: Final = {**TIMED, **KERNEL}
"""Every column of an exported sweep and what it means."""


def _scaled(value: float | None, factor: float, digits: int) -> float | None:
    return None if value is None else round(value * factor, digits)


def _task_part(task: Task, regime: str, session: int, t_s: float) -> Record:
    gemm = task.gemm
    return {
        "kind": "row", "session": session, "index": task.index, "repeats": task.repeats, "family": task.family,
        "m": gemm.m, "n": gemm.n, "k": gemm.k, "dtype": gemm.dtype, "layout": gemm.layout, "regime": regime,
        "t_s": round(t_s, 3),
    }  # fmt: skip


def timed_row(task: Task, timing: Timing, session: int, t_s: float) -> Record:
    """The record of a GEMM that was timed, with its samples."""
    p25, _, p75 = quantiles(timing.samples_s, n=4, method="inclusive")
    condition = timing.condition
    return _task_part(task, timing.regime, session, t_s) | {
        "time_us": _microseconds(timing.time_s),
        "p25_us": _microseconds(p25),
        "p75_us": _microseconds(p75),
        "samples_us": [_microseconds(sample) for sample in timing.samples_s],
        "launches": timing.launches,
        "replays": len(timing.samples_s),
        "operand_sets": timing.operand_sets,
        "flushed": timing.flushed,
        "sm_mhz": _scaled(condition.sm_clock_hz, 1e-6, 0),
        "power_w": _scaled(condition.power_w, 1, 1),
        "temperature_c": _scaled(condition.temperature_c, 1, 0),
        "throttle": condition.throttle,
        "error": "",
    }


def _microseconds(seconds: float) -> float:
    return float(f"{seconds * 1e6:.5g}")


def failed_row(task: Task, regime: str, session: int, t_s: float, reason: str) -> Record:
    """The record of a GEMM that the library does not run."""
    return _task_part(task, regime, session, t_s) | {"error": f"unsupported: {reason}"}


def kernels_record(gemm: Gemm, launches: Sequence[KernelLaunch]) -> Record:
    """The record of which kernels one launch of the GEMM took."""
    return {
        "kind": "kernels", "m": gemm.m, "n": gemm.n, "k": gemm.k, "dtype": gemm.dtype, "layout": gemm.layout,
        "kernels": [
            {
                "name": launch.name, "grid": list(launch.grid), "block": list(launch.block),
                "registers": launch.registers, "shared_bytes": launch.shared_bytes,
                "time_us": round(launch.time_s * 1e6, 3),
            }
            for launch in launches
        ],
    }  # fmt: skip


def key(record: Mapping[str, Any]) -> Key:
    """What a row and the record of its kernels share."""
    return record["m"], record["n"], record["k"], record["dtype"], record["layout"]


def kernel_columns(kernels: Sequence[Mapping[str, Any]]) -> Record:
    """The KERNEL columns of one GEMM's kernels; empty where there are none."""
    name = main_kernel([kernel["name"] for kernel in kernels])
    if not name:
        return {}
    main = next(kernel for kernel in kernels if kernel["name"] == name)
    told = parse(name)
    helpers = [kernel["name"] for kernel in kernels if kernel is not main]
    reduced = any(parse(helper).family == "splitk_reduce" for helper in helpers)
    grid, block = [*main["grid"], 1, 1, 1], main["block"]
    return {
        "kernel": name, "family_of_kernel": told.family, "tile_m": told.tile_m, "tile_n": told.tile_n,
        "tile_k": told.tile_k, "stages": told.stages, "cluster_m": told.cluster_m, "cluster_n": told.cluster_n,
        "split_k": int(told.split_k or reduced), "alignment": told.alignment, "schedule": told.schedule,
        "grid_x": grid[0], "grid_y": grid[1], "grid_z": grid[2], "threads": _product(block),
        "registers": main["registers"], "shared_bytes": main["shared_bytes"], "helpers": " | ".join(helpers),
        "kernel_us": round(sum(kernel["time_us"] for kernel in kernels), 3),
    }  # fmt: skip


def _product(sizes: Iterable[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


def joined(records: Iterable[Record]) -> list[Record]:
    """The rows in order of their measurement, each with every column; kernels joined in by shape, type and layout."""
    records = list(records)
    kernels = {key(record): kernel_columns(record["kernels"]) for record in records if record["kind"] == "kernels"}
    rows = [record for record in records if record["kind"] == "row"]
    return [{name: {**row, **kernels.get(key(row), {})}.get(name) for name in (*COLUMNS, "samples_us")} for row in rows]
