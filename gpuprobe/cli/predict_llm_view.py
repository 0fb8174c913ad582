"""What ``gpuprobe predict llm`` prints: one prediction, a table of several, formulas, advice, the list of models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpuprobe.cli.output import emit_json, table
from gpuprobe.errors import Exit
from gpuprobe.llm import LlmPrediction, models
from gpuprobe.llm.explain import formulas
from gpuprobe.report.format import quantity, share

COLUMNS = (
    "model", "gpu", "tp", "batch", "prompt", "output", "dtype", "prefill_s", "time_per_token_s", "time_per_token_s_low",
    "time_per_token_s_high", "tokens_per_s", "energy_per_token_j", "power_w", "memory_bytes", "fits", "bound",
    "in_domain",
)  # fmt: skip
"""Columns of a written table, SI units; tokens and energy are of the whole request, power is of decode."""
_SHOWN_OPS = 8


def rows(found: Sequence[LlmPrediction]) -> list[list[str]]:
    """A row of COLUMNS for each prediction."""
    return [[str(value) for value in _values(one)] for one in found]


def _values(one: LlmPrediction) -> list[Any]:
    plan, decode = one.plan, one.decode
    return [
        plan.model.name, one.gpu.name, plan.tp, plan.batch, plan.prompt, plan.output, plan.dtype,
        one.prefill.time_s.value, *decode.time_s, one.tokens_per_s.value,
        one.energy_j.value / (plan.batch * plan.output), decode.power_w.value, one.memory.total_bytes,
        one.memory.fits, decode.bound, one.in_domain,
    ]  # fmt: skip


def show_one(found: LlmPrediction) -> None:
    """One prediction: phases with intervals, memory, and the longest operations of a decoding step."""
    plan, memory = found.plan, found.memory
    lines = [
        _line("prefill", found.prefill.time_s, "s", found.prefill.bound),
        _line("time to a further token", found.decode.time_s, "s", found.decode.bound),
        _line("whole request", found.latency_s, "s", ""),
        _line("tokens generated", found.tokens_per_s, "1/s", ""),
        _line("power, prefill", found.prefill.power_w, "W", ""),
        _line("power, decode", found.decode.power_w, "W", ""),
        [
            "energy of a token",
            *(quantity(value / (plan.batch * plan.output), "J") for value in found.energy_j),
            "prompt included",
        ],
    ]
    where = f"{plan.tp} × {found.gpu.product}" if plan.tp > 1 else found.gpu.product
    title = f"{plan.model.name} on {where}: batch {plan.batch}, {plan.prompt} + {plan.output} tokens, {plan.dtype}"
    table(["", "predicted", "low", "high", "bound by"], lines, title, right=("predicted", "low", "high"))
    _operations(found)
    fits = "fits" if memory.fits else "DOES NOT FIT"
    print(
        f"memory of each GPU: weights {quantity(memory.weights_bytes, 'B')}, cache {quantity(memory.kv_bytes, 'B')}, "
        f"activations {quantity(memory.activation_bytes, 'B')}, reserve {quantity(memory.reserve_bytes, 'B')}: "
        f"{quantity(memory.total_bytes, 'B')} of {quantity(memory.capacity_bytes, 'B')}, {fits}"
    )
    inside = "inside" if found.in_domain else "outside"
    print(f"{inside} the data of this GPU; {found.decode.kernels} kernels a token; intervals hold 90 % (docs/llm.md)")


def _line(name: str, values: Sequence[float], unit: str, bound: str) -> list[str]:
    return [name, *(quantity(value, unit) for value in values), bound]


def _operations(found: LlmPrediction) -> None:
    listed = found.decode.by_op()[:_SHOWN_OPS]
    lines = [
        [row["op"], str(row["calls"]), quantity(row["time_s"], "s"), share(row["share"]), row["bound"], row["origin"]]
        for row in listed
    ]
    table(["a token's operations", "calls", "time", "share", "bound by", "by"], lines, right=("calls", "time", "share"))


def show_table(found: Sequence[LlmPrediction]) -> None:
    """Several predictions side by side."""
    lines = [
        [
            one.gpu.name,
            str(one.plan.tp),
            str(one.plan.batch),
            str(one.plan.prompt),
            quantity(one.prefill.time_s.value, "s"),
            quantity(one.decode.time_s.value, "s"),
            f"{quantity(one.decode.time_s.low, 's')} to {quantity(one.decode.time_s.high, 's')}",
            f"{one.tokens_per_s.value:.0f}",
            quantity(one.energy_j.value / (one.plan.batch * one.plan.output), "J"),
            quantity(one.memory.total_bytes, "B") + ("" if one.memory.fits else " too much"),
            one.decode.bound,
            "yes" if one.in_domain else "no",
        ]
        for one in found
    ]
    plan = found[0].plan
    title = f"{plan.model.name}, {plan.output} tokens generated, {plan.dtype}; energy per token of the whole request"
    names = ("gpu", "tp", "batch", "prompt", "prefill", "a token", "90 %", "tokens/s", "J/token", "memory", "bound by",
             "data")  # fmt: skip
    table(names, lines, title, right=names[1:6] + names[7:10])


def show_formulas(found: LlmPrediction) -> None:
    """The formulas with their inputs, then every number with its origin."""
    lines = [
        [
            one.what,
            one.formula,
            ", ".join(f"{symbol} = {quantity(value, unit).strip()}" for symbol, (value, unit) in one.inputs.items()),
            quantity(one.value, one.unit).strip(),
        ]
        for one in formulas(found)
    ]
    table(("what", "formula", "with", "is"), lines, "How it is computed", right=("is",))
    numbers = [
        [
            name,
            quantity(one.value, one.unit),
            quantity(one.low, one.unit),
            quantity(one.high, one.unit),
            one.origin,
            one.source,
        ]
        for name, one in found.gpu.numbers.items()
    ]
    table(("number", "value", "low", "high", "origin", "source"), numbers, "From", right=("value", "low", "high"))


def show_advice(document: dict[str, Any]) -> None:
    """Batching, long contexts and cards."""
    batching = document["batching"]
    _batching(batching)
    lines = [
        [str(row["context"]), str(row["concurrency"]), *(quantity(row[key], "s") for key in _TIMES),
         f"{row['sessions_per_hour']:.0f}"]
        for row in document["contexts"]
    ]  # fmt: skip
    names = ("prompt", "users at once", "prefill", "its formula", "answer", "its formula", "switch", "sessions/h")
    table(names, lines, "Long contexts, a user at a time", right=names)
    cards = [
        [row["card"], *([row["why_not"], *[""] * 4] if row["why_not"] else _changes(row)), row["caveat"]]
        for row in document["cards"]
    ]
    heads = ("what if", "a token", "tokens/s", "J/token", "memory", "prefill", "left out")
    table(heads, cards, f"Cards at batch {document['asked']['batch']}: after / before")


_TIMES = ("prefill_s", "formula_prefill_s", "decode_s", "formula_decode_s", "switch_s")


def _changes(row: dict[str, Any]) -> list[str]:
    keys = ("time_per_token_s", "tokens_per_s", "energy_per_token_j", "memory_bytes", "prefill_s")
    return [f"×{row['ratio'][key]:.2f}" for key in keys]


def _batching(batching: dict[str, Any]) -> None:
    lines = [
        [
            str(one["batch"]),
            quantity(one["time_per_token_s"], "s"),
            f"{one['tokens_per_s']:.0f}",
            quantity(one["energy_per_token_j"], "J"),
            share(one["scaling"]),
            share(one["launch_share"]),
            one["bound"],
        ]
        for one in batching["points"]
    ]
    names = ("batch", "a token", "tokens/s", "J/token", "of perfect scaling", "launches", "bound by")
    table(names, lines, "Batching", right=names[:-1])
    knee = batching["knee_batch"]
    if knee:
        print(
            f"knee: batch {knee}, {share(batching['knee_share_of_best_tokens_per_s'])} of the best throughput with "
            f"{share(batching['knee_share_of_largest_kv'])} of the cache (a token within "
            f"{quantity(batching['slo_s'], 's')}, scaling above {batching['epsilon']:.0%})"
        )
    else:
        print(f"knee: none; no batch answers within {quantity(batching['slo_s'], 's')}: use --tp, fp8 or a faster GPU")
    below = batching["launches_matter_below_batch"]
    print(f"largest batch: {batching['largest_batch']}; launches take under a tenth from batch {below or '–'} on")


def show_models(as_json: bool) -> int:
    """The models by name."""
    known = list(models().values())
    if as_json:
        emit_json(
            [
                {
                    "name": one.name,
                    "family": one.family,
                    "parameters": one.parameters,
                    "active_parameters": one.active_parameters,
                    "layers": one.layers,
                    "kv_bytes_per_token": one.kv_bytes_per_token(2),
                    "max_context": one.max_context,
                    "source": one.source,
                }
                for one in known
            ]
        )
        return Exit.DONE
    lines = [
        [one.name, f"{one.parameters / 1e9:.2f} B", str(one.layers), str(one.max_context),
         quantity(one.kv_bytes_per_token(2), "B"), one.source]
        for one in known
    ]  # fmt: skip
    names = ("model", "parameters", "layers", "context", "cache a token", "source")
    table(names, lines, right=names[1:5])
    return Exit.DONE
