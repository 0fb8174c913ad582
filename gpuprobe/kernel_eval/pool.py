"""Fresh processes to be timed in: more than are needed, and of those the ones that launches cost the same in.

What a launch costs differs from one process to the next for as long as it lives: of two kinds that were seen on an H100
one takes 0.22 us longer. It is measured in each by batches without a model, before any foreign code is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from gpuprobe.kernel_eval.child import Child, Fault
from gpuprobe.kernel_eval.session import Session, task_error
from gpuprobe.kernel_eval.speed import faster_half
from gpuprobe.kernel_eval.stopwatch import Timed

SPARE: Final = 2
"""Times as many processes are started as are timed in, where what launches cost in them can be told."""
ALIKE: Final = 0.035
"""Share by which batches without a model may take longer than in the process where they take least."""
PROBES: Final = 9
WARM_CALLS: Final = 4
CONTEXT_BYTES: Final = 1 << 30
CONTEXTS_SHARE: Final = 0.25
"""Of the device's memory, what contexts of further processes may take."""

Make = Callable[[str, str], Child]
"""Starts a worker of a role in a folder of that name."""


class Batches(Protocol):
    """What is timed in the processes: a regime's batches."""

    name: str
    gate: str
    order: list[int]
    flush: bool


@dataclass
class Fresh:
    """A worker that has the arena, but no model yet: seconds of its batches without one, by regime."""

    clock: Timed
    empties_s: dict[str, float]

    @property
    def cost_s(self) -> float:
        """What all regimes' batches take together."""
        return sum(self.empties_s.values())


Pair = tuple[Fresh, Fresh]
"""A pace and a candidate worker."""


def fresh_pairs(session: Session, make: Make, processes: int, regimes: Sequence[Batches]) -> list[Pair]:
    """At most ``processes`` pairs, ready for ``Session.renew``; the other processes have ended."""
    assert session.task is not None
    probed = all(regime.gate == "stream" for regime in regimes)
    count = processes * SPARE if probed else processes
    memory = session.task.facts.get("memory_bytes")
    if memory:
        count = max(1, min(count, int(CONTEXTS_SHARE * memory / CONTEXT_BYTES / 2)))
    workers = {
        role: [make(role, f"{role}-{number}") for number in range(1, count + 1)] for role in ("pace", "candidate")
    }
    kept: set[int] = set()
    try:
        for worker in (worker for side in workers.values() for worker in side):
            worker.ask("hello", session.limits.load_s)
        paces, candidates = (
            [_ready(session, worker, regimes if probed else ()) for worker in side] for side in workers.values()
        )
        chosen = alike([one.cost_s for one in paces], [one.cost_s for one in candidates], processes)
        pairs = [(paces[pace], candidates[candidate]) for pace, candidate in chosen]
        kept = {id(one.clock.child) for pair in pairs for one in pair}
        return pairs
    except Fault as fault:  # no foreign code has run in any of them
        raise task_error("start of further processes", fault) from fault
    finally:
        for worker in (worker for side in workers.values() for worker in side):
            if id(worker) not in kept:
                worker.kill()


def _ready(session: Session, worker: Child, regimes: Sequence[Batches]) -> Fresh:
    clock = session.enlist(worker)
    return Fresh(clock, {regime.name: _empty_s(session, clock, regime) for regime in regimes})


def _empty_s(session: Session, clock: Timed, regime: Batches) -> float:
    """Seconds of a regime's batch without a model; what its kernels load is loaded by a first one from the host."""
    options: dict[str, Any] = {"call": False, "flush": regime.flush}
    few = regime.order[:WARM_CALLS]
    clock.batch(few, "host", None, session.witness_bytes(len(few)), **options)
    size = session.witness_bytes(len(regime.order))
    windows = [clock.batch(regime.order, regime.gate, None, size, **options)[0] for _ in range(PROBES)]
    return float(faster_half(np.asarray(windows)[:, None])[0])


def alike(paces: Sequence[float], candidates: Sequence[float], most: int) -> list[tuple[int, int]]:
    """Numbers of at most ``most`` pairs of processes, from what batches without a model take in each of either side.

    Those within ``ALIKE`` of the least of all, fastest first; the fastest of a side where it has none.
    """
    limit = (1 + ALIKE) * min(*paces, *candidates)
    sides = []
    for costs in (paces, candidates):
        ranked = sorted(range(len(costs)), key=costs.__getitem__)
        sides.append([number for number in ranked if costs[number] <= limit] or ranked[:1])
    return list(zip(*sides, strict=False))[:most]
