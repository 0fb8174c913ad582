"""CUDA graphs: the host launches a step at once instead of kernel by kernel."""

from __future__ import annotations

from dataclasses import replace

from gpuprobe.errors import GpuprobeError
from gpuprobe.llm.cards.card import Card
from gpuprobe.llm.hardware import Hardware
from gpuprobe.llm.plan import Plan


def _apply(plan: Plan, _gpu: Hardware) -> Plan:
    if plan.mode == "graphs":
        raise GpuprobeError("the plan uses CUDA graphs already")
    return replace(plan, mode="graphs")


CARD = Card(
    "cuda-graphs",
    "a step is one launch",
    "the host's time per launch is that of one recorded host and program; graphs take memory of their own",
    _apply,
)
