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

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.gpu.llm.model import DTYPE, build, load
from gpuprobe.gpu.llm.plan import MODES, MOST_STEPS, Point, points
from gpuprobe.gpu.llm.steps import range_of, step_of

WARM_UPS = 3


def main(arguments: list[str]) -> int:
    """Run the points of the command line; with --results FILE their times as JSON.

    A point that fails (memory, a package that lacks, a step that cannot be captured) is told and left out.
    """
    given = _parser().parse_args(arguments)
    try:
        batches = [int(batch) for batch in given.batch.split(",")]
        chosen = points(given.model, given.phase.split(","), batches, given.context, given.mode)
        _check(given.device)
    except (GpuprobeError, ValueError) as error:
        return _tell(error if isinstance(error, GpuprobeError) else GpuprobeError(str(error)))
    done, failed, status = [], [], 0
    for point in chosen:
        try:
            done.append(run(point, given.steps, given.seconds, given.device))
        except GpuprobeError as error:
            failed.append({"name": point.name, "problem": error.message})
            status = _tell(error)
    if given.results:
        Path(given.results).write_text(json.dumps({"dtype": DTYPE, "points": done, "failed": failed}))
    return status


def _tell(error: GpuprobeError) -> int:
    sys.stderr.write(f"{error.message}\n  hint: {error.hint}\n")
    return int(error.exit_code)


def _check(device: str) -> None:
    if device == "cuda" and not load("torch").cuda.is_available():
        raise GpuprobeError("PyTorch finds no CUDA GPU here", "run it on a machine with a GPU", Exit.MACHINE_LACKS)


def run(point: Point, steps: int, seconds: float, device: str) -> dict[str, Any]:
    """One point: warmed up, then at least ``steps`` steps and ``seconds``; its description and seconds of each step.

    What torch could not do is a GpuprobeError.
    """
    torch = load("torch")
    torch.manual_seed(0)
    try:
        with torch.no_grad():
            times = _timed(point, steps, seconds, device)
    except torch.cuda.OutOfMemoryError as error:
        raise GpuprobeError(
            f"{point.name} does not fit into the GPU's memory",
            "choose a smaller --batch or --context",
            Exit.MACHINE_LACKS,
        ) from error
    except RuntimeError as error:  # the compiler's errors are of this kind too
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise GpuprobeError(f"{point.name} failed: {told}", "try --mode eager", Exit.CHECK_FAILED) from error
    finally:
        if device == "cuda":
            torch.cuda.empty_cache()
    return {**point.describe(), "name": point.name, "steps": len(times), "step_s": times}


def _timed(point: Point, steps: int, seconds: float, device: str) -> list[float]:
    torch = load("torch")
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    span = range_of(device)
    times: list[float] = []
    most = steps if seconds <= 0 else max(steps, MOST_STEPS)
    step = step_of(_model(point, device), point, device, most + WARM_UPS)
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
    return times


_BUILT: dict[str, Any] = {}


def _model(point: Point, device: str) -> Any:
    """The model of a point, built once; LoRA changes it, so its points get one of their own."""
    if point.phase == "lora":
        _BUILT.clear()
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
