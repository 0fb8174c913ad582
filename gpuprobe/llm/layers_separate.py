"""A model's layers as PyTorch runs transformers' model: every operator of its own, norms in fp32 by eight kernels.

The list is that of 661 kernels a step in the recorded H100 traces of Llama 3.2 1B (reports/h100-sxm/llama-1b).
"""

from __future__ import annotations

from gpuprobe.errors import GpuprobeError
from gpuprobe.llm.layers import attentions, ends, product
from gpuprobe.llm.operation import Operation, Traffic
from gpuprobe.llm.plan import ACTIVATION_BYTES, Plan
from gpuprobe.llm.step import Step

_ROTARY_TABLES = 12
"""Kernels that make the cosines and sines and the positions, once a step, all of them small."""


def operations(plan: Plan, step: Step) -> list[Operation]:
    """Every operation of one step; GpuprobeError for models that this list is not about."""
    model = plan.model
    if model.experts or model.norm != "rms" or model.positions or plan.tp > 1 or plan.weight_bytes == 1:
        raise GpuprobeError(
            f"the kernels of {model.name} as transformers runs them are not known here",
            "separate kernels are known of dense Llama-like models on one GPU in bf16 or fp16: use --kernels fused",
        )
    return [*_layer(plan, step), *_cache(plan, step), *attentions(plan, step), *_ends(plan, step)]


def _layer(plan: Plan, step: Step) -> list[Operation]:
    model, m, calls = plan.model, step.tokens, plan.model.layers
    queries, keys = model.heads * model.head_width, model.kv_heads * model.head_width
    row, inner = m * model.hidden * ACTIVATION_BYTES, m * model.ffn * ACTIVATION_BYTES
    linears = {
        "q": (queries, model.hidden), "k": (keys, model.hidden), "v": (keys, model.hidden),
        "attention out": (model.hidden, queries), "gate": (model.ffn, model.hidden),
        "up": (model.ffn, model.hidden), "down": (model.hidden, model.ffn),
    }  # fmt: skip
    return [
        *norms(model.norms_per_layer * calls, row),
        *(product(name, plan, m, n, k, calls) for name, (n, k) in linears.items()),
        *rotations(calls, m * queries * ACTIVATION_BYTES),
        *rotations(calls, m * keys * ACTIVATION_BYTES),
        Operation("silu", "elementwise", Traffic(2 * inner), calls),
        Operation("gate × up", "elementwise", Traffic(3 * inner), calls),
        Operation("residual", "elementwise", Traffic(3 * row), 2 * calls),
    ]


def norms(calls: int, row: int) -> list[Operation]:
    """RMSNorm in fp32 of ``row`` bytes of bf16: to fp32, square, mean, add, root, two products and back."""
    small = Traffic(0)
    return [
        Operation("norm: to fp32", "norm", Traffic(3 * row, strided=True), calls),
        Operation("norm: square", "norm", Traffic(4 * row), calls),
        Operation("norm: mean", "norm", Traffic(2 * row, rounds=3), calls),
        Operation("norm: add, root", "norm", small, 2 * calls),
        Operation("norm: scale", "norm", Traffic(4 * row, strided=True), calls),
        Operation("norm: to bf16", "norm", Traffic(3 * row), calls),
        Operation("norm: weight", "norm", Traffic(2 * row, strided=True), calls),
    ]


def rotations(calls: int, part: int) -> list[Operation]:
    """Rotary positions of ``part`` bytes: two products, half of it negated and joined, the sum."""
    return [
        Operation("rotary: products", "elementwise", Traffic(2 * part, strided=True), 2 * calls),
        Operation("rotary: negate", "elementwise", Traffic(part, strided=True), calls),
        Operation("rotary: join", "elementwise", Traffic(2 * part, strided=True), calls),
        Operation("rotary: sum", "elementwise", Traffic(3 * part, strided=True), calls),
    ]


def _cache(plan: Plan, step: Step) -> list[Operation]:
    """A new token is joined to the cache by copying all of it."""
    kept = step.sequences * step.keys * plan.model.kv_heads * plan.model.head_width * plan.kv_element_bytes
    return [Operation("cache: join", "kv copy", Traffic(2 * kept), 2 * plan.model.layers)]


def _ends(plan: Plan, step: Step) -> list[Operation]:
    """The last norm runs over all tokens; of the logits only those of the last tokens are computed."""
    fused = [one for one in ends(plan, step) if one.group != "norm"]
    row = step.tokens * plan.model.hidden * ACTIVATION_BYTES
    kept = fused if step.is_decode else [one for one in fused if one.group != "sampling"]
    tables = Operation("positions", "elementwise", Traffic(0), _ROTARY_TABLES)
    return [*norms(1, row), tables, *kept]
