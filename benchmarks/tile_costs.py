"""Fit the constants of the tiled kernels' analytic core (gpuprobe.tune.tiled.COSTS) to a device's sweeps.

python benchmarks/tile_costs.py [--gpu h100-sxm] [--share 0.5]     (needs scipy; half a minute on one core)

Robust least squares of log time, a form at a time, every constant pulled a little to where it starts. Prints Costs(…) a
form, and how the bare core ranks; constants of 27 against thousands of rows are no part of what is held out.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from gpuprobe import device, resources
from gpuprobe.predict.machine import machine
from gpuprobe.tune import data, fitting
from gpuprobe.tune.tiled import COSTS, FORMS, Costs, core

Array = NDArray[np.float64]
PULL, ROUGH = 0.5, 0.12


def times(measured: data.Measured, costs: tuple[Costs, Costs], gpu: str) -> Array:
    """Times in s by the core with these constants."""
    time_s = np.empty(len(measured))
    for dtype in sorted(set(measured.dtype.tolist())):
        mask = measured.dtype == dtype
        time_s[mask] = core(measured.work.rows(mask), machine(device.load(gpu), dtype), costs).time_s
    return time_s


def fit(measured: data.Measured, gpu: str, form: int) -> Costs:
    """The constants of one form, from where they are."""
    rows = measured.rows(measured.work.form == form)
    start, target = np.log(np.array(COSTS[form], np.float64)), np.log(rows.time_s)

    def errors(logs: Array) -> Array:
        one = Costs(*np.exp(logs))
        return np.concatenate([np.log(times(rows, (one, one), gpu)) - target, PULL * (logs - start)])

    return Costs(*np.exp(least_squares(errors, start, loss="soft_l1", f_scale=ROUGH, max_nfev=40).x))


def main() -> None:
    """Fit both forms and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", default="h100-sxm")
    parser.add_argument("--share", type=float, default=0.5, help="of the rows, drawn at random")
    options = parser.parse_args()
    sweeps = sorted((resources.folder("models") / "data" / options.gpu).glob("tiles-*.jsonl.gz"))
    measured = fitting.undisturbed(data.read(sweeps), options.gpu)
    drawn = measured.rows(np.random.default_rng(0).random(len(measured)) < options.share)
    fitted = (fit(drawn, options.gpu, 0), fit(drawn, options.gpu, 1))
    for form, costs in zip(FORMS, fitted, strict=True):
        print(form, "Costs(" + ", ".join(f"{name}={value:.4g}" for name, value in costs._asdict().items()) + ")")
    print(fitting.ranking(measured.time_s, times(measured, fitted, options.gpu), measured.gemm))


if __name__ == "__main__":
    main()
