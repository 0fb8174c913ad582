"""A what-if card: a technique, whether it applies, and what a plan becomes with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gpuprobe.errors import GpuprobeError
from gpuprobe.llm.answer import LlmPrediction, answer
from gpuprobe.llm.hardware import Hardware
from gpuprobe.llm.plan import Plan

Measures = Mapping[str, float]


@dataclass(frozen=True)
class Card:
    """``apply`` gives the changed plan, or the measures after the change where no plan expresses it.

    It raises GpuprobeError where the technique does not apply; ``caveat`` says what the arithmetic leaves out.
    """

    name: str
    about: str
    caveat: str
    apply: Callable[[Plan, Hardware], Plan | Measures]


def measures(found: LlmPrediction) -> dict[str, float]:
    """What is compared: times in s, tokens/s of the whole request, J a token, bytes on each GPU."""
    tokens = found.plan.batch * found.plan.output
    return {
        "prefill_s": found.prefill.time_s.value,
        "time_per_token_s": found.decode.time_s.value,
        "tokens_per_s": found.tokens_per_s.value,
        "energy_per_token_j": found.energy_j.value / tokens,
        "memory_bytes": float(found.memory.total_bytes),
        "gpus": float(found.plan.tp),
    }


def outcome(card: Card, plan: Plan, gpu: Hardware) -> dict[str, Any]:
    """Before and after, or why the card does not apply; ``ratio`` is after over before."""
    row: dict[str, Any] = {"card": card.name, "about": card.about, "caveat": card.caveat, "why_not": ""}
    before = measures(answer(plan, gpu))
    try:
        changed = card.apply(plan, gpu)
        after = measures(answer(changed, gpu)) if isinstance(changed, Plan) else {**before, **changed}
    except GpuprobeError as error:
        return {**row, "why_not": error.message, "before": before, "after": None, "ratio": None}
    ratio = {name: after[name] / before[name] for name in before}
    return {**row, "before": before, "after": after, "ratio": ratio}
