"""``gpuprobe profile``: what a GPU does, as a table or a JSON file that roofline and predictors read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpuprobe.cli.output import emit_json, json_option, note, output_option, table, write_output
from gpuprobe.errors import Exit
from gpuprobe.report.format import quantity, size

if TYPE_CHECKING:
    from gpuprobe.profile import DeviceProfile, Value

COLUMNS = ("section", "of", "value", "95 %", "origin", "source")


@click.command()
@click.argument("run", metavar="RUN|NAME")
@json_option
@output_option
def command(*, run: str, as_json: bool, output: Path | None) -> Exit:
    """Derive the profile of a run file, or show that of a GPU by name (h100-sxm).

    A GPU that this project measured is shown from its recording, others from published values, marked as such; what a
    data sheet states stands beside them.
    """
    from gpuprobe import profile_files
    from gpuprobe.profile import to_document

    found = profile_files.load(run)
    document = to_document(found)
    rows = list(_rows(found))
    if output:
        write_output(output, document, COLUMNS, rows)
    if as_json:
        emit_json(document)
        return Exit.DONE
    table(COLUMNS, rows, f"{found.product}: {found.note}", right={"value", "95 %"})
    if output:
        note(f"profile kept in {output}")
    return Exit.DONE


def _rows(found: DeviceProfile) -> list[tuple[str, ...]]:
    from gpuprobe.profile import SECTIONS, Curve, label, value_of

    rows: list[tuple[str, ...]] = []
    for section in SECTIONS:
        for part in getattr(found, section):
            if isinstance(part, Curve):
                rows += [(section, f"{part.what} at {size(int(at))}", *_cells(value)) for at, value in part.points]
            else:
                rows.append((section, label(part), *_cells(value_of(part))))
    return rows


def _cells(value: Value) -> tuple[str, str, str, str]:
    half = max(value.high - value.value, value.value - value.low) / value.value
    interval = f"±{half:.2%}" if half else ""
    return quantity(value.value, value.unit), interval, value.origin, value.source
