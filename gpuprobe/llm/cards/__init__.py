"""What-if cards: one technique a file, each a change of the plan or of a step, shown before and after.

A module of this folder holds ``CARD``; adding a file adds the card.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from gpuprobe.errors import GpuprobeError
from gpuprobe.llm.cards.card import Card, outcome
from gpuprobe.llm.hardware import Hardware
from gpuprobe.llm.plan import Plan


@cache
def cards() -> tuple[Card, ...]:
    """Every card, by name."""
    found = (import_module(f"{__name__}.{one.name}") for one in iter_modules(__path__) if one.name != "card")
    return tuple(sorted((module.CARD for module in found), key=lambda card: card.name))


def play(plan: Plan, gpu: Hardware, names: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The outcome of the named cards (default: all) for a plan on a GPU; GpuprobeError for an unknown name."""
    known = {card.name: card for card in cards()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise GpuprobeError(f"there is no card '{unknown[0]}'", f"one of: {', '.join(known)}")
    return [outcome(known[name], plan, gpu) for name in names or known]
