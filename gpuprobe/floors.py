"""Noise from run to run as the probes declare it: how far two runs on one card differ though nothing changed.

``compare`` adds it to the noise within each run. The figures come from repeated runs of one card, recorded under
reports/; what repeats to a tenth of a percent or better is declared by no probe and gets ``STEADY``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from gpuprobe.domains import TWINS
from gpuprobe.probe import discover
from gpuprobe.record import Measurement, Run
from gpuprobe.repeats import Identity

STEADY = 0.001
CLOCK = 0.002
"""The SM clock between runs: what a quantity in cycles gains when it is turned into time."""


def declared(*runs: Run) -> Mapping[Identity, float]:
    """Floors (relative standard deviations) for every row of ``runs``, in the unit measured and in its twin."""
    noise = {probe.name: probe.noise for probe in discover()}
    floors: dict[Identity, float] = {}
    for row in (row for run in runs for row in run.measurements):
        of_probe = noise.get(row.name, {})
        native = _of(of_probe, row)
        floors[row.key, row.unit] = native
        twin = TWINS.get(row.unit)
        if twin is not None:
            clock = CLOCK if twin.domain == "time" else 0.0
            floors[row.key, twin.unit] = of_probe.get(f"{row.quantity}@{twin.domain}", math.hypot(native, clock))
    return floors


def _of(noise: Mapping[str, float], row: Measurement) -> float:
    """What a probe declares of a row: of its quantity with one of its settings (``throughput READ_ALL``), or of it."""
    for value in row.params.values():
        if f"{row.quantity} {value}" in noise:
            return noise[f"{row.quantity} {value}"]
    return noise.get(row.quantity, STEADY)
