"""From the samples of one round to estimates: slopes, so that overhead cancels instead of being assumed.

A round holds one sample of every point of a probe; an estimator is a pure function of it. What the estimators give
round after round are the samples behind a Measurement.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from gpuprobe.record import Param, Params, Sample

Method = Literal["kernel", "stream", "graph", "marks", "copy", "energy", "sensor"]
"""What one sample is: a kernel timed by its own clocks; many launches on a stream or as a graph; single launches that
mark host memory; a copy between host and device; launches back to back over ten updates of the energy counter; the
power sensors under a load that is switched."""

Place = Literal["device", "host", "managed", "managed away"]
"""Where a working set lies: in the GPU's memory; in pinned memory of the host, read over the bus; in managed memory,
where the last launch left it; or in managed memory brought back to the host before each launch."""

Swizzle = Literal["none", "32B", "64B", "128B"]


@dataclass(frozen=True)
class TensorMap:
    """A tensor in the working set as TMA sees it; the driver encodes it at the head of the set before each launch.

    ``dims`` in elements and ``box`` have the innermost dimension first; ``strides`` are bytes, of the outer dimensions
    alone, multiples of 16. The first HEAD_BYTES of the set hold the descriptor (128 bytes), then 32-bit words: rank,
    five dims, five box sides. The tensor follows at HEAD_BYTES. Where it is not ``described`` the head holds the words
    alone: plain bulk copies need no descriptor, and their boxes may be longer than a descriptor's (256).
    """

    dtype: str
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    box: tuple[int, ...]
    swizzle: Swizzle = "none"
    described: bool = True

    HEAD_BYTES: ClassVar[int] = 1024

    @classmethod
    def dense(cls, dtype: str, item_bytes: int, dims: Sequence[int], box: Sequence[int]) -> TensorMap:
        """A tensor without gaps."""
        strides, step = [], item_bytes
        for side in dims[:-1]:
            step *= side
            strides.append(step)
        return cls(dtype, tuple(dims), tuple(strides), tuple(box))


@dataclass(frozen=True)
class Point:
    """One configuration of a probe, resolved for a device: its parameters and its launch.

    ``iters`` is the number of passes through the timed body, ``data_bytes`` the size of the working set,
    ``shared_bytes`` of dynamic shared memory a block, ``zero`` asks for zero operands. ``cluster`` blocks form a
    cluster (0: none); ``cooperative`` blocks all run at once; ``place`` and ``tensor_map`` are of the working set;
    ``carveout`` percent of L1 are asked for as shared memory (-1: the driver's choice).
    """

    params: tuple[tuple[str, Param], ...]
    grid: int = 1
    block: int = 32
    data_bytes: int = 0
    iters: int = 1
    shared_bytes: int = 0
    zero: bool = False
    cluster: int = 0
    cooperative: bool = False
    place: Place = "device"
    tensor_map: TensorMap | None = None
    carveout: int = -1

    def __getitem__(self, axis: str) -> Param:
        return dict(self.params)[axis]

    def number(self, axis: str) -> float:
        """Value of a numeric axis."""
        value = self[axis]
        if isinstance(value, str):
            raise TypeError(f"axis {axis} is not numeric")
        return value

    def without(self, *axes: str) -> Params:
        """The parameters less ``axes``, in their order."""
        return {name: value for name, value in self.params if name not in axes}


@dataclass(frozen=True)
class Estimate:
    """One value of one quantity from one round, with the sample whose clock and power stand beside it."""

    quantity: str
    params: Params
    unit: str
    value: float
    sample: Sample


Round = Mapping[Point, Sample]
Estimator = Callable[[Round], list[Estimate]]
Amount = Callable[[Point], float]
Reading = Callable[[Point, Sample], float]


def slope(axis: str, *, quantity: str, unit: str, x: Amount, y: Reading, inverse: bool = False) -> Estimator:
    """Estimator: the least-squares slope of ``y`` over ``x`` along ``axis``, for each setting of the other axes.

    ``inverse`` gives 1 / slope: a rate where y is a time and x the work. A group with fewer than two points gives
    nothing.
    """

    def estimate(round_: Round) -> list[Estimate]:
        estimates = []
        for points in _along(axis, round_):
            xs = [x(point) for point in points]
            ys = [y(point, round_[point]) for point in points]
            gradient = _gradient(xs, ys)
            if gradient is None or (inverse and gradient == 0):
                continue
            value = 1.0 / gradient if inverse else gradient
            estimates.append(Estimate(quantity, points[-1].without(axis), unit, value, round_[points[-1]]))
        return estimates

    return estimate


def latency(axis: str = "CHAIN", quantity: str = "latency") -> Estimator:
    """Cycles for each further instruction of a chain: slope of cycles per pass over the chain length ``axis``."""
    return slope(axis, quantity=quantity, unit="cycle", x=lambda p: p.number(axis), y=lambda p, s: s.cycles / p.iters)


def rate_per_sm(work: Amount, unit: str, axis: str = "PASSES", quantity: str = "rate") -> Estimator:
    """Work per cycle of one SM: ``work(point)`` is what each SM does in one sample; cycles are the slowest block's."""
    return slope(axis, quantity=quantity, unit=unit, x=work, y=lambda p, s: s.cycles_max, inverse=True)


def rate(work: Amount, unit: str, axis: str = "PASSES", quantity: str = "throughput") -> Estimator:
    """Work per second of wall time (globaltimer over all blocks): ``work(point)`` is what the whole device does."""
    return slope(axis, quantity=quantity, unit=unit, x=work, y=lambda p, s: s.seconds, inverse=True)


def period(axis: str, quantity: str, column: str = "seconds") -> Estimator:
    """Seconds for each further item (launch, node): slope over ``axis`` of ``seconds`` or of a probe's own column."""
    return slope(
        axis,
        quantity=quantity,
        unit="s",
        x=lambda p: p.number(axis),
        y=lambda p, s: s.seconds if column == "seconds" else s.values.get(column, 0.0),
    )


def at(axis: str, value: Param, quantity: str, column: str, each: float = 1.0) -> Estimator:
    """A probe's own column in seconds over ``each`` items, at ``axis`` = ``value``; 0 where the column is absent."""

    def estimate(round_: Round) -> list[Estimate]:
        samples = [(point, sample) for point, sample in round_.items() if point[axis] == value]
        return [Estimate(quantity, p.without(), "s", s.values.get(column, 0.0) / each, s) for p, s in samples]

    return estimate


def every(*estimators: Estimator) -> Estimator:
    """All of several estimators, in order."""

    def estimate(round_: Round) -> list[Estimate]:
        return [found for estimator in estimators for found in estimator(round_)]

    return estimate


def _along(axis: str, round_: Round) -> list[list[Point]]:
    groups: dict[tuple[tuple[str, Param], ...], list[Point]] = defaultdict(list)
    for point in round_:
        groups[tuple(point.without(axis).items())].append(point)
    return [sorted(points, key=lambda p: p.number(axis)) for points in groups.values()]


def _gradient(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    if len(xs) < 2:
        return None
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread if spread else None
