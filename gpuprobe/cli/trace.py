"""``gpuprobe trace``: analyse, compare and convert traces of GPU programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpuprobe.cli.output import emit_json, json_option, note, output_option, table, write_output
from gpuprobe.cli.trace_view import WARNING_WIDTH, cells, plain, show, show_sweep
from gpuprobe.errors import GpuprobeError

if TYPE_CHECKING:
    from gpuprobe.trace.model import Trace
    from gpuprobe.trace.ranks import Rank

KERNEL_COLUMNS = (
    "name",
    "work",
    "count",
    "sum_ns",
    "share",
    "min_ns",
    "mean_ns",
    "median_ns",
    "p95_ns",
    "max_ns",
    "std_ns",
)
EXPORTS = ".gptrace, .json, .json.gz (Chrome/Perfetto) or .csv (kernels)"
FILE = click.Path(path_type=Path)


def window_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose a part of a trace: ``phase`` and ``steps``."""
    steps = click.option(
        "--steps", metavar="A:B", help="Only from the A-th to before the B-th such range (or range named like a step)."
    )
    phase = click.option("--phase", metavar="REGEX", help="Only what ran in ranges whose name matches.")
    return phase(steps(function))


def part_of(path: Path, phase: str | None, steps: str | None) -> Trace:
    """The part of a trace file that the options choose."""
    from gpuprobe.trace.read import read_trace
    from gpuprobe.trace.record.window import parse_window, part

    window = parse_window(phase, steps)
    return part(read_trace(path), window)


def _not_empty(trace: Trace) -> Trace:
    """The trace; GpuprobeError where it holds no event of any kind."""
    from gpuprobe.trace.analyze import no_gpu_events

    if not any(len(events.start) for events in (trace.gpu, trace.calls, trace.ranges)):
        raise no_gpu_events(trace)
    return trace


@click.group("trace")
def command() -> None:
    """Analyse, compare and convert traces: .gptrace, torch.profiler / Chrome JSON (.gz), nsys SQLite."""


@command.command("analyze")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option("--top", default=20, show_default=True, type=click.IntRange(1), help="Names to list.")
@click.option("--batch", "batches", metavar="B,B,…", help="The files are a sweep over these batch sizes.")
@window_options
@json_option
@output_option
def analyze(
    files: tuple[Path, ...], top: int, batches: str | None, as_json: bool, output: Path | None, **window: str | None
) -> None:
    """Say where the time of a trace goes.

    Several FILEs are the ranks of one job, or with --batch the points of a sweep; one is in memory at a time.
    """
    sizes = None if batches is None else _batches(batches, len(files))
    if len(files) == 1 and sizes is None:
        document = _one(files[0], top, as_json, **window)
        rows = document["kernels"]
    else:
        document = _several(files, top, sizes, **window)
        rows = [row for part in document["files"] for row in part["kernels"]]
    if output is not None:
        write_output(output, document, KERNEL_COLUMNS, [[str(row[key]) for key in KERNEL_COLUMNS] for row in rows])
    if as_json:
        emit_json(document)
    else:
        show(document, top)


def _one(path: Path, top: int, as_json: bool, phase: str | None = None, steps: str | None = None) -> dict[str, Any]:
    """The document of one file. Without GPU events the exact block is printed under --json before the error."""
    from gpuprobe.trace.analyze import analyze as analyse
    from gpuprobe.trace.analyze import exact_only, no_gpu_events
    from gpuprobe.trace.launches import join_launches

    trace = part_of(path, phase, steps)
    if len(trace.gpu.start) == 0:
        error = no_gpu_events(trace)
        if as_json:
            document = exact_only(trace, join_launches(trace), top)
            emit_json({**document, "warnings": [*document["warnings"], error.message]})
        raise error
    return analyse(trace, top)


def _several(files: tuple[Path, ...], top: int, sizes: list[float] | None, **window: str | None) -> dict[str, Any]:
    """One document of several files: each file's own, and what they say together."""
    from gpuprobe.trace.analyze import SCHEMA
    from gpuprobe.trace.ranks import rank_report
    from gpuprobe.trace.verdict import turning_point

    points = [_point(path, top, **window) for path in files]
    documents = [document for document, _ in points]
    if sizes is None:
        ranks = rank_report([rank for _, rank in points])
        return {"schema": SCHEMA, "files": documents, "ranks": ranks, "warnings": ranks["warnings"]}
    waits = [document["skip"]["tklqt"]["graph_once"] for document in documents]
    per_kernel = [wait["clamped_ns"] / wait["n"] if wait["n"] else 0.0 for wait in waits]
    floor = min((document["skip"]["floor"]["ns"] for document in documents), default=0)
    return {"schema": SCHEMA, "files": documents, "sweep": turning_point(sizes, per_kernel, floor), "warnings": []}


