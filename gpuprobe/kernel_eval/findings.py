"""What can be found about a candidate, how grave it is, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """The outcome of an evaluation, gravest first."""

    CHEATS = "cheats"
    FAILED = "failed"
    WRONG = "wrong"
    CORRECT = "correct"


class Gravity(StrEnum):
    """What a finding does to the verdict."""

    CHEAT = "cheat"
    FAULT = "fault"
    WRONG = "wrong"
    NOTE = "note"


GRAVITY: Final[Mapping[str, Gravity]] = {
    "cached-output": Gravity.CHEAT,
    "returns-reference": Gravity.CHEAT,
    "unsynchronised": Gravity.CHEAT,
    "mutates-inputs": Gravity.CHEAT,
    "patches-harness": Gravity.CHEAT,
    "skips-repeated-work": Gravity.CHEAT,
    "reuses-results": Gravity.CHEAT,
    "works-ahead": Gravity.CHEAT,
    "skips-unwatched": Gravity.CHEAT,
    "not-a-tensor": Gravity.CHEAT,
    "differs-when-timed": Gravity.CHEAT,
    "tampers": Gravity.CHEAT,
    "crash": Gravity.FAULT,
    "hang": Gravity.FAULT,
    "out-of-memory": Gravity.FAULT,
    "error": Gravity.FAULT,
    "unwritten-output": Gravity.WRONG,
    "wrong-values": Gravity.WRONG,
    "wrong-nonfinite": Gravity.WRONG,
    "wrong-gradients": Gravity.WRONG,
    "wrong-form": Gravity.WRONG,
    "less-precise": Gravity.NOTE,
    "inconclusive": Gravity.NOTE,
    "needs-contiguous": Gravity.NOTE,
    "nan-lost": Gravity.NOTE,
    "no-gradients": Gravity.NOTE,
    "synchronises-host": Gravity.NOTE,
    "faster-than-memory": Gravity.NOTE,
    "own-weights": Gravity.NOTE,
    "handed-over-late": Gravity.NOTE,
    "throttled": Gravity.NOTE,
    "too-noisy": Gravity.NOTE,
}
"""Every finding by name."""

_WORST: Final = (
    (Gravity.CHEAT, Verdict.CHEATS),
    (Gravity.FAULT, Verdict.FAILED),
    (Gravity.WRONG, Verdict.WRONG),
)


@dataclass(frozen=True)
class Finding:
    """One observation: a name of GRAVITY, and what was seen."""

    name: str
    detail: str

    @property
    def gravity(self) -> Gravity:
        """What it does to the verdict."""
        return GRAVITY[self.name]


def verdict_of(findings: Iterable[Finding]) -> Verdict:
    """The gravest verdict that any finding calls for."""
    present = {finding.gravity for finding in findings}
    return next((verdict for gravity, verdict in _WORST if gravity in present), Verdict.CORRECT)
