"""``gpuprobe explain``: what a probe measures, how, where it runs, and what others published."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from gpuprobe.cli.output import emit_json, json_option
from gpuprobe.report.format import quantity

if TYPE_CHECKING:
    from gpuprobe.probe import Axis, Probe


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
def command(names: tuple[str, ...], as_json: bool) -> None:
    """Say what a probe measures, and how.

    NAME is a probe as 'gpuprobe microbench --list' names it, or a pattern: 'mma_*', 'memory/*'.
    """
    from gpuprobe.probe import select

    probes = select(names)
    if as_json:
        emit_json([_document(probe) for probe in probes])
    else:
        print("\n\n".join("\n".join(_lines(probe)) for probe in probes))


def _lines(probe: Probe) -> Iterator[str]:
    yield f"{probe.group}/{probe.name}: {probe.quantity} in {probe.unit}, on {probe.archs}"
    yield ""
    yield probe.doc.strip()
    axes = {**probe.defines, **probe.patches, **probe.axes}
    if axes:
        yield "\nParameters:"
    for name, axis in axes.items():
        quick = f" (quick: {_values(probe.quick[name])})" if name in probe.quick else ""
        yield f"  {name} = {_values(axis)}{quick}"
    if probe.published:
        yield "\nPublished:"
    for value in probe.published:
        at = "".join(f" {name}={setting}" for name, setting in value.params.items())
        method = f"; {value.method}" if value.method else ""
        shown = quantity(value.value, value.unit or probe.unit)
        yield f"  {value.device} {value.quantity}{at}: {shown} ({value.source}{method})"
    yield f"\nKernel: {probe.source_path}"


def _values(axis: Axis) -> str:
    return "by device" if callable(axis) else ", ".join(map(str, axis))


def _document(probe: Probe) -> dict[str, Any]:
    return {
        "name": probe.name,
        "group": probe.group,
        "quantity": probe.quantity,
        "unit": probe.unit,
        "archs": probe.archs,
        "summary": probe.summary,
        "text": probe.doc.strip(),
        "params": {
            name: None if callable(axis) else list(axis)
            for name, axis in {**probe.defines, **probe.patches, **probe.axes}.items()
        },
        "published": [
            {
                "device": value.device,
                "quantity": value.quantity,
                "params": dict(value.params),
                "value": value.value,
                "method": value.method,
                "source": value.source,
            }
            for value in probe.published
        ],
        "kernel": str(probe.source_path),
    }