def _point(path: Path, top: int, phase: str | None, steps: str | None) -> tuple[dict[str, Any], Rank]:
    """A file's document and what is kept of it as a rank; its trace is dropped on return."""
    from gpuprobe.trace.analyze import analyze as analyse
    from gpuprobe.trace.ranks import summarise

    trace = part_of(path, phase, steps)
    return analyse(trace, top), summarise(trace)


def _batches(text: str, count: int) -> list[float]:
    try:
        sizes = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise GpuprobeError(f"--batch takes numbers, not '{text}'", "for example: --batch 1,4,16") from error
    if len(sizes) != count:
        raise GpuprobeError(f"--batch names {len(sizes)} sizes for {count} files", "name one size for each file")
    return sizes


@command.command("sweep")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@json_option
@output_option
def sweep_command(files: tuple[Path, ...], as_json: bool, output: Path | None) -> None:
    """Say at which batch a workload turns from CPU- to GPU-bound, from the files of: gpuprobe workload."""
    report = sweep_of(list(files))
    if output is not None:
        points = [point for series in report["sweeps"] for point in series["points"]]
        columns = list(points[0]) if points else []
        write_output(output, report, columns, [[str(point[key]) for key in columns] for point in points])
    if as_json:
        emit_json(report)
    else:
        show_sweep(report)


def sweep_of(files: list[Path]) -> dict[str, Any]:
    """The document of a sweep; one trace is in memory at a time."""
    from gpuprobe.trace.analyze import SCHEMA
    from gpuprobe.trace.sweep import point_row, sweep_report

    return {"schema": SCHEMA, "sweeps": sweep_report(point_row(_one(path, 20, False)) for path in files)}


@command.command("diff")
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option("--top", default=20, show_default=True, type=click.IntRange(1), help="Rows to print of each table.")
@window_options
@json_option
@output_option
def diff_command(a: Path, b: Path, top: int, as_json: bool, output: Path | None, **window: str | None) -> None:
    """Compare two traces by kernel, operator, phase and API call."""
    from gpuprobe.trace.analyze import SCHEMA
    from gpuprobe.trace.diff import GROUPS, diff

    document = {"schema": SCHEMA, **diff(*(_not_empty(part_of(path, **window)) for path in (a, b)))}
    columns = ("name", "count_a", "count_b", "sum_a_ns", "sum_b_ns", "change_ns", "ratio", "per_step_ratio", "verdict")
    if output is not None:
        rows = [["" if row[key] is None else str(row[key]) for key in columns] for row in document["kernels"]]
        write_output(output, document, columns, rows)
    if as_json:
        emit_json(document)
        return
    if document["tested"]:
        shown: tuple[str, ...] = ("name", "count_a", "count_b", "per_step_a_ns", "per_step_b_ns", "per_step_ratio")
        shown = (*shown, "verdict")
        note(f"steps: {document['steps'][0]} in a, {document['steps'][1]} in b; times are the median of a step")
    else:
        shown = columns
        note("too few steps in the traces to test differences: 3 or more in each are needed")
    for group in GROUPS:
        if document[group]:
            table(shown, [cells(row, shown) for row in document[group][:top]], group, right=shown[1:-1])


