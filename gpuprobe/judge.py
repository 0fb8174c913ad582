"""From a probe's samples to its result: intervals, flags, bounds, drift, agreement with the wall clock, raw series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from gpuprobe import arch, stats, wall
from gpuprobe.estimate import Estimate, Point
from gpuprobe.gpu.nvml import is_throttled
from gpuprobe.gpu.protocol import Gpu
from gpuprobe.gpu.replay import REPEAT
from gpuprobe.kernels import Kernel
from gpuprobe.probe import Probe
from gpuprobe.record import Measurement, Params, Rejection, Sample, Series, significant
from gpuprobe.stats import StopRule

BOUND_TOLERANCE = 0.01
DRIFT_TOLERANCE = 0.01
CLOCK_TOLERANCE = 0.02
THROTTLED_SHARE = 0.2
FEW_SAMPLES = 11

Key = tuple[str, str, tuple[tuple[str, object], ...]]


@dataclass(frozen=True)
class Result:
    """What one probe gave: measurements, the raw series behind them, and rejections with their reasons."""

    probe: str
    measurements: tuple[Measurement, ...]
    series: tuple[Series, ...]
    rejections: tuple[Rejection, ...]


@dataclass
class Log:
    """Everything sampled of one probe: by point, and as estimates round by round."""

    kernels: dict[Point, Kernel] = field(default_factory=dict)
    samples: dict[Point, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    repeats: dict[Point, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    rounds: list[list[Estimate]] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    _grouped: dict[Key, list[Estimate]] = field(default_factory=lambda: defaultdict(list), init=False, repr=False)
    _rounds_grouped: int = field(default=0, init=False, repr=False)

    def reject(self, probe: Probe, params: Params, reason: str, *, left_out: bool = False) -> None:
        """Note the first reason against a point."""
        if all(rejection.params != params for rejection in self.rejections):
            self.rejections.append(Rejection(probe.name, params, reason, left_out))

    def wrong(self) -> list[Params]:
        """The rejected points behind which no estimate may stand: all but those left out of every round."""
        sampled = [dict(point.params) for point, samples in self.samples.items() if samples]
        return [one.params for one in self.rejections if not one.left_out or one.params in sampled]

    def estimates(self) -> Mapping[Key, list[Estimate]]:
        """The estimates of every quantity, in the order of the rounds; rounds are only ever added.

        It is asked after each round, so a round is grouped once.
        """
        for found in self.rounds[self._rounds_grouped :]:
            for estimate in found:
                self._grouped[estimate.quantity, estimate.unit, tuple(estimate.params.items())].append(estimate)
        self._rounds_grouped = len(self.rounds)
        return self._grouped


def _drifted(log: Log) -> bool:
    for point, repeats in log.repeats.items():
        first = [_size(sample) for sample in log.samples[point]]
        last = [_size(sample) for sample in repeats]
        if first and last and stats.drift(first, last).beyond(DRIFT_TOLERANCE):
            return True
    return False


def _size(sample: Sample) -> float:
    return sample.cycles or sample.seconds


def judge(probe: Probe, log: Log, gpu: Gpu, rule: StopRule) -> Result:
    """The result of a probe: a Measurement for every quantity without a wrong sample, and the reasons for the rest."""
    for params, reason in wall.disagreements(log.samples, prologue=probe.prologue):
        log.reject(probe, params, reason)
    wrong = log.wrong()
    common = _common_flags(log, gpu)
    measurements = []
    for estimates in log.estimates().values():
        if any(covers(estimates[0].params, params) for params in wrong):
            continue
        emulated = ("emulated",) if _label(log, estimates[0]) == "emulated" else ()
        measurement = _measurement(probe, estimates, rule, (*emulated, *common))
        limit = _limit(probe, estimates[0], gpu, measurement)
        impossible = _impossible(measurement, limit)
        if impossible is None:
            measurements.append(replace(measurement, limit=limit if probe.bound_is_reachable else None))
        else:
            log.reject(probe, measurement.params, impossible)
    return Result(probe.name, tuple(measurements), tuple(_series(probe, log)), tuple(log.rejections))


def _common_flags(log: Log, gpu: Gpu) -> tuple[str, ...]:
    """Flags that stand on every measurement of a probe."""
    drift = ("drift",) if _drifted(log) else ()
    shared = ("shared_gpu",) if gpu.environment().other_processes else ()
    replayed = ("replayed",) if gpu.source == "replay" else ()
    return (*drift, *shared, *replayed)


def _limit(probe: Probe, estimate: Estimate, gpu: Gpu, measurement: Measurement) -> float | None:
    if probe.bound is None:
        return None
    return probe.bound(estimate, gpu.device, arch.parse(gpu.device.architecture), measurement.sm_clock_hz)


def covers(estimate: Params, params: Params) -> bool:
    """Whether a rejected point is one of those behind an estimate."""
    return all(params.get(name, value) == value for name, value in estimate.items())


def _measurement(probe: Probe, estimates: Sequence[Estimate], rule: StopRule, flags: tuple[str, ...]) -> Measurement:
    samples = tuple(significant(estimate.value) for estimate in estimates)
    interval = stats.median_interval(samples)
    if len(samples) < min(rule.min_samples, FEW_SAMPLES):
        flags = ("few_samples", *flags)
    if stats.relative_width(interval) > rule.relative_width:
        flags = ("unstable", *flags)
    throttled = sum(is_throttled(int(estimate.sample.throttle)) for estimate in estimates)
    if throttled > THROTTLED_SHARE * len(samples):
        flags = ("throttled", *flags)
    clock_hz = _median_known(estimates, lambda sample: sample.sm_clock_hz)
    if _differ(clock_hz, _median_known(estimates, lambda sample: sample.nvml_sm_clock_hz)):
        flags = ("nvml_clock_differs", *flags)
    return Measurement(
        name=probe.name,
        quantity=estimates[0].quantity,
        params=estimates[0].params,
        unit=estimates[0].unit,
        samples=samples,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        sm_clock_hz=clock_hz,
        power_w=_median_known(estimates, lambda sample: sample.power_w),
        flags=flags,
    )


def _median_known(estimates: Sequence[Estimate], column: Callable[[Sample], float]) -> float | None:
    known = [column(estimate.sample) for estimate in estimates if column(estimate.sample) > 0]
    return median(known) if known else None


def _differ(kernel_hz: float | None, nvml_hz: float | None) -> bool:
    """Whether the clock that NVML tells is not the one that the kernel ran at, as with tensor kernels on Hopper."""
    return kernel_hz is not None and nvml_hz is not None and abs(nvml_hz / kernel_hz - 1) > CLOCK_TOLERANCE


def _impossible(measurement: Measurement, bound: float | None) -> str | None:
    """Reason where a value breaks a physical bound: that is an error, not a result."""
    if measurement.unit == "cycle" and measurement.value < 1:
        return f"{measurement.value:.3g} cycles an instruction is less than one: the work was optimised away"
    if measurement.value <= 0:
        return f"{measurement.quantity} is {measurement.value:.3g} {measurement.unit}: not positive"
    if bound is not None and measurement.low > bound * (1 + BOUND_TOLERANCE):
        return f"{measurement.value:.4g} {measurement.unit} is above the physical limit of {bound:.4g}"
    return None


def _label(log: Log, estimate: Estimate) -> str:
    """The gate's label of the kernel behind an estimate."""
    for point, kernel in log.kernels.items():
        if all(dict(point.params).get(name) == value for name, value in estimate.params.items()):
            return kernel.verdict.label or ""
    return ""


def _series(probe: Probe, log: Log) -> list[Series]:
    series = []
    marks: tuple[dict[str, int], ...] = ({}, {REPEAT: 1})
    for table, mark in zip((log.samples, log.repeats), marks, strict=True):
        for point, samples in table.items():
            kernel = log.kernels[point]
            key = kernel.cubin.digest if kernel.cubin else ""
            params = {**dict(point.params), **mark}
            series.append(Series.of(probe.name, params, key, kernel.verdict.label or "", samples))
    return series
