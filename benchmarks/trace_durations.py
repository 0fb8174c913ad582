"""Durations of the same kernels as the recorder, torch.profiler and Nsight Compute report them.

Use, with a GPU and torch: python benchmarks/trace_durations.py [--turns N] [--no-ranges] [--output FILE.json]

Two processes run the same kernels in turns, one under the recorder, one under torch.profiler, so that clocks drift for
both alike. Each kernel is launched twelve times in a row, then twelve times alone (a wait for the GPU before and after
each). Nsight Compute comes third, where it may, in two ways that must not be mixed up:

kernel  ncu measures each launch by itself and lets nothing run beside it: compare with "alone". Its clock and cache
        control are off (by default it locks the clock to its base and flushes all caches before each kernel). Its
        gpu__time_duration runs between commands before and after the launch, CUPTI's times are the execution's own:
        the two differ by 0.5 to 2 us, says NVIDIA (forums.developer.nvidia.com/t/360150), a constant that no flag
        takes away. So the difference is told in microseconds too.
range   ncu measures 12 and 24 launches in a row as one (--replay-mode app-range): their difference is the time of 12
        in which that constant cancels; the gaps between kernels (about 1 us) are in it. Compare with "in a row".

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
STYLES = ("in a row", "alone")
RANGES = [count * REPEATS for count in (1, 2)] * 3
"""Launches of each ncu range of an operation."""
DURATION, CLOCK = "gpu__time_duration.sum", "gpc__cycles_elapsed.avg.per_second"
NCU = ["ncu", "--clock-control", "none", "--cache-control", "none", "--profile-from-start", "off"]
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


def work(profile_to, ranges):
    """A process: a turn of all operations for each line on stdin, between cudaProfilerStart and -Stop."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    todo = operations(torch)
    runtime = torch.cuda.cudart()

    def launch(operation, count):
        for _ in range(count):
            operation()
        torch.cuda.synchronize()

    def turn():
        for operation in todo.values():
            launch(operation, REPEATS)
            for _ in range(REPEATS):
                launch(operation, 1)

    def in_ranges():
        for operation in todo.values():
            for count in RANGES:
                runtime.cudaProfilerStart()
                launch(operation, count)
                runtime.cudaProfilerStop()

    for _ in range(3):
        turn()
    print("> ready", flush=True)
    for number, _ in enumerate(sys.stdin):
        if profile_to:
            with profile(activities=[ProfilerActivity.CUDA]) as profiler:
                turn()
            profiler.export_chrome_trace(f"{profile_to}/{number}.json")
        elif ranges:
            in_ranges()
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
    """Durations by the recorder and by torch.profiler, kernel by kernel of each turn; the SM clock, Hz."""
    from gpuprobe.trace.kineto import read_kineto
    from gpuprobe.trace.record.decode import decode
    from gpuprobe.trace.record.power import PowerRecorder
    from gpuprobe.trace.record.runner import read_spools

    spool, profiles = folder / "spool", folder / "profiles"
    spool.mkdir()
    profiles.mkdir()
    both = [start(environment_of(PAUSING, spool)), start(dict(os.environ), "--profile-to", str(profiles))]
    for process in both:
        answered(process)
    with PowerRecorder.of_this_machine() as power:
        for _ in range(turns):
            for process in both:
                process.stdin.write("go\n")
                process.stdin.flush()
                answered(process)
    clocks = [reading.sm_clock_hz for log in power.logs() for reading in log.readings if reading.sm_clock_hz]
    for process in both:
        process.stdin.close()
        process.wait(30)
    recorded = kernels(decode(read_spools(spool)))
    profiled = [kernels(read_kineto(path)) for path in sorted(profiles.glob("*.json"))]
    size = len(recorded) // turns
    if not size:
        raise SystemExit("the recorder recorded nothing between cudaProfilerStart and cudaProfilerStop")
    clock = statistics.median(clocks) if clocks else None
    return [recorded[begin : begin + size] for begin in range(0, len(recorded), size)], profiled, clock


