"""``gpuprobe trace``: analyse, compare and convert traces of GPU programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpuprobe.cli.output import emit_json, json_option, note, output_option, table, write_output
from gpuprobe.errors import GpuprobeError

if TYPE_CHECKING:
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


@click.group("trace")
def command() -> None:
    """Analyse, compare and convert traces: .gptrace, torch.profiler / Chrome JSON (.gz), nsys SQLite."""


@command.command("analyze")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option("--top", default=20, show_default=True, type=click.IntRange(1), help="Names to list.")
@click.option("--batch", "batches", metavar="B,B,…", help="The files are a sweep over these batch sizes.")
@json_option
@output_option
def analyze(files: tuple[Path, ...], top: int, batches: str | None, as_json: bool, output: Path | None) -> None:
    """Say where the time of a trace goes.

    Several FILEs are the ranks of one job, or with --batch the points of a sweep; one is in memory at a time.
    """
    sizes = None if batches is None else _batches(batches, len(files))
    if len(files) == 1 and sizes is None:
        document = _one(files[0], top, as_json)
        rows = document["kernels"]
    else:
        document = _several(files, top, sizes)
        rows = [row for part in document["files"] for row in part["kernels"]]
    if output is not None:
        write_output(output, document, KERNEL_COLUMNS, [[str(row[key]) for key in KERNEL_COLUMNS] for row in rows])
    if as_json:
        emit_json(document)
    else:
        _show(document, top)


def _one(path: Path, top: int, as_json: bool) -> dict[str, Any]:
    """The document of one file. Without GPU events the exact block is printed under --json before the error."""
    from gpuprobe.trace.analyze import analyze as analyse
    from gpuprobe.trace.analyze import exact_only, no_gpu_events
    from gpuprobe.trace.launches import join_launches
    from gpuprobe.trace.read import read_trace

    trace = read_trace(path)
    if len(trace.gpu.start) == 0:
        error = no_gpu_events(trace)
        if as_json:
            document = exact_only(trace, join_launches(trace), top)
            emit_json({**document, "warnings": [*document["warnings"], error.message]})
        raise error
    return analyse(trace, top)


def _several(files: tuple[Path, ...], top: int, sizes: list[float] | None) -> dict[str, Any]:
    """One document of several files: each file's own, and what they say together."""
    from gpuprobe.trace.analyze import SCHEMA
    from gpuprobe.trace.ranks import rank_report
    from gpuprobe.trace.verdict import turning_point

    points = [_point(path, top) for path in files]
    documents = [document for document, _ in points]
    if sizes is None:
        ranks = rank_report([rank for _, rank in points])
        return {"schema": SCHEMA, "files": documents, "ranks": ranks, "warnings": ranks["warnings"]}
    waits = [document["skip"]["tklqt"]["graph_once"] for document in documents]
    per_kernel = [wait["clamped_ns"] / wait["n"] if wait["n"] else 0.0 for wait in waits]
    floor = min((document["skip"]["floor"]["ns"] for document in documents), default=0)
    return {"schema": SCHEMA, "files": documents, "sweep": turning_point(sizes, per_kernel, floor), "warnings": []}


def _point(path: Path, top: int) -> tuple[dict[str, Any], Rank]:
    """A file's document and what is kept of it as a rank; its trace is dropped on return."""
    from gpuprobe.trace.analyze import analyze as analyse
    from gpuprobe.trace.ranks import summarise
    from gpuprobe.trace.read import read_trace

    trace = read_trace(path)
    return analyse(trace, top), summarise(trace)


def _batches(text: str, count: int) -> list[float]:
    try:
        sizes = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise GpuprobeError(f"--batch takes numbers, not '{text}'", "for example: --batch 1,4,16") from error
    if len(sizes) != count:
        raise GpuprobeError(f"--batch names {len(sizes)} sizes for {count} files", "name one size for each file")
    return sizes


@command.command("diff")
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option("--top", default=20, show_default=True, type=click.IntRange(1), help="Rows to print of each table.")
@json_option
@output_option
def diff_command(a: Path, b: Path, top: int, as_json: bool, output: Path | None) -> None:
    """Compare two traces by kernel, operator, phase and API call."""
    from gpuprobe.trace.diff import GROUPS, diff
    from gpuprobe.trace.read import read_trace

    document = diff(read_trace(a), read_trace(b))
    columns = ("name", "count_a", "count_b", "sum_a_ns", "sum_b_ns", "change_ns", "ratio", "verdict")
    if output is not None:
        rows = [["" if row[key] is None else str(row[key]) for key in columns] for row in document["kernels"]]
        write_output(output, document, columns, rows)
    if as_json:
        emit_json(document)
        return
    if not document["tested"]:
        note("too few steps in the traces to test differences: 3 or more in each are needed")
    for group in GROUPS:
        if document[group]:
            table(columns, [_cells(row, columns) for row in document[group][:top]], group, right=columns[1:-1])


