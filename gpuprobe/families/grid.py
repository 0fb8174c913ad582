"""Estimators over a grid of warps and independent chains (ILP): of some of its points, and of the knee."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from gpuprobe.estimate import Amount, Estimate, Estimator, Point, Round, rate_per_sm

KNEE = 0.97
"""Share of the best rate of the grid that counts as the peak."""
LEAST_POINTS = 4
"""Points of warps x chains below which a grid has no knee to show."""


def where(condition: Callable[[Point], bool], estimator: Estimator) -> Estimator:
    """``estimator`` on the points that meet ``condition`` only."""

    def estimate(round_: Round) -> list[Estimate]:
        return estimator({point: sample for point, sample in round_.items() if condition(point)})

    return estimate


def knee(work: Amount, *, unit: str, share: float = KNEE) -> Estimator:
    """The fewest independent instructions in flight an SM (WARPS x ILP) that reach ``share`` of the best rate.

    ``work(point)`` is what an SM does in one sample. The best is that of the grid; grids of fewer than LEAST_POINTS
    points give nothing.
    """
    rates = rate_per_sm(work, "", quantity="knee")

    def estimate(round_: Round) -> list[Estimate]:
        groups: dict[tuple[object, ...], list[Estimate]] = defaultdict(list)
        for found in rates(round_):
            rest = {axis: value for axis, value in found.params.items() if axis not in ("WARPS", "ILP")}
            groups[tuple(rest.items())].append(found)
        return [_knee(found, unit, share) for found in groups.values() if len(found) >= LEAST_POINTS]

    return estimate


def _knee(found: list[Estimate], unit: str, share: float) -> Estimate:
    peak = max(one.value for one in found)
    reached = [one for one in found if one.value >= share * peak]
    fewest = min(reached, key=in_flight)
    rest = {axis: value for axis, value in fewest.params.items() if axis not in ("WARPS", "ILP")}
    return Estimate("knee", rest, unit, float(in_flight(fewest)), fewest.sample)


def in_flight(estimate: Estimate) -> int:
    """Independent chains of an SM: warps times chains of each."""
    return int(estimate.params["WARPS"]) * int(estimate.params["ILP"])
