"""A run beside published values, as rows of a table and as a document: for ``compare`` and ``microbench --against``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gpuprobe.cli.output import note, table
from gpuprobe.report.format import params as params_text
from gpuprobe.report.format import quantity

if TYPE_CHECKING:
    from gpuprobe.published import PublishedRow
    from gpuprobe.record import Run

PUBLISHED = "published"
SCHEMA = 1
FAILING = {"OUTSIDE"}
STYLES = {"OUTSIDE": "red", "EXPLAINED": "yellow"}
COLUMNS = (
    "name",
    "quantity",
    "parameters",
    "ours",
    "published",
    "ratio",
    "tolerance",
    "verdict",
    "device",
    "reason",
    "source",
)
RIGHT = {"ours", "published", "ratio", "tolerance"}

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def rows_of(run: Run) -> tuple[dict[str, Any], Table, list[str]]:
    """Document, table and verdicts of a run beside the published values that its probes name."""
    from gpuprobe import device
    from gpuprobe.probe import discover
    from gpuprobe.published import against_published, row_document
    from gpuprobe.report.run_view import best

    probes = {probe.name: probe for probe in discover()}
    run = replace(
        run, measurements=tuple(best([row for row in run.measurements if row.name in probes], probes))
    )  # published values are the best of a search
    values = {name: [value.beyond(probe.best_over) for value in probe.published] for name, probe in probes.items()}
    devices = {name: device.load(name) for name in device.names()}
    found = against_published(run, values, {name: spec.chip for name, spec in devices.items()}, devices)
    document = {
        "schema": SCHEMA,
        "a": run.run_id,
        "b": PUBLISHED,
        "rows": [row_document(row) for row in found],
        "environment_diff": {},
    }
    return document, (COLUMNS, [_cells(row) for row in found]), [str(row.verdict) for row in found]


def show(columns: tuple[str, ...], rows: list[tuple[str, ...]], verdicts: list[str]) -> None:
    """Print the table of a run beside published values, with a count on stderr."""
    table(columns, rows, right=RIGHT, styles=STYLES)
    note(count(verdicts))


def count(verdicts: list[str]) -> str:
    """How often each verdict was given."""
    return ", ".join(f"{verdicts.count(one)} {one}" for one in dict.fromkeys(verdicts)) or "no common rows"


def _cells(row: PublishedRow) -> tuple[str, ...]:
    return (
        row.name,
        row.quantity,
        params_text(row.params),
        quantity(row.value, row.unit),
        quantity(row.published, row.unit),
        f"{row.ratio:.4f}",
        f"±{row.tolerance:.0%}",
        str(row.verdict),
        row.device,
        row.reason,
        row.source,
    )
