"""CPU times of the GEMM predictor: loading, one query, one row of a batch, natively walked and in numpy alone.

The ways take turns in processes of their own, each pinned to one core, so that a slow phase of the machine meets all of
them; a figure is the least over short stretches of all turns, and their median:

    python benchmarks/predict_speed.py [--gpu h100-sxm] [--turns 5] [--before FOLDER]

FOLDER is another checkout, which takes its turn too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
STRETCH, STRETCHES, BATCH = 50, 60, 10_000


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpu", default="h100-sxm")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--turn", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn:
        print(json.dumps(turn(options.gpu)))
        return
    ways: dict[str, tuple[Path, dict[str, str]]] = {"native": (HERE, {}), "numpy": (HERE, {"GPUPROBE_FOREST": "off"})}
    if options.before:
        ways["before"] = (options.before, {})
    found: dict[str, list[dict[str, list[float]]]] = {name: [] for name in ways}
    for _ in range(options.turns):
        for name, (folder, switches) in ways.items():
            environment = os.environ | switches | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
            command = [sys.executable, str(Path(__file__).resolve()), "--turn", "--gpu", options.gpu]
            done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
            found[name].append(json.loads(done.stdout))
    for name, turns in found.items():
        figures = {figure: [value for one in turns for value in one[figure]] for figure in turns[0]}
        print(
            f"{name:7}",
            *(
                f"{figure} {min(values):.2f} (median {statistics.median(values):.2f});"
                for figure, values in figures.items()
            ),
        )


def turn(gpu: str) -> dict[str, list[float]]:
    """Loading in ms; a query and a row of a batch in µs."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import numpy as np

    from gpuprobe.predict import Predictor

    loads = [seconds(lambda: Predictor.load(gpu)) * 1e3 for _ in range(4)]
    predictor = Predictor.load(gpu)
    draws = np.exp(np.random.default_rng(0).uniform(np.log(16), np.log(16384), (BATCH, 3)))
    sizes = (draws / 8).astype(int) * 8 + 8
    queries = [tuple(row) for row in sizes.tolist()]
    for query in queries[:300]:  # more than the native walk's build asks for
        predictor.gemm(*query)
    one = []
    for at in range(STRETCHES):
        stretch = queries[at * STRETCH : (at + 1) * STRETCH]
        one.append(seconds(lambda stretch=stretch: ask(predictor, stretch)) / STRETCH * 1e6)
    many = [seconds(lambda: predictor.gemm_many(sizes)) / BATCH * 1e6 for _ in range(6)]
    return {"load_ms": loads, "query_us": one, "row_us": many}


def ask(predictor: Any, queries: list[tuple[int, int, int]]) -> None:
    """One query after the other."""
    for m, n, k in queries:
        predictor.gemm(m, n, k)


def seconds(work: Callable[[], Any]) -> float:
    """CPU time that ``work`` takes, without what other programs take of the core."""
    begin = time.thread_time()
    work()
    return time.thread_time() - begin


if __name__ == "__main__":
    main()
