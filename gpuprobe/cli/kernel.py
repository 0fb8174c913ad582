"""``gpuprobe kernel``: evaluations of kernels that are not taken at their word."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpuprobe.cli.output import Progress, emit_json, json_option, output_option, table, write_output
from gpuprobe.errors import Exit

if TYPE_CHECKING:
    from gpuprobe.kernel_eval.condition import Watch
    from gpuprobe.kernel_eval.evaluate import Evaluation, Options

STYLES = {"correct": "green", "wrong": "red", "cheats": "bold red", "failed": "yellow"}
EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def command() -> None:
    """Judge candidate kernels: right, fast, honest."""


@command.command("eval")
@click.argument("candidates", nargs=-1, required=True, type=EXISTING, metavar="CANDIDATE.py…")
@click.option("--reference", type=EXISTING, metavar="REF.py", help="The task; else each candidate's own file holds it.")
@click.option("--device", default="cuda:0", show_default=True, help="Where to run: cuda:0, cpu.")
@click.option(
    "--backend", default="torch", show_default=True, type=click.Choice(["torch", "numpy"]), help="Array library."
)
@click.option(
    "--rounds", default=11, show_default=True, type=click.IntRange(0, 1000), help="Timed rounds; 0: no timing."
)
@click.option(
    "--processes",
    type=click.IntRange(1, 32),
    help="Fresh processes of each side that have these rounds; 4 on a GPU, else 1.",
)
@click.option(
    "--requests", default=48, show_default=True, type=click.IntRange(0, 256), help="Requests at random intervals."
)
@click.option("--load-limit", default=300.0, show_default=True, help="Seconds to import and build a candidate.")
@click.option("--call-limit", default=30.0, show_default=True, help="Seconds for a call or a timed batch.")
@click.option("--memory-limit", default=32.0, show_default=True, help="GiB of host memory for a candidate.")
@click.option("--metrics/--no-metrics", default=True, help="Ask ncu what bounds a correct candidate, where permitted.")
@json_option
@output_option
def evaluate_command(
    *, candidates: tuple[Path, ...], reference: Path | None, as_json: bool, output: Path | None, **given: Any
) -> Exit:
    """Judge each CANDIDATE (ModelNew) against the task (Model, get_inputs, get_init_inputs) in REF.py or its own file.

    A candidate runs in a process of its own, under limits; times are taken from outside, on inputs that did not exist
    when the work was queued. Exit 1 unless all are correct.
    """
    from gpuprobe.kernel_eval.document import COLUMNS, cells, document
    from gpuprobe.kernel_eval.evaluate import evaluate_all

    options = _options(given)
    with Progress() as progress:
        evaluations = list(evaluate_all(candidates, reference, options, progress.update))
    whole = document(evaluations)
    rows = [cells(row) for row in evaluations]
    if output:
        write_output(output, whole, COLUMNS, rows)
    if as_json:
        emit_json(whole)
    else:
        _print(evaluations, COLUMNS, rows, whole["fast_p"])
    return Exit.DONE if all(row.verdict == "correct" for row in evaluations) else Exit.CHECK_FAILED


def _options(given: dict[str, Any]) -> Options:
    from gpuprobe.kernel_eval.evaluate import PROCESSES, Options
    from gpuprobe.kernel_eval.session import Limits

    limits = Limits(given["load_limit"], given["call_limit"], int(given["memory_limit"] * 2**30))
    device = "cpu" if given["backend"] == "numpy" else given["device"]
    return Options(
        device=device,
        backend=given["backend"],
        rounds=given["rounds"],
        processes=given["processes"] or (PROCESSES if device.startswith("cuda") else 1),
        requests=given["requests"],
        metrics=given["metrics"],
        limits=limits,
        watch=_watch(device),
    )


def _watch(device: str) -> Watch:
    """The GPU's sensors, or none for another device."""
    if device.startswith("cuda"):
        from gpuprobe.gpu.kernel_condition import watch

        return watch
    from gpuprobe.kernel_eval.condition import unwatched

    return unwatched


def _print(
    evaluations: list[Evaluation], columns: tuple[str, ...], rows: list[tuple[str, ...]], fast: dict[str, float]
) -> None:
    from gpuprobe.kernel_eval.document import lines

    table(columns, rows, right={"speed-up", "hot", "cold", "limit"}, styles=STYLES)
    for row in evaluations:
        print("\n".join([f"{row.candidate}:", *lines(row)]))
    if len(evaluations) > 1:
        print("fast_p: " + ", ".join(f"{share:.0%} above {p}x" for p, share in fast.items()))
