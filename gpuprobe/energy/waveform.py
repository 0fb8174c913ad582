"""The load that a power sensor is tried with: a long step up and down for slow means, then short steps at random times.

Steps as long as the sensor's own period alias with it; at random times they meet every phase, which is what tells a
window of a quarter of the period from one of all of it.
"""

from __future__ import annotations

import random

REST_S, STEP_S = 0.9, 1.1
SHORT_S, LONG_S = 0.02, 0.17
RANDOM_S = 1.4


def stretches(seed: int) -> list[tuple[float, float]]:
    """Stretches (begin, end) in s from the start in which the load is on."""
    source = random.Random(seed)
    found = [(REST_S, REST_S + STEP_S)]
    now, end = REST_S + 2 * STEP_S, REST_S + 2 * STEP_S + RANDOM_S
    while now < end:
        busy_s = source.uniform(SHORT_S, LONG_S)
        found.append((now, now + busy_s))
        now += busy_s + source.uniform(SHORT_S, LONG_S)
    return found


def length_s(busy: list[tuple[float, float]]) -> float:
    """How long to watch: until the last stretch has passed through a window."""
    return busy[-1][1] + 0.3
