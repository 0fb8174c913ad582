"""CPU time to predict 10,000 configurations of one GEMM: least of many repeats, in ms.

OMP_NUM_THREADS=1 python benchmarks/tile_scoring.py    # GPUPROBE_FOREST=off: without the native walk
"""

from __future__ import annotations

import itertools
import time

import numpy as np

from gpuprobe.ops.tiling import every
from gpuprobe.tune import KernelPredictor

COUNT, REPEATS = 10_000, 250


def main() -> None:
    """Score the whole grid of bf16 over and over, as one table."""
    predictor = KernelPredictor.load("h100-sxm")
    table = np.array(list(itertools.islice(itertools.cycle(every(2)), COUNT)))
    least_s = float("inf")
    for _ in range(REPEATS):
        begin_s = time.process_time()
        predictor.times(4096, 4096, 4096, table)
        least_s = min(least_s, time.process_time() - begin_s)
    print(f"{1e3 * least_s:.1f} ms")


if __name__ == "__main__":
    main()
