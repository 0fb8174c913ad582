"""What the search of ``gpuprobe tune`` finds in the recorded sweeps, from predictions of models blind to the GEMM.

python benchmarks/tune_search.py [--gpu h100-sxm] [--gemms N] [--predicted FILE.npz]
"""

from __future__ import annotations

import argparse
import math
from statistics import fmean

import numpy as np
import tile_held_out

from gpuprobe.tune.search import Surrogate, features_of

ENOUGH = (0.003, 0.005, 0.01, 0.011)
MOST = 16


def main() -> None:
    """Cross-validate, search every GEMM's configurations, and print what was lost and measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gemms", type=int, default=1_000_000)
    options = tile_held_out.options(parser).parse_args()
    measured, judged = tile_held_out.predicted(options.gpu, options.predicted)
    sd = judged.spreads * (judged.band[1] - judged.band[0]) / (2 * 1.645)
    work = measured.work
    features = np.column_stack([work.bm, work.bn, work.bk, work.gm, work.warps, work.stages])
    five: list[float] = []
    stopped: dict[float, list[tuple[int, float]]] = {enough: [] for enough in ENOUGH}
    sizes: list[int] = []
    for gemm in np.unique(measured.gemm)[: options.gemms]:
        rows = measured.gemm == gemm
        times = measured.time_s[rows]
        surrogate = Surrogate(features_of(features[rows]), np.log(judged.predicted_s[rows]), sd[rows])
        gains: list[float] = []
        found: list[float] = []
        while len(found) < MOST and (suggestion := surrogate.suggest()) is not None:
            index, gain = suggestion
            surrogate.tell(index, float(times[index]))
            gains.append(gain)
            found.append(float(times[index]) / float(times.min()))
        sizes.append(len(times))
        five.append(min(found[:5]))
        for enough, ends in stopped.items():
            count = next((place for place, gain in enumerate(gains) if gain < enough), len(found))
            ends.append((count, min(found[:count])))
    print(f"{len(sizes)} GEMMs, {fmean(sizes):.0f} configurations each")
    print(f"five measured: loss {_mean(five):.4f}, worst {max(five):.3f}")
    for enough, ends in stopped.items():
        count = fmean(count for count, _ in ends)
        lost = [loss for _, loss in ends]
        saved = fmean(sizes) / count
        print(f"until {enough:.1%}: {count:.2f} measured ({saved:.0f}×), loss {_mean(lost):.4f}, worst {max(lost):.3f}")


def _mean(values: list[float]) -> float:
    return math.exp(fmean(map(math.log, values)))


if __name__ == "__main__":
    main()
