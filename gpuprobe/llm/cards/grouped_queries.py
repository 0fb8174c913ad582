"""Grouped queries: eight heads of keys and values where every query head has its own."""

from __future__ import annotations

from dataclasses import replace

from gpuprobe.errors import GpuprobeError
from gpuprobe.llm.cards.card import Card
from gpuprobe.llm.hardware import Hardware
from gpuprobe.llm.plan import Plan

GROUPS = 8


def _apply(plan: Plan, _gpu: Hardware) -> Plan:
    model = plan.model
    if model.kv_heads < model.heads:
        raise GpuprobeError(f"{model.name} groups its queries already: {model.heads} over {model.kv_heads}")
    if model.heads <= GROUPS or model.heads % GROUPS:
        raise GpuprobeError(f"{model.heads} heads do not divide into {GROUPS} groups")
    return replace(plan, model=replace(model, kv_heads=GROUPS))


CARD = Card(
    "grouped-queries",
    "8 heads of keys and values (GQA, arXiv:2305.13245)",
    "it is another model: it must be trained so",
    _apply,
)
