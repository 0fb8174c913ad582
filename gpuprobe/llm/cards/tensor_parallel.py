"""Tensor parallelism: every layer split over twice the GPUs, two all-reduces a layer."""

from __future__ import annotations

from dataclasses import replace

from gpuprobe.llm.cards.card import Card
from gpuprobe.llm.hardware import Hardware
from gpuprobe.llm.plan import Plan


def _apply(plan: Plan, _gpu: Hardware) -> Plan:
    return replace(plan, tp=2 * plan.tp)


CARD = Card(
    "tensor-parallel",
    "twice the GPUs",
    "links are by data sheet and one published data set, not measured; no overlap of communication is assumed",
    _apply,
)
