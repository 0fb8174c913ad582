"""Weights in fp8: half the bytes of the layers, twice the rate of the matrix units; embeddings stay as they are."""

from __future__ import annotations

from dataclasses import replace

from gpuprobe.errors import GpuprobeError
from gpuprobe.llm.cards.card import Card
from gpuprobe.llm.hardware import Hardware
from gpuprobe.llm.plan import Plan


def _apply(plan: Plan, gpu: Hardware) -> Plan:
    if plan.dtype == "fp8":
        raise GpuprobeError("the weights are fp8 already")
    if not gpu.has_fp8:
        raise GpuprobeError(f"{gpu.name} has no matrix units for fp8")
    return replace(plan, dtype="fp8", kv_dtype=plan.kv_type)


CARD = Card(
    "fp8-weights",
    "weights and GEMM inputs in fp8 (e4m3), scaled by tensor or row",
    "accuracy is not predicted; block-wise scales cost more than those of rows",
    _apply,
)
