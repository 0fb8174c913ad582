"""``gpuprobe compare``: two states of a GPU, or a run and the published values, with a verdict for each quantity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpuprobe.cli import against
from gpuprobe.cli.output import emit_json, json_option, note, output_option, table, write_output
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.report.format import params as params_text
from gpuprobe.report.format import quantity

if TYPE_CHECKING:
    from gpuprobe.comparison import Comparison
    from gpuprobe.record import Run

PUBLISHED = against.PUBLISHED
CONFIDENCE = 0.95
FAMILY_CONFIDENCE = 0.99
"""That no row of an unchanged pair fails, with --fail-on."""
RUN_FILES = ("*.json", "*.json.gz")
FAILING = {"slower": {"SLOWER"}, "changed": {"SLOWER", "FASTER", "DIFFERENT"}, "outside": against.FAILING}
STYLES = {**against.STYLES, "SLOWER": "red", "FASTER": "green", "DIFFERENT": "yellow", "UNCLEAR": "dim"}


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--min-effect", default=0.01, show_default=True, help="Least change that counts: 0.01 is 1 %.")
@click.option(
    "--domain",
    default="both",
    show_default=True,
    type=click.Choice(["both", "cycle", "time", "native"]),
    help="Compare in cycles, in time, in both, or in the unit measured only (native).",
)
@click.option(
    "--fail-on",
    type=click.Choice(list(FAILING)),
    help="Exit 1 if any row is SLOWER, changed in any way, or OUTSIDE the tolerance of a published value.",
)
@json_option
@output_option
def command(
    *, a: str, b: str, min_effect: float, domain: str, fail_on: str | None, as_json: bool, output: Path | None
) -> Exit:
    """Compare run file B with run file A; B may be the word 'published'.

    Either may be a folder of run files: repeats of one state, whose mean is less noisy. One quick run each found a
    change of 2 % in 86 % of quantities; four each should find 95 % (simulated). The ratio is B over A (against
    published values: ours over theirs) with its 95 % interval. With --fail-on the intervals are widened so that one
    false alarm among all rows together has a chance of at most 1 %.
    """
    if fail_on and (fail_on == "outside") != (b == PUBLISHED):
        raise click.UsageError(f"--fail-on {fail_on} does not go with '{b}': 'outside' is for published values only")
    runs = _runs(Path(a))
    if b != PUBLISHED:
        document, (columns, rows), verdicts = _two_states(runs, _runs(Path(b)), min_effect, domain, bool(fail_on))
    elif len(runs) == 1:
        document, (columns, rows), verdicts = against.rows_of(runs[0])
    else:
        raise GpuprobeError(f"{a} holds {len(runs)} runs, and one is set beside published values", "name one run file")
    if output:
        write_output(output, document, columns, rows)
    if as_json:
        emit_json(document)
    else:
        table(columns, rows, right={"a", "b", *against.RIGHT}, styles=STYLES)
        note(against.count(verdicts))
    failed = fail_on is not None and bool(FAILING[fail_on] & set(verdicts))
    return Exit.CHECK_FAILED if failed else Exit.DONE


def _runs(path: Path) -> list[Run]:
    """The run in a file, or all runs in a folder by name; GpuprobeError where it holds none."""
    from gpuprobe.run_files import read_run

    if not path.is_dir():
        return [read_run(path)]
    files = sorted(file for pattern in RUN_FILES for file in path.glob(pattern))
    if not files:
        raise GpuprobeError(
            f"there are no run files in {path}", "record some with: gpuprobe microbench -o FOLDER/1.json"
        )
    return [read_run(file) for file in files]


def _two_states(
    a: list[Run], b: list[Run], min_effect: float, domain: str, whole: bool
) -> tuple[dict[str, Any], against.Table, list[str]]:
    from gpuprobe.comparison import compare, family_confidence, to_document
    from gpuprobe.floors import declared

    common = {row.key for run in a for row in run.measurements} & {row.key for run in b for row in run.measurements}
    comparison = compare(
        a,
        b,
        min_effect=min_effect,
        confidence=family_confidence(FAMILY_CONFIDENCE, len(common)) if whole else CONFIDENCE,
        domain="cycle" if domain == "cycle" else "time" if domain == "time" else "both",
        floors=declared(*a),
    )
    if domain == "native":
        comparison = replace(comparison, rows=tuple(row for row in comparison.rows if row.domain == "native"))
    _note_surroundings(comparison)
    columns = ("name", "quantity", "parameters", "a", "b", "ratio", "interval", "verdict", "flags")
    rows: list[tuple[str, ...]] = [
        (
            row.name,
            row.quantity,
            params_text(row.params),
            quantity(row.value_a, row.unit),
            quantity(row.value_b, row.unit),
            f"{row.ratio:.4f}",
            f"{row.low:.4f} to {row.high:.4f}",
            str(row.verdict),
            " ".join(row.flags),
        )
        for row in comparison.rows
    ]
    return to_document(comparison), (columns, rows), [str(row.verdict) for row in comparison.rows]


def _note_surroundings(comparison: Comparison) -> None:
    for key, (left, right) in comparison.environment_diff.items():
        note(f"differs: {key}: {left} in a, {right} in b")
    for side, keys in (("a", comparison.only_a), ("b", comparison.only_b)):
        if keys:
            note(f"only in {side}: {len(keys)} ({', '.join(sorted({key[0] for key in keys}))})")
