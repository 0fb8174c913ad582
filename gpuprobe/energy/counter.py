"""The energy counter between its ticks: what a steady block of work drew, by windows, and when that is too little.

The counter moves in steps (every 100 ms on an H100). Energy is taken from one step to another, never from poll to
poll, so that the error is that of placing two steps in time.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

PERIODS = 10
"""A block must hold this many periods of the counter: placing its ends costs a twentieth of a period each at worst."""
SHORTEST_S = 1.0
"""And last this long, where the counter is quick: filters behind it are slower than its steps."""
WINDOWS = 5
"""Parts of a block whose powers are kept, so that its noise can be seen."""

REGULAR = 0.05
"""RMS distance of changes from a regular beat, in periods, up to which the sensor is taken to keep that beat."""

Polls = Sequence[tuple[float, float]]
"""Time in s and reading of each poll, in order."""


class Tick(NamedTuple):
    """A change of a reading: between the poll that showed the old value and the one that showed the new, in s."""

    at_s: float
    value: float


def ticks(polls: Polls) -> list[Tick]:
    """Every change of the reading, placed half-way between the two polls around it."""
    pairs = itertools.pairwise(polls)
    return [Tick((before + now) / 2, value) for (before, old), (now, value) in pairs if value != old]


def period_s(changes: Sequence[Tick]) -> float | None:
    """Update period of a sensor in s: the median gap between changes, gaps of several periods divided; None below 3.

    A reading that happens to repeat hides an update, so that a gap may hold two or more periods.
    """
    gaps = [after.at_s - before.at_s for before, after in itertools.pairwise(changes)]
    if len(gaps) < 2:
        return None
    shortest = median(sorted(gaps)[: max(1, len(gaps) // 2)])
    single = [gap / max(1, round(gap / shortest)) for gap in gaps]
    return float(median(single))


def on_beat(changes: Sequence[Tick], period: float) -> list[Tick]:
    """The changes at the times of the regular beat that they follow, which removes the jitter of polling.

    As they are where they follow none.
    """
    gaps = [after.at_s - before.at_s for before, after in itertools.pairwise(changes)]
    beats = list(itertools.accumulate((max(1, round(gap / period)) for gap in gaps), initial=0))
    mean_beat, mean_s = sum(beats) / len(beats), sum(tick.at_s for tick in changes) / len(changes)
    spread = sum((beat - mean_beat) ** 2 for beat in beats)
    pairs = list(zip(beats, changes, strict=True))
    step_s = sum((beat - mean_beat) * tick.at_s for beat, tick in pairs) / spread if spread else period
    regular = [Tick(mean_s + step_s * (beat - mean_beat), tick.value) for beat, tick in pairs]
    missed = [(one.at_s - tick.at_s) ** 2 for one, tick in zip(regular, changes, strict=True)]
    return regular if (sum(missed) / len(missed)) ** 0.5 <= REGULAR * period else list(changes)


def has_enough(polls: Polls, settled_s: float) -> bool:
    """Whether the polls from ``settled_s`` on hold what a block needs."""
    inside = [tick for tick in ticks(polls) if tick.at_s >= settled_s]
    return len(inside) > PERIODS and inside[-1].at_s - inside[0].at_s >= SHORTEST_S * 0.995


def block_values(polls: Polls, settled_s: float) -> dict[str, float]:
    """Columns of a block: energy_j over span_s between the first and last tick from ``settled_s`` on, ticks and tick_s.

    ``window0_w`` … are the mean powers of WINDOWS equal parts, where there are ticks enough for them.
    """
    inside = [tick for tick in ticks(polls) if tick.at_s >= settled_s]
    if len(inside) < 2:
        return {"ticks": float(len(inside)), "energy_j": 0.0, "span_s": 0.0, "tick_s": 0.0}
    tick_s = period_s(inside) or inside[-1].at_s - inside[0].at_s
    inside = on_beat(inside, tick_s)
    first, last = inside[0], inside[-1]
    columns = {
        "ticks": float(len(inside)),
        "energy_j": last.value - first.value,
        "span_s": last.at_s - first.at_s,
        "tick_s": tick_s,
    }
    if len(inside) > 2 * WINDOWS:
        ends = [inside[round(part * (len(inside) - 1) / WINDOWS)] for part in range(WINDOWS + 1)]
        for part, (begin, end) in enumerate(itertools.pairwise(ends)):
            columns[f"window{part}_w"] = (end.value - begin.value) / (end.at_s - begin.at_s)
    return columns


def refusal(values: Mapping[str, float]) -> str | None:
    """Reason why no power may be taken from a block: it is shorter than ten periods of the energy counter."""
    count, span_s, tick_s = (values.get(name, 0.0) for name in ("ticks", "span_s", "tick_s"))
    if count < 2:
        return "the energy counter did not move twice while the work ran: nothing to measure energy with"
    if span_s < (PERIODS - 0.5) * tick_s:
        return (
            f"the work lasted {span_s / tick_s:.1f} periods of the energy counter ({tick_s * 1e3:.0f} ms each): "
            f"at least {PERIODS} are needed"
        )
    return None


def window_powers_w(values: Mapping[str, float]) -> list[float]:
    """Mean powers in W of the parts of a block."""
    return [values[f"window{part}_w"] for part in range(WINDOWS) if f"window{part}_w" in values]
