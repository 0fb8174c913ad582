"""Predictions of language models against LLM-Inference-Bench (argonne-lcf, BSD-3-Clause): latency of whole requests.

    python benchmarks/llm_published.py llm_latency_a100_gh200.csv [--power llm_power_a100.csv]

The CSV has columns hardware, gpus, framework, model, input_len_and_output_len, batch, latency_s (fp16, input as long as
output). Its A100 is taken for the 40 GB SXM: caches stop fitting where that GPU's memory ends. A batch that does not
fit is served by continuous batching: batch / largest batch times the time of the largest. Rows faster than DRAM can
deliver the weights are dropped and counted. Errors in % as mean / median / 90th percentile, as predicted and after one
factor per group (the median ratio, fitted on the very rows); ``roofline`` is 2·P·tokens / peak + bytes / bandwidth by
the data sheet, over the number of GPUs. ``--power`` compares the mean power of a request too (column avg_power_w).
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gpuprobe import device
from gpuprobe.llm import LanguageModel, Plan, answer, load_model, loaded
from gpuprobe.llm.memory import largest_batch
from gpuprobe.llm.model import expected_experts

MODELS = {
    "mistralai/Mistral-7B-v0.1": "mistral-7b",
    "mistralai/Mixtral-8x7B-v0.1": "mixtral-8x7b",
    "meta-llama/Meta-Llama-3-8B": "llama-3-8b",
    "meta-llama/Meta-Llama-3-70B": "llama-3-70b",
    "meta-llama/Llama-2-7b-hf": "llama-2-7b",
    "meta-llama/Llama-2-70b-hf": "llama-2-70b",
    "huggyllama/llama-7b": "llama-7b",
    "facebook/opt-6.7b": "opt-6.7b",
    "Qwen/Qwen1.5-7B": "qwen1.5-7b",
    "Qwen/Qwen2-7B": "qwen2-7b",
}
GPUS = {"Nvidia A100 GPU": "a100-sxm-40gb", "Nvidia GH200 GPU": "gh200"}
FRAMEWORKS = ("TensorRT-LLM", "vLLM")
SLACK = 0.95
"""A row faster than this times the least time is impossible."""


@dataclass(frozen=True)
class Row:
    """A measured request beside what is predicted, s."""

    gpu: str
    framework: str
    model: str
    gpus: int
    batch: int
    fits: bool
    seen: float
    predicted: float
    low: float
    high: float
    roofline: float


def compare(path: Path) -> tuple[list[Row], int]:
    """Every row with its prediction, and how many were impossible."""
    rows, impossible = [], 0
    with path.open(newline="", encoding="utf-8") as file:
        for record in csv.DictReader(file):
            if record["model"] not in MODELS or record["framework"] not in FRAMEWORKS:
                continue
            found = _row(record)
            impossible += found is None
            rows += [] if found is None else [found]
    return rows, impossible


def _plan(record: dict[str, str]) -> tuple[str, Plan]:
    """The GPU and the plan of a line; prompts beyond what a model was made for were served all the same."""
    length = int(record["input_len_and_output_len"])
    model = load_model(MODELS[record["model"]])
    model = replace(model, max_context=max(model.max_context, 2 * length))
    return GPUS[record["hardware"]], Plan(model, int(record["batch"]), length, length, "fp16", tp=int(record["gpus"]))


def _row(record: dict[str, str]) -> Row | None:
    name, plan = _plan(record)
    model, length, batch, tp, seen = plan.model, plan.prompt, plan.batch, plan.tp, float(record["latency_s"])
    gpu, spec = loaded(name, "fp16"), device.load(name)
    bandwidth, peak = spec["dram_bandwidth_bytes_per_s"] * tp, spec["tensor_f16_flop_per_s"] * tp
    if seen < SLACK * length * _touched_bytes(model, batch) / bandwidth:
        return None
    most = largest_batch(plan, gpu)
    if not most:
        return None
    turns = max(batch / most, 1.0)
    found = answer(replace(plan, batch=min(batch, most)), gpu).latency_s
    width = model.heads * model.head_width
    flop = batch * length * (2 * model.active_parameters + 2 * model.layers * length * width)
    read = length * (2 * model.parameters + batch * model.kv_bytes(length * 3 // 2, 2))
    return Row(
        name, record["framework"], model.name, tp, batch, batch <= most, seen, turns * found.value, turns * found.low,
        turns * found.high, flop / peak + read / bandwidth,
    )  # fmt: skip


def _touched_bytes(model: LanguageModel, batch: int) -> float:
    """Bytes of the weights that a step of ``batch`` tokens reads at least, without the token embedding."""
    if not model.experts:
        return 2.0 * model.active_parameters
    idle = model.experts - expected_experts(model.experts, model.experts_per_token, batch)
    return 2.0 * (model.parameters - model.vocab * model.hidden - idle * model.layers * model.mlp_parameters)


def errors(rows: Sequence[Row], of: Callable[[Row], float]) -> str:
    """Mean / median / P90 of the absolute relative errors, the factor, and the same after it."""
    ratio = np.array([of(row) / row.seen for row in rows])
    factor = float(np.median(ratio))

    def line(values: np.ndarray) -> str:
        off = 100 * np.abs(values - 1)
        return f"{off.mean():.1f} / {np.median(off):.1f} / {np.quantile(off, 0.9):.0f}"

    return f"{line(ratio)} | {factor:.2f} | {line(ratio / factor)}"


def show(title: str, rows: Iterable[Row], key: Callable[[Row], str]) -> None:
    """A table: a line for each group."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    print(f"\n| {title} | rows | predicted | factor | after it | 90 % holds | roofline | factor | after it |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, members in sorted(groups.items()):
        held = np.mean([row.low <= row.seen <= row.high for row in members])
        ours, plain = errors(members, lambda row: row.predicted), errors(members, lambda row: row.roofline)
        print(f"| {name} | {len(members)} | {ours} | {held:.0%} | {plain} |")