@command.command("record", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-o", "--output", type=FILE, default=Path("trace.gptrace"), show_default=True, help="Where to write.")
@click.option("--phase", metavar="REGEX", help="Keep what runs in NVTX ranges whose name matches.")
@click.option(
    "--steps", metavar="A:B", help="Keep from the A-th to before the B-th such range (or range named like a step)."
)
@click.option("--seconds", type=click.FloatRange(0.001), help="Record so long from the first CUDA call on.")
@click.option(
    "--calls",
    type=click.Choice(["launch", "all"]),
    default="launch",
    show_default=True,
    help="Record calls that launch, move, wait or allocate, or all of them.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def record_command(output: Path, phase: str | None, steps: str | None, command: tuple[str, ...], **how: Any) -> int:
    """Run COMMAND, any CUDA program, and record what it does on the GPU.

    Children are recorded too; ranks of a job get a file each. Exits with COMMAND's own exit status.
    """
    from gpuprobe.trace.record.runner import Order, record
    from gpuprobe.trace.record.window import parse_window

    recording = record(Order(command, output, parse_window(phase, steps), **how))
    for line in recording.notes:
        note(line)
    for path, trace in zip(recording.files, recording.traces, strict=True):
        cost = trace.meta["recorder"]
        for warning in trace.warnings:
            note(f"warning: {_plain(warning, 200)}")
        note(
            f"{path}: {len(trace.gpu.start)} GPU events, {len(trace.calls.start)} calls, "
            f"{len(trace.ranges.start)} ranges, "
            f"{len(trace.samples.start)} samples; recorder: {cost['records']} records, {cost['dropped']} dropped, "
            f"{cost['bytes']} bytes, {cost['seconds']:.3f} s"
        )
    return recording.status


@command.command("export")
@click.argument("file", type=FILE)
@click.option("-o", "--output", required=True, type=FILE, metavar="OUT", help=f"Where to write: {EXPORTS}.")
def export(file: Path, output: Path) -> None:
    """Convert a trace to the own columnar format, Chrome/Perfetto JSON, or a CSV of its kernels."""
    from gpuprobe.trace.chrome import write_chrome
    from gpuprobe.trace.kernels import kernel_table
    from gpuprobe.trace.read import read_trace
    from gpuprobe.trace.store import write_trace

    writers = {".gptrace": write_trace, ".json": write_chrome, ".json.gz": write_chrome}
    suffix = next((suffix for suffix in (*writers, ".csv") if output.name.endswith(suffix)), None)
    if suffix is None:
        raise GpuprobeError(f"cannot write {output}: unknown suffix", f"use {EXPORTS}")
    trace = read_trace(file)
    for warning in trace.warnings:
        note(f"warning: {_plain(warning)}")
    if suffix == ".csv":
        rows = kernel_table(trace)
        write_output(output, rows, KERNEL_COLUMNS, [[str(row[key]) for key in KERNEL_COLUMNS] for row in rows])
    else:
        writers[suffix](trace, output)


def _show(document: dict[str, Any], top: int) -> None:
    for part in document.get("files", [document]):
        _show_one(part, top)
    if "ranks" in document:
        title = f"ranks; straggler: {document['ranks']['straggler']}"
        rows = document["ranks"]["ranks"]
        _show_rows(title, rows, "rank", "file", "waiting_ns", "came_last", "clock_offset_ns")
    if "sweep" in document:
        sweep = document["sweep"]
        title = f"sweep; turns from CPU- to GPU-bound at batch {sweep['turns_at']}"
        _show_rows(title, sweep["points"], "batch", "tklqt_per_kernel_ns")
    for warning in document.get("warnings", []) if "files" in document else []:
        note(f"warning: {_plain(warning)}")


def _show_one(document: dict[str, Any], top: int) -> None:
    verdict = document["verdict"]
    print(f"{_plain(document['file'])}: {verdict['bound']}-bound")
    evidence = [[key.replace("_", " "), _number(value)] for key, value in verdict.items() if key != "bound"]
    table(("evidence", "value"), evidence, right=("value",))
    _show_mapping("devices: where the time goes", document["breakdown"]["devices"])
    _show_mapping("idle by cause", {key: row["causes_ns"] for key, row in document["idle"].items()})
    spread = ("share", "median_ns", "p95_ns", "max_ns")
    _show_rows("kernels", document["kernels"][:top], "name", "count", "sum_ns", *spread)
    calls = ("calls", "gpu_events", "call_median_ns", "delay_median_ns")
    _show_rows("launches", document["launches"]["by_api"], "api", *calls)
    _show_mapping("launch-to-start time (TKLQT)", document["skip"]["tklqt"])
    _show_mapping("critical path", {"time": document["critical_path"]["bound_ns"]})
    fusion = document["fusion"]
    print(
        f"fusion: {fusion['candidates']} chains would save {fusion['launches_saved']} launches, {fusion['saved_ns']} ns"
    )
    for warning in document["warnings"]:
        note(f"warning: {_plain(warning)}")


def _show_rows(title: str, rows: list[dict[str, Any]], *columns: str) -> None:
    """Print some keys of rows as a table."""
    table(columns, [_cells(row, columns) for row in rows], title, right=columns[1:])


def _show_mapping(title: str, rows: dict[str, dict[str, Any]]) -> None:
    """Print a table of named rows that share their columns."""
    columns = ("", *next(iter(rows.values()))) if rows else ("",)
    cells = [[_plain(name), *(_number(row[key]) for key in columns[1:])] for name, row in rows.items()]
    table(columns, cells, title, right=columns[1:])


def _cells(row: dict[str, Any], columns: tuple[str, ...]) -> list[str]:
    return [_plain(row[key]) if isinstance(row[key], str) else _number(row[key]) for key in columns]


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) and abs(value) < 1e4 else f"{value:.0f}"


def _plain(text: str, width: int = 80) -> str:
    """Text of an untrusted file without control characters, cut to a width."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= width else shown[: width - 1] + "…"
