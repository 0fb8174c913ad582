"""Predictions of steps against recorded traces of ``gpuprobe workload`` (eager PyTorch, transformers).

    python benchmarks/llm_recorded.py [FOLDER] [--model llama-3.2-1b] [--gpu h100-sxm]

GPU: sum of the kernels' times a step. GEMMs: cuBLAS kernels and the sums of their parts. Step: host and GPU together.
Power: from the trace sweep's energy per token, where sweep.json lies beside the traces.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median

import numpy as np

from gpuprobe import load_trace, resources
from gpuprobe.llm import Plan, load_model, loaded
from gpuprobe.llm.phase import phase
from gpuprobe.llm.step import Step

GEMMS = ("nvjet", "splitK", "gemm", "cutlass")
SMALL = "sgemm"
"""The rotary table's product is none of the model's linear layers."""


def main() -> None:
    """Print one line for each trace."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=resources.folder("reports") / "h100-sxm" / "llama-1b")
    parser.add_argument("--model", default="llama-3.2-1b")
    parser.add_argument("--gpu", default="h100-sxm")
    options = parser.parse_args()
    watts = powers(options.folder / "sweep.json")
    print("| step | GPU, predicted / seen ms | | GEMMs | | 90 % holds | step | | power, W |")
    print("|---|---|---|---|---|---|---|---|---|")
    paths = sorted(options.folder.glob("*-eager.gptrace"), key=lambda path: (path.name.split("-b")[0], batch_of(path)))
    for path in paths:
        show(path, options, watts)


def batch_of(path: Path) -> int:
    """The batch in a trace's name."""
    return int(path.name.rsplit("-b", 1)[1].split("-")[0])


def powers(path: Path) -> dict[str, float]:
    """Mean power of a point by its file, W."""
    if not path.is_file():
        return {}
    points = [point for sweep in json.loads(path.read_text(encoding="utf-8"))["sweeps"] for point in sweep["points"]]
    return {point["file"]: point["energy_per_token_j"] * point["tokens_per_s"] for point in points}


def show(path: Path, options: argparse.Namespace, watts: dict[str, float]) -> None:
    """One trace beside its prediction."""
    trace = load_trace(path)
    workload = trace.meta["workload"]
    steps, batch, context = workload["steps"], workload["batch"], workload["context"]
    decodes = workload["phase"] == "decode"
    plan = Plan(load_model(options.model), batch, context, steps + 8, mode="eager", kernels="separate")
    step = Step(batch, 1, context + steps // 2) if decodes else Step(batch, context, context)
    found = phase(plan, step, loaded(options.gpu, "bf16"))
    is_gemm = np.array([any(part in text for part in GEMMS) and SMALL not in text for text in trace.texts])
    seen_gpu = trace.gpu.dur.sum() / steps * 1e-9
    seen_gemm = trace.gpu.dur[is_gemm[trace.gpu.name]].sum() / steps * 1e-9
    gemm = sum(one.total_s for one in found.parts if one.operation.group == "gemm")
    held = "yes" if found.gpu_s.low <= seen_gpu <= found.gpu_s.high else "no"
    seen_step = median(workload["step_s"])
    power = f"{found.power_w.value:.0f} / {watts[path.name]:.0f}" if path.name in watts else ""
    print(
        f"| {workload['phase']} {batch} | {pair(found.gpu_s.value, seen_gpu)} | {pair(gemm, seen_gemm)} | {held} "
        f"| {pair(found.time_s.value, seen_step)} | {power} |"
    )


def pair(predicted: float, seen: float) -> str:
    """Two times in ms and how far off the first is."""
    return f"{predicted * 1e3:.2f} / {seen * 1e3:.2f} | {predicted / seen - 1:+.0%}"


if __name__ == "__main__":
    main()
