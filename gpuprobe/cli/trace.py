"""``gpuprobe trace``: analyse, compare and convert traces of GPU programs."""

from __future__ import annotations

from collections.abc import Mapping
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
WARNING_WIDTH = 300
"""Characters: warnings are ours, but name what files hold."""


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


def show_sweep(report: dict[str, Any]) -> None:
    """Print the points of each series and where it turns."""
    for series in report["sweeps"]:
        what = f"{series['model']} {series['phase']}, context {series['context']}, {series['mode']}"
        turn = series["turns_at"]
        print(f"{what}: " + ("stays CPU-bound" if turn is None else f"turns GPU-bound at batch {turn}"))
        print(f"  {series['evidence']}")
        columns = ("batch", "step_ns", "tokens_per_s", "kernels_per_step", "tklqt_per_kernel_ns", "gpu_busy_share")
        _show_rows("points", series["points"], *columns, "found_idle_share", "bound", "energy_per_token_j")


@command.command("diff")
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option("--top", default=20, show_default=True, type=click.IntRange(1), help="Rows to print of each table.")
@json_option
@output_option
def diff_command(a: Path, b: Path, top: int, as_json: bool, output: Path | None) -> None:
    """Compare two traces by kernel, operator, phase and API call."""
    from gpuprobe.trace.analyze import SCHEMA
    from gpuprobe.trace.diff import GROUPS, diff
    from gpuprobe.trace.read import read_trace

    document = {"schema": SCHEMA, **diff(read_trace(a), read_trace(b))}
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
            table(shown, [_cells(row, shown) for row in document[group][:top]], group, right=shown[1:-1])


@command.command("record", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-o", "--output", type=FILE, default=Path("trace.gptrace"), show_default=True, help="Where to write.")
@click.option("--phase", metavar="REGEX", help="Keep what runs in NVTX ranges whose name matches.")
@click.option(
    "--steps", metavar="A:B", help="Keep from the A-th to before the B-th such range (or range named like a step)."
)
@click.option("--seconds", type=click.FloatRange(0.001), help="Record so long from the first CUDA call on.")
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
    recording = record(Order(command, output, parse_window(phase, steps), sample=parse_sample(sample), **how))
    for line in recording.notes:
        note(line)
    for path, trace in zip(recording.files, recording.traces, strict=True):
        for warning in trace.warnings:
            note(f"warning: {_plain(warning, WARNING_WIDTH)}")
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
        note(f"warning: {_plain(warning, WARNING_WIDTH)}")
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
        note(f"warning: {_plain(warning, WARNING_WIDTH)}")


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
    _show_roofline(document["roofline"], top)
    _show_energy(document["energy"])
    fusion = document["fusion"]
    print(
        f"fusion: {fusion['candidates']} chains would save {fusion['launches_saved']} launches, {fusion['saved_ns']} ns"
    )
    for warning in document["warnings"]:
        note(f"warning: {_plain(warning, WARNING_WIDTH)}")


def _show_roofline(roofline: dict[str, Any], top: int) -> None:
    """Operators by what they take beyond the expected time."""
    for problem in roofline["problems"]:
        note(f"roofline: {problem}")
    if not roofline["operators"]:
        return
    columns = ("name", "shapes", "calls", "median_ns", "bound", "share_of_limit", "expected_ns", "excess_ns", "outlier")
    rows = [
        {**row, "shapes": str(row["shapes"])[:60], "outlier": row["outlier"] or ""} for row in roofline["operators"]
    ]
    title = f"operators against the limits ({roofline['covered_share']:.0%} of kernel time has shapes)"
    _show_rows(title, [{**row, "bound": row["bound"] or ""} for row in rows[:top]], *columns)


def _show_energy(energy: dict[str, Any]) -> None:
    """Energy by class and phase, or why there is none."""
    for problem in energy["problems"]:
        note(f"energy: {problem}")
    for label, device in energy["devices"].items():
        title = f"energy of device {label}: {device['total_j']:.4g} J in {device['seconds']:.3g} s"
        _show_mapping(f"{title}, {device['ticks']} ticks", device["classes"])
        told = {name: row for name, row in device["phases"].items() if "energy_j" in row}
        columns = ("count", "seconds", "energy_j", "energy_j_low", "energy_j_high")
        _show_mapping("energy by phase", {name: {key: row[key] for key in columns} for name, row in told.items()})


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
