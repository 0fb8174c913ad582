"""Pairs of batches that cost an honest candidate the same and one that skips work not: which way is it faster?"""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np

from gpuprobe.kernel_eval.correctness import Correctness
from gpuprobe.kernel_eval.layout import FEWEST_CALLS
from gpuprobe.kernel_eval.session import Task
from gpuprobe.kernel_eval.speed import REPEAT_SHARE, REPEAT_SIGMA, ratio_of, repeat_gain
from gpuprobe.kernel_eval.stopwatch import HostSynchronisesError

REPEAT_ROUNDS: Final = 9
MOST_REPEAT_ROUNDS: Final = 3 * REPEAT_ROUNDS
FEW_ROUNDS: Final = 3
CALM: Final = 1.5
HINT: Final = 0.8
"""Share of the hard way's time that the easy way must stay below in a few rounds for more of them to be taken; where
less of a gain is accused, half way to that."""
CONTRAST_CALLS: Final = 64
"""Calls of a window of a contrast that are enough: their time is many times what windows scatter by."""
GAP_WINDOWS: Final = 2.0
"""Windows' worth of time that inputs lie there before the clock starts, where working ahead is looked for."""
WATCH_DOUBT: Final = {"stream": 0.1, "host": 0.5}
"""Share by which watching may cost the candidate's process more than the reference's, by who waits at the gate: the
device runs the same kernels for either, a host gives one process a slower core than another."""
SMALL_SHARE, SMALL_SIGMA = 0.8, 3.5
"""The same for batches that cost the device and the host exactly the same: a fifth less is accused, if more surely."""


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
    has the inputs lie there before the clock starts. ``share``: of the hard way's time, what the easy way must take at
    most to be accused; with ``sigma`` standard deviations of what chance does to the order of windows.
    """

    finding: str
    detail: str
    easy: How = USUAL
    hard: How = USUAL
    spread: bool = False
    pair: bool = False
    waits: bool = False
    share: float = REPEAT_SHARE
    sigma: float = REPEAT_SIGMA

    @property
    def hint(self) -> float:
        """Share of the hard way's time that few rounds of the easy way must stay below for more to be taken."""
        return max(HINT, (1 + self.share) / 2)


CONTRASTS: Final = (
    # The same inputs in every easy window, the same but for an element in the hard ones: device and host do the same
    # work in either, so that a small gain is one too.
    Contrast(
        "skips-repeated-work",
        "where inputs repeat",
        How(change=False, fresh=False),
        How(fresh=False),
        share=SMALL_SHARE,
        sigma=SMALL_SIGMA,
    ),
    Contrast("reuses-results", "where all but a few elements of the inputs are known", How(fresh=False), spread=True),
    Contrast("reuses-results", "where the inputs are those of the call before but for an element", pair=True),
    Contrast("works-ahead", "where the inputs lie there a while before the clock starts", waits=True),
    Contrast("skips-unwatched", "where only some elements of the outputs are looked at", hard=How(whole=True)),
)


class Window(Protocol):
    """Seconds of one batch of a side: ``empty``, ``reference``, ``candidate``."""

    def __call__(self, side: str, order: list[int], gate: str, *, how: How = ..., control: bool = ...) -> float:
        """Slots in ``order``; a ``control`` of the reference is prepared as a batch of the candidate is."""


