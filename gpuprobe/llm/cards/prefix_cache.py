"""Prefix caching: half of every prompt is the same and lies in the cache."""

from __future__ import annotations

from dataclasses import replace

from gpuprobe.errors import GpuprobeError
from gpuprobe.llm.cards.card import Card
from gpuprobe.llm.hardware import Hardware
from gpuprobe.llm.plan import Plan


def _apply(plan: Plan, _gpu: Hardware) -> Plan:
    if plan.shared:
        raise GpuprobeError(f"{plan.shared} tokens of every prompt are shared already")
    if plan.prompt < 2:
        raise GpuprobeError("a prompt of one token has no prefix")
    return replace(plan, shared=plan.prompt // 2)


CARD = Card(
    "prefix-cache",
    "half of every prompt is shared: kept once, not computed again",
    "decoding is taken to read the shared part for every sequence; looking the prefix up costs nothing here",
    _apply,
)
