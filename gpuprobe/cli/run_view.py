"""A Run as a table or a document: values with interval, share of the limit, published values beside them, flags."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpuprobe import device as catalogue
from gpuprobe.arch import Architecture
from gpuprobe.cli.output import emit_json, note, table, write_output
from gpuprobe.kernels import Kernel, Kernels
from gpuprobe.probe import Probe, Published
from gpuprobe.record import SCHEMA, Measurement, Params, Run
from gpuprobe.report.format import params as params_text
from gpuprobe.report.format import quantity
from gpuprobe.report.run_view import best
from gpuprobe.run_files import to_document, write_run

COLUMNS = ("probe", "quantity", "parameters", "value", "95 %", "of limit", "clock", "power", "published", "flags")
RIGHT = frozenset({"value", "95 %", "of limit", "clock", "power"})


def show(run: Run, probes: Sequence[Probe], *, every_row: bool) -> None:
    """Print a run's table, then its rejections and warnings on stderr."""
    by_name = {probe.name: probe for probe in probes}
    known = [row for row in run.measurements if row.name in by_name]  # others are of a later version's probes
    shown = known if every_row else best(known, by_name)
    rows = [_cells(row, by_name[row.name], run.device.name) for row in shown]
    table(COLUMNS, rows, right=RIGHT)
    hidden = len(run.measurements) - len(shown)
    if hidden:
        note(f"{hidden} further rows of grids: show them with --all")
    for rejection in run.rejections:
        note(f"no result: {_named(rejection.probe, rejection.params)}: {rejection.reason}")
    for warning in run.warnings:
        note(f"warning: {warning}")


def _cells(row: Measurement, probe: Probe, device: str) -> tuple[str, ...]:
    return (
        row.name,
        row.quantity,
        params_text(row.params),
        quantity(row.value, row.unit),
        f"±{max(row.high - row.value, row.value - row.low) / row.value:.2%}",
        f"{row.value / row.limit:.1%}" if row.limit else "",
        f"{row.sm_clock_hz / 1e6:.0f} MHz" if row.sm_clock_hz else "",
        f"{row.power_w:.0f} W" if row.power_w else "",
        _published_text(row, probe, device),
        " ".join(row.flags),
    )


def _published_text(row: Measurement, probe: Probe, device: str) -> str:
    value = beside(row, probe, device)
    if value is None:
        return ""
    where = "" if value.device == device else f" on {value.device}"
    return f"{quantity(value.value, row.unit)}{where} [{value.source}]"


def beside(row: Measurement, probe: Probe, device: str) -> Published | None:
    """The published value to show beside a row: of this device, else of another product of the same chip."""
    fitting = [
        value
        for value in (value.beyond(probe.best_over) for value in probe.published)
        if value.quantity == row.quantity and value.params.items() <= row.params.items()
    ]
    chip = _chip(device)
    exact = [value for value in fitting if value.device == device]
    same_chip = [value for value in fitting if chip and _chip(value.device) == chip]
    return next(iter(exact or same_chip), None)


def _chip(name: str) -> str:
    return catalogue.load(name).chip if name in catalogue.names() else ""


def _named(probe: str, params: Params) -> str:
    return f"{probe} {params_text(params)}".rstrip()


def document(run: Run, probes: Sequence[Probe]) -> dict[str, Any]:
    """The Run as JSON, with the published value beside each measurement; raw series only go to files."""
    by_name = {probe.name: probe for probe in probes}
    result = to_document(run)
    del result["series"]
    for row, measurement in zip(result["measurements"], run.measurements, strict=True):
        del row["samples"]
        value = beside(measurement, by_name[measurement.name], run.device.name)
        row["published"] = _published_document(value) if value else None
    return result


def _published_document(value: Published) -> dict[str, Any]:
    return {"device": value.device, "value": value.value, "source": value.source, "method": value.method}


