"""What a GPU does, as numbers to compute with: peaks, bandwidths, latencies, curves, launch costs, energy and power.

A DeviceProfile is derived from a run (``gpuprobe.profile_of_run``), read from a file, or made of published values.
Every number has an interval, an origin (measured, published, datasheet) and its source.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from gpuprobe import tabular
from gpuprobe.errors import GpuprobeError
from gpuprobe.files import write_atomically
from gpuprobe.units import quantity

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
Origin = Literal["measured", "published", "datasheet"]
ORIGINS: tuple[Origin, ...] = ("measured", "published", "datasheet")
"""From the one to be trusted most to the one to be trusted least."""


@dataclass(frozen=True)
class Value:
    """A number in ``unit`` with the ends of its interval (equal to it where none is known), origin and source."""

    value: float
    low: float
    high: float
    unit: str
    origin: Origin
    source: str


@dataclass(frozen=True)
class Peak:
    """Operations a second (a multiply-add is two) of a type on the whole GPU, by the instruction that reaches it.

    ``operands``: random, zero, or any where it is not said. Sparse rates count dense operations.
    """

    kind: str
    instruction: str
    operands: str
    rate: Value


@dataclass(frozen=True)
class Bandwidth:
    """Bytes a second of a level of memory (L1, shared, L2, DRAM, host …) in a mode (read, write, copy …)."""

    level: str
    mode: str
    rate: Value


@dataclass(frozen=True)
class Latency:
    """Latency in cycles, or another cost in cycles, of what is named."""

    what: str
    cycles: Value


@dataclass(frozen=True)
class Curve:
    """A quantity against a size in bytes: latency over footprint, bandwidth over set size."""

    what: str
    points: tuple[tuple[float, Value], ...]

    def at(self, size: float) -> Value:
        """The point nearest to ``size`` on a logarithmic scale."""
        return min(self.points, key=lambda point: abs(math.log(point[0] / size)))[1]


@dataclass(frozen=True)
class LaunchCost:
    """Seconds of what is named: the API's part of a launch, the period of launches on a stream, of graph nodes …"""

    what: str
    seconds: Value


@dataclass(frozen=True)
class Energy:
    """Joules for one operation, multiply-add or bit of what is named."""

    what: str
    operands: str
    joules: Value


@dataclass(frozen=True)
class Power:
    """Watts in a state in which nothing is computed."""

    state: str
    watts: Value


@dataclass(frozen=True)
class DeviceProfile:
    """A GPU in numbers. ``note`` says where they come from as a whole; ``numbers`` are of the device (SI keys)."""

    name: str
    product: str
    architecture: str
    note: str
    numbers: Mapping[str, float]
    peaks: tuple[Peak, ...] = ()
    bandwidths: tuple[Bandwidth, ...] = ()
    latencies: tuple[Latency, ...] = ()
    curves: tuple[Curve, ...] = ()
    launches: tuple[LaunchCost, ...] = ()
    energies: tuple[Energy, ...] = ()
    powers: tuple[Power, ...] = ()
    schema: int = SCHEMA

    def peak(self, kind: str, operands: str = "random", instruction: str = "") -> Value | None:
        """The highest dense rate of a type; of values of the best origin that states any for these operands."""
        found = [
            peak.rate
            for peak in self.peaks
            if peak.kind == kind and peak.operands in (operands, "any") and _is(peak.instruction, instruction)
        ]
        return _best(found)

    def bandwidth(self, level: str, mode: str = "read") -> Value | None:
        """The highest bandwidth of a level and mode."""
        return _best([one.rate for one in self.bandwidths if one.level == level and one.mode == mode])

    def latency(self, what: str) -> Value | None:
        """A latency in cycles by its name."""
        return _trusted([one.cycles for one in self.latencies if one.what == what])

    def curve(self, what: str) -> Curve | None:
        """A curve by its name."""
        return next((one for one in self.curves if one.what == what), None)

    def launch(self, what: str) -> Value | None:
        """A launch cost in s by its name."""
        return _trusted([one.seconds for one in self.launches if one.what == what])

    def energy(self, what: str, operands: str = "random") -> Value | None:
        """Joules of one operation or bit by its name."""
        return _trusted([one.joules for one in self.energies if one.what == what and one.operands in (operands, "any")])

    def power(self, state: str) -> Value | None:
        """Watts of a state."""
        return _trusted([one.watts for one in self.powers if one.state == state])

    def to_frame(self) -> pd.DataFrame:
        """Every number as a row: section, what it is of, size in bytes for points of curves, value; needs pandas."""
        return tabular.frame(
            {"section": section, "what": label(part), "size": size, **asdict(value)}
            for section in SECTIONS
            for part in getattr(self, section)
            for size, value in (part.points if isinstance(part, Curve) else ((None, value_of(part)),))
        )

    def _repr_html_(self) -> str:
        """The numbers as a notebook shows them; of curves the first point."""
        rows = [
            (section, label(part), quantity(value_of(part).value, value_of(part).unit), value_of(part).origin)
            for section in SECTIONS
            for part in getattr(self, section)
        ]
        return tabular.html(f"{self.product}: {self.note}", ("section", "what", "value", "origin"), rows)


