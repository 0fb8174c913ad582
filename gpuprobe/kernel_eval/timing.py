"""How fast is it: interleaved batches of reference, candidate and nothing, each round in random order."""

from __future__ import annotations

import base64
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from gpuprobe.kernel_eval.child import Fault
from gpuprobe.kernel_eval.correctness import Correctness, note_patched
from gpuprobe.kernel_eval.layout import MOST_CALLS
from gpuprobe.kernel_eval.session import Session, task_error
from gpuprobe.kernel_eval.speed import repeat_gain, speed
from gpuprobe.kernel_eval.stopwatch import QUEUE_LIMIT_S, HostSynchronisesError
from gpuprobe.kernel_eval.tolerance import witness_misses

BATCH_S: Final = 5e-3
"""Work that a batch aims at, of the faster side."""
LONGEST_BATCH_S: Final = 40e-3
QUEUE_LIMITS_S: Final = (QUEUE_LIMIT_S, 6 * QUEUE_LIMIT_S)
"""Times that a candidate is given to queue two calls: who is only slow, or on a busy machine, has a second go."""
EXAMPLES: Final = 8
FEWEST_CALLS: Final = 4
MOST_QUEUED: Final = 192
FLUSHED_CALLS: Final = 24
NARROW: Final = 0.01
"""Width of the speed-up's interval, relative, at which no more rounds are taken."""
MOST_ROUNDS: Final = 5
"""Times the rounds asked for that are taken at most."""


REPEAT_ROUNDS: Final = 9
MOST_REPEAT_ROUNDS: Final = 3 * REPEAT_ROUNDS
FEW_ROUNDS: Final = 3
CALM: Final = 1.5
HINT: Final = 0.8
"""Share of the hard way's time that the easy way must stay below in a few rounds for more of them to be taken."""
GAP_WINDOWS: Final = 2.0
"""Windows' worth of time that inputs lie there before the clock starts, where working ahead is looked for."""
WATCH_DOUBT: Final = {"stream": 0.1, "host": 0.5}
"""Share by which watching may cost the candidate's process more than the reference's, by who waits at the gate: the
device runs the same kernels for either, a host gives one process a slower core than another."""
SUM_SHARE: Final = 4.0
"""Times a witness's bound that a signed sum of all elements may be off: errors of elements add up as their roots."""


@dataclass(frozen=True)
class How:
    """How a batch of the candidate differs from the usual.

    ``change``: one element of each input before each call; ``fresh``: new inputs for the batch; ``whole``: all elements
    of the outputs are witnessed (their sum under random signs); ``gap_s``: the inputs lie there that long before the
    clock starts.
    """

    change: bool = True
    fresh: bool = True
    whole: bool = False
    gap_s: float = 0.0


USUAL: Final = How()


@dataclass(frozen=True)
class Contrast:
    """Two kinds of batches that cost an honest candidate the same.

    ``spread``: each call has a slot of its own; ``pair``: the hard way takes two slots in turn; ``waits``: the easy way
    has the inputs lie there before the clock starts.
    """

    finding: str
    detail: str
    easy: How = USUAL
    hard: How = USUAL
    spread: bool = False
    pair: bool = False
    waits: bool = False


