"""Durations of the same kernels as the recorder, torch.profiler and Nsight Compute report them.

Use, with a GPU and torch: python benchmarks/trace_durations.py [--turns N] [--output FILE.json]

Two processes run the same kernels in turns, one under the recorder, one under torch.profiler, so that clocks drift for
both alike; then a third runs them under ncu (gpu__time_duration.sum, its clock and cache control off), where ncu may.
Kernels are told apart by their place in the order of launches. Prints a table and one JSON object, times in ns.
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from trace_record import PAUSING, environment_of

REPEATS = 12
NCU = ["--metrics", "gpu__time_duration.sum", "--clock-control", "none", "--cache-control", "none"]
NCU_TIMEOUT_S = 60


def operations(torch):
    """Name → function that launches it, from 3 µs to 1 ms."""

    def matrices(size, dtype):
        left, right = (torch.randn(size, size, device="cuda", dtype=dtype) for _ in range(2))
        return lambda: torch.mm(left, right)

    wide = torch.randn(64 << 20, device="cuda")
    rows = torch.randn(8192, 4096, device="cuda", dtype=torch.bfloat16)
    return {
        "mm 64 fp32": matrices(64, torch.float32),
        "mm 1024 bf16": matrices(1024, torch.bfloat16),
        "mm 4096 bf16": matrices(4096, torch.bfloat16),
        "mm 2048 fp32": matrices(2048, torch.float32),
        "add 64 Mi fp32": lambda: wide + 1.0,
        "softmax 8192 x 4096": lambda: torch.softmax(rows, -1),
        "sum 64 Mi fp32": wide.sum,
    }


def work(profile_to):
    """A process: a turn of all operations for each line on stdin, between cudaProfilerStart and -Stop."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    todo = operations(torch)
    runtime = torch.cuda.cudart()

    def turn():
        for operation in todo.values():
            for _ in range(REPEATS):
                operation()
            torch.cuda.synchronize()

    for _ in range(3):
        turn()
    print("> ready", flush=True)
    for number, _ in enumerate(sys.stdin):
        if profile_to:
            with profile(activities=[ProfilerActivity.CUDA]) as profiler:
                turn()
            profiler.export_chrome_trace(f"{profile_to}/{number}.json")
        else:
            runtime.cudaProfilerStart()
            turn()
            runtime.cudaProfilerStop()
        print("> done", flush=True)


def start(environ, *options):
    """A process of this file; its answers begin with >."""
    command = [sys.executable, __file__, "--work", *options]
    return subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def answered(process):
    """Whether the process goes on."""
    return any(line.startswith("> ") for line in iter(process.stdout.readline, ""))


def kernels(trace):
    """(name and grid, duration ns) of a trace's kernels in the order of their launches."""
    rows = sorted(range(len(trace.gpu.start)), key=lambda row: int(trace.gpu.start[row]))
    grids = [json.loads(text).get("grid") if text.startswith("{") else None for text in trace.texts]
    return [
        (f"{trace.texts[trace.gpu.name[row]]} {grids[trace.gpu.config[row]]}", int(trace.gpu.dur[row]))
        for row in rows
        if trace.gpu.kind[row] == 0
    ]


def in_turns(turns, folder):
    """Durations by the recorder and by torch.profiler, for each kernel of a turn a list over turns."""
    from gpuprobe.trace.kineto import read_kineto
    from gpuprobe.trace.record.decode import decode
    from gpuprobe.trace.record.runner import read_spools

    spool, profiles = folder / "spool", folder / "profiles"
    spool.mkdir()
    profiles.mkdir()
    both = [start(environment_of(PAUSING, spool)), start(dict(os.environ), "--profile-to", str(profiles))]
    for process in both:
        answered(process)
    for _ in range(turns):
        for process in both:
            process.stdin.write("go\n")
            process.stdin.flush()
            answered(process)
    for process in both:
        process.stdin.close()
        process.wait(30)
    recorded = kernels(decode(read_spools(spool)))
    profiled = [kernels(read_kineto(path)) for path in sorted(profiles.glob("*.json"))]
    size = len(recorded) // turns
    if not size:
        raise SystemExit("the recorder recorded nothing between cudaProfilerStart and cudaProfilerStop")
    return [recorded[begin : begin + size] for begin in range(0, len(recorded), size or 1)], profiled


def under_ncu(folder):
    """Durations by Nsight Compute; [] and why where it cannot measure."""
    if shutil.which("ncu") is None:
        return [], "there is no ncu here"
    log = folder / "ncu.csv"
    command = ["ncu", *NCU, "--profile-from-start", "off", "--csv", "--page", "raw", "--log-file", str(log)]
    command += [sys.executable, __file__, "--work"]
    try:
        done = subprocess.run(command, input="go\n", capture_output=True, text=True, timeout=NCU_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return [], f"ncu took longer than {NCU_TIMEOUT_S} s"
    return read_ncu(log.read_text().splitlines() if log.is_file() else done.stderr.splitlines())


def read_ncu(lines):
    """(name, duration ns) from the lines of ncu's CSV, whose second row holds units; [] and what it said instead."""
    rows = list(csv.DictReader(line for line in lines if line.startswith('"')))
    column = next((name for name in (rows[0] if rows else {}) if "gpu__time_duration" in name), None)
    if column is None:
        return [], "; ".join(line for line in lines if "ERR" in line.upper())[:300] or "ncu measured nothing"
    unit = {"us": 1e3, "usecond": 1e3, "ms": 1e6, "msecond": 1e6}.get(rows[0][column], 1)
    return [(row["Kernel Name"], float(row[column].replace(",", "")) * unit) for row in rows[1:]], ""


def compare(recorded, profiled, measured):
    """For each place in the order of launches of a kernel the medians, joined over the repeats of an operation."""
    size = len(recorded[0])
    found = {}
    for place in range(size):
        row = found.setdefault(recorded[0][place][0], {"recorder": [], "torch.profiler": [], "ncu": []})
        row["recorder"] += [turn[place][1] for turn in recorded if len(turn) == size]
        row["torch.profiler"] += [turn[place][1] for turn in profiled if len(turn) == size]
        row["ncu"] += [measured[place][1]] if len(measured) == size else []
    return {name: {way: statistics.median(times) for way, times in row.items() if times} for name, row in found.items()}


def main(turns, output):
    """Measure, print, write."""
    with tempfile.TemporaryDirectory() as folder:
        recorded, profiled = in_turns(turns, Path(folder))
        measured, problem = under_ncu(Path(folder))
    medians = compare(recorded, profiled, measured)
    for name, row in medians.items():
        ratios = "".join(f"  / {way} {row['recorder'] / row[way] - 1:+7.2%}" for way in row if way != "recorder")
        print(f"{name[:60]:60} {row['recorder'] / 1e3:9.2f} us{ratios}", file=sys.stderr)
    sizes = {"recorder": [len(turn) for turn in recorded], "torch.profiler": [len(turn) for turn in profiled]}
    result = {"medians_ns": medians, "ncu_problem": problem, "kernels": {**sizes, "ncu": len(measured)}}
    (output.write_text if output else print)(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--profile-to", help=argparse.SUPPRESS)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    if given.work:
        work(given.profile_to)
    else:
        main(given.turns, given.output)
