"""How the model of tiled kernels does on what it has not seen, over repeated and harder splits than the card's.

python benchmarks/tile_splits.py [--seeds 3] [--only gemms,configurations,long-k,large-m,small-m,fp16,persistent,…]

gemms: five folds of whole GEMMs by another hash a seed; configurations: folds of whole configurations (of every GEMM);
long-k, large-m, small-m: trained on the rest, judged on k ≥ 6144, m ≥ 2048, m ≤ 16; fp16: trained on bf16 alone;
persistent, pointers: trained on the other kernel, as if this one had never been measured (the core's constants have).
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gpuprobe import resources
from gpuprobe.ops.tiling import FORMS
from gpuprobe.predict import boosting
from gpuprobe.tune import data, fitting
from gpuprobe.tune.model import seen

FOLDS = 5
Mask = NDArray[np.bool_]


def splits(measured: data.Measured, seeds: int) -> Iterator[tuple[str, list[tuple[Mask, Mask]]]]:
    """Name, and pairs of rows to train on and to judge."""
    work = measured.work
    sizes = list(zip(*(column.astype(int).tolist() for column in work[:3]), strict=True))
    for seed in range(seeds):
        fold = np.array([zlib.crc32(f"{size}/{seed}".encode()) % FOLDS for size in sizes])
        yield f"gemms, seed {seed}", [(fold != index, fold == index) for index in range(FOLDS)]
    shapes = zip(*(column.astype(int).tolist() for column in work[5:]), strict=True)
    fold = np.array([zlib.crc32(str(one).encode()) % FOLDS for one in shapes])
    yield "configurations", [(fold != index, fold == index) for index in range(FOLDS)]
    for name, out in (("long-k", work.k >= 6144), ("large-m", work.m >= 2048), ("small-m", work.m <= 16)):
        yield name, [(~out, out)]
    yield "fp16", [(measured.dtype == "bf16", measured.dtype == "fp16")]
    persistent = work.form == FORMS.index("triton-persistent")
    yield "persistent", [(~persistent, persistent)]
    yield "pointers", [(persistent, ~persistent)]


def main() -> None:
    """Train and judge every split; a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", default="h100-sxm")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    sweeps = sorted((resources.folder("models") / "data" / options.gpu).glob("tiles-*.jsonl.gz"))
    measured = fitting.undisturbed(data.read(sweeps), options.gpu)
    columns, core_s = seen(measured.work, measured.dtype, options.gpu)
    target = np.log(measured.time_s / core_s)[:, None]
    wanted = [name for name in options.only.split(",") if name]
    for name, pairs in splits(measured, options.seeds):
        if wanted and name.split(",")[0] not in wanted:
            continue
        predicted, judged = core_s.copy(), np.zeros(len(measured), bool)
        for train, out in pairs:
            forest = boosting.grow([column[train] for column in columns], target[train], fitting.RECIPE)
            predicted[out] *= np.exp(forest.many([column[out] for column in columns])[:, 0])
            judged |= out
        found = fitting.ranking(measured.time_s[judged], predicted[judged], measured.gemm[judged])
        error = 100 * np.median(np.abs(measured.time_s[judged] / predicted[judged] - 1))
        print(
            f"{name}: {found.gemms} GEMMs, Spearman {found.spearman:.4f}, top 1 {found.top1:.4f}, "
            f"top 5 {found.top5:.4f}, worst {found.worst_top5:.3f}, median error {error:.1f} %",
            flush=True,
        )


if __name__ == "__main__":
    main()
