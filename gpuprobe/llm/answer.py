"""The answer to a plan on a GPU: prefill, decode, whole request, memory, and the numbers behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gpuprobe import tabular
from gpuprobe.llm.combine import inverse, scaled, total
from gpuprobe.llm.hardware import Hardware
from gpuprobe.llm.memory import Memory, memory
from gpuprobe.llm.phase import Phase, named, phase
from gpuprobe.llm.plan import Plan
from gpuprobe.llm.step import decode_step, prefill_step
from gpuprobe.predict import Interval
from gpuprobe.units import quantity

SCHEMA: Final = 1


@dataclass(frozen=True)
class LlmPrediction:
    """What is predicted of a plan: ``prefill`` is the prompts' step, ``decode`` a step in the middle of the output."""

    plan: Plan
    gpu: Hardware
    prefill: Phase
    decode: Phase
    memory: Memory

    @property
    def latency_s(self) -> Interval:
        """From the prompt to the last token; the first comes out of the prefill."""
        return total([(self.prefill.time_s, 1), (self.decode.time_s, self.plan.output - 1)])

    @property
    def energy_j(self) -> Interval:
        """Of the whole batch, prompt and output."""
        return total([(self.prefill.energy_j, 1), (self.decode.energy_j, self.plan.output - 1)])

    @property
    def tokens_per_s(self) -> Interval:
        """Generated tokens a second of all sequences, prefill included."""
        return inverse(self.latency_s, self.plan.batch * self.plan.output)

    @property
    def in_domain(self) -> bool:
        """Whether data stand behind both phases."""
        return self.prefill.in_domain and self.decode.in_domain

    def document(self) -> dict[str, Any]:
        """The JSON document of ``gpuprobe predict llm --json``; times in s, energy in J of all GPUs."""
        plan = self.plan
        return {
            "schema": SCHEMA,
            "model": plan.model.name,
            "gpu": self.gpu.name,
            "asked": {
                "batch": plan.batch, "prompt": plan.prompt, "output": plan.output, "dtype": plan.dtype,
                "kv_dtype": plan.kv_type, "tp": plan.tp, "mode": plan.mode, "kernels": plan.kernels,
                "shared": plan.shared,
            },
            "prefill": {
                **named("time_s", self.prefill.time_s),
                **_rate(self.prefill, plan.batch * (plan.prompt - plan.shared)),
                **named("energy_j", self.prefill.energy_j),
                **_facts(self.prefill),
            },
            "decode": {
                **named("time_per_token_s", self.decode.time_s),
                **_rate(self.decode, plan.batch),
                **named("energy_per_token_j", scaled(self.decode.energy_j, 1 / plan.batch)),
                **_facts(self.decode),
            },
            "request": {
                **named("latency_s", self.latency_s),
                **named("tokens_per_s", self.tokens_per_s),
                **named("energy_j", self.energy_j),
                **named("energy_per_token_j", scaled(self.energy_j, 1 / (plan.batch * plan.output))),
            },
            "memory": self.memory.document(),
            "in_domain": self.in_domain,
            "numbers": {name: one.document() for name, one in self.gpu.numbers.items()},
        }  # fmt: skip

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        plan, rows = self.plan, []
        for name, value, unit in (
            ("prefill", self.prefill.time_s, "s"),
            ("decode, a token", self.decode.time_s, "s"),
            ("whole request", self.latency_s, "s"),
        ):
            rows.append((name, *(quantity(one, unit) for one in value)))
        title = f"{plan.model.name} on {self.gpu.product}, batch {plan.batch}, {plan.prompt} + {plan.output} tokens"
        return tabular.html(title, ("", "predicted", "low", "high"), rows)


def _rate(one: Phase, tokens: int) -> dict[str, float]:
    return named("tokens_per_s", inverse(one.time_s, tokens))


def _facts(one: Phase) -> dict[str, Any]:
    return {
        **named("power_w", one.power_w),
        "bound": one.bound,
        "kernels": one.kernels,
        "host_s": one.host_s.value,
        "in_domain": one.in_domain,
        "by_op": one.by_op(),
    }


def answer(plan: Plan, gpu: Hardware) -> LlmPrediction:
    """The prediction of a plan on a GPU."""
    return LlmPrediction(
        plan, gpu, phase(plan, prefill_step(plan), gpu), phase(plan, decode_step(plan), gpu), memory(plan, gpu)
    )
