"""A model's layers as the kernels that serving engines run: norms, activations and rotations fused, one GEMM for QKV.

Every shape is that of one of ``plan.tp`` GPUs. What is left out: the engine's own work between steps.
"""

from __future__ import annotations

import math
from typing import Final

from gpuprobe.llm.model import expected_experts
from gpuprobe.llm.operation import Choice, Exchange, Operation, Product, Traffic
from gpuprobe.llm.plan import ACTIVATION_BYTES, Plan
from gpuprobe.llm.step import Step
from gpuprobe.ops.gemm import Gemm

_COLUMNS: Final = 64


def operations(plan: Plan, step: Step) -> list[Operation]:
    """Every operation of one step."""
    layers = fused_layer(plan, step)
    return [*layers, *attentions(plan, step), *ends(plan, step)]


def fused_layer(plan: Plan, step: Step) -> list[Operation]:
    """All of a layer but its attention, for every layer and pass."""
    model, passes = plan.model, step.passes(plan)
    calls, m = model.layers * passes, math.ceil(step.tokens / passes)
    row = m * model.hidden * ACTIVATION_BYTES
    qkv = (model.heads // plan.tp + 2 * plan.kv_heads_here) * model.head_width
    heads = model.heads * model.head_width // plan.tp
    written = 2 * plan.kv_heads_here * model.head_width * m * plan.kv_element_bytes
    found = [
        Operation("norm", "norm", Traffic(4 * row), model.norms_per_layer * calls),
        product("qkv", plan, m, qkv, model.hidden, calls),
        Operation("rotary, cache", "elementwise", Traffic(2 * m * qkv * ACTIVATION_BYTES + written), calls),
        product("attention out", plan, m, model.hidden, heads, calls),
        *(experts(plan, m, calls) if model.experts else mlp(plan, m, calls)),
    ]
    if plan.weight_bytes == 1:  # attention's and the activation's results are scaled to fp8 by kernels of their own
        routed = m * max(model.experts_per_token, 1)
        found.append(Operation("heads to fp8", "elementwise", Traffic(3 * m * heads), calls))
        found.append(Operation("activation to fp8", "elementwise", Traffic(3 * routed * model.ffn // plan.tp), calls))
    if plan.tp > 1:
        found.append(Operation("all-reduce", "communication", Exchange(row, plan.tp), 2 * calls))
    return found


def product(name: str, plan: Plan, m: int, n: int, k: int, calls: int, *, grouped: bool = False) -> Operation:
    """A linear layer's GEMM."""
    return Operation(name, "gemm", Product(Gemm(m, n, k, plan.dtype), grouped), calls)


def mlp(plan: Plan, m: int, calls: int) -> list[Operation]:
    """A dense MLP: up (and gate), activation, down."""
    model, inner = plan.model, plan.model.ffn // plan.tp
    return [
        product("mlp up", plan, m, model.up_width // plan.tp, model.hidden, calls),
        Operation("activation", "elementwise", Traffic(activated(plan, m)), calls),
        product("mlp down", plan, m, model.hidden, inner, calls),
    ]


def activated(plan: Plan, rows: int) -> int:
    """Bytes read and written by the MLP's activation."""
    return rows * (plan.model.up_width + plan.model.ffn) // plan.tp * ACTIVATION_BYTES


def experts(plan: Plan, m: int, calls: int) -> list[Operation]:
    """A mixture of experts as two grouped GEMMs over the experts that are expected to be active.

    Each active expert multiplies its share of the tokens; experts side by side cost like one GEMM with as many times
    the columns (the same multiplications, the same weights read once).
    """
    model, inner = plan.model, plan.model.ffn // plan.tp
    active = expected_experts(model.experts, model.experts_per_token, m)
    rows = max(round(m * model.experts_per_token / active), 1)
    up, down = (padded(round(active * width)) for width in (model.up_width // plan.tp, model.hidden))
    routed = m * model.experts_per_token
    moved = 2 * routed * model.hidden * ACTIVATION_BYTES
    return [
        Operation("router", "gemm", Product(Gemm(m, model.experts, model.hidden, _plain(plan))), calls),
        Operation("choose, sort", "elementwise", Traffic(8 * m * model.experts + moved, rounds=3), calls, 3),
        product("experts up", plan, rows, up, model.hidden, calls, grouped=True),
        Operation("activation", "elementwise", Traffic(activated(plan, routed)), calls),
        product("experts down", plan, rows, down, inner, calls, grouped=True),
        Operation("combine", "elementwise", Traffic(moved), calls),
    ]


def attentions(plan: Plan, step: Step) -> list[Operation]:
    """Attention of the layers that see everything and of those with a window; decoding joins parts of the cache."""
    model = plan.model
    kernels = 2 if step.is_decode else 1
    counts = {False: model.layers - model.windowed_layers, True: model.windowed_layers}
    return [
        Operation("attention, window" if windowed else "attention", "attention", step.attention(plan, windowed), count,
                  kernels)
        for windowed, count in counts.items()
        if count
    ]  # fmt: skip


def ends(plan: Plan, step: Step) -> list[Operation]:
    """What comes before and after the layers: embedding, last norm, logits of the last tokens, choosing one."""
    model, rows = plan.model, step.sequences
    width = model.hidden * ACTIVATION_BYTES
    vocab = math.ceil(model.vocab / plan.tp)
    head = Gemm(rows, padded(vocab) if plan.kernels == "fused" else vocab, model.hidden, _plain(plan))
    found = [
        Operation("embedding", "embedding", Traffic(2 * step.tokens * width), 1),
        Operation("last norm", "norm", Traffic(2 * step.tokens * width), 1),
        Operation("logits", "gemm", Product(head), 1),
        Operation("choose token", "sampling", Choice(rows, model.vocab), 1),
    ]
    if plan.tp > 1:
        half = rows * model.vocab * ACTIVATION_BYTES // 2  # a gather sends each byte once, an all-reduce twice
        found.append(Operation("all-gather", "communication", Exchange(half, plan.tp), 1))
    return found


def padded(columns: int) -> int:
    """Columns as engines pad them, so that no kernel for ragged sizes is needed."""
    return math.ceil(columns / _COLUMNS) * _COLUMNS


def _plain(plan: Plan) -> str:
    """Type of the GEMMs that are not quantised."""
    return "bf16" if plan.dtype == "fp8" else plan.dtype
