"""How fast is it: interleaved batches of reference, candidate and nothing, each round in random order."""

from __future__ import annotations

import base64
import random
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from gpuprobe.kernel_eval.child import Fault
from gpuprobe.kernel_eval.contrasts import USUAL, How
from gpuprobe.kernel_eval.correctness import Correctness, note_patched
from gpuprobe.kernel_eval.layout import FEWEST_CALLS, MOST_CALLS
from gpuprobe.kernel_eval.session import Session, task_error
from gpuprobe.kernel_eval.speed import Speed, speed
from gpuprobe.kernel_eval.stopwatch import QUEUE_LIMIT_S, HostSynchronisesError
from gpuprobe.kernel_eval.tolerance import witness_misses

BATCH_S: Final = 5e-3
"""Work that a batch aims at, of the faster side."""
LONGEST_BATCH_S: Final = 40e-3
QUEUE_LIMITS_S: Final = (QUEUE_LIMIT_S, 6 * QUEUE_LIMIT_S)
"""Times that a candidate is given to queue two calls: who is only slow, or on a busy machine, has a second go."""
EXAMPLES: Final = 8
MOST_QUEUED: Final = 192
FLUSHED_CALLS: Final = 24
NARROW: Final = 0.01
"""Width of the speed-up's interval, relative, at which no more rounds are taken."""
MOST_ROUNDS: Final = 5
"""Times the rounds asked for that are taken at most."""
SUM_SHARE: Final = 4.0
"""Times a witness's bound that a signed sum of all elements may be off: errors of elements add up as their roots."""


@dataclass
class Regime:
    """Windows in s of one way of timing, a triple (nothing, reference, candidate) per round; ``calls`` in each.

    ``processes``: rounds that each pair of processes had; ``offsets_s``: what a batch without a model takes longer in
    the candidate's process of a pair than in the reference's; ``condition``: clock, power, temperature and throttle
    reasons of the GPU while the first pair had its rounds.
    """

    name: str
    gate: str
    calls: int
    order: list[int]
    flush: bool = False
    rounds: list[tuple[float, float, float]] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)
    offsets_s: list[float] = field(default_factory=list)
    condition: dict[str, Any] = field(default_factory=dict)

    def forget(self) -> None:
        """Drop what was timed."""
        self.rounds, self.processes, self.offsets_s = [], [], []

    def speed(self) -> Speed | None:
        """Times and speed-up; None where the harness took all of it."""
        return speed(self.name, self.gate, self.calls, self.rounds, self.processes, self.offsets_s)


