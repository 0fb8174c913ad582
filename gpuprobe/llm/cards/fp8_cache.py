"""Keys and values in one byte: half the cache's bytes to keep and to read."""

from __future__ import annotations

from dataclasses import replace

from gpuprobe.errors import GpuprobeError
from gpuprobe.llm.cards.card import Card
from gpuprobe.llm.hardware import Hardware
from gpuprobe.llm.plan import Plan


def _apply(plan: Plan, _gpu: Hardware) -> Plan:
    if plan.kv_element_bytes == 1:
        raise GpuprobeError("the cache has one byte an element already")
    return replace(plan, kv_dtype="fp8")


CARD = Card(
    "fp8-cache",
    "keys and values in fp8 or int8",
    "converting back is taken to hide behind reading; accuracy is not predicted",
    _apply,
)