Part = Peak | Bandwidth | Latency | Curve | LaunchCost | Energy | Power
SECTIONS: Mapping[str, type[Part]] = {
    "peaks": Peak,
    "bandwidths": Bandwidth,
    "latencies": Latency,
    "curves": Curve,
    "launches": LaunchCost,
    "energies": Energy,
    "powers": Power,
}


def _is(instruction: str, wanted: str) -> bool:
    """Whether a peak's instruction is the wanted one; with none wanted, any that is not sparse."""
    return instruction == wanted if wanted else not instruction.endswith("sparse")


def _trusted(values: list[Value]) -> Value | None:
    """The first value of the most trusted origin."""
    return min(values, key=lambda value: ORIGINS.index(value.origin), default=None)


def _best(values: list[Value]) -> Value | None:
    """The highest value of the most trusted origin."""
    first = _trusted(values)
    return max((v for v in values if first and v.origin == first.origin), key=lambda v: v.value, default=None)


def value_of(part: Part) -> Value:
    """The number of a part; of a curve its first point."""
    if isinstance(part, Curve):
        return part.points[0][1]
    return next(inner for inner in vars(part).values() if isinstance(inner, Value))


def label(part: Part) -> str:
    """A part in words: what it is of."""
    return " ".join(inner for inner in vars(part).values() if isinstance(inner, str) and inner not in ("", "any"))


def to_document(profile: DeviceProfile) -> dict[str, Any]:
    """The JSON document of a profile."""
    document = asdict(profile)
    return {"schema": document.pop("schema"), **document}


def from_document(document: Any, origin: str = "the document") -> DeviceProfile:
    """A profile from its JSON document; GpuprobeError where it is none, damaged, or of a later schema."""
    schema = document.get("schema") if isinstance(document, Mapping) else None
    if not isinstance(schema, int) or "peaks" not in document:
        raise GpuprobeError(f"{origin} is no device profile", "make one with: gpuprobe profile RUN -o profile.json")
    if schema > SCHEMA:
        raise GpuprobeError(
            f"{origin} has schema {schema}; this gpuprobe reads up to {SCHEMA}", "pip install --upgrade gpuprobe"
        )
    try:
        sections = {name: _parts(kind, document.get(name, ())) for name, kind in SECTIONS.items()}
        texts = {name: _text(document[name]) for name in ("name", "product", "architecture", "note")}
        numbers = {_text(key): _number(number) for key, number in document["numbers"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise GpuprobeError(
            f"{origin} is a damaged device profile: {type(error).__name__}: {error}",
            "make it again with: gpuprobe profile RUN -o profile.json",
        ) from error
    return DeviceProfile(**texts, numbers=numbers, **sections)  # type: ignore[arg-type]


Kind = TypeVar("Kind", bound=Part)


def _parts(kind: type[Kind], rows: Iterable[Mapping[str, Any]]) -> tuple[Kind, ...]:
    return tuple(kind(**{field.name: _field(row[field.name]) for field in fields(kind)}) for row in rows)


def _field(value: Any) -> Any:
    """A field of a part: a text, a Value, or the points of a curve."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return _value(value)
    if not value:
        raise ValueError("a curve has no points")
    return tuple((_positive(size), _value(inner)) for size, inner in value)


def _value(row: Mapping[str, Any]) -> Value:
    found = Value(
        _number(row["value"]), _number(row["low"]), _number(row["high"]), _text(row["unit"]), row["origin"],
        _text(row["source"]),
    )  # fmt: skip
    if found.origin not in ORIGINS:
        raise ValueError(f"the origin {found.origin!r} is none of {', '.join(ORIGINS)}")
    if not (found.low <= found.value <= found.high and found.value > 0):
        raise ValueError(f"{found.value} {found.unit} is not positive, or outside its own interval")
    return found


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)


def _positive(value: Any) -> float:
    if _number(value) <= 0:
        raise ValueError(f"{value!r} is not positive")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def write(profile: DeviceProfile, path: Path) -> None:
    """Write a profile as JSON, whole or not at all."""
    text = json.dumps(to_document(profile), allow_nan=False, indent=1, ensure_ascii=False)
    write_atomically(path, (text + "\n").encode())


def parse(text: bytes, origin: str) -> DeviceProfile:
    """A profile from JSON text; GpuprobeError where it is damaged or no profile."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GpuprobeError(f"{origin} is not JSON: {error}", "pass a profile or a run file") from error
    return from_document(document, origin)
