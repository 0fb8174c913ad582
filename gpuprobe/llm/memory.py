"""What a plan takes of each GPU's memory, and how many sequences fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gpuprobe.llm.hardware import Hardware
from gpuprobe.llm.plan import ACTIVATION_BYTES, LARGEST_BATCH, Plan
from gpuprobe.llm.step import activation_bytes, decode_step, prefill_step


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU. ``reserve_bytes`` is an allowance for context, workspaces and fragmentation."""

    weights_bytes: int
    kv_bytes: int
    activation_bytes: int
    reserve_bytes: int
    capacity_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.weights_bytes + self.kv_bytes + self.activation_bytes + self.reserve_bytes

    @property
    def fits(self) -> bool:
        """Whether the GPU holds it."""
        return self.total_bytes <= self.capacity_bytes

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "weights_bytes": self.weights_bytes, "kv_bytes": self.kv_bytes, "activation_bytes": self.activation_bytes,
            "reserve_bytes": self.reserve_bytes, "total_bytes": self.total_bytes,
            "capacity_bytes": self.capacity_bytes, "fits": self.fits,
        }  # fmt: skip


def weights_bytes(plan: Plan) -> int:
    """Weights on one GPU: layers in the plan's type, embeddings and norms in two bytes, norms on every GPU."""
    model = plan.model
    router = model.layers * model.hidden * model.experts
    copied_kv = (plan.kv_heads_here * plan.tp - model.kv_heads) * 2 * model.head_width * model.hidden * model.layers
    linear = (model.linear_parameters - router + copied_kv) * plan.weight_bytes
    plain = (model.embedding_parameters + router) * ACTIVATION_BYTES
    return (linear + plain) // plan.tp + model.norm_parameters * ACTIVATION_BYTES


def memory(plan: Plan, gpu: Hardware) -> Memory:
    """At the end of the output, when the cache is largest; shared tokens are kept once."""
    own = plan.kv_bytes(plan.context) - plan.kv_bytes(plan.shared)
    active = max(activation_bytes(plan, step) for step in (prefill_step(plan), decode_step(plan)))
    return Memory(
        weights_bytes(plan),
        plan.batch * own + plan.kv_bytes(plan.shared),
        active,
        round(gpu["reserve_bytes"].value),
        round(gpu["memory_bytes"].value),
    )


def largest_batch(plan: Plan, gpu: Hardware) -> int:
    """The most sequences of this prompt and output that fit; 0 where not even one does."""
    low, high = 0, LARGEST_BATCH
    while low < high:
        middle = (low + high + 1) // 2
        if memory(replace(plan, batch=middle), gpu).fits:
            low = middle
        else:
            high = middle - 1
    return low