class Bench:
    """Times the two sides of a session; wrong witnesses become findings and end the timing."""

    def __init__(self, session: Session, found: Correctness) -> None:
        self.session, self.found = session, found
        assert session.task is not None
        self.task = session.task
        self.gate = "stream" if self.task.facts.get("stream_gate") else "host"
        self.most_calls = MOST_QUEUED
        self._random = random.Random(secrets.randbits(64))

    def window(
        self, side: str, order: list[int], gate: str, flush: bool = False, how: How = USUAL, control: bool = False
    ) -> float:
        """Seconds of one batch of a side (``empty``, ``reference``, ``candidate``), witnesses checked.

        The candidate stands still while another side is timed: nothing of it can slow the reference. A ``control`` is
        prepared as a batch of the candidate is, so that it finds caches and cores as that does.
        """
        session = self.session
        size = session.sums_bytes(len(order)) if how.whole else session.witness_bytes(len(order))
        if side != "candidate":
            options = {"call": side == "reference", "flush": flush, "whole": how.whole}
            prepare = (lambda: self._prepare(order, how)) if control else (lambda: self._tables(order))
            with session.candidate.paused():
                try:
                    return session.clock_reference.batch(order, gate, prepare, size, **options)[0]
                except Fault as fault:
                    raise task_error("a timed batch", fault) from fault
        told: dict[str, Any] = {}
        elapsed_s, data, answer = session.clock_candidate.batch(
            order, gate, lambda: told.update(self._prepare(order, how)), size, how.gap_s, flush=flush, whole=how.whole
        )
        note_patched(answer, self.found)
        self._check_witnesses(data, len(order), told, gate, how.whole)
        return elapsed_s

    def _prepare(self, order: list[int], how: How) -> dict[str, Any]:
        """Inputs, tables and expected witnesses for a batch of the candidate."""
        seed = secrets.randbits(31)
        return self.session.judge(
            "prepare", order=order, seed=seed, change=how.change, call=True, fresh=how.fresh, whole=how.whole
        )

    def _tables(self, order: list[int]) -> None:
        """Inputs and tables for a batch whose outputs nobody checks."""
        self.session.judge("prepare", order=order, seed=secrets.randbits(31), change=True, call=False)

    def _check_witnesses(self, data: bytes, calls: int, told: dict[str, Any], gate: str, whole: bool = False) -> None:
        found = self.session.decode_sums(data, calls) if whole else self.session.decode_witnesses(data, calls)
        expected = np.frombuffer(base64.b64decode(told["expected"])).reshape(found.shape)
        bounds = [SUM_SHARE * bound for bound in self.found.bounds] if whole else self.found.bounds
        misses = witness_misses(found, expected, list(map(max, told["scales"], self.found.scales)), bounds)
        if not misses.any():
            return
        unwritten = np.isnan(found) & ~np.isnan(expected)
        self.found.evidence.append(
            {
                "kind": "witnesses",
                "gate": gate,
                "whole": whole,
                "calls": calls,
                "staged": self.session.staged,
                "wrong_by_call": misses.sum(axis=(1, 2)).tolist(),
                "examples": [
                    [*map(int, at), f"{found[tuple(at)]:.9g}", f"{expected[tuple(at)]:.9g}"]
                    for at in np.argwhere(misses)[:EXAMPLES]
                ],
            }
        )
        detail = (
            f"{misses.mean():.1%} of the witnessed {'sums' if whole else 'elements'} of a {gate}-gated batch wrong, "
            f"{unwritten.mean():.1%} not written, in {misses.any(axis=(1, 2)).sum()} of {calls} calls"
        )
        raise WitnessError(detail)

    def gate_of_candidate(self) -> str:
        """Whether the candidate's calls can be queued behind a gate on the stream; ``host`` where they synchronise."""
        if self.gate == "host":
            return "host"
        for limit_s in QUEUE_LIMITS_S:
            for clock in (self.session.clock_reference, self.session.clock_candidate):
                clock.queue_limit_s = limit_s
            try:
                self.window("candidate", [0, 1], "stream")
                return "stream"
            except HostSynchronisesError:
                continue
        return self.from_host()

    def from_host(self) -> str:
        """Note that calls are timed from the host; the gate for that."""
        self.found.add("synchronises-host", "calls wait for the device: timed from the host, launch cost included")
        return "host"

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

    def measure(self, name: str, gate: str, rounds: int, most: int) -> Regime:
        """At least ``rounds`` rounds of a regime, in random order; up to ``most`` if noisy.

        Calls that can no longer be queued, few as they are, are timed from the host: the regime says so.
        """
        try:
            return self._measure(name, gate, rounds, most)
        except HostSynchronisesError:
            return self._measure(name, self.from_host(), rounds, most)

    def _measure(self, name: str, gate: str, rounds: int, most: int) -> Regime:
        while True:
            regime = self.plan(name, gate)
            try:
                self.add(regime, rounds, most)
                return regime
            except HostSynchronisesError:
                # The queue of the stream is full: fewer calls fit than were planned.
                self.most_calls = max(FEWEST_CALLS, regime.calls // 2)
                if regime.calls <= FEWEST_CALLS:
                    raise

    def add(self, regime: Regime, rounds: int, most: int, offset_s: float = 0.0) -> None:
        """Rounds of the processes that the session now has, with the offset of the two."""
        taken = Regime(regime.name, regime.gate, regime.calls, regime.order, regime.flush)
        while len(taken.rounds) < rounds or (len(taken.rounds) < most and not _settled(taken)):
            sides = ["empty", "reference", "candidate"]
            self._random.shuffle(sides)
            times = {side: self.window(side, regime.order, regime.gate, regime.flush) for side in sides}
            taken.rounds.append((times["empty"], times["reference"], times["candidate"]))
        regime.rounds += taken.rounds
        regime.processes.append(len(taken.rounds))
        regime.offsets_s.append(offset_s)

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
        session = self.session
        if side != "candidate":
            calls = side == "reference"
            with session.candidate.paused():
                return session.clock_reference.serve(gaps, slots, lambda: self._tables(order), size, calls)[0]
        told: dict[str, Any] = {}
        latencies, data = session.clock_candidate.serve(
            gaps, slots, lambda: told.update(self._prepare(order, USUAL)), size, call=True
        )
        self._check_witnesses(data, len(order), told, "host")
        return latencies


def _settled(regime: Regime) -> bool:
    known = regime.speed()
    return known is not None and known.speedup.high - known.speedup.low <= NARROW * known.speedup.ratio


class WitnessError(Exception):
    """Witnesses of a timed batch are not what they must be."""
