"""How nvMatmulHeuristics and gpuprobe rank the configurations of the Triton GEMMs of models/data, side by side.

    pip install nvidia-matmul-heuristics==0.1.0.27        # proprietary licence; needs no GPU
    python benchmarks/rank_against_nvmmh.py [--gpu h100-sxm] [--predicted FILE.npz] [--held-out]

gpuprobe's predictions are of models that have not seen the GEMM (five folds of whole GEMMs; FILE keeps them), or with
--held-out of the shipped model, on GEMMs that no model is trained on.
nvMatmulHeuristics is asked for its metric of each given configuration on its TRITON backend, in the precisions that fit
the type, and with both ways to split a tile among warps; the table has its best of these. Version 0.1.0.27 crashes
where a handle that has answered is destroyed, so handles are kept.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import tile_held_out
from numpy.typing import NDArray

from gpuprobe.tune import fitting
from gpuprobe.tune.data import Measured

Array = NDArray[np.float64]
PRECISIONS = {"bf16": ("TST", "HSH", "HSS"), "fp16": ("HSH", "HSS"), "fp8": ("QQTST", "HSH")}
METRICS = {"RUNTIME_S": 0, "RELATIVE_FAST": 14}
GPUS = {"h100-sxm": "H100_SXM", "h200-sxm": "H200_SXM"}
LAYOUTS = {"bf16": 0, "fp16": 0, "fp8": 1}  # row-major NN as in Triton's tutorial; fp8 and TMA take B as n×k


class Heuristics:
    """nvMatmulHeuristics for an H100 or H200 SXM and its TRITON backend."""

    def __init__(self, gpu: str) -> None:
        import nvMatmulHeuristics.nvMatmulHeuristics as api  # noqa: N813

        self.api = api
        target = api.NvMatmulHeuristicsTarget.TRITON
        self.handle = api.NvMatmulHeuristicsInterface(
            backend=target, precision="HSH", flags=api.NvMatmulHeuristicsFlags.PERF_MODEL_BASED_AUTO_TUNING
        )
        self.hardware = self.handle.createHardwareDescriptor()
        self.handle.setHardwarePredefinedGpu(self.hardware, getattr(api.NvMatmulHeuristicsNvidiaGpu, GPUS[gpu]))
        self.backend = self.handle.createBackend(target)
        for precision, layout in itertools.product(sorted({p for ps in PRECISIONS.values() for p in ps}), (0, 1)):
            self.handle.nvMatmulHeuristicsLoadInternalDiscoverySet(
                self.handle.handle, precision.encode(), ctypes.c_int(target), ctypes.c_int(layout), self.hardware
            )

    def score(self, problem: Any, tiling: tuple[int, ...], precision: str, metric: int, by_rows: bool) -> float:
        """Its metric of one configuration; infinite where it has none."""
        config = self.handle.nvmmhKernelConfiguration()
        bm, bn, bk, gm, warps, stages = tiling
        rows = min(warps, max(bm // 16, 1)) if by_rows else min(warps // 2, max(bm // 16, 1))
        columns = max(warps // rows, 1)
        instruction = (64, min(bn, 256), 16) if bm >= 64 else (16, 8, 16)
        config.cta[:], config.instr[:] = (bm, bn, bk), instruction
        config.warp[:] = (bm // rows, max(bn // columns, 8), bk)
        config.splitK, config.loadStages, config.gridSwizzle, config.ctaOrder = 1, stages, gm, 0
        config.cluster[:] = (1, 1)
        value = float(
            self.handle.nvMatmulHeuristicsEstimateSiliconMetricEx(
                self.handle.handle, precision.encode(), self.backend, ctypes.byref(problem), ctypes.byref(config),
                ctypes.c_int(metric), self.hardware,
            )
        )  # fmt: skip
        return value if np.isfinite(value) and value > 0 else float("inf")

    def scores(self, measured: Measured, rows: NDArray[np.intp], precision: str, metric: int, by_rows: bool) -> Array:
        """The metric of rows of one GEMM."""
        work = measured.work
        m, n, k = (int(work[i][rows[0]]) for i in range(3))
        layout = 1 if work.form[rows[0]] == 1 else LAYOUTS[str(measured.dtype[rows[0]])]
        problem = self.handle.makeNvMatmulHeuristicsProblem(m, n, k, layout, 1)
        columns = (work.bm, work.bn, work.bk, work.gm, work.warps, work.stages)
        tilings = zip(*(column[rows].astype(int).tolist() for column in columns), strict=True)
        return np.array([self.score(problem, tiling, precision, metric, by_rows) for tiling in tilings])


def rankings(measured: Measured, heuristics: Heuristics, dtype: str) -> Iterator[tuple[str, Array]]:
    """Ways to ask nvMatmulHeuristics about one type: name and scores of all its rows (others infinite)."""
    gemms = [np.flatnonzero(measured.gemm == gemm) for gemm in np.unique(measured.gemm[measured.dtype == dtype])]
    for precision, (name, metric), by_rows in itertools.product(PRECISIONS[dtype], METRICS.items(), (True, False)):
        scores = np.full(len(measured), np.inf)
        for rows in gemms:
            scores[rows] = heuristics.scores(measured, rows, precision, metric, by_rows)
        yield f"nvMatmulHeuristics {precision} {name}", scores


def line(name: str, dtype: str, form: str, measured: Measured, scores: Array, mask: NDArray[np.bool_]) -> str:
    """A row of the table."""
    found = fitting.ranking(measured.time_s[mask], scores[mask], measured.gemm[mask])
    return (
        f"| {form} {dtype} | {name} | {found.gemms} | {found.spearman:.3f} | {found.top1:.3f} | {found.top5:.3f} | "
        f"{found.top10:.3f} | {found.worst_top5:.2f} |"
    )


def main() -> None:
    """Rank, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held-out", action="store_true")
    options = tile_held_out.options(parser).parse_args()
    if options.held_out:
        measured, times = tile_held_out.shipped(options.gpu)
        ours = times.time_s
    else:
        measured, judged = tile_held_out.predicted(options.gpu, options.predicted)
        ours = judged.predicted_s
    heuristics = Heuristics(options.gpu)
    print("| kernel | ranked by | GEMMs | Spearman | top 1 | top 5 | top 10 | worst top 5 |\n" + "|---" * 8 + "|")
    for dtype in PRECISIONS:
        theirs = list(rankings(measured, heuristics, dtype))
        for index, form in enumerate(("triton-matmul", "triton-persistent")):
            mask = (measured.dtype == dtype) & (measured.work.form == index)
            best = min(
                theirs, key=lambda one: fitting.ranking(measured.time_s[mask], one[1][mask], measured.gemm[mask]).top5
            )
            for name, scores in (("gpuprobe, held out", ours), best):
                print(line(name, dtype, form, measured, scores, mask), flush=True)
    sys.stdout.flush()
    os._exit(0)  # its library crashes where a handle that has answered is destroyed


if __name__ == "__main__":
    main()
