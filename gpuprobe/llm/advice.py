"""Advice as one document: how to batch, what long contexts cost, what techniques would change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from gpuprobe.llm.batching import batching
from gpuprobe.llm.cards import play
from gpuprobe.llm.context import long_context
from gpuprobe.llm.hardware import Hardware
from gpuprobe.llm.plan import Plan

SCHEMA: Final = 1


def advice(plan: Plan, gpu: Hardware, slo_s: float | None = None, cards: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON document of ``gpuprobe predict llm --advise --json``; cards are those named, or all."""
    return {
        "schema": SCHEMA,
        "model": plan.model.name,
        "gpu": gpu.name,
        "asked": {
            "batch": plan.batch, "prompt": plan.prompt, "output": plan.output, "dtype": plan.dtype,
            "kv_dtype": plan.kv_type, "tp": plan.tp, "mode": plan.mode, "kernels": plan.kernels,
        },
        "cards": play(plan, gpu, tuple(cards)),
        "batching": batching(plan, gpu, slo_s).document(),
        "contexts": long_context(plan, gpu),
    }  # fmt: skip
