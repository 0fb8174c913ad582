"""``gpuprobe doctor``: what this machine can do, and the command that mends what it cannot."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpuprobe.cli.output import emit_json, json_option, note, output_option, table, write_output
from gpuprobe.errors import Exit, GpuprobeError

if TYPE_CHECKING:
    from gpuprobe.doctor import Check

SCHEMA = 1
COLUMNS = ("check", "status", "detail")
STYLES = {"ok": "green", "warn": "yellow", "missing": "bold red"}


@click.command()
@json_option
@output_option
@click.option("--require-gpu", is_flag=True, help="Exit 3 unless a GPU can be measured here.")
def command(as_json: bool, output: Path | None, require_gpu: bool) -> None:
    """Check driver, GPUs, compilers, sensors, permissions and folders, each with its remedy.

    Changes nothing. A machine without a GPU is fine: it builds, checks and replays.
    """
    from gpuprobe import doctor

    checks = doctor.examine()
    blocker = doctor.blocker(checks)
    document = {"schema": SCHEMA, "can_measure": blocker is None, "checks": [asdict(check) for check in checks]}
    if output is not None:
        write_output(output, document, COLUMNS, _cells(checks))
    if as_json:
        emit_json(document)
    else:
        _print(checks)
        note(
            "A GPU can be measured here."
            if blocker is None
            else f"No GPU can be measured here ({blocker.label}): gpuprobe builds, checks and replays."
        )
    if require_gpu and blocker:
        raise GpuprobeError(f"no GPU can be measured here: {blocker.detail}", blocker.remedy, Exit.MACHINE_LACKS)


def _cells(checks: tuple[Check, ...]) -> list[tuple[str, str, str]]:
    return [(row.label, row.status, row.detail) for row in checks]


def _print(checks: tuple[Check, ...]) -> None:
    table(COLUMNS, _cells(checks), styles=STYLES)
    remedies = [f"  {row.label}: {row.remedy}" for row in checks if row.status != "ok" and row.remedy]
    if remedies:
        print("\n".join(["", "Remedies:", *remedies]))
