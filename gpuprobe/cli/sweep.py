"""``gpuprobe sweep gemm``: time GEMMs of many shapes on this GPU, resumably, with the kernels the library chose."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from gpuprobe.cli.output import Progress as Line
from gpuprobe.cli.output import emit_json, json_option, note
from gpuprobe.errors import Exit
from gpuprobe.gpu.gemm_timer import GemmTimer
from gpuprobe.ops.gemm import DTYPES, LAYOUTS, REGIMES
from gpuprobe.ops.tiling import FORMS, INPUT_BYTES
from gpuprobe.predict import Predictor
from gpuprobe.sweep.campaign import Campaign, read_shapes
from gpuprobe.sweep.doubt import Doubt
from gpuprobe.sweep.export import export, suffix
from gpuprobe.sweep.journal import Journal, read_journal
from gpuprobe.sweep.runner import Order, Progress, Session

_DEFAULT_COUNT = 2000
_MOST = 1_000_000
"""GEMMs and configurations beyond this are a slip of the keyboard: drawing them would take for ever."""

_WARM_UP_S = 1.0


def _choices(known: tuple[str, ...]) -> Callable[[click.Context, click.Parameter, str], tuple[str, ...]]:
    def parse(_: click.Context, parameter: click.Parameter, text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise click.BadParameter(f"'{text}': use a comma list of {', '.join(known)}", param=parameter)
        return names

    return parse


@click.group()
def command() -> None:
    """Measure data sets on this GPU."""


@command.command("gemm")
@click.option(
    "--dtype",
    "dtypes",
    default="bf16",
    callback=_choices(tuple(DTYPES)),
    show_default=True,
    help=f"Types, a comma list of {', '.join(DTYPES)}; one named twice is timed twice as often.",
)
@click.option(
    "--layout",
    "layouts",
    default="tn",
    callback=_choices(LAYOUTS),
    show_default=True,
    help="Layouts of B: tn (n×k, as in a linear layer), nn (k×n).",
)
@click.option(
    "--regime",
    "regimes",
    default="hot,cold",
    callback=_choices(REGIMES),
    show_default=True,
    help="Regimes: hot (operands in L2), cold (from DRAM), sustained (1.25 s each, with power).",
)
@click.option(
    "--count",
    type=click.IntRange(0, _MOST),
    help=f"GEMMs in all  [default: {_DEFAULT_COUNT}; with --seconds, as many as fit].",
)
@click.option("--seconds", type=click.FloatRange(min=0), help="End within so many seconds, start and files included.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the shapes.")
@click.option(
    "--shapes", type=click.Path(path_type=Path), help="CSV of m,n,k[,dtype,layout] to time instead of samples."
)
@click.option(
    "--unsure",
    metavar="GPU",
    help="Active learning: every second GEMM is of 16 samples the one that this device's predictor is least sure of.",
)
@click.option("--gpu", type=click.IntRange(min=0), default=0, show_default=True, help="CUDA's index of the GPU.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("gemm.jsonl.gz"),
    show_default=True,
    help="Rows: .jsonl, .jsonl.gz, .csv or .parquet; the same command continues from FILE.journal beside it.",
)
@json_option
def gemm(**options: Any) -> int:
    """Time GEMMs of many shapes, with the kernels the library chose.

    LLM layers, log-uniform, ragged and skinny sizes, tile and wave edges; mixed so that a part is a fair sample.
    Ctrl-C ends it and keeps everything; the same command goes on.
    """
    begin_s = time.perf_counter()
    output: Path = options["output"]
    suffix(output)
    campaign, order = _campaign(options), _order(options)
    path = output.with_name(output.name + ".journal")
    records = read_journal(path)
    with _interruptible() as stop, _timer(options["gpu"]) as timer, Journal(path) as journal:
        session = Session(timer, campaign, journal, records)
        if order.seconds is not None:
            order = replace(order, seconds=order.seconds - (time.perf_counter() - begin_s))
        done, named = _measure(session, order, stop)
    rows = export(output, read_journal(path))
    summary = {
        "timed": done.timed,
        "unsupported": done.refused,
        "earlier": done.earlier,
        "kernels_named": named,
        "rows": rows,
        "seconds": round(time.perf_counter() - begin_s, 1),
        "seconds_each": round(done.each_s, 4),
        "interrupted": stop.is_set(),
        "output": str(output),
        "journal": str(path),
    }
    if options["as_json"]:
        emit_json(summary)
    else:
        note(
            f"{done.timed} GEMMs timed ({done.each_s * 1e3:.1f} ms each), {done.refused} unsupported, "
            f"{done.earlier} from before, {named} kernels named, {rows} rows in {output}"
        )
    return int(Exit.INTERRUPTED if stop.is_set() else Exit.DONE)


@command.command("kernel")
@click.option(
    "--kernel",
    "forms",
    default=",".join(FORMS),
    callback=_choices(FORMS),
    show_default=True,
    help="Kernels, a comma list.",
)
@click.option(
    "--dtype",
    "dtypes",
    default="bf16,bf16,fp16,fp8",
    callback=_choices(tuple(INPUT_BYTES)),
    show_default=True,
    help="Types, a comma list; one named twice gets twice as many GEMMs.",
)
@click.option("--shapes", type=click.IntRange(1, _MOST), default=160, show_default=True, help="GEMMs.")
@click.option("--configs", type=click.IntRange(1, _MOST), default=130, show_default=True, help="Configurations a GEMM.")
@click.option(
    "--pool",
    type=click.IntRange(1, _MOST),
    default=240,
    show_default=True,
    help="Configurations compiled a kernel and type.",
)
@click.option("--long-k", is_flag=True, help="Every third GEMM has few tiles and a long k: latency bounds it.")
@click.option("--seconds", type=click.FloatRange(min=0), help="End within so many seconds, compiling included.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of GEMMs and configurations.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("tiles.jsonl"),
    show_default=True,
    help="Journal of the sweep, a JSON line a GEMM; the same command continues it.",
)
@json_option
def kernel(**options: Any) -> int:
    """Time configurations of tiled Triton GEMM kernels: tile, stages, warps, order of tiles.

    Ctrl-C ends it and keeps every finished GEMM; the same command goes on.
    """
    from gpuprobe.gpu.triton_timer import Bench, compile_all
    from gpuprobe.sweep.tiles import TileCampaign, measure

    begin_s = time.perf_counter()
    output: Path = options["output"]
    turns = tuple((form, dtype) for dtype in options["dtypes"] for form in options["forms"])
    campaign = TileCampaign(turns, options["seed"], options["pool"], options["configs"], options["long_k"])
    problems, records = campaign.problems(options["shapes"]), read_journal(output)
    bench = Bench()
    with _interruptible() as stop, Journal(output) as journal, Line() as line:
        line.update("compiling")
        compiled = compile_all(problems, campaign.pools(), max(1, (os.cpu_count() or 2) - 1))
        line.line(f"{compiled} kernels compiled in {time.perf_counter() - begin_s:.0f} s")
        seconds = options["seconds"]

        def ended() -> bool:
            return stop.is_set() or (seconds is not None and time.perf_counter() - begin_s >= seconds)

        timed = measure(
            campaign, problems, bench, journal, records, bench.facts, ended,
            lambda done, count: line.update(f"{done}/{count} GEMMs, {time.perf_counter() - begin_s:.0f} s"),
        )  # fmt: skip
    summary = {
        "timed": timed,
        "compiled": compiled,
        "seconds": round(time.perf_counter() - begin_s, 1),
        "interrupted": stop.is_set(),
        "output": str(output),
    }
    if options["as_json"]:
        emit_json(summary)
    else:
        note(f"{timed} GEMMs timed in {summary['seconds']} s, in {output}")
    return int(Exit.INTERRUPTED if stop.is_set() else Exit.DONE)


def _campaign(options: Mapping[str, Any]) -> Campaign:
    shapes, dtypes, layouts, unsure = (options[name] for name in ("shapes", "dtypes", "layouts", "unsure"))
    listed = read_shapes(shapes, dtypes, layouts) if shapes else ()
    if listed and unsure:
        raise click.UsageError("--unsure chooses among samples, --shapes leaves none to choose: give one of them")
    if unsure and "sustained" in options["regimes"]:
        raise click.UsageError("--unsure is about hot and cold times: leave sustained out of --regime")
    return Campaign(options["seed"], dtypes, layouts, listed, Doubt(Predictor.load(unsure)) if unsure else None)


def _order(options: Mapping[str, Any]) -> Order:
    count, seconds = options["count"], options["seconds"]
    if count is None and seconds is None and not options["shapes"]:
        count = _DEFAULT_COUNT
    return Order(options["regimes"], count, seconds)


@contextmanager
def _timer(index: int) -> Iterator[GemmTimer]:
    from gpuprobe.gpu.gemm_torch import TorchGemmTimer

    timer = TorchGemmTimer(index)
    try:
        timer.warm_up(_WARM_UP_S)
        yield timer
    finally:
        timer.close()


def _measure(session: Session, order: Order, stop: threading.Event) -> tuple[Progress, int]:
    with Line() as line:
        done = session.measure(order, stop.is_set, lambda progress: line.update(_text(progress)))
        line.update("naming the kernels")
        return done, session.name_kernels()


def _text(progress: Progress) -> str:
    total = "" if progress.wanted is None else f"/{progress.wanted}"
    return (
        f"{progress.earlier + progress.timed + progress.refused}{total} GEMMs, {progress.each_s * 1e3:.1f} ms each, "
        f"{progress.refused} unsupported, {progress.elapsed_s:.0f} s spent, {progress.remaining_s:.0f} s to go"
    )


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, once; a second one interrupts for good."""
    stop = threading.Event()

    def ask(number: int, _: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        note("stopping: what was measured is kept; once more to quit at once")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
