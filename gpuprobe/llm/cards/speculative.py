"""Speculative decoding: a small model drafts tokens, the large one checks them in one step (arXiv:2211.17192).

With an acceptance rate a and k drafted tokens a check yields (1 - a^(k+1)) / (1 - a) tokens on average, if acceptances
are independent.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gpuprobe.errors import GpuprobeError
from gpuprobe.llm.cards.card import Card, Measures
from gpuprobe.llm.catalogue import models
from gpuprobe.llm.hardware import Hardware
from gpuprobe.llm.memory import memory
from gpuprobe.llm.model import LanguageModel
from gpuprobe.llm.phase import phase
from gpuprobe.llm.plan import Plan
from gpuprobe.llm.step import Step, decode_step, prefill_step

ACCEPTANCE: Final = 0.7
DRAFTED: Final = 4
_SMALLER: Final = 5
"""A draft has a fifth of the parameters at most."""


def tokens_per_check(acceptance: float, drafted: int) -> float:
    """Tokens that one check yields, its own included."""
    if acceptance >= 1.0:
        return drafted + 1.0
    return float((1.0 - acceptance ** (drafted + 1)) / (1.0 - acceptance))


def draft_of(model: LanguageModel) -> LanguageModel:
    """The smallest model of the family with as many tokens (within 1 %); GpuprobeError where there is none."""
    fitting = [
        one
        for one in models().values()
        if one.family == model.family
        and abs(one.vocab / model.vocab - 1) < 0.01
        and one.parameters * _SMALLER <= model.parameters
    ]
    if not fitting:
        raise GpuprobeError(f"no small model with the vocabulary of {model.name} is known here")
    return min(fitting, key=lambda one: one.parameters)


def _apply(plan: Plan, gpu: Hardware) -> Measures:
    draft = draft_of(plan.model)
    if draft.heads % plan.tp or draft.max_context < plan.context:
        raise GpuprobeError(f"{draft.name} cannot draft for this plan")
    small = replace(plan, model=draft, tp=1, kernels="fused", dtype="fp16" if plan.dtype == "fp16" else "bf16")
    step = decode_step(plan)
    check = phase(plan, Step(plan.batch, DRAFTED + 1, step.keys + DRAFTED), gpu)
    drafting = phase(small, decode_step(small), gpu)
    won = tokens_per_check(ACCEPTANCE, DRAFTED)
    time_s = (check.time_s.value + DRAFTED * drafting.time_s.value) / won
    energy_j = (check.energy_j.value + DRAFTED * drafting.energy_j.value) / won
    first = [phase(one, prefill_step(one), gpu) for one in (plan, small)]
    prefill_s, prefill_j = sum(one.time_s.value for one in first), sum(one.energy_j.value for one in first)
    latency_s = prefill_s + (plan.output - 1) * time_s
    tokens = plan.batch * plan.output
    return {
        "prefill_s": prefill_s,
        "time_per_token_s": time_s,
        "tokens_per_s": tokens / latency_s,
        "energy_per_token_j": (prefill_j + (plan.output - 1) * energy_j) / tokens,
        "memory_bytes": float(memory(plan, gpu).total_bytes + memory(small, gpu).weights_bytes
                              + memory(small, gpu).kv_bytes),
    }  # fmt: skip


CARD = Card(
    "speculative",
    f"{DRAFTED} tokens drafted by the family's smallest model, {ACCEPTANCE:.0%} accepted",
    "the acceptance rate is assumed, it depends on the text; the draft runs on one GPU",
    _apply,
)