def under_ncu(folder, *options, metrics=DURATION):
    """Durations and clocks by Nsight Compute; [] and why where it cannot measure."""
    if shutil.which("ncu") is None:
        return [], "there is no ncu here"
    log = folder / f"ncu{len(options)}.csv"
    command = [*NCU, "--metrics", metrics, "--csv", "--page", "raw", "--log-file", str(log), *options]
    command += [sys.executable, __file__, "--work", *(["--ranges"] if options else [])]
    try:
        done = subprocess.run(command, input="go\n", capture_output=True, text=True, timeout=NCU_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return [], f"ncu took longer than {NCU_TIMEOUT_S} s"
    return read_ncu(log.read_text().splitlines() if log.is_file() else done.stderr.splitlines())


def read_ncu(lines):
    """(name, ns, clock in Hz or None) from the lines of ncu's CSV, whose second row holds units; [] and why not."""
    rows = list(csv.DictReader(line for line in lines if line.startswith('"')))
    column = {key: next((name for name in (rows[0] if rows else {}) if key in name), None) for key in (DURATION, CLOCK)}
    if column[DURATION] is None:
        return [], "; ".join(line for line in lines if "ERR" in line.upper())[:300] or "ncu measured nothing"
    units = {"us": 1e3, "usecond": 1e3, "ms": 1e6, "msecond": 1e6, "s": 1e9, "second": 1e9}
    clock_units = {"Ghz": 1e9, "GHz": 1e9, "Mhz": 1e6, "MHz": 1e6}

    def value(row, key, scale, otherwise):
        if column[key] is None:
            return None
        return float(row[column[key]].replace(",", "")) * scale.get(rows[0][column[key]].split("/")[-1], otherwise)

    return [
        (row["Kernel Name"], value(row, DURATION, units, 1), value(row, CLOCK, clock_units, 1)) for row in rows[1:]
    ], ""


def compare(recorded, profiled, measured):
    """For each kernel and style the medians, joined over places in the order of launches and over turns."""
    size = len(recorded[0])
    found = {}
    for place in range(size):
        style = STYLES[place // REPEATS % 2]
        row = found.setdefault(
            (recorded[0][place][0], style), {"recorder": [], "torch.profiler": [], "ncu": [], "ncu_hz": []}
        )
        row["recorder"] += [turn[place][1] for turn in recorded if len(turn) == size]
        row["torch.profiler"] += [turn[place][1] for turn in profiled if len(turn) == size]
        if len(measured) == size and style == "alone":
            row["ncu"].append(measured[place][1])
            row["ncu_hz"] += [measured[place][2]] if measured[place][2] else []
    return [
        {"kernel": name, "style": style, **{way: statistics.median(times) for way, times in row.items() if times}}
        for (name, style), row in found.items()
    ]


def of_ranges(measured):
    """Time of one launch of each operation from ncu's ranges, ns: [] where their number is not right."""
    size = len(RANGES)
    if not measured or len(measured) % size:
        return []
    found = []
    for begin in range(0, len(measured), size):
        times = [row[1] for row in measured[begin : begin + size]]
        short, long = (statistics.median(times[first::2]) for first in (0, 1))
        found.append((long - short) / REPEATS)
    return found


def show(rows):
    """A line for each kernel and style."""
    for row in rows:
        told = "".join(
            f"  / {way} {row['recorder'] / row[way] - 1:+7.2%} ({(row['recorder'] - row[way]) / 1e3:+.2f} us)"
            for way in ("torch.profiler", "ncu", "ncu range")
            if way in row
        )
        clock = f"  ncu at {row['ncu_hz'] / 1e6:.0f} MHz" if "ncu_hz" in row else ""
        print(f"{row['kernel'][:46]:46} {row['style']:8} {row['recorder'] / 1e3:8.2f} us{told}{clock}", file=sys.stderr)


def main(turns, with_ranges, output):
    """Measure, print, write."""
    with tempfile.TemporaryDirectory() as folder:
        recorded, profiled, clock = in_turns(turns, Path(folder))
        measured, problem = under_ncu(Path(folder), metrics=f"{DURATION},{CLOCK}")
        ranged, range_problem = (
            under_ncu(Path(folder), "--replay-mode", "app-range") if with_ranges else ([], "not asked")
        )
    rows = compare(recorded, profiled, measured)
    for row, time in zip([row for row in rows if row["style"] == "in a row"], of_ranges(ranged), strict=False):
        row["ncu range"] = time
    show(rows)
    sizes = {"recorder": [len(turn) for turn in recorded], "torch.profiler": [len(turn) for turn in profiled]}
    sizes |= {"ncu": len(measured), "ncu ranges": len(ranged)}
    problems = {"ncu": problem, "ncu ranges": range_problem}
    result = {"medians_ns": rows, "sm_clock_hz": clock, "problems": problems, "kernels": sizes}
    (output.write_text if output else print)(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ranges", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--profile-to", help=argparse.SUPPRESS)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--no-ranges", action="store_true", help="leave out ncu's ranges")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    if given.work:
        work(given.profile_to, given.ranges)
    else:
        main(given.turns, not given.no_ranges, given.output)