@command.command("record", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-o", "--output", type=FILE, default=Path("trace.gptrace"), show_default=True, help="Where to write.")
@click.option("--phase", metavar="REGEX", help="Keep what runs in NVTX ranges whose name matches.")
@click.option(
    "--steps", metavar="A:B", help="Keep from the A-th to before the B-th such range (or range named like a step)."
)
@click.option(
    "--delay", type=click.FloatRange(0.001), help="Begin to record so many seconds after the first CUDA call."
)
@click.option("--seconds", type=click.FloatRange(0.001), help="Record so long, from the first CUDA call or --delay on.")
@click.option(
    "--calls",
    type=click.Choice(["none", "launch", "all"]),
    default="launch",
    show_default=True,
    help="Record calls that launch, move, wait or allocate, all of them, or none.",
)
@click.option(
    "--graphs",
    type=click.Choice(["nodes", "whole"]),
    default="nodes",
    show_default=True,
    help="Record the kernels in CUDA graphs, or each launch of a graph as one (much cheaper).",
)
@click.option(
    "--sample", metavar="ON:OFF", help="Record windows of ON milliseconds with pauses of OFF on average, and estimate."
)
@click.option(
    "--capture",
    type=click.Choice(["all", "profiler-api"]),
    default="all",
    show_default=True,
    help="Record everything, or between cudaProfilerStart and cudaProfilerStop.",
)
@click.option("--syncs", is_flag=True, help="Record which stream or event each wait was for (costs every launch).")
@click.option("--torch-ops", is_flag=True, help="Record torch's operators with shapes too (costs some us each).")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def record_command(
    output: Path, phase: str | None, steps: str | None, sample: str | None, command: tuple[str, ...], **how: Any
) -> int:
    """Run COMMAND, any CUDA program, and record what it does on the GPU.

    Children are recorded too; ranks of a job get a file each. Exits with COMMAND's own exit status.
    """
    from gpuprobe.trace.record.runner import Order, record
    from gpuprobe.trace.record.window import parse_sample, parse_window

    if sample is not None and how["capture"] != "all":
        raise GpuprobeError("--sample and --capture profiler-api both choose what to record", "use one of them")
    if how["delay"] is not None and how["capture"] != "all":
        raise GpuprobeError("--delay and --capture profiler-api both choose when to begin", "use one of them")
    recording = record(Order(command, output, parse_window(phase, steps), sample=parse_sample(sample), **how))
    for line in recording.notes:
        note(line)
    for path, trace in zip(recording.files, recording.traces, strict=True):
        for warning in trace.warnings:
            note(f"warning: {plain(warning, WARNING_WIDTH)}")
        tables = f"{len(trace.calls.start)} calls, {len(trace.ranges.start)} ranges, {len(trace.samples.start)} samples"
        note(f"{path}: {len(trace.gpu.start)} GPU events, {tables}{_cost(trace.meta)}")
    return recording.status


def _cost(meta: Mapping[str, Any]) -> str:
    """What the recorder itself cost; nothing where another one recorded."""
    if "recorder" not in meta:
        return ""
    cost = meta["recorder"]
    lost = f"{cost['dropped']} dropped, {cost['bytes']} bytes, {cost['seconds']:.3f} s"
    return f"; recorder: {cost['records']} records, {lost}"


@command.command("export")
@click.argument("file", type=FILE)
@click.option("-o", "--output", required=True, type=FILE, metavar="OUT", help=f"Where to write: {EXPORTS}.")
@window_options
def export(file: Path, output: Path, phase: str | None, steps: str | None) -> None:
    """Convert a trace to the own columnar format, Chrome/Perfetto JSON, or a CSV of its kernels."""
    from gpuprobe.trace.chrome import write_chrome
    from gpuprobe.trace.kernels import kernel_table
    from gpuprobe.trace.store import write_trace

    writers = {".gptrace": write_trace, ".json": write_chrome, ".json.gz": write_chrome}
    suffix = next((suffix for suffix in (*writers, ".csv") if output.name.endswith(suffix)), None)
    if suffix is None:
        raise GpuprobeError(f"cannot write {output}: unknown suffix", f"use {EXPORTS}")
    trace = _not_empty(part_of(file, phase, steps))
    for warning in trace.warnings:
        note(f"warning: {plain(warning, WARNING_WIDTH)}")
    if suffix == ".csv":
        rows = kernel_table(trace)
        write_output(output, rows, KERNEL_COLUMNS, [[str(row[key]) for key in KERNEL_COLUMNS] for row in rows])
    else:
        writers[suffix](trace, output)


@command.command("report")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="TRACE...")
@click.option("-o", "--output", type=FILE, default=Path("report.html"), show_default=True, help="Where to write.")
@click.pass_context
def report_command(context: click.Context, files: tuple[Path, ...], output: Path) -> None:
    """Write one HTML page about traces: timeline, flame picture, kernels, operators, energy (as gpuprobe report)."""
    from gpuprobe.cli.report import checked_page, command

    context.invoke(command, files=files, output=checked_page(output), as_json=False)
