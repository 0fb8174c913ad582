"""Whether a kernel's own clock and the CUDA events around its launch tell the same time.

Events see the launch as well, so two points of one launch shape are subtracted: what is left is the kernel alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from gpuprobe.estimate import Point
from gpuprobe.record import Params, Sample

TOLERANCE = 0.01
RESOLUTION_S = 15e-6
"""Noise of a difference of medians: the timer's ticks of 1 us, start and drain of grids, clock steps (12 us seen)."""
LAUNCH_SLACK_S = 60e-6
"""What events see besides a kernel that has no partner: the launch on an idle stream (26 us on an H100), drain."""
TIMER_TICK_S = 2e-6

Samples = Mapping[Point, Sequence[Sample]]


def disagreements(samples: Samples, *, prologue: bool) -> list[tuple[Params, str]]:
    """Points whose in-kernel time and event time disagree by more than 1 %, each with the reason.

    ``prologue``: the kernels work before their clocks start, so only points that differ by their passes are compared.
    """
    timed = {point: [s for s in taken if s.event_s and s.seconds] for point, taken in samples.items()}
    times = {point: _medians(taken) for point, taken in timed.items() if taken}
    found: list[tuple[Params, str]] = []
    for point, (seconds, besides_s) in times.items():
        partners = [other for other in times if _comparable(point, other, prologue=prologue)]
        first = min(partners, key=lambda other: times[other][0], default=None)
        if first is None:
            broken = _alone(timed[point], prologue=prologue)
        else:
            less = times[first]
            broken = _apart(seconds - less[0], besides_s - less[1]) or _longer(timed[point])
        if broken:
            found.append((dict(point.params), broken))
    return found


def _medians(samples: Sequence[Sample]) -> tuple[float, float]:
    """Of the kernel's own time, and of what the events see besides: sample by sample, for times may have two modes."""
    seconds = median(sample.seconds for sample in samples)
    return seconds, median(sample.event_s - sample.seconds for sample in samples)


def _comparable(point: Point, other: Point, *, prologue: bool) -> bool:
    """Whether launching both costs the same."""
    if point == other or _shape(point) != _shape(other):
        return False
    changed = [value for name, value in point.params if dict(other.params).get(name) != value]
    return not prologue or (len(changed) == 1 and not isinstance(changed[0], str) and point.iters != other.iters)


def _shape(point: Point) -> tuple[int, ...]:
    return point.grid, point.block, point.data_bytes, point.shared_bytes, point.cluster


def _apart(seconds: float, besides_s: float) -> str | None:
    """Reason where events see another difference of two times than the kernels' own clocks."""
    if abs(besides_s) <= TOLERANCE * abs(seconds) + RESOLUTION_S:
        return None
    return (
        f"against a shorter run of the same shape the kernel's own clock says {seconds * 1e6:.1f} us more, "
        f"CUDA events {(seconds + besides_s) * 1e6:.1f} us: they must agree within 1 %"
    )


def _alone(samples: Sequence[Sample], *, prologue: bool) -> str | None:
    """Reason where the best sample misses more than 1 % and what a launch costs, or the kernel took longer."""
    missing = min((sample.event_s - sample.seconds - LAUNCH_SLACK_S) / sample.event_s for sample in samples)
    return _told(samples[0]) if missing > TOLERANCE and not prologue else _longer(samples)


def _longer(samples: Sequence[Sample]) -> str | None:
    """Reason where the kernel's time is longer than the events around it: that cannot be."""
    longest = max((sample.seconds - sample.event_s - TIMER_TICK_S) / sample.event_s for sample in samples)
    return _told(samples[0]) if longest > TOLERANCE else None


def _told(sample: Sample) -> str:
    return (
        f"the kernel's own clock says {sample.seconds * 1e6:.1f} us, "
        f"CUDA events {sample.event_s * 1e6:.1f} us: they must agree within 1 %"
    )
