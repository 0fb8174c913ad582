"""Batch sweeps as a report sees them: where a model turns from bound by the CPU to bound by the GPU."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpuprobe.errors import GpuprobeError
from gpuprobe.report.figures.batches import batches
from gpuprobe.report.format import NONE, quantity, seconds, share
from gpuprobe.report.svg import Picture
from gpuprobe.report.tables import Cell, Cells, Table, plain

_HINT = "pass the sweep.json of gpuprobe workload, or what gpuprobe trace sweep --json prints"


@dataclass(frozen=True)
class Sweeps:
    """What ``gpuprobe trace sweep --json`` prints: a sweep for each model, phase and context."""

    title: str
    document: Mapping[str, Any]


def read_sweeps(path: Path) -> Sweeps:
    """The sweeps in a file; GpuprobeError where there are none."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        models = dict.fromkeys(str(sweep["model"]) for sweep in document["sweeps"] if sweep["points"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GpuprobeError(f"cannot read {path} as a batch sweep: {error}", _HINT) from error
    if not models:
        raise GpuprobeError(f"{path} holds no sweep", _HINT)
    return Sweeps(f"{', '.join(models)} over batch sizes", document)


class SweepsView:
    """What the section of sweeps shows; a document that lacks a field is a GpuprobeError."""

    def __init__(self, sweeps: Sweeps, number: int) -> None:
        self.title, self.number = sweeps.title, number
        self._sweeps: Sequence[Mapping[str, Any]] = sweeps.document["sweeps"]

    def parts(self) -> list[tuple[str, str, list[Picture], Table]]:
        """Heading, what was found, pictures and table of each sweep."""
        try:
            return [self._part(index, sweep) for index, sweep in enumerate(self._sweeps) if sweep["points"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise GpuprobeError(f"{self.title}: damaged: {type(error).__name__}: {error}", _HINT) from error

    def _part(self, index: int, sweep: Mapping[str, Any]) -> tuple[str, str, list[Picture], Table]:
        heading = f"{sweep['model']} {sweep['phase']}, context {sweep['context']}, {sweep['mode']}"
        return heading, _found(sweep), batches(sweep), _table(f"sweep-{self.number}-{index}", heading, sweep)


def _found(sweep: Mapping[str, Any]) -> str:
    turn, evidence = sweep.get("turns_at"), re.sub(r" us\b", " µs", str(sweep["evidence"]))
    if turn is None:
        return f"No turn from the CPU to the GPU within these batches: {evidence}."
    return f"At batch {turn:g} launches begin to queue: {evidence}."


def _table(id_: str, heading: str, sweep: Mapping[str, Any]) -> Table:
    columns = [("batch", True), ("step", True), ("tokens/s", True), ("launch to start, a kernel", True)]
    columns += [
        ("GPU busy", True),
        ("launches that found the stream idle", True),
        ("bound", False),
        ("energy a token", True),
    ]
    rows: list[Cells] = [
        (
            Cell(f"{row['batch']:g}", row["batch"]),
            Cell(seconds(row["step_ns"]), row["step_ns"]),
            Cell(f"{row['tokens_per_s']:.0f}", row["tokens_per_s"]),
            Cell(seconds(row["tklqt_per_kernel_ns"]), row["tklqt_per_kernel_ns"]),
            Cell(share(row["gpu_busy_share"]), row["gpu_busy_share"]),
            Cell(share(row["found_idle_share"]), row["found_idle_share"]),
            str(row["bound"]).upper(),
            _joules(row.get("energy_per_token_j")),
        )
        for row in sweep["points"]
    ]
    return plain(id_, heading, columns, rows)


def _joules(value: float | None) -> Cell:
    return Cell(NONE if value is None else quantity(value, "J"), value)