def power(path: Path) -> None:
    """Mean power of a request, predicted and seen, W."""
    off: dict[str, list[float]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for record in csv.DictReader(file):
            if record["model"] in MODELS and record["framework"] in FRAMEWORKS:
                name, plan = _plan(record)
                gpu = loaded(name, "fp16")
                found = answer(replace(plan, batch=min(plan.batch, largest_batch(plan, gpu))), gpu)
                watts = found.energy_j.value / found.latency_s.value
                off.setdefault(name, []).append(watts / float(record["avg_power_w"]) - 1)
    print("\n| power | rows | bias | mean / median / worst error |\n|---|---|---|---|")
    for name, values in off.items():
        size = 100 * np.abs(values)
        sizes = f"{size.mean():.0f} / {np.median(size):.0f} / {size.max():.0f}"
        print(f"| {name} | {len(values)} | {np.mean(values):+.0%} | {sizes} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path)
    parser.add_argument("--power", type=Path)
    options = parser.parse_args()
    rows, impossible = compare(options.csv)
    print(f"{len(rows)} rows, {impossible} more are faster than memory allows, or fit at no batch")
    dense = [row for row in rows if row.model != "mixtral-8x7b"]
    show("all rows", rows, lambda row: f"{row.gpu}, {row.framework}")
    show("one GPU", (row for row in rows if row.gpus == 1), lambda row: f"{row.gpu}, {row.framework}")
    show("dense, by GPUs", dense, lambda row: f"{row.gpus} × {row.gpu}, {row.framework}")
    show("by model, one GPU", (row for row in rows if row.gpus == 1), lambda row: f"{row.framework}, {row.model}")
    show("by batch, one GPU", (row for row in rows if row.gpus == 1), lambda row: f"{row.framework}, {row.batch:2}")
    show("experts", (row for row in rows if row not in dense), lambda row: f"{row.gpus} × {row.gpu}, {row.framework}")
    show("does not fit at once", (row for row in rows if not row.fits), lambda row: f"{row.gpu}, {row.framework}")
    if options.power is not None:
        power(options.power)


if __name__ == "__main__":
    main()
