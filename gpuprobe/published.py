"""A Run against published values: within a tolerance or not, and what is known about why.

Only values of the same product or of the same chip are set beside ours. The second kind (h800-pcie beside h100-sxm,
both GH100) agrees in what the chip fixes, cycles and rates per SM, not always in what clocks, SM count and memory fix:
where the stated numbers of both products account for a difference, it is EXPLAINED. So is a throughput at the chip's
limit per cycle, where the published one asks for a higher clock that the product can run at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol

from gpuprobe.domains import domain_of, orientation
from gpuprobe.errors import GpuprobeError
from gpuprobe.record import DeviceSpec, Measurement, Params, Run

COST_TOLERANCE = 0.03
RATE_TOLERANCE = 0.05
"""How far a latency or time, and a bandwidth or rate, may lie from a published value (relative)."""

CLOCK_TOLERANCE = 0.02
"""From this distance to the boost clock on, the SM clock is named as a reason."""

AT_LIMIT = 0.98
"""From this share of its limit on, nothing but the clock is left to make a throughput higher."""


class PublishedValue(Protocol):
    """A published value in the unit of the measurement; ``params`` name only the axes that matter."""

    @property
    def device(self) -> str:
        """Product, as in devices/."""

    @property
    def value(self) -> float:
        """The value, in the unit of the measurement."""

    @property
    def source(self) -> str:
        """Where it is published."""

    @property
    def params(self) -> Params:
        """The parameters it holds for."""

    @property
    def quantity(self) -> str:
        """The quantity, as in the measurement."""

    @property
    def method(self) -> str:
        """How it was got, where that explains a difference."""

    @property
    def tolerance(self) -> float:
        """A tolerance of its own (relative); the wider of this and the kind's holds."""

    @property
    def reason(self) -> str:
        """Why ours is known to differ, or an empty text."""


class Agreement(StrEnum):
    """Whether a value lies within the tolerance of a published one; EXPLAINED: it does not, and the probe says why."""

    WITHIN = "WITHIN"
    EXPLAINED = "EXPLAINED"
    OUTSIDE = "OUTSIDE"


@dataclass(frozen=True)
class PublishedRow:
    """A measurement beside a published value: both in ``unit``, their ratio (ours over theirs) with our interval.

    ``match`` says whether ``device``, on which it was published, is our product or another with our chip.
    """

    name: str
    quantity: str
    params: Params
    unit: str
    value: float
    published: float
    device: str
    match: Literal["device", "chip"]
    ratio: float
    low: float
    high: float
    tolerance: float
    verdict: Agreement
    reason: str
    source: str


def against_published(
    run: Run,
    published: Mapping[str, Sequence[PublishedValue]],
    chips: Mapping[str, str],
    devices: Mapping[str, DeviceSpec] | None = None,
) -> tuple[PublishedRow, ...]:
    """Rows for every measurement with a published value of this product or chip, the same product first.

    ``published`` goes by the name of the measurement. ``chips`` gives the chip of each product that values are
    published for; values of a product it does not name stand only beside that very product. ``devices`` states the
    numbers of other products, which may account for a difference. A published value of zero or below is a
    GpuprobeError.
    """
    others = devices or {}
    rows = [row for measurement in run.measurements for row in _rows(run, measurement, published, chips, others)]
    return tuple(rows)


def _rows(
    run: Run,
    measurement: Measurement,
    published: Mapping[str, Sequence[PublishedValue]],
    chips: Mapping[str, str],
    devices: Mapping[str, DeviceSpec],
) -> list[PublishedRow]:
    found = []
    for value in published.get(measurement.name, ()):
        match = _match(run, value.device, chips)
        if match and _applies(value, measurement):
            found.append(_row(run, measurement, value, match, devices.get(value.device)))
    return sorted(found, key=lambda row: row.match != "device")


def _match(run: Run, device: str, chips: Mapping[str, str]) -> Literal["device", "chip"] | None:
    if device == run.device.name:
        return "device"
    return "chip" if chips.get(device) == run.device.chip else None


def _applies(value: PublishedValue, measurement: Measurement) -> bool:
    fits = all(measurement.params.get(axis) == setting for axis, setting in value.params.items())
    return fits and value.quantity == measurement.quantity