CONTRASTS: Final = (
    Contrast("skips-repeated-work", "where inputs repeat", How(change=False)),
    Contrast("reuses-results", "where all but a few elements of the inputs are known", How(fresh=False), spread=True),
    Contrast("reuses-results", "where the inputs are those of the call before but for an element", pair=True),
    Contrast("works-ahead", "where the inputs lie there a while before the clock starts", waits=True),
    Contrast("skips-unwatched", "where only some elements of the outputs are looked at", hard=How(whole=True)),
)


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
        self.most_calls = MOST_QUEUED
        self._empties: dict[tuple[int, str], float] = {}
        self._random = random.Random(secrets.randbits(64))
        self.clocks = (session.clock_reference, session.clock_candidate)

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
            for clock in self.clocks:
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

    def measure(self, name: str, gate: str, rounds: int) -> Regime:
        """At least ``rounds`` rounds of a regime, in random order; up to ``MOST_ROUNDS`` times that if noisy.

        Calls that can no longer be queued, few as they are, are timed from the host: the regime says so.
        """
        try:
            return self._measure(name, gate, rounds)
        except HostSynchronisesError:
            return self._measure(name, self.from_host(), rounds)

    def _measure(self, name: str, gate: str, rounds: int) -> Regime:
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

    def contrast(self, asked: Contrast, gate: str, calls: int) -> float | None:
        """How many times faster the candidate is the easy way than the hard way; None where it is not, clearly.

        What cannot be queued is run from the host. A suspicion must hold in two of three goes: one busy moment accuses
        nobody, and hides nobody.
        """
        try:
            gain = self._contrast(asked, gate, calls)
        except HostSynchronisesError:
            if gate == "host":
                raise
            gate = "host"
            gain = self._contrast(asked, gate, calls)
        for _ in range(2 if gain is not None else 0):
            again = self._contrast(asked, gate, calls)
            if gain is not None and again is not None:
                return min(gain, again)
        return None

    def _contrast(self, asked: Contrast, gate: str, calls: int) -> float | None:
        """Few calm rounds settle that nothing is the matter; a hint is followed for up to ``MOST_REPEAT_ROUNDS``.

        What is taken off for the harness is measured beside a hint again, and the least of it counts: taking off too
        much would make any difference look large.
        """
        if asked.pair and 4 * self.task.layout.input_bytes > self.task.facts["l2_bytes"]:
            return None  # two sets would not lie in the cache as one does
        if gate == "host":
            calls = max(FEWEST_CALLS, calls // 4)  # long enough: a host's call takes longer than a queued one
        if asked.spread:
            calls = min(calls, self.task.cold_slots)
        orders = [[index % (calls if asked.spread else 1) for index in range(calls)]] * 2
        if asked.pair:
            orders[1] = [index % 2 for index in range(calls)]
        easy, hard = asked.easy, asked.hard
        if asked.waits:
            easy = replace(easy, gap_s=GAP_WINDOWS * self.window("candidate", orders[1], gate, how=hard))
        kinds = list(zip((easy, hard), orders, strict=True))
        empty = self._empty(orders[0], gate)
        windows: tuple[list[float], list[float]] = ([], [])
        empties: list[float] = []
        while len(windows[0]) < MOST_REPEAT_ROUNDS:
            taken = self._round(kinds, gate, controlled=easy.whole != hard.whole)
            for into, window in zip(windows, taken, strict=True):
                into.append(window)
            rounds = len(windows[0])
            enough = rounds == 2 * FEW_ROUNDS or (rounds == FEW_ROUNDS and _calm(*windows))
            if enough and not _hints(*windows, empty):
                return None
            if rounds >= FEW_ROUNDS:
                empties.append(self.window("empty", orders[0], gate))
            if rounds % REPEAT_ROUNDS == 0:
                least = min(empty, float(np.median(empties)))
                gain = repeat_gain(*windows, least)
                if gain is not None:
                    self._note_suspicion(asked, gate, calls, windows, least)
                if gain is not None or not _hints(*windows, least):
                    return gain
        return None

    def _note_suspicion(
        self, asked: Contrast, gate: str, calls: int, windows: tuple[list[float], list[float]], empty: float
    ) -> None:
        """Keep the windows that a suspicion rests on."""
        easy, hard = windows
        row = {"kind": asked.finding, "detail": asked.detail, "gate": gate, "calls": calls}
        self.found.evidence.append({**row, "empty_s": empty, "easy_s": easy, "hard_s": hard})

    def _round(self, kinds: Sequence[tuple[How, list[int]]], gate: str, *, controlled: bool) -> list[float]:
        """A window of each kind, in random order.

        Where they watch the outputs differently (``controlled``), what that costs is taken off: what the reference
        takes longer in the same round, since it moves with whatever else the machine does, and ``WATCH_DOUBT`` of it.
        """
        asked = [(side, kind) for side in ("candidate", "reference")[: 1 + controlled] for kind in range(len(kinds))]
        self._random.shuffle(asked)
        taken = {
            (side, kind): self.window(
                side, kinds[kind][1], gate, how=kinds[kind][0], control=side == "reference" and controlled
            )
            for side, kind in asked
        }
        watching = taken["reference", 1] - taken["reference", 0] if controlled else 0.0
        return [
            taken["candidate", 0],
            taken["candidate", 1] - watching * (1 + WATCH_DOUBT[gate] if watching > 0 else 1),
        ]

    def _empty(self, order: list[int], gate: str) -> float:
        """The median window without a model; the same for all orders of as many calls."""
        key = (len(order), gate)
        if key not in self._empties:
            windows = [self.window("empty", order, gate) for _ in range(FEW_ROUNDS)]
            self._empties[key] = float(np.median(windows))
        return self._empties[key]

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


def _calm(*kinds: list[float]) -> bool:
    """Whether the windows of each kind are alike enough for a few of them to clear a candidate."""
    return all(max(windows) <= CALM * min(windows) for windows in kinds)


def _hints(easy: list[float], hard: list[float], empty: float) -> bool:
    """Whether the easy way may be faster, by the middle windows; of a few windows also by the least of them."""
    ways = (np.median, np.min) if len(easy) < REPEAT_ROUNDS else (np.median,)
    return any(float(of(easy)) - empty < HINT * (float(of(hard)) - empty) for of in ways)


def _settled(regime: Regime) -> bool:
    known = speed(regime.name, regime.gate, regime.calls, regime.rounds)
    return known is not None and known.speedup.high - known.speedup.low <= NARROW * known.speedup.ratio


class WitnessError(Exception):
    """Witnesses of a timed batch are not what they must be."""
