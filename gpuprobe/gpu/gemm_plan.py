"""How many launches and operand sets a replayed graph holds: pure arithmetic, so it is tested without a GPU."""

from __future__ import annotations

import math
from dataclasses import dataclass

COLD_L2_MULTIPLE = 4
"""Cold operands rotate over more than this many L2 sizes (design, GEMM regimes)."""


@dataclass(frozen=True)
class Effort:
    """What one regime may spend: s of GPU work in a replay, s of host time to capture it, launches at most."""

    replay_s: float
    capture_s: float
    most_launches: int


BURST = Effort(replay_s=0.6e-3, capture_s=5e-3, most_launches=400)
SUSTAINED = Effort(replay_s=10e-3, capture_s=20e-3, most_launches=2000)
# A replay may grow to hold so few sets, or by this factor to hold more; else the L2 is flushed between replays.
_STRETCH = 1.6
_FEW_SETS = 16


@dataclass(frozen=True)
class Plan:
    """A graph of ``launches`` GEMMs over ``operand_sets`` sets; ``flush`` evicts the L2 before each replay."""

    launches: int
    operand_sets: int
    flush: bool = False


def plan(regime: str, gemm_s: float, host_s: float, set_bytes: int, l2_bytes: int) -> Plan:
    """Launches and sets of a replay, from estimates of one GEMM's time on the GPU and of its launch on the host, in s.

    The launches of a rotating graph are a multiple of its sets, so that replays join without an early reuse.
    """
    effort = SUSTAINED if regime == "sustained" else BURST
    most = max(1, min(effort.most_launches, int(effort.capture_s / host_s)))
    launches = max(1, min(most, math.ceil(effort.replay_s / gemm_s)))
    if regime == "hot":
        return Plan(launches, 1)
    sets = COLD_L2_MULTIPLE * l2_bytes // set_bytes + 1
    if sets <= launches:
        return Plan(math.ceil(launches / sets) * sets, sets)
    few = sets <= _FEW_SETS or sets * gemm_s <= _STRETCH * effort.replay_s
    if sets <= most and (few or regime == "sustained"):
        return Plan(sets, sets)
    if regime == "sustained":
        return Plan(most, most)
    return Plan(launches, launches, flush=True)
