"""Hardware metrics of a candidate's kernels by ncu, in a process of their own: advice, never a verdict."""

from __future__ import annotations

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

SUMMARY: Final[Mapping[str, str]] = {
    "time_ns": "gpu__time_duration.sum",
    "dram_percent": "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed",
    "l2_percent": "lts__throughput.avg.pct_of_peak_sustained_elapsed",
    "l1_percent": "l1tex__throughput.avg.pct_of_peak_sustained_active",
    "sm_percent": "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "tensor_percent": "sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active",
    "occupancy_percent": "sm__warps_active.avg.pct_of_peak_sustained_active",
    "dram_bytes": "dram__bytes.sum",
    "l2_hit_percent": "lts__t_sector_hit_rate.pct",
    "sectors_per_load": "l1tex__average_t_sectors_per_request_pipe_lsu_mem_global_op_ld.ratio",
    "spill_instructions": "smsp__inst_executed_op_local_ld.sum",
    "registers": "launch__registers_per_thread",
    "shared_bytes": "launch__shared_mem_per_block",
    "grid": "launch__grid_size",
    "block": "launch__block_size",
    "waves": "launch__waves_per_multiprocessor",
}
"""Name in a summary → ncu's metric."""

UNITS: Final[Mapping[str, float]] = {
    "nsecond": 1.0, "ns": 1.0, "usecond": 1e3, "us": 1e3, "msecond": 1e6, "ms": 1e6, "second": 1e9, "s": 1e9,
    "byte": 1.0, "Kbyte": 1e3, "Mbyte": 1e6, "Gbyte": 1e9, "byte/block": 1.0, "Kbyte/block": 1e3,
}  # fmt: skip
"""Factor to the summary's unit (ns, bytes) by ncu's unit; others are as they come."""

TARGET: Final = "gpuprobe.gpu.kernel_profile"


def parse(text: str) -> list[dict[str, Any]]:
    """Summaries, a kernel each, from the CSV of ``ncu --csv --page raw``; other lines are passed over."""
    lines = [line for line in text.splitlines() if line.startswith('"')]
    rows = list(csv.DictReader(io.StringIO("\n".join(lines))))
    if len(rows) < 2:
        return []
    units, kernels = rows[0], rows[1:]
    return [_summary(row, units) for row in kernels]


def _summary(row: Mapping[str, str], units: Mapping[str, str]) -> dict[str, Any]:
    summary: dict[str, Any] = {"name": row.get("Kernel Name", "")}
    for key, metric in SUMMARY.items():
        value = _number(row.get(metric, ""))
        if value is not None:
            summary[key] = value * UNITS.get(units.get(metric, ""), 1.0)
    return summary


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def collect(
    candidate: Path, reference: Path, device: str, folder: Path, limit_s: float
) -> tuple[list[dict[str, Any]], str]:
    """Summaries of the kernels of one call of the candidate, and why there are none where there are none."""
    ncu = shutil.which("ncu")
    if ncu is None:
        return [], "ncu is not installed"
    command = [
        ncu, "--csv", "--page", "raw", "--profile-from-start", "off", "--metrics", ",".join(SUMMARY.values()),
        "--target-processes", "application-only", sys.executable, "-m", TARGET, str(candidate), str(reference), device,
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, start_new_session=True
    )
    try:
        text, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return [], f"ncu was not done within {limit_s:.3g} s"
    kernels = parse(text)
    return kernels, "" if kernels else refusal(text)


def refusal(text: str) -> str:
    """Why ncu gave no kernels, in a line."""
    if "ERR_NVGPUCTRPERM" in text:
        return "no permission for hardware counters (ERR_NVGPUCTRPERM): NVreg_RestrictProfilingToAdminUsers=0 gives it"
    errors = [line for line in text.splitlines() if line.startswith("==ERROR==")]
    return errors[0].removeprefix("==ERROR==").strip() if errors else "ncu saw no kernel"
