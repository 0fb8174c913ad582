"""``gpuprobe workload``: trace an LLM with random weights over phases and batches."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpuprobe.cli.output import emit_json, json_option, note, table
from gpuprobe.errors import GpuprobeError

if TYPE_CHECKING:
    from gpuprobe.gpu.llm.plan import Point


@click.command("workload")
@click.argument("model", required=False)
@click.option("--phase", "phases", default="prefill,decode", show_default=True, help="prefill, decode, lora.")
@click.option("--batch", "batches", default="1,4,16,64", show_default=True, metavar="B,B,…", help="Sequences at once.")
@click.option("--context", default=512, show_default=True, type=click.IntRange(1), help="Tokens of each sequence.")
@click.option("--mode", type=click.Choice(["eager", "compile", "graph"]), default="eager", show_default=True)
@click.option("--steps", default=10, show_default=True, type=click.IntRange(1, 512), help="Steps of each point.")
@click.option("--seconds", default=0.0, show_default=True, help="Go on with a point for so long (512 steps at most).")
@click.option("--torch-ops", is_flag=True, help="Record operators with shapes: for the roofline, at some cost.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), default=Path("traces"), show_default=True
)
@click.option("--list", "listing", is_flag=True, help="List the models.")
@json_option
def command(model: str | None, output: Path, listing: bool, as_json: bool, torch_ops: bool, **chosen: Any) -> int:
    """Trace MODEL with random weights: one file for each phase and batch in the output folder, and the sweep.

    Needs PyTorch and transformers (LoRA: peft) and a GPU; nothing is downloaded. What runs is an ordinary program:
    python -m gpuprobe.gpu.llm MODEL.
    """
    from gpuprobe.gpu.llm.plan import MODELS, points

    if listing or model is None:
        return _list(MODELS, as_json, listing)
    phases, batches = chosen["phases"].split(","), _numbers(chosen["batches"])
    wanted = points(model, phases, batches, chosen["context"], chosen["mode"])
    output.mkdir(parents=True, exist_ok=True)
    files, status = _record(wanted, output, chosen["steps"], chosen["seconds"], torch_ops)
    if not files:
        return status or 1
    from gpuprobe.cli.trace import sweep_of
    from gpuprobe.cli.trace_view import show_sweep

    report = sweep_of(files)
    (output / "sweep.json").write_text(json.dumps(report, indent=1))
    if as_json:
        emit_json(report)
    else:
        show_sweep(report)
    return status


def _record(points: list[Point], folder: Path, steps: int, seconds: float, torch_ops: bool) -> tuple[list[Path], int]:
    """Record the program once, write a file for each point; the files and the program's exit status."""
    from gpuprobe.trace.record.runner import Order, record
    from gpuprobe.trace.store import write_trace
    from gpuprobe.trace.sweep import split

    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        results = Path(temporary) / "results.json"
        program = _program(points, steps, seconds, results)
        recording = record(Order(program, Path(temporary) / "all.gptrace", torch_ops=torch_ops))
        for line in recording.notes:
            note(line)
        if not results.is_file() or not recording.traces:
            return [], recording.status
        done = json.loads(results.read_text())
    for failure in done["failed"]:
        note(f"no trace of a point: {failure['problem']}")
    described = [{**point, "dtype": done["dtype"]} for point in done["points"]]
    names = {point.name: point.file for point in points}
    files = []
    for point, part in zip(described, split(recording.traces[0], described), strict=True):
        path = folder / f"{names[point['name']]}.gptrace"
        write_trace(replace(part, meta={**part.meta, "source": {**part.meta["source"], "file": path.name}}), path)
        note(f"{path}: {len(part.gpu.start)} GPU events")
        files.append(path)
    return files, recording.status


def _program(points: list[Point], steps: int, seconds: float, results: Path) -> tuple[str, ...]:
    """The command line of the traced program."""
    first = points[0]
    options = {
        "--phase": ",".join(dict.fromkeys(point.phase for point in points)),
        "--batch": ",".join(dict.fromkeys(str(point.batch) for point in points)),
        "--context": str(first.context),
        "--mode": first.mode,
        "--steps": str(steps),
        "--seconds": str(seconds),
        "--results": str(results),
    }
    pairs = [part for pair in options.items() for part in pair]
    return (sys.executable, "-m", "gpuprobe.gpu.llm", first.model, *pairs)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise GpuprobeError(f"--batch takes whole numbers, not '{text}'", "for example: --batch 1,4,16") from error


def _list(models: Any, as_json: bool, listing: bool) -> int:
    if not listing:
        raise GpuprobeError("no model given", f"one of: {', '.join(models)}")
    if as_json:
        emit_json([{"name": name, "family": row.family, "about": row.about} for name, row in models.items()])
    else:
        table(("model", "family", "about"), [[name, row.family, row.about] for name, row in models.items()])
    return 0