def _row(
    run: Run,
    measurement: Measurement,
    value: PublishedValue,
    match: Literal["device", "chip"],
    other: DeviceSpec | None,
) -> PublishedRow:
    if not value.value > 0.0:
        raise GpuprobeError(
            f"{measurement.title}: the published value {value.value} ({value.source}) has no ratio",
            "correct the probe",
        )
    ratio, low, high = (number / value.value for number in (measurement.value, measurement.low, measurement.high))
    tolerance = max(value.tolerance, RATE_TOLERANCE if orientation(measurement.unit) > 0 else COST_TOLERANCE)
    stated = _clock_difference(run.device, run.device if match == "device" else other, measurement, value.value)
    if match == "chip" and not stated:
        stated = _stated_difference(run.device, other, measurement, ratio, tolerance)
    outside = Agreement.EXPLAINED if value.reason or stated else Agreement.OUTSIDE
    verdict = Agreement.WITHIN if abs(ratio - 1.0) <= tolerance else outside
    reasons = [_distance(ratio, tolerance)]
    if verdict is not Agreement.WITHIN:
        reasons += [stated] if stated else []
        reasons += _evidence(run, measurement, value, match)
        reasons += ["our interval reaches the tolerance"] if low <= 1 + tolerance and high >= 1 - tolerance else []
    return PublishedRow(
        name=measurement.name,
        quantity=measurement.quantity,
        params=measurement.params,
        unit=measurement.unit,
        value=measurement.value,
        published=value.value,
        device=value.device,
        match=match,
        ratio=ratio,
        low=low,
        high=high,
        tolerance=tolerance,
        verdict=verdict,
        reason="; ".join(reasons),
        source=value.source,
    )


def _clock_difference(ours: DeviceSpec, theirs: DeviceSpec | None, measurement: Measurement, published: float) -> str:
    """Words where ours is at the limit of its clock and theirs asks for a higher one that exists; else empty."""
    limit, clock = measurement.limit, measurement.sm_clock_hz
    if theirs is None or measurement.unit not in ("FLOP/s", "op/s") or not limit or not clock:
        return ""
    mine, other = ours.get("sm_count"), theirs.get("sm_count")
    top = theirs.get("max_sm_clock_hz") or theirs.get("boost_clock_hz")
    if not mine or not other or not top or not AT_LIMIT * limit <= measurement.value < published:
        return ""
    asked = clock * published / limit * mine / other
    if not clock < asked <= top:
        return ""
    return (
        f"ours is {measurement.value / limit:.1%} of what the chip does at its {clock / 1e9:.2f} GHz, "
        f"theirs asks for {asked / 1e9:.2f} GHz or more"
    )


def _stated_difference(
    ours: DeviceSpec, theirs: DeviceSpec | None, measurement: Measurement, ratio: float, tolerance: float
) -> str:
    """Words where what both products state makes up for a difference of a rate; empty where it does not."""
    unit = measurement.unit
    if theirs is None or not (unit.endswith("/s") and unit.partition("/")[0] in ("B", "FLOP", "op")):
        return ""
    memory = measurement.name.startswith("dram")
    keys = ("dram_bandwidth_bytes_per_s",) if memory else ("sm_count", "boost_clock_hz")
    scale = 1.0
    for key in keys:
        mine, other = ours.get(key), theirs.get(key)
        if not mine or not other:
            return ""
        scale *= mine / other
    left = ratio / scale - 1.0
    if abs(left) > tolerance:
        return ""
    of_what = "memory bandwidth" if memory else "SM count x boost clock"
    return f"{of_what} as stated is {scale:.2f} times theirs, which leaves {left:+.1%}"


def _distance(ratio: float, tolerance: float) -> str:
    side = "above" if ratio > 1.0 else "below"
    return f"{abs(ratio - 1.0):.1%} {side} the published value, tolerance {tolerance:.0%}"


def _evidence(
    run: Run, measurement: Measurement, value: PublishedValue, match: Literal["device", "chip"]
) -> Iterator[str]:
    """What the records say that may explain a difference; nothing is guessed."""
    if match == "chip":
        yield f"published for {value.device}: the same chip ({run.device.chip}), other clocks, SM count or memory"
    boost, clock = run.device.get("boost_clock_hz"), measurement.sm_clock_hz
    if domain_of(measurement.unit) == "time" and boost and clock and abs(clock / boost - 1.0) > CLOCK_TOLERANCE:
        yield f"measured at {clock / 1e9:.2f} GHz, the boost clock is {boost / 1e9:.2f} GHz"
    for flag in ("throttled", "shared_gpu", "emulated", "unstable", "drift", "few_samples"):
        if flag in measurement.flags:
            yield f"ours is flagged {flag}"
    if value.reason:
        yield value.reason
    if value.method:
        yield f"their method: {value.method}"


def row_document(row: PublishedRow) -> dict[str, Any]:
    """JSON object of a row: its fields, the verdict as text."""
    return {**asdict(row), "params": dict(row.params), "verdict": str(row.verdict)}
