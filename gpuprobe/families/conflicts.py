"""What the probes of bank conflicts share: where lanes lie in shared memory, and a column for each number of ways.

Of the lanes that are served together (a warp at 4 bytes a lane, a half at 8, a quarter at 16) WAYS share a column of
the banks in different rows (shared_conflicts.cu).
"""

from __future__ import annotations

from collections.abc import Callable

from gpuprobe.estimate import Estimate, Estimator, Point, Round
from gpuprobe.families import columns
from gpuprobe.record import Params

SUFFIX = {4: "", 8: ".64", 16: ".128"}
"""What an opcode adds for the width of an access in bytes."""
SETTINGS = {f"ways_{ways:02d}": {"WAYS": ways} for ways in range(1, 33)}


def most_ways(width: int) -> int:
    """Lanes of ``width`` bytes that are served together: the most that can be in each other's way."""
    return 128 // width


def offset_of(lane: int, ways: int, width: int) -> int:
    """Offset of a lane's word in bytes, as the kernel's offset_of."""
    phase = most_ways(width)
    row = lane // phase * ways + lane % phase % ways
    return row * 128 + lane % phase // ways * width


def reduce(point: Point, out: bytes) -> dict[str, float]:
    """Cycles for each number of ways that the width allows."""
    return columns.cycles(list(SETTINGS)[: most_ways(int(point["WIDTH"]))])(point, out)


def slopes(axis: str, x: Callable[[Point, Params], float], *, quantity: str) -> Estimator:
    """Estimator: cycles over ``x`` by ``axis``, for the ways that there are."""
    all_ways = columns.slopes(SETTINGS, axis, x, quantity=quantity, unit="cycle")

    def estimate(round_: Round) -> list[Estimate]:
        return [
            found for found in all_ways(round_) if int(found.params["WAYS"]) <= most_ways(int(found.params["WIDTH"]))
        ]

    return estimate
