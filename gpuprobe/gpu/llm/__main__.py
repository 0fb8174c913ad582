"""The traced program: ``python -m gpuprobe.gpu.llm llama-1b --phase decode --batch 1,4 --context 512``.

An ordinary script: ``gpuprobe trace record`` runs it like any other, and it runs without a recorder too. NVTX ranges
tell a trace what is what: one for each point (its name), in it ``ProfilerStep#i``, in that the phase. Warm-up runs
outside of them. Each step ends with a wait for the GPU, as serving waits for the token it sends.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from gpuprobe.errors import GpuprobeError
from gpuprobe.gpu.llm.model import DTYPE, build, load
from gpuprobe.gpu.llm.plan import MODES, MOST_STEPS, Point, points
from gpuprobe.gpu.llm.steps import range_of, step_of

WARM_UPS = 3


def main(arguments: list[str]) -> int:
    """Run the points of the command line; with --results FILE their times as JSON."""
    given = _parser().parse_args(arguments)
    batches = [int(batch) for batch in given.batch.split(",")]
    try:
        chosen = points(given.model, given.phase.split(","), batches, given.context, given.mode)
        results = [run(point, given.steps, given.seconds, given.device) for point in chosen]
    except GpuprobeError as error:
        sys.stderr.write(f"{error.message}\n  hint: {error.hint}\n")
        return int(error.exit_code)
    if given.results:
        Path(given.results).write_text(json.dumps({"dtype": DTYPE, "points": results}))
    return 0


def run(point: Point, steps: int, seconds: float, device: str) -> dict[str, Any]:
    """One point: warmed up, then at least ``steps`` steps and ``seconds``; its description and seconds of each step."""
    torch = load("torch")
    torch.manual_seed(0)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    span = range_of(device)
    times: list[float] = []
    with torch.no_grad():
        model = _model(point, device)
        most = steps if seconds <= 0 else max(steps, MOST_STEPS)
        step = step_of(model, point, device, most + WARM_UPS)
        for _ in range(WARM_UPS):
            step()
        wait()
        with span(point.name):
            while len(times) < steps or (sum(times) < seconds and len(times) < most):
                begin = time.perf_counter()
                with span(f"ProfilerStep#{len(times)}"), span(point.phase):
                    step()
                    wait()
                times.append(time.perf_counter() - begin)
    return {**point.describe(), "name": point.name, "steps": len(times), "step_s": times}


_BUILT: dict[str, Any] = {}


def _model(point: Point, device: str) -> Any:
    """The model of a point, built once; LoRA changes it, so its points get one of their own."""
    if point.phase == "lora":
        return build(point.model, device)
    if point.model not in _BUILT:
        _BUILT[point.model] = build(point.model, device)
    return _BUILT[point.model]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gpuprobe.gpu.llm", description="Run an LLM with random weights.")
    parser.add_argument("model")
    parser.add_argument("--phase", default="decode")
    parser.add_argument("--batch", default="1")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--mode", choices=MODES, default="eager")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--results", default="")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
