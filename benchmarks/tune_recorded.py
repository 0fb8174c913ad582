"""How the shipped model ranks and tunes GEMMs that it was not trained on, measured in every configuration.

    python benchmarks/tune_recorded.py [--gpu h100-sxm] [JOURNAL.jsonl.gz …]

A journal is what ``gpuprobe sweep kernel`` writes; without one it is models/data/GPU/held-out-*.jsonl.gz.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from statistics import fmean

import numpy as np
import tile_held_out

from gpuprobe.ops.tiling import FORMS, Tiling
from gpuprobe.tune import KernelPredictor, data, fitting
from gpuprobe.tune.gemm_search import Reading, candidates, tune

ENOUGH = (0.003, 0.01)


def main() -> None:
    """Print the ranking of each kernel and type and of all, then what the search finds and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", default="h100-sxm")
    parser.add_argument("journals", nargs="*", type=Path)
    options = parser.parse_args()
    measured, times = tile_held_out.shipped(options.gpu, options.journals)
    predicted = times.time_s
    inside = (times.low_s <= measured.time_s) & (measured.time_s <= times.high_s)
    print("| kernel | GEMMs | Spearman | top 1 | top 5 | worst top 5 | median error | in the 90 % interval |")
    print("|---" * 8 + "|")
    for index, form in enumerate(FORMS):
        for dtype in np.unique(measured.dtype):
            mask = (measured.work.form == index) & (measured.dtype == dtype)
            if mask.any():
                print(_line(f"{form} {dtype}", measured.rows(mask), predicted[mask], inside[mask]))
    print(_line("all", measured, predicted, inside))
    kept = fitting.is_undisturbed(measured, options.gpu)
    if not kept.all():
        name = f"all but {int((~kept).sum())} launches that something held up"
        print(_line(name, measured.rows(kept), predicted[kept], inside[kept]))
    for enough in ENOUGH:
        _search(options.gpu, measured, enough)


def _line(name: str, measured: data.Measured, predicted: np.ndarray, inside: np.ndarray) -> str:
    found = fitting.ranking(measured.time_s, predicted, measured.gemm)
    error = 100 * float(np.median(np.abs(measured.time_s / predicted - 1)))
    return (
        f"| {name} | {found.gemms} | {found.spearman:.3f} | {found.top1:.4f} | {found.top5:.4f} | "
        f"{found.worst_top5:.3f} | {error:.1f} % | {inside.mean():.1%} |"
    )


def _search(gpu: str, measured: data.Measured, enough: float) -> None:
    losses, counts, sizes = [], [], []
    for gemm in np.unique(measured.gemm):
        rows = measured.rows(measured.gemm == gemm)
        m, n, k = (int(column[0]) for column in rows.work[:3])
        tilings = [Tiling(*map(int, row)) for row in zip(*rows.work[5:], strict=True)]
        readings = dict(zip(tilings, (Reading(time_s) for time_s in rows.time_s.tolist()), strict=True))
        space = candidates(
            KernelPredictor.load(gpu, FORMS[int(rows.work.form[0])]), m, n, k, str(rows.dtype[0]), tilings
        )
        tuned = tune(space, readings.__getitem__, enough=enough, rounds=0)
        best = tuned.best.reading
        losses.append(best.time_s / float(rows.time_s.min()) if best and best.time_s else math.inf)
        counts.append(len(tuned.measured))
        sizes.append(len(tilings))
    print(
        f"\nsearch until {enough:.1%}: {fmean(counts):.2f} measured of {fmean(sizes):.1f} "
        f"({fmean(sizes) / fmean(counts):.0f}×), loss {math.exp(fmean(map(math.log, losses))):.4f}, "
        f"worst {max(losses):.3f}"
    )


if __name__ == "__main__":
    main()
