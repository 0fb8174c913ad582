"""How fast is it: interleaved batches of reference, candidate and nothing, each round in random order."""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from gpuprobe.kernel_eval.child import Fault
from gpuprobe.kernel_eval.correctness import Correctness, note_patched
from gpuprobe.kernel_eval.layout import MOST_CALLS
from gpuprobe.kernel_eval.session import Session, task_error
from gpuprobe.kernel_eval.speed import speed
from gpuprobe.kernel_eval.stopwatch import HostSynchronisesError
from gpuprobe.kernel_eval.tolerance import witness_misses

BATCH_S: Final = 5e-3
"""Work that a batch aims at, of the faster side."""
LONGEST_BATCH_S: Final = 40e-3
FEWEST_CALLS: Final = 4
MOST_QUEUED: Final = 192
FLUSHED_CALLS: Final = 24
NARROW: Final = 0.01
"""Width of the speed-up's interval, relative, at which no more rounds are taken."""
MOST_ROUNDS: Final = 3
"""Times the rounds asked for that are taken at most."""


@dataclass
class Regime:
    """Windows in s of one way of timing, a triple (nothing, reference, candidate) per round; ``calls`` in each.

    ``condition``: clock, power, temperature and throttle reasons of the GPU meanwhile.
    """

    name: str
    gate: str
    calls: int
    order: list[int]
    flush: bool = False
    rounds: list[tuple[float, float, float]] = field(default_factory=list)
    condition: dict[str, Any] = field(default_factory=dict)