class Comparisons:
    """Asks contrasts of a candidate. ``rows``: the windows of each comparison, with the gain it came to."""

    def __init__(self, window: Window, task: Task, found: Correctness) -> None:
        self._window, self._task, self._found = window, task, found
        self.rows: list[dict[str, Any]] = []
        self._empties: dict[tuple[int, str], float] = {}
        self._random = random.Random(secrets.randbits(64))

    def ask(self, asked: Contrast, gate: str, calls: int) -> float | None:
        """How many times faster the candidate is the easy way than the hard way; None where it is not, clearly.

        What cannot be queued is run from the host. A suspicion must hold once more, in one of two goes beside the
        reference: one busy moment accuses nobody, and hides nobody, and what costs the reference more as well (a cache
        that two sets do not fit in, a machine that interrupts who runs longer) is the machine's affair.
        """
        try:
            gain = self._contrast(asked, gate, calls)
        except HostSynchronisesError:
            if gate == "host":
                raise
            gate = "host"
            gain = self._contrast(asked, gate, calls)
        for _ in range(2 if gain is not None else 0):
            again = self._contrast(asked, gate, calls, beside=True)
            if gain is not None and again is not None:
                return min(gain, again)
        return None

    def _contrast(self, asked: Contrast, gate: str, calls: int, beside: bool = False) -> float | None:
        """Few calm rounds settle that nothing is the matter; a hint is followed for up to ``MOST_REPEAT_ROUNDS``.

        What is taken off for the harness is measured beside a hint again, and the least of it counts: taking off too
        much would make any difference look large.
        """
        if asked.pair and 4 * self._task.layout.input_bytes > self._task.facts["l2_bytes"]:
            return None  # two sets would not lie in the cache as one does
        if gate == "host":
            calls = max(FEWEST_CALLS, calls // 4)  # long enough: a host's call takes longer than a queued one
        calls = min(calls, CONTRAST_CALLS)
        if asked.spread:
            calls = min(calls, self._task.cold_slots)
        orders = [[index % (calls if asked.spread else 1) for index in range(calls)]] * 2
        if asked.pair:
            orders[1] = [index % 2 for index in range(calls)]
        easy, hard = asked.easy, asked.hard
        if asked.waits:
            easy = replace(easy, gap_s=GAP_WINDOWS * self._window("candidate", orders[1], gate, how=hard))
        return self._compare(asked, gate, list(zip((easy, hard), orders, strict=True)), beside)

    def _compare(self, asked: Contrast, gate: str, kinds: list[tuple[How, list[int]]], beside: bool) -> float | None:
        """The gain of the first kind of window over the second, or None; ``beside`` the reference, over its gain."""
        order = kinds[0][1]
        empty = least = self._empty(order, gate)
        windows: tuple[list[float], list[float]] = ([], [])
        controls: tuple[list[float], list[float]] = ([], [])
        empties: list[float] = []
        gain: float | None = None
        watches = kinds[0][0].whole != kinds[1][0].whole
        over = False
        while not over:
            taken = self._round(kinds, gate, controlled=watches or beside)
            if watches:
                taken["candidate", 1] -= _watching(taken, gate)
            for kind in range(2):
                windows[kind].append(taken["candidate", kind])
                if beside and not watches:
                    controls[kind].append(taken["reference", kind])
            rounds = len(windows[0])
            if rounds >= FEW_ROUNDS:
                empties.append(self._window("empty", order, gate))
            enough = rounds == 2 * FEW_ROUNDS or (rounds == FEW_ROUNDS and _calm(*windows))
            over = enough and not _hints(*windows, empty, asked.hint)
            if rounds % REPEAT_ROUNDS == 0:
                least = min(empty, float(np.median(empties)))
                share = asked.share / ratio_of(*controls, least, windows[0]) if controls[0] else asked.share
                gain = repeat_gain(*windows, least, share, asked.sigma)
                over = gain is not None or not _hints(*windows, least, asked.hint) or rounds >= MOST_REPEAT_ROUNDS
        row = {"kind": asked.finding, "detail": asked.detail, "gate": gate, "calls": len(order), "empty_s": least}
        row |= {"easy_s": windows[0], "hard_s": windows[1], "reference_easy_s": controls[0]}
        row |= {"reference_hard_s": controls[1]}
        self.rows.append({**row, "gain": gain})
        if gain is not None:
            self._found.evidence.append(row)
        return gain

    def _round(
        self, kinds: Sequence[tuple[How, list[int]]], gate: str, *, controlled: bool
    ) -> dict[tuple[str, int], float]:
        """A window of each kind, in random order; where that is ``controlled``, of the reference as well."""
        asked = [(side, kind) for side in ("candidate", "reference")[: 1 + controlled] for kind in range(len(kinds))]
        self._random.shuffle(asked)
        return {
            (side, kind): self._window(
                side, kinds[kind][1], gate, how=kinds[kind][0], control=side == "reference" and controlled
            )
            for side, kind in asked
        }

    def _empty(self, order: list[int], gate: str) -> float:
        """The median window without a model; the same for all orders of as many calls."""
        key = (len(order), gate)
        if key not in self._empties:
            windows = [self._window("empty", order, gate) for _ in range(FEW_ROUNDS)]
            self._empties[key] = float(np.median(windows))
        return self._empties[key]


def _watching(taken: Mapping[tuple[str, int], float], gate: str) -> float:
    """What it costs to watch all of the outputs in s: what the reference takes longer in the same round.

    It moves with whatever else the machine does; ``WATCH_DOUBT`` of it is added.
    """
    cost = taken["reference", 1] - taken["reference", 0]
    return cost * (1 + WATCH_DOUBT[gate]) if cost > 0 else cost


def _calm(*kinds: list[float]) -> bool:
    """Whether the windows of each kind are alike enough for a few of them to clear a candidate."""
    return all(max(windows) <= CALM * min(windows) for windows in kinds)


def _hints(easy: list[float], hard: list[float], empty: float, hint: float = HINT) -> bool:
    """Whether the easy way may be faster, by the middle windows; of a few windows also by the least of them."""
    ways = (np.median, np.min) if len(easy) < REPEAT_ROUNDS else (np.median,)
    return any(float(of(easy)) - empty < hint * (float(of(hard)) - empty) for of in ways)
