"""Many settings timed within one launch: the kernel stores a row per setting, a sample holds them as columns.

A row is two words of ``out``: SM cycles, and a result that the host checks (``microbench/memory/table.cuh``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gpuprobe.estimate import Estimate, Estimator, Point, Round
from gpuprobe.operands import words
from gpuprobe.record import Param, Params, Sample

Settings = Mapping[str, Params]
"""Column name -> what it is a setting of."""


def rows(out: bytes, count: int) -> NDArray[np.uint32]:
    """The table at the head of ``out``: ``count`` rows of cycles and result."""
    table: NDArray[np.uint32] = words(out)[: 2 * count].reshape(count, 2)
    return table


def cycles(names: Sequence[str]) -> Callable[[Point, bytes], dict[str, float]]:
    """Reduction of ``out`` to a column of cycles for each of ``names``, in the order of the rows."""

    def reduce(point: Point, out: bytes) -> dict[str, float]:
        return dict(zip(names, rows(out, len(names))[:, 0].astype(float).tolist(), strict=True))

    return reduce


def slopes(
    settings: Settings,
    axis: str,
    x: Callable[[Point, Params], float],
    *,
    quantity: str,
    unit: str,
    inverse: bool = False,
) -> Estimator:
    """Estimator: the slope of every column over ``x``, from the two points that differ in ``axis``.

    ``x`` is the work of a point in a setting; ``inverse`` gives work per cycle.
    """

    def estimate(round_: Round) -> list[Estimate]:
        found = []
        for few, many in pairs(round_, axis):
            for column, params in settings.items():
                change = many[1].values.get(column, 0.0) - few[1].values.get(column, 0.0)
                work = x(many[0], params) - x(few[0], params)
                value = work / change if inverse and change else change / work
                found.append(Estimate(quantity, {**few[0].without(axis), **params}, unit, value, many[1]))
        return found

    return estimate


def pairs(round_: Round, axis: str) -> list[tuple[tuple[Point, Sample], tuple[Point, Sample]]]:
    """For each setting of the other axes the points of least and of most ``axis``, where there are two."""
    groups: dict[tuple[tuple[str, Param], ...], list[Point]] = defaultdict(list)
    for point in round_:
        groups[tuple(point.without(axis).items())].append(point)
    ordered = [sorted(points, key=lambda point: point.number(axis)) for points in groups.values() if len(points) > 1]
    return [((points[0], round_[points[0]]), (points[-1], round_[points[-1]])) for points in ordered]
