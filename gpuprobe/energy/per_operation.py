"""Energy per operation: the slope of power over the rate of work, so that what is drawn at rest cancels.

Power at two or more rates of the same work, every SM resident and the clock the same, is a line: its slope is joules
per operation, where it meets rate zero the power of the awake, idle GPU. Zero operands share that origin, so one rate
of them is enough. Each window of a block gives a line of its own: their spread is the noise.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from gpuprobe.energy.counter import refusal, window_powers_w
from gpuprobe.estimate import Amount, Estimate, Estimator, Point, Round
from gpuprobe.record import Param, Sample

CLOCK_TOLERANCE = 0.02
LEAST_BUSY, MOST_BUSY = 0.95, 1.02
"""Part of the time that the timed region of a launch may take: filling shared memory and the gap come on top."""

Family = tuple[tuple[str, Param], ...]


class Line(NamedTuple):
    """Power over rate of work: joules per operation, and watts at rate zero."""

    energy_j: float
    static_w: float


def line(rates: Sequence[float], powers_w: Sequence[float]) -> Line | None:
    """Least-squares line of powers over rates (operations a second); None below two different rates."""
    mean_rate, mean_w = sum(rates) / len(rates), sum(powers_w) / len(powers_w)
    spread = sum((rate - mean_rate) ** 2 for rate in rates)
    if spread == 0.0:
        return None
    pairs = zip(rates, powers_w, strict=True)
    energy_j = sum((rate - mean_rate) * (power_w - mean_w) for rate, power_w in pairs) / spread
    return Line(energy_j, mean_w - energy_j * mean_rate)


def energy_per(work: Amount, unit: str, axis: str = "WARPS", operands: str = "OPERANDS") -> Estimator:
    """Energy of one operation in ``unit``, for each setting of the other axes; ``work`` is operations of a launch.

    Gives ``energy`` for random and zero operands, and ``static``, the power in W at rate zero. Blocks whose SM clocks
    differ by more than 2 % give nothing: another clock is another voltage.
    """

    def estimate(round_: Round) -> list[Estimate]:
        families: dict[Family, list[Point]] = defaultdict(list)
        for point in round_:
            if refusal(round_[point].values) is None:
                families[tuple(point.without(axis, operands).items())].append(point)
        return [found for points in families.values() for found in _family(points, round_, work, unit, axis, operands)]

    return estimate


def increments(work: Amount, unit: str, axis: str, levels: Sequence[str]) -> Estimator:
    """As ``energy_per``, and ``increment``: what each of ``levels`` of ``axis`` adds to the level before it."""
    whole = energy_per(work, unit)

    def estimate(round_: Round) -> list[Estimate]:
        found = whole(round_)
        by_level = {
            level: [one for one in found if one.quantity == "energy" and one.params[axis] == level] for level in levels
        }
        for inner, outer in itertools.pairwise(levels):
            found += [
                replace(far, quantity="increment", value=far.value - near.value)
                for near, far in zip(by_level[inner], by_level[outer], strict=False)
            ]
        return found

    return estimate


def _family(
    points: Sequence[Point], round_: Round, work: Amount, unit: str, axis: str, operands: str
) -> list[Estimate]:
    random = [point for point in points if not point.zero]
    zero = [point for point in points if point.zero]
    if len(random) < 2 or not _same_clock([round_[point] for point in points]):
        return []
    rates = [_rate(work, point, round_[point]) for point in random]
    windows = zip(*(window_powers_w(round_[point].values) for point in random), strict=True)
    lines = [fit for powers_w in windows if (fit := line(rates, powers_w)) is not None]
    fastest = random[rates.index(max(rates))]
    sample = round_[fastest]
    found = [Estimate("energy", fastest.without(axis), unit, one.energy_j, sample) for one in lines]
    found += [Estimate("static", fastest.without(axis, operands), "W", one.static_w, sample) for one in lines]
    for point in zero:
        rate = _rate(work, point, round_[point])
        powers_w = window_powers_w(round_[point].values)
        for power_w, one in zip(powers_w, lines, strict=False):
            energy_j = (power_w - one.static_w) / rate
            found.append(Estimate("energy", point.without(axis), unit, energy_j, round_[point]))
    return found


def _rate(work: Amount, point: Point, sample: Sample) -> float:
    return work(point) * sample.values["launches_per_s"]


def _same_clock(samples: Sequence[Sample]) -> bool:
    clocks = [sample.sm_clock_hz for sample in samples if sample.sm_clock_hz]
    return not clocks or max(clocks) <= (1 + CLOCK_TOLERANCE) * min(clocks)


def power(quantity: str = "power") -> Estimator:
    """Power of each point in W: the mean of every window of its block."""

    def estimate(round_: Round) -> list[Estimate]:
        return [
            Estimate(quantity, point.without(), "W", power_w, sample)
            for point, sample in round_.items()
            if refusal(sample.values) is None
            for power_w in window_powers_w(sample.values)
        ]

    return estimate


def unfit(point: Point, sample: Sample) -> str | None:
    """Reason against a block: too short for the energy counter, throttled, or with pauses between launches."""
    reason = refusal(sample.values)
    if reason is None and sample.values.get("throttled"):
        return "power or heat held the clock down: at another clock, so another voltage, operations cost another energy"
    rate = sample.values.get("launches_per_s", 0.0)
    if reason or not rate or LEAST_BUSY <= sample.seconds * rate <= MOST_BUSY:
        return reason
    return (
        f"a launch took {sample.seconds * 1e3:.2f} ms by its own clock and began every {1e3 / rate:.2f} ms: "
        "the GPU was not busy with it all the time"
    )
