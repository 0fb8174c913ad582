"""One state of a GPU seen in one or more runs, and the ratio of two states with all noise that is known in it.

A run repeats what the runs beside it measured with another placement in memory, other neighbours, another temperature:
noise that no number of samples within one run shows. So each value has two parts of noise: that of its samples (the
recorded 95 % interval) and that from run to run, which the probes declare (``gpuprobe.floors``) and which repeats show.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

from gpuprobe.errors import GpuprobeError
from gpuprobe.record import Measurement, Param, Run
from gpuprobe.stats import Interval, Ratio, ratio_of, student_quantile

Key = tuple[str, str, tuple[tuple[str, Param], ...]]
Identity = tuple[Key, str]
"""What rows and noise floors go by: the key of a Measurement and the unit."""

WIDEN = 2.0
"""The floor of a run that drifted or was throttled counts this often: its samples are not independent."""

PRIOR_DEGREES = 8
"""How many degrees of freedom a declared floor weighs beside what repeats show. It was taken from a few repeats on
another day and rounded up. At 8 a second run on one side alone leaves an interval as wide as it was (Student's quantile
takes what the mean of two gives), and any further run narrows it."""

LEAST_FLOOR = 1e-6
"""Declared noise counts at least this much, so that what repeats show has something to be measured by."""

FEW = 6
"""Below this many samples the spread itself is not known (no order statistics reach 95 %)."""


@dataclass(frozen=True)
class Repeats:
    """What the runs of one state measured of one quantity, in one unit: a Measurement for each run that holds it."""

    runs: tuple[Measurement, ...]

    @property
    def value(self) -> float:
        """Geometric mean over the runs, in the unit measured."""
        first = self.runs[0].value
        return first * math.prod(run.value / first for run in self.runs) ** (1 / len(self.runs))

    @property
    def interval(self) -> Interval:
        """The value with the ends that the samples' noise alone gives it, at 95 %."""
        value, count = self.value, len(self.runs)
        down = math.hypot(*(_log(run.value, run.low) for run in self.runs)) / count
        up = math.hypot(*(_log(run.high, run.value) for run in self.runs)) / count
        return Interval(value, value * math.exp(-down), value * math.exp(up))

    @property
    def widening(self) -> float:
        """How many declared floors the value is uncertain by: 1 for one sound run, less for the mean of several."""
        return math.hypot(*(_widening(run) for run in self.runs)) / len(self.runs)

    @property
    def squares(self) -> float:
        """Sum of squared distances of the runs' logarithms from their mean."""
        mean = math.log(self.value)
        return sum((math.log(run.value) - mean) ** 2 for run in self.runs)

    @property
    def flags(self) -> tuple[str, ...]:
        """Every flag of any run, once."""
        return tuple(dict.fromkeys(flag for run in self.runs for flag in run.flags))

    @property
    def sm_clock_hz(self) -> float | None:
        """Median SM clock of the runs that read one."""
        known = [run.sm_clock_hz for run in self.runs if run.sm_clock_hz]
        return median(known) if known else None

    @property
    def is_few(self) -> bool:
        """Whether all runs together hold too few samples to show a difference."""
        return all("few_samples" in run.flags for run in self.runs) or sum(run.n for run in self.runs) < FEW

    def variances(self, floor: float) -> list[float]:
        """Of each run, the variance of its logarithm that the samples and the declared ``floor`` lead to expect."""
        within = ((_log(run.high, run.low) / 2 / normal_quantile(0.95)) for run in self.runs)
        return [noise**2 + (_widening(run) * floor) ** 2 for noise, run in zip(within, self.runs, strict=True)]


def ratio_between(a: Repeats, b: Repeats, floor: float, confidence: float) -> Ratio:
    """Ratio b/a with its interval; ``floor`` is the declared standard deviation from run to run, relative.

    Two single runs: the samples' intervals and the floor in quadrature, at the normal quantile. With repeats the
    variance is the one expected (samples and floor, weighing PRIOR_DEGREES) averaged with that seen between the repeats
    of either side, at Student's quantile: a moderated t-test (Smyth 2004, Statistical Applications in Genetics and
    Molecular Biology 3:3).
    """
    floor = max(floor, LEAST_FLOOR)
    quantile = _stretch(a, b, floor, confidence)
    noise = quantile * floor * math.hypot(a.widening, b.widening)
    return ratio_of(a.interval, b.interval, noise, stretch=quantile / normal_quantile(0.95))


def _stretch(a: Repeats, b: Repeats, floor: float, confidence: float) -> float:
    """Half width of the interval in expected standard deviations: a quantile, and how far repeats bear them out."""
    seen = len(a.runs) + len(b.runs) - 2
    if seen == 0:
        return normal_quantile(confidence)
    variances = [*a.variances(floor), *b.variances(floor)]
    expected = sum(variances) / len(variances)
    degrees = PRIOR_DEGREES + seen
    found = (PRIOR_DEGREES * expected + a.squares + b.squares) / degrees
    return student_quantile(confidence, degrees) * math.sqrt(found / expected)


def normal_quantile(confidence: float) -> float:
    """Two-sided quantile of the normal distribution (1.96 for 0.95)."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def _widening(run: Measurement) -> float:
    return WIDEN if {"drift", "throttled"} & set(run.flags) else 1.0


def _log(high: float, low: float) -> float:
    """Logarithm of high over low, at most that of ten each way: beyond a factor of ten nothing is known."""
    return math.log(10.0) if low <= 0.0 else min(math.log(10.0), max(0.0, math.log(high / low)))


def by_identity(runs: Iterable[Run]) -> dict[Identity, Repeats]:
    """What ``runs`` measured by quantity and unit, in the order met.

    GpuprobeError where a run holds one twice, or a value of zero or below, which has no ratio.
    """
    found: dict[Identity, list[Measurement]] = {}
    for run in runs:
        held = set()
        for measurement in run.measurements:
            identity, value = (measurement.key, measurement.unit), measurement.value
            if identity in held:
                raise GpuprobeError(
                    f"run {run.run_id} holds {measurement.title} twice",
                    "record it again with: gpuprobe microbench -o FILE",
                )
            if not value > 0.0:
                raise GpuprobeError(
                    f"run {run.run_id}: {measurement.title} is {value} {measurement.unit}, which has no ratio",
                    "measure it again, or remove it from the run",
                )
            held.add(identity)
            found.setdefault(identity, []).append(measurement)
    return {identity: Repeats(tuple(measurements)) for identity, measurements in found.items()}


def checked_side(runs: Sequence[Run]) -> tuple[Run, ...]:
    """The runs of one state; GpuprobeError where there are none, of several products, or one of them twice."""
    products = sorted({run.device.name for run in runs})
    if len(products) != 1:
        raise GpuprobeError(
            f"the repeats of one state are runs of one product, not of {', '.join(products) or 'none'}",
            "compare runs of two products one by one",
        )
    ids = [(run.run_id, run.started_at) for run in runs]
    if len(set(ids)) < len(ids):
        raise GpuprobeError(f"run {runs[0].run_id} is among its own repeats", "a repeat is another run: name each once")
    return tuple(runs)
