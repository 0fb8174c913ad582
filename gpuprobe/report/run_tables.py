"""Tables of a Run: all measurements, published values, rejections, device numbers, provenance."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

from gpuprobe.published import Agreement, PublishedRow
from gpuprobe.record import Environment, Measurement
from gpuprobe.report.figures.hierarchy import unit_of
from gpuprobe.report.format import NONE, half_width, params, quantity, share
from gpuprobe.report.run_view import RunView
from gpuprobe.report.tables import Cell, Cells, Column, Row, Table, plain

MOST_ROWS = 1200
"""A longer table shows the best of each grid alone: the page stays below its limit, the run file holds the rest."""

_MEASUREMENTS = (
    Column("probe"),
    Column("quantity"),
    Column("parameters"),
    Column("value", numeric=True),
    Column("± 95 %", numeric=True),
    Column("of limit", numeric=True),
    Column("clock", numeric=True),
    Column("power", numeric=True),
    Column("n", numeric=True),
    Column("flags"),
)


def measurements(view: RunView) -> Table:
    """Every measurement with interval, limit, clock, power and flags."""
    best = {id(row) for row in view.best}
    rows = tuple(Row(_measurement(row), minor=id(row) not in best) for row in view.run.measurements)
    caption = "All measurements"
    if len(rows) > MOST_ROWS:
        rows = tuple(row for row in rows if not row.minor)
        caption = f"The best of every searched grid: {len(rows)} of {len(view.run.measurements)} measurements"
    label = "rows of searched grids, of which only the best is shown"
    return Table("measurements", caption, _MEASUREMENTS, rows, label)


def _measurement(row: Measurement) -> tuple[Cell, ...]:
    return (
        Cell(row.name),
        Cell(row.quantity),
        Cell(params(row.params)),
        Cell(quantity(row.value, row.unit), row.value),
        Cell(f"±{half_width(row):.2%}"),
        Cell(share(row.value / row.limit) if row.limit else NONE),
        Cell(f"{row.sm_clock_hz / 1e6:.0f} MHz" if row.sm_clock_hz else NONE),
        Cell(f"{row.power_w:.0f} W" if row.power_w else NONE),
        Cell(str(row.n)),
        Cell(" ".join(row.flags)),
    )


_CLASSES = {Agreement.WITHIN: "good", Agreement.EXPLAINED: "", Agreement.OUTSIDE: "bad"}


def _ratio(row: PublishedRow) -> Cell:
    return Cell(f"{row.ratio:.3f}", row.ratio, str(row.verdict), _CLASSES[row.verdict])


def published(view: RunView) -> Table | None:
    """Every published value of this product or chip beside ours; None without one."""
    columns = (
        ("probe", False),
        ("parameters", False),
        ("ours", True),
        ("published", True),
        ("ours / theirs", True),
        ("device and source", False),
        ("why", False),
    )
    rows = [
        (
            Cell(row.name, small=row.quantity),
            params(row.params),
            Cell(quantity(row.value, row.unit), row.value),
            Cell(quantity(row.published, row.unit), row.published),
            _ratio(row),
            Cell(row.device, small=row.source),
            row.reason,
        )
        for row in view.published
    ]
    return plain("published", "Published values beside ours", columns, rows) if rows else None


def ridges(view: RunView) -> Table | None:
    """From which arithmetic intensity on each ceiling limits, by level of memory; None without a roofline."""
    found = view.roofline
    if found is None:
        return None
    columns = [("compute", False), ("peak", True), ("origin", False)]
    columns += [(f"ridge over {one.level}, {quantity(one.rate.value, 'B/s')}", True) for one in found.slopes]
    rows: list[Cells] = [
        (
            ceiling.kind,
            Cell(quantity(ceiling.rate.value, unit_of([ceiling.kind])), ceiling.rate.value),
            ceiling.rate.origin,
            *(_ridge(ceiling.rate.value / slope.rate.value) for slope in found.slopes),
        )
        for ceiling in found.ceilings
    ]
    return plain("ridges", "Ridge points of the roofline", columns, rows)


def _ridge(at: float) -> Cell:
    return Cell(f"{at:.3g} FLOP/B", at)


def operations(view: RunView) -> Table | None:
    """Latencies of what has a name, grouped by their value; None with fewer than three."""
    groups: dict[float, dict[str, str]] = {}
    for one in view.profile.latencies:
        groups.setdefault(round(one.cycles.value, 1), {}).setdefault(one.what.casefold(), one.what)
    rows: list[Cells] = [
        (Cell(quantity(value, "cycle"), value), Cell(", ".join(groups[value].values()))) for value in sorted(groups)
    ]
    columns = (("latency", False), ("of", False))
    return (
        plain("operations", "What takes how long: instructions, caches, barriers", columns, rows)
        if len(rows) > 2
        else None
    )


def rejections(view: RunView) -> Table | None:
    """Probes that gave no number, and why; None where all did."""
    rows = [(row.probe, params(row.params), row.reason) for row in view.run.rejections]
    columns = (("probe", False), ("parameters", False), ("reason", False))
    return plain("rejections", "Probes without a result", columns, rows) if rows else None


FLAGS = {
    "unstable": "the 95 % interval is wider than the run asked for",
    "few_samples": "time was over before there were enough samples for an interval",
    "drift": "repeated at the end, the probe's first configuration gave another value",
    "throttled": "for a fifth of the samples or more the driver held the clock down, for power or heat",
    "nvml_clock_differs": "NVML's clock is 2 % or more from the kernel's own, which is the one that is used",
    "shared_gpu": "other processes used the GPU",
    "emulated": "the compiler made other instructions of it, which the GPU has instead",
    "replayed": "computed again from recorded samples",
}
"""What a flag of a measurement says."""


def flagged(view: RunView) -> list[tuple[str, int, str]]:
    """Flags, how many measurements carry each, and what each says; most first."""
    counts = Counter(flag for row in view.run.measurements for flag in row.flags)
    return [
        (flag, count, FLAGS.get(flag, "")) for flag, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    ]


def device_numbers(view: RunView) -> Table:
    """Every number of the device with its origin and source."""
    rows = [
        (name, Cell(_number(name, number.value), number.value), number.origin, number.source)
        for name, number in view.run.device.numbers.items()
    ]
    columns = (("number", False), ("value", True), ("origin", False), ("source", False))
    return plain("device", "What the device is, and who says so", columns, rows)


_UNITS = {
    "_bytes_per_s": "B/s",
    "_flop_per_s": "FLOP/s",
    "_op_per_s": "op/s",
    "_hz": "Hz",
    "_bytes": "B",
    "_bits": "bit",
    "_w": "W",
}


def _number(name: str, value: float) -> str:
    if name.endswith("_bit_per_s"):
        return f"{value / 1e9:g} Gbit/s"
    unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")
    return quantity(value, unit).strip() if unit else f"{value:g}"


def environment(run_environment: Environment) -> list[tuple[str, str]]:
    """What surrounded the run: names and values, unknown ones left out."""
    found = []
    for field in fields(Environment):
        value = getattr(run_environment, field.name)
        if field.name == "packages":
            found += [(name, str(version)) for name, version in sorted(value.items())]
        elif value not in (None, ""):
            found.append(said(field.name, value))
    return found


def said(name: str, value: object) -> tuple[str, str]:
    """Name and value of a field of the environment as people say them: ``memory clock``, ``2.619 GHz``."""
    return _plain_name(name), NONE if value in (None, "") else _value(name, value)


def _plain_name(name: str) -> str:
    for suffix in ("_hz", "_w", "_c"):
        name = name.removesuffix(suffix)
    return name.replace("_", " ")


def _value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        unit = next((unit for suffix, unit in (("_hz", "Hz"), ("_w", "W")) if name.endswith(suffix)), "")
        return quantity(value, unit) if unit else f"{value:g} °C" if name.endswith("_c") else f"{value:g}"
    return str(value)