def write(run: Run, probes: Sequence[Probe], path: Path) -> None:
    """Write a run by suffix: the whole Run with raw samples as .json or .json.gz, every row of the table as .csv."""
    if path.name.endswith((".json", ".json.gz")):
        write_run(run, path)
        return
    by_name = {probe.name: probe for probe in probes}
    columns = (
        "name",
        "quantity",
        "params",
        "unit",
        "value",
        "low",
        "high",
        "n",
        "sm_clock_hz",
        "power_w",
        "limit",
        "flags",
    )
    rows = [
        (
            row.name,
            row.quantity,
            params_text(row.params),
            row.unit,
            *(repr(number) for number in (row.value, row.low, row.high, row.n)),
            *("" if number is None else repr(number) for number in (row.sm_clock_hz, row.power_w, row.limit)),
            " ".join(row.flags),
        )
        for row in run.measurements
        if row.name in by_name
    ]
    write_output(path, {}, columns, rows)


def list_probes(probes: Sequence[Probe], *, as_json: bool) -> None:
    """Print the catalogue of probes."""
    if as_json:
        emit_json(
            [
                {
                    "name": probe.name,
                    "quantity": probe.quantity,
                    "unit": probe.unit,
                    "archs": probe.archs,
                    "group": probe.group,
                    "summary": probe.summary,
                }
                for probe in probes
            ]
        )
    else:
        rows = [(f"{probe.group}/{probe.name}", probe.unit, probe.archs, probe.summary) for probe in probes]
        table(("probe", "unit", "architectures", "what"), rows)


def show_kernels(kernels: Kernels, architecture: Architecture, *, as_json: bool, output: Path | None) -> None:
    """Print what the gate says of every kernel; rejections with their reasons."""
    rows = [_kernel_document(kernel) for kernel in kernels.values()]
    result = {"schema": SCHEMA, "arch": architecture.name, "target": architecture.target, "kernels": rows}
    cells = [
        (
            kernel.probe,
            params_text(kernel.params),
            "passed" if kernel.ok else "rejected",
            kernel.verdict.label or "",
            "; ".join(kernel.verdict.reasons),
        )
        for kernel in kernels.values()
    ]
    columns = ("probe", "defines", "gate", "label", "why")
    if output is not None:
        write_output(output, result, columns, cells)
    if as_json:
        emit_json(result)
    else:
        table(columns, cells, styles={"rejected": "red", "passed": "green"})


def _kernel_document(kernel: Kernel) -> dict[str, Any]:
    return {
        "probe": kernel.probe,
        "defines": dict(kernel.params),
        "cubin": kernel.cubin.key if kernel.cubin else None,
        "compiler": kernel.cubin.compiler if kernel.cubin else None,
        "ok": kernel.ok,
        "label": kernel.verdict.label,
        "reasons": list(kernel.verdict.reasons),
        "opcodes": dict(kernel.verdict.counts),
    }


def show_published(
    probes: Sequence[Probe], kernels: Kernels, architecture: Architecture, *, as_json: bool, output: Path | None
) -> None:
    """Print published values of this architecture's products with their sources, and the gate's word on our kernels."""
    devices = catalogue.for_architecture(architecture)
    found = [(probe, value) for probe in probes for value in probe.published if value.device in devices]
    rows = [
        (
            probe.name,
            value.quantity,
            params_text(value.params),
            quantity(value.value, value.unit or probe.unit),
            value.device,
            value.source,
            value.method,
        )
        for probe, value in found
    ]
    result = {
        "schema": SCHEMA,
        "source": "published",
        "arch": architecture.name,
        "measurements": [],
        "published": [
            {
                "name": probe.name,
                "quantity": value.quantity,
                "params": dict(value.params),
                "unit": value.unit or probe.unit,
                **_published_document(value),
            }
            for probe, value in found
        ],
        "kernels": [_kernel_document(kernel) for kernel in kernels.values()],
    }
    columns = ("probe", "quantity", "parameters", "published", "device", "source", "method")
    if output is not None:
        write_output(output, result, columns, rows)
    if as_json:
        emit_json(result)
    else:
        table(columns, rows, right={"published"})
        for kernel in kernels.values():
            if not kernel.ok:
                note(f"rejected: {_named(kernel.probe, kernel.params)}: {'; '.join(kernel.verdict.reasons)}")
