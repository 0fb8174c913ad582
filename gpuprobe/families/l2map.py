"""What latencies of every SM to many lines say of an L2 cache: its halves, who belongs to which, its clusters.

A line has one home slice, in one half of a split L2; an SM of the other half waits longer for it. Lines of one slice
are equally far from every SM, so that their columns of latencies differ by noise alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpuprobe.stats import two_clusters

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class L2Map:
    """An L2 as timing shows it. Rows are SMs, columns lines; ``near`` and ``far`` in cycles, one an SM.

    ``sm_half`` and ``line_half`` are 1 or 2 (all 1 where L2 is one piece; ``far`` is then ``near``). ``agreement`` is
    the share of all pairs that are near where the halves are the same, and far where not (1 where L2 is one piece).
    ``groups`` has for each line the number of its group: the lines whose latencies rise and fall together over the
    SMs.
    """

    near: Array
    far: Array
    sm_half: NDArray[np.int64]
    line_half: NDArray[np.int64]
    agreement: float
    groups: NDArray[np.int64]

    @property
    def halves(self) -> int:
        """How many pieces L2 consists of."""
        return int(self.sm_half.max())

    @property
    def clusters(self) -> int:
        """Groups of lines that timing tells apart."""
        return int(self.groups.max()) + 1


def analyse(cycles: Array, within: float) -> L2Map:
    """The map behind ``cycles`` (SMs x lines); lines ``within`` so many cycles of each other (RMS) are one cluster."""
    groups = _groups(cycles, within)
    if not two_clusters(cycles.ravel()[:: max(1, cycles.size // 20000)]).distinct:
        ones = np.ones(cycles.shape[0], dtype=np.int64)
        level = cycles.mean(axis=1)
        return L2Map(level, level, ones, np.ones(cycles.shape[1], dtype=np.int64), 1.0, groups)
    far = np.stack([row > two_clusters(row).threshold for row in cycles])
    sm_other = (far != far[0]).mean(axis=1) > 0.5
    line_other = (far ^ sm_other[:, np.newaxis]).mean(axis=0) > 0.5
    crossed = sm_other[:, np.newaxis] != line_other[np.newaxis, :]
    near_level = np.array([row[~flags].mean() for row, flags in zip(cycles, crossed, strict=True)])
    far_level = np.array([row[flags].mean() for row, flags in zip(cycles, crossed, strict=True)])
    return L2Map(
        near=near_level,
        far=far_level,
        sm_half=1 + sm_other.astype(np.int64),
        line_half=1 + line_other.astype(np.int64),
        agreement=float((crossed == far).mean()),
        groups=groups,
    )


def _groups(cycles: Array, within: float) -> NDArray[np.int64]:
    """Group of every line: close lines are joined (single linkage), groups numbered in the order of their lines."""
    shape = cycles - cycles.mean(axis=1, keepdims=True)
    squares = (shape**2).sum(axis=0)
    distance = (squares[:, np.newaxis] + squares - 2 * shape.T @ shape) / shape.shape[0]
    close = distance < within**2
    group = np.full(shape.shape[1], -1, dtype=np.int64)
    for line in range(len(group)):
        if group[line] < 0:
            _spread(close, group, line, int(group.max()) + 1)
    return group


def _spread(close: Flags, group: NDArray[np.int64], line: int, number: int) -> None:
    """Give ``line`` and all that hang together with it the number of a group."""
    front = [line]
    while front:
        group[front] = number
        front = np.flatnonzero(close[front].any(axis=0) & (group < 0)).tolist()
