"""Work that lasts many updates of the power sensors while they are watched: a steady block, or a switched load."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gpuprobe.energy.counter import Tick, has_enough, ticks
from gpuprobe.energy.estimators import load_columns
from gpuprobe.energy.sensor import columns_of
from gpuprobe.energy.waveform import length_s, stretches

AHEAD = 3
"""Launches kept queued, so that the GPU never waits for the host."""
SETTLE_S = 0.12
"""More than one period of the sensors that lag behind the load by less than that."""
LONGEST_S = 6.0
POLL_S = 0.0005

Clock = Callable[[], float]
Read = Callable[[], float | None]


@dataclass(frozen=True)
class Block:
    """Polls of the energy counter, the events behind every launch, and how many had passed when all was settled."""

    polls: list[tuple[float, float]]
    events: list[Any]
    settled_launches: int
    settled_s: float


def run_block(
    launch: Callable[[], Any] | None,
    read: Read,
    clock: Clock = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> Block:
    """Launch back to back until the energy counter has ticked often enough, SETTLE_S after the start.

    ``launch`` queues one kernel and gives the event behind it; None: the GPU rests.
    """
    waiting: deque[Any] = deque()
    events: list[Any] = []
    polls: list[tuple[float, float]] = []
    begin = clock()
    settled_s, settled_launches = begin + SETTLE_S, 0
    while clock() - begin < LONGEST_S:
        while waiting and waiting[0].done:
            waiting.popleft()
        while launch is not None and len(waiting) < AHEAD:
            waiting.append(launch())
            events.append(waiting[-1])
        before, energy_j = clock(), read()
        if energy_j is None:
            break
        polls.append(((before + clock()) / 2, energy_j))
        if polls[-1][0] < settled_s:
            settled_launches = len(events) - len(waiting)
        elif len(polls) > 1 and polls[-1][1] != polls[-2][1] and has_enough(polls, settled_s):
            break
        sleep(POLL_S)
    return Block(polls, events, settled_launches, settled_s)


def watch_sensors(
    burn: Callable[[float], None],
    read: Callable[[], Mapping[str, float | None]],
    seed: int,
    clock: Clock = time.perf_counter,
) -> dict[str, float]:
    """Columns of one watch: when each sensor changed, and when the load was on, in s from the start.

    ``burn(seconds)`` starts a load that ends by itself after so long; ``read()`` gives the sensors' readings by name.
    """
    planned = deque(stretches(seed))
    end_s = length_s(list(planned))
    busy: list[tuple[float, float]] = []
    polls: dict[str, list[tuple[float, float]]] = {}
    begin = clock()
    while (now := clock() - begin) < end_s:
        if planned and now >= planned[0][0]:
            on, off = planned.popleft()
            burn(off - on)
            started = clock() - begin
            busy.append((started, started + off - on))
        before = clock() - begin
        for name, value in read().items():
            if value is not None:
                polls.setdefault(name, []).append(((before + clock() - begin) / 2, value))
    columns = load_columns(busy) | {"watched_s": end_s, "polls": float(max(map(len, polls.values()), default=0))}
    for name, rows in polls.items():
        columns |= columns_of(name, [Tick(tick.at_s, tick.value) for tick in ticks(rows)])
    return columns
