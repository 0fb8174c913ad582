"""What recording costs: a launch-bound loop of small torch.mm, bare, recorded, and under torch.profiler.

Use: python benchmarks/trace_record.py [REPEATS], on a machine with a GPU and torch. The ways take turns, since
machines drift; each turn is a process of its own that times the loop REPEATS times. Prints one JSON object with
medians and all times in seconds.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LAUNCHES = 20_000
ROUNDS = 3
WAYS = {
    "bare": None,
    "recorded": {},
    "recorded, timestamps in host memory": {"GPUPROBE_HOST_TIMESTAMPS": "1"},
    "recorded, 4 MiB buffers": {"GPUPROBE_BUFFER_BYTES": str(4 << 20)},
    "torch.profiler CUDA": None,
    "torch.profiler CPU+CUDA": None,
}


def loop(torch, matrix):
    """Seconds for LAUNCHES products and the wait for the last."""
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(LAUNCHES):
        torch.mm(matrix, matrix)
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def measure(way, repeats):
    """Times of one process, s."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    matrix = torch.randn(64, 64, device="cuda")
    loop(torch, matrix)
    times = []
    for _ in range(repeats):
        if way.startswith("torch.profiler"):
            kinds = [ProfilerActivity.CUDA] + [ProfilerActivity.CPU] * ("CPU" in way)
            with profile(activities=kinds):
                times.append(loop(torch, matrix))
        else:
            times.append(loop(torch, matrix))
    return times


def run(way, repeats, folder):
    """Times of a fresh process that runs ``way``."""
    command = [sys.executable, __file__, "--way", way, str(repeats)]
    variables = WAYS[way]
    if variables is not None:
        command = [sys.executable, "-m", "gpuprobe", "trace", "record", "-o", str(folder / "t.gptrace"), "--", *command]
    environment = {**os.environ, **(variables or {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    print(f"{way}: {done.stderr.strip().splitlines()[-1:] or ''}", file=sys.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main(repeats):
    """All ways, ROUNDS turns each."""
    times = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for way in WAYS:
                times[way] += run(way, repeats, Path(folder))
    bare = statistics.median(times["bare"])
    medians = {way: statistics.median(found) for way, found in times.items()}
    rows = {
        way: {
            "median_s": round(medians[way], 4),
            "over_bare": round(medians[way] / bare - 1, 4),
            "ns_per_launch": round((medians[way] - bare) / LAUNCHES * 1e9),
            "times_s": [round(value, 4) for value in times[way]],
        }
        for way in WAYS
    }
    print(json.dumps({"launches": LAUNCHES, "ways": rows}, indent=1))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--way"]:
        print(json.dumps(measure(sys.argv[2], int(sys.argv[3]))))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
