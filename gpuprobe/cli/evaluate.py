"""``gpuprobe evaluate``: how far predictions are off on GEMMs never seen, beside the noise floor and the baselines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpuprobe.cli.output import Progress, emit_json, json_option, output_option, table, write_output
from gpuprobe.errors import GpuprobeError

if TYPE_CHECKING:
    from gpuprobe.predict.evaluate import Row

SCHEMA = 1


@click.command("evaluate")
@click.argument("devices", nargs=-1)
@click.option(
    "--reference",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="FOLDER",
    help="Folder of the published tables; without it only own data sets are judged.",
)
@click.option(
    "--source", type=click.Choice(("gpuprobe", "aiconfigurator", "vidur")), help="Judge only the models of one source."
)
@click.option("--unknown", "strangers", is_flag=True, help="Judge only as if each GPU were unknown, which is quick.")
@click.option("--no-baselines", "skip", is_flag=True, help="Leave the baselines out, which take longest.")
@json_option
@output_option
def command(
    devices: tuple[str, ...],
    reference: Path | None,
    source: str | None,
    strangers: bool,
    skip: bool,
    as_json: bool,
    output: Path | None,
) -> None:
    """Error tables of the models of DEVICES (default: all): absolute percentage errors on GEMMs never seen.

    Models are fitted anew in folds of whole (n,k) pairs, so that no error is of a shape, or of a layer, seen before.
    With --reference also as if the GPU were unknown: by its device file, and with 16 of its rows measured.
    """
    from gpuprobe.predict import baselines, evaluate, train, unknown

    jobs = [] if strangers else [job for job in train.jobs(devices, reference) if source in (None, job.source)]
    found = [] if reference is None else unknown.tables(reference)
    rows: list[Row] = []
    points: list[dict[str, Any]] = []
    with Progress() as line:
        for job in jobs:
            judged = train.judge(job, line.update)
            for held_out, settled in zip(judged, train.settle(judged), strict=True):
                rows += evaluate.tables(job, held_out, settled)
                points += evaluate.points(job, held_out, settled)
            line.update("baselines")
            rows += [] if skip else [row for part in job.classes for row in evaluate.compared(job, part.data)]
        rows += unknown.judged(found, devices, source, line.update)
    if not rows:
        raise GpuprobeError("there is no data to judge by", "name a device with data, or give --reference FOLDER")
    claims = [] if skip or strangers else [claim._asdict() for claim in baselines.PUBLISHED]
    document = {"schema": SCHEMA, "errors": [row._asdict() for row in rows], "published": claims, "points": points}
    right = ("rows", "median %", "mean %", "p90 %", "in 90 %", "width %")
    columns = ["device", "source", "of", "target", *right, "note"]
    if output is not None:
        write_output(output, document, columns, [_cells(row) for row in rows])
    if as_json:
        emit_json(document)
        return
    table(columns, [_cells(row) for row in rows], "Errors on unseen (n,k)", right=right)
    if claims:
        print()
        table(list(claims[0]), [list(claim.values()) for claim in claims], "Errors that others state, of their data")


def _cells(row: Row) -> list[str]:
    errors = ["", "", ""] if row.errors is None else [f"{error:.2f}" for error in row.errors]
    interval = ["" if value is None else f"{100 * value:.1f}" for value in (row.coverage, row.width)]
    return [row.device, row.source, row.group, row.target, str(row.rows), *errors, *interval, row.note]
