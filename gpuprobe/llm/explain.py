"""The formulas behind a prediction, each with its inputs and result: what ``--explain`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpuprobe.llm.answer import LlmPrediction
from gpuprobe.llm.context import concurrency, decode_bytes, prefill_flop, switch_s
from gpuprobe.llm.memory import weights_bytes
from gpuprobe.llm.step import decode_step, prefill_step


@dataclass(frozen=True)
class Formula:
    """``what`` = ``formula`` with ``inputs`` by symbol (value and unit) = ``value`` in ``unit``."""

    what: str
    formula: str
    inputs: Mapping[str, tuple[float, str]]
    value: float
    unit: str

    def document(self) -> dict[str, Any]:
        """As JSON."""
        inputs = {symbol: {"value": value, "unit": unit} for symbol, (value, unit) in self.inputs.items()}
        return {"what": self.what, "formula": self.formula, "inputs": inputs, "value": self.value, "unit": self.unit}


def formulas(found: LlmPrediction) -> list[Formula]:
    """Memory, the least times by arithmetic alone beside the predicted ones, and the metrics of long contexts."""
    return [*_memory(found), *_prefill(found), *_decode(found), *_context(found)]


def _memory(found: LlmPrediction) -> list[Formula]:
    plan, model = found.plan, found.plan.model
    kv = plan.kv_bytes(plan.context)
    return [
        Formula(
            "weights on one GPU", "(P_layers · b + P_embedding · 2) / tp + norms",
            {"P_layers": (model.linear_parameters, ""), "b": (plan.weight_bytes, "B"),
             "P_embedding": (model.embedding_parameters, ""), "tp": (plan.tp, "")},
            weights_bytes(plan), "B",
        ),
        Formula(
            "keys and values of one sequence on one GPU", "2 · layers · kv_heads / tp · head · b · S (windows cut S)",
            {"layers": (model.layers, ""), "kv_heads": (model.kv_heads, ""), "head": (model.head_width, ""),
             "b": (plan.kv_element_bytes, "B"), "S": (plan.context, "token"), "tp": (plan.tp, "")},
            kv, "B",
        ),
        Formula(
            "total on one GPU", "weights + batch · cache + activations + reserve",
            {"weights": (found.memory.weights_bytes, "B"), "batch · cache": (found.memory.kv_bytes, "B"),
             "activations": (found.memory.activation_bytes, "B"), "reserve": (found.memory.reserve_bytes, "B")},
            found.memory.total_bytes, "B",
        ),
    ]  # fmt: skip


def _prefill(found: LlmPrediction) -> list[Formula]:
    plan, step, peak = found.plan, prefill_step(found.plan), found.gpu["peak"].value * found.plan.tp
    flop = plan.batch * prefill_flop(plan.model, step.queries)
    return [
        Formula(
            "prefill at the peak", "batch · S · (2 · P_active + 2 · layers · S · heads · head) / peak",
            {"batch": (plan.batch, ""), "S": (step.queries, "token"), "P_active": (plan.model.active_parameters, ""),
             "layers": (plan.model.layers, ""), "heads · head": (plan.model.heads * plan.model.head_width, ""),
             "peak": (peak, "FLOP/s")},
            flop / peak, "s",
        ),
        _predicted("prefill as predicted", found.prefill.gpu_s.value, found.prefill.host_s.value,
                   found.prefill.time_s.value),
    ]  # fmt: skip


def _decode(found: LlmPrediction) -> list[Formula]:
    plan, keys = found.plan, decode_step(found.plan).keys
    kv = plan.batch * plan.kv_bytes(keys)
    weights, rate = weights_bytes(plan), found.gpu["dram_read"].value
    return [
        Formula(
            "a token if only memory counted (all experts)", "(weights + batch · cache(S)) / bandwidth",
            {"weights": (weights, "B"), "batch · cache(S)": (kv, "B"), "S": (keys, "token"),
             "bandwidth": (rate, "B/s")},
            decode_bytes(weights, kv) / rate, "s",
        ),
        _predicted("a token as predicted", found.decode.gpu_s.value, found.decode.host_s.value,
                   found.decode.time_s.value),
    ]  # fmt: skip


def _predicted(what: str, gpu_s: float, host_s: float, time_s: float) -> Formula:
    inputs = {"kernels": (gpu_s, "s"), "launches by the host": (host_s, "s")}
    return Formula(what, "max(sum of kernels and their gaps, launches by the host)", inputs, time_s, "s")


def _context(found: LlmPrediction) -> list[Formula]:
    plan, gpu = found.plan, found.gpu
    kv, weights = plan.kv_bytes(plan.context), weights_bytes(plan)
    memory, link = gpu["memory_bytes"].value, gpu["host_link"].value
    return [
        Formula(
            "users at once", "floor((memory - weights) / cache)",
            {"memory": (memory, "B"), "weights": (weights, "B"), "cache": (kv, "B")},
            concurrency(memory, weights, kv), "",
        ),
        Formula(
            "context switch", "2 · cache / link to the host", {"cache": (kv, "B"), "link": (link, "B/s")},
            switch_s(kv, link), "s",
        ),
    ]  # fmt: skip
