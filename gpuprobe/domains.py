"""What a unit says: whether more of it is faster, what domain it belongs to, and its twin in the other domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, NamedTuple

from gpuprobe.errors import GpuprobeError
from gpuprobe.record import Measurement

Domain = Literal["native", "cycle", "time"]
View = Literal["both", "cycle", "time"]


class Twin(NamedTuple):
    """The other domain of a unit: value times SM clock to the ``power`` is the value in ``unit``."""

    unit: str
    power: int
    domain: Domain


TWINS: Mapping[str, Twin] = {
    "cycle": Twin("s", -1, "time"),
    "B/cycle": Twin("B/s", 1, "time"),
    "B/cycle/SM": Twin("B/s/SM", 1, "time"),
    "FMA/cycle": Twin("FMA/s", 1, "time"),
    "FMA/cycle/SM": Twin("FMA/s/SM", 1, "time"),
    "FLOP/cycle": Twin("FLOP/s", 1, "time"),
    "FLOP/cycle/SM": Twin("FLOP/s/SM", 1, "time"),
    "op/cycle": Twin("op/s", 1, "time"),
    "op/cycle/SM": Twin("op/s/SM", 1, "time"),
    "FMA/s": Twin("FMA/cycle", -1, "cycle"),
    "FLOP/s": Twin("FLOP/cycle", -1, "cycle"),
    "op/s": Twin("op/cycle", -1, "cycle"),
}
"""Which units convert. ``B/s`` and ``s`` do not: DRAM and L2 run on their own clocks and launches on the host's, so in
SM cycles they would change whenever the SM clock does. What was counted in SM cycles took a time, so it has one."""


LABEL = "number"
"""Unit of a quantity that is a name, such as the half of L2 that an SM belongs to: it has no ratio."""


def orientation(unit: str) -> int:
    """1 where more is faster (a rate), -1 where more is slower (time, cycles, energy), 0 for sizes and the like."""
    head, *divisors = unit.split("/")
    if "s" in divisors or "cycle" in divisors:
        return 1
    return -1 if head in ("s", "cycle", "J") else 0


def domain_of(unit: str) -> Domain:
    """The domain a unit is in: cycle where it counts cycles, time where it holds seconds, else native."""
    parts = unit.split("/")
    return "cycle" if "cycle" in parts else "time" if "s" in parts else "native"


def belongs(unit: str, view: View) -> bool:
    """Whether a quantity in ``unit`` is shown in ``view``: sizes and the like are in both domains."""
    return view == "both" or domain_of(unit) in (view, "native")


def twin_of(measurement: Measurement) -> Measurement | None:
    """The measurement in its other domain, by the SM clock read in the kernel; None where it has none."""
    twin, clock = TWINS.get(measurement.unit), measurement.sm_clock_hz
    if twin is None or clock is None:
        return None
    if not clock > 0.0:
        raise GpuprobeError(f"{measurement.title} has an SM clock of {clock} Hz", "measure it again")
    scale = clock**twin.power
    return replace(
        measurement,
        unit=twin.unit,
        samples=tuple(sample * scale for sample in measurement.samples),
        value=measurement.value * scale,
        low=measurement.low * scale,
        high=measurement.high * scale,
    )
