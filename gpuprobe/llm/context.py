"""What long contexts cost: the four metrics of "Challenges in Deploying Long-Context Transformers" (arXiv:2405.08944).

Concurrency, prefill, decode and context switch by the paper's formulas (rebuilt from its text and checked on the
numbers that it quotes), on stated rates and on those that this project predicts with.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from gpuprobe.llm.hardware import Hardware
from gpuprobe.llm.memory import weights_bytes
from gpuprobe.llm.model import LanguageModel
from gpuprobe.llm.phase import phase
from gpuprobe.llm.plan import Plan
from gpuprobe.llm.step import decode_step, prefill_step


@dataclass(frozen=True)
class Rates:
    """What the formulas take of a GPU: bytes of memory, FLOP/s, bytes/s of memory and of the link to the host."""

    memory_bytes: float
    flop_per_s: float
    bytes_per_s: float
    host_bytes_per_s: float


def concurrency(memory_bytes: float, weights: float, kv_bytes: float) -> int:
    """Users whose caches fit beside the weights: floor((memory - weights) / cache of one)."""
    return max(math.floor((memory_bytes - weights) / kv_bytes), 0)


def prefill_flop(model: LanguageModel, tokens: int) -> float:
    """S·(2·P + 2·layers·S·d): two operations a weight and token, and attention's 4·S²·d a layer, halved by the mask."""
    width = model.heads * model.head_width
    return float(tokens) * (2.0 * model.active_parameters + 2.0 * model.layers * tokens * width)


def paper_prefill_flop(model: LanguageModel, tokens: int) -> float:
    """As the paper's numbers come out: S·(2·P + layers·S·d), which counts attention half."""
    return float(tokens) * (2.0 * model.active_parameters + model.layers * tokens * model.heads * model.head_width)


def decode_bytes(weights: float, kv_bytes: float) -> float:
    """Bytes read for a token of one user: all weights and the user's cache."""
    return weights + kv_bytes


def switch_s(kv_bytes: float, host_bytes_per_s: float) -> float:
    """One user's cache out to the host and another's in: 2·cache / link."""
    return 2.0 * kv_bytes / host_bytes_per_s


@dataclass(frozen=True)
class ContextCost:
    """The metrics at one context. ``formula_…`` are the paper's on stated rates, the others are predicted.

    ``sessions_per_hour``: rounds in which ``concurrency`` users are each read in, answered side by side, and switched.
    """

    context: int
    kv_bytes: int
    concurrency: int
    formula_prefill_s: float
    prefill_s: float
    formula_decode_s: float
    decode_s: float
    switch_s: float
    sessions_per_hour: float


def context_cost(plan: Plan, gpu: Hardware, prompt: int) -> ContextCost:
    """The metrics for prompts of ``prompt`` tokens and the plan's output."""
    one = replace(plan, batch=1, prompt=prompt)
    rates = Rates(
        gpu["memory_bytes"].value * plan.tp,
        gpu["peak"].value * plan.tp,
        gpu["dram_read"].value * plan.tp,
        gpu["host_link"].value * plan.tp,
    )
    kv = one.kv_bytes(one.context) * plan.tp
    weights = float(weights_bytes(one) * plan.tp)
    users = concurrency(rates.memory_bytes - gpu["reserve_bytes"].value * plan.tp, weights, kv)
    prefill = phase(one, prefill_step(one), gpu).time_s.value
    decode = phase(one, decode_step(one), gpu).time_s.value * plan.output
    switch = switch_s(kv, rates.host_bytes_per_s)
    read = plan.output * decode_bytes(weights, kv) / rates.bytes_per_s
    return ContextCost(
        prompt, kv, users, paper_prefill_flop(plan.model, prompt) / rates.flop_per_s, prefill, read, decode, switch,
        _sessions(one, users, prefill, switch, gpu),
    )  # fmt: skip


def _sessions(one: Plan, users: int, prefill_s: float, switch: float, gpu: Hardware) -> float:
    if not users:
        return 0.0
    together = replace(one, batch=users)
    decode = phase(together, decode_step(together), gpu).time_s.value * one.output
    return 3600.0 * users / (users * (prefill_s + switch) + decode)


def contexts(plan: Plan) -> list[int]:
    """Powers of two from 1,024 to the longest prompt that the model takes, and the plan's own."""
    longest = plan.model.max_context - plan.output
    powers = {1 << power for power in range(10, 24) if 1 << power <= longest}
    return sorted(powers | {plan.prompt, longest})


def long_context(plan: Plan, gpu: Hardware) -> list[dict[str, Any]]:
    """The metrics at every context of ``contexts``."""
    return [asdict(context_cost(plan, gpu, prompt)) for prompt in contexts(plan)]
