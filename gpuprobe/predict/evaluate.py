"""Error tables of the models on GEMMs whose (n,k) they have not seen, cut several ways, beside noise and baselines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe import device
from gpuprobe.predict import baselines, intervals, nv_heuristics
from gpuprobe.predict.alignment import Alignment
from gpuprobe.predict.core import BOUNDS
from gpuprobe.predict.dataset import TIMED, Dataset
from gpuprobe.predict.errors_of import summary
from gpuprobe.predict.fitting import HeldOut
from gpuprobe.predict.fitting_lasting import Judged, Settled
from gpuprobe.predict.machine import machine
from gpuprobe.predict.train import FOLDS, Job

_SIZES_US: Final = (0, 3, 5, 10, 30, 100, 1000, np.inf)
_FEWEST: Final = 20
_POINTS: Final = 250


class Row(NamedTuple):
    """One line of a table: what it is of, and the error's median, mean and 90th percentile in %, or why none."""

    device: str
    source: str
    group: str
    target: str
    rows: int
    errors: tuple[float, float, float] | None
    coverage: float | None = None
    width: float | None = None
    note: str = ""


def tables(job: Job, held_out: HeldOut, settled: Settled | None = None) -> Iterator[Row]:
    """The model's errors over one class of a job: all, by size, bound, kernel and layout, and the noise floor."""
    yield from _of(job, held_out)
    if settled is not None:
        yield from _of(job, settled.judged)
        data = settled.judged.data
        energy = settled.judged.errors[:, :2].sum(axis=1)  # of its logs: time and power
        yield Row(job.device, job.source, _name(data), "energy", len(data), summary(energy))


def points(job: Job, held_out: HeldOut, settled: Settled | None = None) -> Iterator[dict[str, Any]]:
    """Some of a class's held-out times, evenly taken, measured and predicted in s: what a report draws."""
    yield from _points(job, held_out)
    if settled is not None:
        yield from _points(job, settled.judged)


def _points(job: Job, held_out: HeldOut | Judged) -> Iterator[dict[str, Any]]:
    data = held_out.data
    for index, (target, measured) in enumerate(data.targets.items()):
        if target not in (*TIMED, "sustained", "power"):
            continue
        for row in range(0, len(data), -(-len(data) // _POINTS)):
            predicted = float(measured[row] * np.exp(-held_out.errors[row, index]))
            yield {
                "device": job.device, "source": job.source, "of": _name(data), "target": target,
                "bound": BOUNDS[int(held_out.regimes[row])],
                "measured": float(f"{measured[row]:.5g}"), "predicted": float(f"{predicted:.5g}"),
            }  # fmt: skip


def _name(data: Dataset) -> str:
    return f"{data.dtype} {Alignment(int(data.alignment.max())).label}"


def _of(job: Job, held_out: HeldOut | Judged) -> Iterator[Row]:
    data = held_out.data
    name = _name(data)
    for index, target in enumerate(data.targets):
        for group, mask in _groups(held_out, target):
            if mask.sum() >= _FEWEST:
                errors, spreads = held_out.errors[mask, index], held_out.spreads[mask, index]
                inside, width = intervals.covered(errors, spreads, held_out.regimes[mask], held_out.bands[index])
                label = f"{name}{group and ': ' + group}"
                yield Row(job.device, job.source, label, target, int(mask.sum()), summary(errors), inside, width)
        pairs = data.twice.get(target)
        if pairs is not None and len(pairs):
            noise = np.log(pairs[:, 1] / pairs[:, 0])
            yield Row(
                job.device, job.source, f"{name}: noise floor", target, len(noise), summary(noise),
                note="the same GEMM timed twice",
            )  # fmt: skip


def _groups(held_out: HeldOut | Judged, target: str) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    data = held_out.data
    yield "", np.ones(len(data), bool)
    timed = "hot" if "hot" in data.targets else "sustained"
    time_us = data.targets["cold" if target == "cold" else timed] * 1e6
    for low, high in pairwise(_SIZES_US):
        yield f"{low:g} to {high:g} µs", (time_us >= low) & (time_us < high)
    for index, bound in enumerate(BOUNDS):
        yield f"bound by {bound}", held_out.regimes == index
    for kernel in sorted(set(data.kernel.tolist()) - {""}):
        yield f"kernel {kernel}", data.kernel == kernel
    if len(data.layouts) > 1:
        for index, layout in enumerate(("tn", "nn")):
            yield f"layout {layout}", data.nn == index


def compared(job: Job, data: Dataset) -> Iterator[Row]:
    """The baselines' errors over the same rows; the learned ones by the same folds of (n,k), of the fair rows alone."""
    data = data.where(data.fair)
    name = _name(data)
    spec = machine(device.load(job.device), data.dtype)
    target = "cold" if "cold" in data.targets else "hot"
    measured = data.targets[target]
    analytic = baselines.roofline(data, spec)
    predictions: list[tuple[str, NDArray[np.float64] | str]] = [
        ("roofline by datasheet", analytic),
        ("roofline × a fitted factor", baselines.scaled(analytic, measured)),
        ("random forest as published", baselines.forest(data, target, FOLDS, published_recipe=True)),
        ("random forest on logs", baselines.forest(data, target, FOLDS, published_recipe=False)),
    ]
    theirs = nv_heuristics.times(job.device, data)
    predictions.append(("nvMatmulHeuristics", theirs))
    if not isinstance(theirs, str):
        predictions.append(("nvMatmulHeuristics × a fitted factor", baselines.scaled(theirs, measured)))
    for label, predicted in predictions:
        if isinstance(predicted, str):
            yield Row(job.device, job.source, f"{name}: {label}", target, 0, None, note=predicted)
        else:
            good = np.isfinite(predicted) & (predicted > 0)
            errors = np.log(measured[good] / predicted[good])
            yield Row(job.device, job.source, f"{name}: {label}", target, int(good.sum()), summary(errors))
