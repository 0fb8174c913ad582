"""Tables of a trace's operators against the limits, and of its energy; from the analysis document."""

from __future__ import annotations

from typing import Any

from gpuprobe.report.figures.bars import Bar, bars
from gpuprobe.report.format import NONE, cut, quantity, seconds, share
from gpuprobe.report.svg import Picture
from gpuprobe.report.tables import Cell, Cells, Table, plain

MOST_ROWS = 100


def operators(roofline: dict[str, Any], id_: str) -> Table | None:
    """Operators by excess over the expected time; None without any."""
    columns = [("operator", False), ("shapes", False), ("calls", True), ("time", True), ("sum", True)]
    columns += [("of its limit", True), ("bound", False), ("expected", True), ("excess", True), ("", False)]
    rows: list[Cells] = [
        (
            cut(row["name"], 60),
            cut(str(row["shapes"]), 90),
            Cell(str(row["calls"]), row["calls"]),
            _time(row["median_ns"]),
            _time(row["sum_ns"]),
            Cell(share(row["share_of_limit"]), row["share_of_limit"]),
            row["bound"] or NONE,
            Cell(seconds(row["expected_ns"]), row["expected_ns"], small=row["expected_by"] or ""),
            _time(row["excess_ns"]),
            row["outlier"] or "",
        )
        for row in roofline["operators"][:MOST_ROWS]
    ]
    if not rows:
        return None
    covered = share(roofline["covered_share"])
    return plain(id_, f"Operators against the limits ({covered} of kernel time has known shapes)", columns, rows)


def origins(roofline: dict[str, Any]) -> list[tuple[str, str]]:
    """The limits used and where each came from."""
    limits = roofline["limits"]
    if limits is None:
        return []
    used = {row["rate"] for row in roofline["operators"]}
    rates = {name: value for name, value in limits["flop_per_s"].items() if name in used}
    rows = [(name, f"{quantity(value, 'FLOP/s')}, {limits['origin'][name]}") for name, value in rates.items()]
    return [("memory", f"{quantity(limits['bytes_per_s'], 'B/s')}, {limits['origin']['memory']}"), *rows]


def energy(document: dict[str, Any], id_: str) -> list[tuple[Picture, Table, Table | None]]:
    """For each device: bars of the classes' energy, and tables by class and phase."""
    return [
        (_classes(label, device), _class_table(device, f"{id_}-{number}"), _phases(device, f"{id_}-{number}-phases"))
        for number, (label, device) in enumerate(document["devices"].items())
    ]


def _classes(label: str, device: dict[str, Any]) -> Picture:
    rows = [
        Bar(
            name,
            f"{quantity(row['energy_j'], 'J')} · {share(row['energy_j'] / device['total_j'])}",
            row["energy_j"],
            row["energy_j_low"],
            row["energy_j_high"],
            "s0" if name == "idle" else "s1",
        )
        for name, row in device["classes"].items()
    ]
    total = f"{quantity(device['total_j'], 'J')} in {device['seconds']:.3g} s, {device['mean_w']:.0f} W on average"
    caption = f"Energy of device {cut(label, 40)}: {total} ({device['ticks']} ticks of the sensor)"
    return bars("Energy by class", "; ".join(f"{bar.label}: {bar.note}" for bar in rows), rows, caption=caption)


def _class_table(device: dict[str, Any], id_: str) -> Table:
    columns = [("class", False), ("time", True), ("energy", True), ("90 % interval", False), ("power", True)]
    rows: list[Cells] = [
        (name, _time(row["seconds"] * 1e9), *_energy(row), Cell(f"{row['power_w']:.0f} W", row["power_w"]))
        for name, row in device["classes"].items()
    ]
    return plain(id_, "Energy by class of kernels; the classes sum to what the sensor measured", columns, rows)


def _phases(device: dict[str, Any], id_: str) -> Table | None:
    told = {name: row for name, row in device["phases"].items() if "energy_j" in row}
    if not told:
        return None
    columns = [("range", False), ("count", True), ("time", True), ("energy", True), ("90 % interval", False)]
    columns.append(("per token", True))
    rows: list[Cells] = [
        (
            cut(name, 100),
            Cell(str(row["count"]), row["count"]),
            _time(row["seconds"] * 1e9),
            *_energy(row),
            _per_token(row.get("energy_per_token_j")),
        )
        for name, row in told.items()
    ]
    return plain(id_, "Energy by range", columns, rows)


def _energy(row: dict[str, Any]) -> tuple[Cell, str]:
    interval = f"{quantity(row['energy_j_low'], 'J')} to {quantity(row['energy_j_high'], 'J')}"
    return Cell(quantity(row["energy_j"], "J"), row["energy_j"]), interval


def _per_token(value: float | None) -> Cell:
    return Cell(NONE if value is None else quantity(value, "J"), value)


def _time(value_ns: float | None) -> Cell:
    return Cell(seconds(value_ns), value_ns)