class Bench:
    """Times the two sides of a session; wrong witnesses become findings and end the timing."""

    def __init__(self, session: Session, found: Correctness) -> None:
        self.session, self.found = session, found
        assert session.task is not None
        self.task = session.task
        self.gate = "stream" if self.task.facts.get("stream_gate") else "host"
        self.file = session.reference.folder / "expected.npy"
        self.most_calls = MOST_QUEUED
        self._random = random.Random(secrets.randbits(64))

    def window(self, side: str, order: list[int], gate: str, flush: bool = False, change: bool = True) -> float:
        """Seconds of one batch of a side (``empty``, ``reference``, ``candidate``), witnesses checked."""
        session, seed = self.session, secrets.randbits(31)
        size = session.witness_bytes(len(order))
        if side != "candidate":
            try:
                return session.clock_reference.batch(
                    order, gate, lambda: self._tables(order), size, call=side == "reference", flush=flush
                )[0]
            except Fault as fault:
                raise task_error("a timed batch", fault) from fault
        told: dict[str, Any] = {}

        def prepare() -> None:
            told.update(session.judge("prepare", order=order, seed=seed, change=change, file=str(self.file), call=True))

        elapsed_s, data, answer = session.clock_candidate.batch(order, gate, prepare, size, flush=flush)
        note_patched(answer, self.found)
        self._check_witnesses(data, len(order), told["scales"], gate)
        return elapsed_s

    def _tables(self, order: list[int]) -> None:
        """Inputs and tables for a batch whose outputs nobody checks."""
        self.session.judge("prepare", order=order, seed=secrets.randbits(31), change=True, file="", call=False)

    def _check_witnesses(self, data: bytes, calls: int, scales: list[float], gate: str) -> None:
        expected = np.load(self.file)
        found = self.session.decode_witnesses(data, calls)
        misses = witness_misses(found, expected, list(map(max, scales, self.found.scales)), self.found.bounds)
        if not misses.any():
            return
        unwritten = np.isnan(found) & ~np.isnan(expected)
        detail = (
            f"{misses.mean():.1%} of the witnessed elements of a {gate}-gated batch are wrong, "
            f"{unwritten.mean():.1%} not written, in {misses.any(axis=(1, 2)).sum()} of {calls} calls"
        )
        raise WitnessError(detail)

    def gate_of_candidate(self) -> str:
        """Whether the candidate's calls can be queued behind a gate on the stream; ``host`` where they synchronise."""
        if self.gate == "host":
            return "host"
        try:
            self.window("candidate", [0, 1], "stream")
        except HostSynchronisesError:
            self.found.add("synchronises-host", "calls wait for the device: timed from the host, launch cost included")
            return "host"
        return "stream"

    def plan(self, name: str, gate: str) -> Regime:
        """Calls of a batch, from a rough time of either side."""
        flush = name == "cold" and self.task.flushes
        slots = [0] if name == "hot" else list(range(self.task.cold_slots))
        few = [slots[i % len(slots)] for i in range(FEWEST_CALLS)]
        rough = {}
        for side in ("empty", "reference", "candidate"):
            self.window(side, few, gate, flush)
            rough[side] = min(self.window(side, few, gate, flush) for _ in range(2))
        faster, slower = sorted(
            max(1e-6, (rough[s] - rough["empty"]) / FEWEST_CALLS) for s in ("reference", "candidate")
        )
        calls = int(min(BATCH_S / faster, LONGEST_BATCH_S / slower, self.most_calls, MOST_CALLS))
        calls = max(FEWEST_CALLS, min(calls, FLUSHED_CALLS) if flush else calls)
        return Regime(name, gate, calls, [slots[i % len(slots)] for i in range(calls)], flush)

    def measure(self, name: str, gate: str, rounds: int) -> Regime:
        """At least ``rounds`` rounds of a regime, the sides of each in random order; up to thrice that if noisy."""
        regime = self.plan(name, gate)
        while len(regime.rounds) < rounds or (len(regime.rounds) < MOST_ROUNDS * rounds and not _settled(regime)):
            sides = ["empty", "reference", "candidate"]
            self._random.shuffle(sides)
            try:
                times = {side: self.window(side, regime.order, gate, regime.flush) for side in sides}
            except HostSynchronisesError:
                # The queue of the stream is full: fewer calls fit than were planned.
                self.most_calls = max(FEWEST_CALLS, regime.calls // 2)
                if regime.calls <= FEWEST_CALLS:
                    raise
                regime = self.plan(name, gate)
                continue
            regime.rounds.append((times["empty"], times["reference"], times["candidate"]))
        return regime

    def repeats(self, gate: str, calls: int, rounds: int) -> tuple[list[float], list[float]]:
        """Windows of the candidate on one slot: nothing changes between calls, or one element does."""
        same: list[float] = []
        changed: list[float] = []
        for _ in range(rounds):
            kinds = [(same, False), (changed, True)]
            self._random.shuffle(kinds)
            for windows, change in kinds:
                windows.append(self.window("candidate", [0] * calls, gate, change=change))
        return same, changed

    def serve(self, requests: int, mean_gap_s: float) -> dict[str, list[float]]:
        """Latencies in s of requests at random intervals, by side."""
        slots = min(4, self.task.cold_slots)
        order = [index % slots for index in range(requests)]
        size = self.session.witness_bytes(requests)
        latencies: dict[str, list[float]] = {}
        for side in ("empty", "reference", "candidate"):
            gaps = [self._random.expovariate(1 / mean_gap_s) for _ in range(requests)]
            latencies[side] = self._serve(side, order, gaps, slots, size)
        return latencies

    def _serve(self, side: str, order: list[int], gaps: list[float], slots: int, size: int) -> list[float]:
        session, seed = self.session, secrets.randbits(31)
        if side != "candidate":
            return session.clock_reference.serve(gaps, slots, lambda: self._tables(order), size, side == "reference")[0]
        told: dict[str, Any] = {}

        def prepare() -> None:
            told.update(session.judge("prepare", order=order, seed=seed, change=True, file=str(self.file), call=True))

        latencies, data = session.clock_candidate.serve(gaps, slots, prepare, size, call=True)
        self._check_witnesses(data, len(order), told["scales"], "host")
        return latencies


def _settled(regime: Regime) -> bool:
    known = speed(regime.name, regime.gate, regime.calls, regime.rounds)
    return known is not None and known.speedup.high - known.speedup.low <= NARROW * known.speedup.ratio


class WitnessError(Exception):
    """Witnesses of a timed batch are not what they must be."""
