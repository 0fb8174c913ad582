"""Fused kernels: norms, rotations and activations in one kernel each, QKV and gate-up in one GEMM, a cache in place."""

from __future__ import annotations

from dataclasses import replace

from gpuprobe.errors import GpuprobeError
from gpuprobe.llm.cards.card import Card
from gpuprobe.llm.hardware import Hardware
from gpuprobe.llm.plan import Plan


def _apply(plan: Plan, _gpu: Hardware) -> Plan:
    if plan.kernels == "fused":
        raise GpuprobeError("the plan uses fused kernels already")
    return replace(plan, kernels="fused")


CARD = Card("fused-kernels", "a serving engine's kernels instead of PyTorch's operators", "", _apply)
