"""GPU time by who asked for it: phases, operators inside operators, and kernels, as one tree for a flame picture."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.exact import step_rows
from gpuprobe.trace.launches import Launches
from gpuprobe.trace.model import RangeKind, Trace
from gpuprobe.trace.operators import innermost, parents

DEEPEST = 12
NO_RANGE = "(launched outside of any range)"
NO_LAUNCH = "(launch not in the file)"


@dataclass
class Node:
    """A name, its GPU time in ns with all below it, and what is below it by name."""

    name: str
    ns: int = 0
    below: dict[str, Node] = field(default_factory=dict)

    def child(self, name: str) -> Node:
        """The node of a name below this one."""
        if name not in self.below:
            self.below[name] = Node(name)
        return self.below[name]

    def children(self) -> list[Node]:
        """What is below, most time first."""
        return sorted(self.below.values(), key=lambda node: (-node.ns, node.name))


def flame(trace: Trace, launches: Launches) -> Node:
    """The tree of all GPU events; profiler steps are left out, so that equal steps add up."""
    kept = np.isin(trace.ranges.kind, (RangeKind.OPERATOR, RangeKind.ANNOTATION))
    kept[step_rows(trace)] = False
    rows = np.flatnonzero(kept)
    owner = innermost(trace, launches, rows)
    above = parents(trace, rows)
    root = Node("GPU")
    keys = np.column_stack([owner, trace.gpu.name.astype(np.int64), launches.known])
    distinct, which = np.unique(keys, axis=0, return_inverse=True)
    times = np.bincount(which.reshape(-1), weights=trace.gpu.dur, minlength=len(distinct)).astype(np.int64)
    for (row, name, known), time in zip(distinct.tolist(), times.tolist(), strict=True):
        path = _path(trace, above, row) or [NO_RANGE if known else NO_LAUNCH]
        _add(root, [*path[:DEEPEST], trace.texts[name]], time)
    return root


def _path(trace: Trace, above: NDArray[np.int64], row: int) -> list[str]:
    """Names from the outermost range to this one."""
    names: list[str] = []
    while row >= 0:
        names.append(trace.texts[trace.ranges.name[row]])
        row = int(above[row])
    return names[::-1]


def _add(root: Node, path: list[str], time: int) -> None:
    node = root
    node.ns += time
    for name in path:
        node = node.child(name)
        node.ns += time
