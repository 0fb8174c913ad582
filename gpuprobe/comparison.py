"""Two Runs to verdicts, in time and in cycles.

Two runs of one GPU differ by more than the samples of either show: another process, temperature, placement in memory.
So the interval of a ratio b/a holds both: the recorded 95 % intervals of the two medians, stretched to ``confidence``,
and a noise floor from run to run. What follows from it, with the defaults (99 %, 1 %, floor 0.3 % a run):

- Runs that differ by nothing but that noise get FASTER or SLOWER in at most 1 % of rows (simulated: 0.6-1.0 %).
- A change of 2 % is found in 95 % of rows while the standard deviation of the measured ratio is below 0.47 %, floor
  included: normal samples spread by 0.7 % or less at n = 31, by 0.4 % at n = 11. Over spreads of 0.2-1 % and n = 11-31
  it is found in 96 % of rows with heavy tails and 92-93 % with normal ones; the rest are UNCLEAR, 0.4 % SAME.
- Each row is judged for itself. Among 100 unchanged quantities one verdict may be false (``expected_false``); to let
  a whole comparison fail on one row, compare at ``family_confidence(0.99, rows)``. The twin of a row in the other
  domain is the same data seen again and counts as no further test.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gpuprobe import tabular
from gpuprobe.errors import GpuprobeError
from gpuprobe.record import Environment, Measurement, Param, Params, Run
from gpuprobe.stats import Interval, Ratio, ratio_of, student_quantile
from gpuprobe.units import quantity

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, str, tuple[tuple[str, Param], ...]]
Identity = tuple[Key, str]
"""What rows and noise floors go by: the key of a Measurement and the unit."""

Domain = Literal["native", "cycle", "time"]
View = Literal["both", "cycle", "time"]

NOISE_FLOOR = 0.003
"""Standard deviation of a quantity from run to run of one GPU, relative. An allowance, not a measurement: it lets two
runs agree within 1 % in 98 % of quantities. ``noise_floor`` replaces it by what recorded runs show."""

HOST_NOISE_FLOOR = 0.01
"""The same for what the host takes part in (unit s: launches), for CPU scheduling and frequency. An allowance."""

WIDEN = 2.0
"""The floor of a side that drifted or was throttled counts this often: its samples are not independent."""

SAME_BAND = 2.0
"""SAME excludes a change of this many times ``min_effect``: what compare promises to find. At ``min_effect`` itself no
interval that holds the floor could fit (0.3 % a run is +-1.1 % of a ratio at 99 %), and no row would ever be SAME."""

PRIOR_RUNS = 4
"""How many runs the default floor weighs as when ``noise_floor`` has only a few of its own."""

FEW = 6
"""Below this many samples the spread itself is not known (no order statistics reach 95 %)."""


class Verdict(StrEnum):
    """What became of a quantity from run a to run b. DIFFERENT is for those that are neither fast nor slow (bytes)."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    SAME = "SAME"
    UNCLEAR = "UNCLEAR"
    DIFFERENT = "DIFFERENT"


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


@dataclass(frozen=True)
class Row:
    """One quantity in both runs: values in ``unit``, ratio b/a with its interval, verdict, and flags of either side.

    ``domain`` is native for the unit it was measured in, else the domain it was converted to by the SM clock of each
    run. Flags read ``a:throttled``; ``clock_differs`` says that the SM clocks of the two runs are more than 1 % apart.
    """

    name: str
    quantity: str
    params: Params
    unit: str
    domain: Domain
    value_a: float
    value_b: float
    ratio: float
    low: float
    high: float
    verdict: Verdict
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Two runs compared: rows in the order of run a, what differs around them, and what only one of them holds."""

    a_id: str
    b_id: str
    rows: tuple[Row, ...]
    environment_diff: Mapping[str, tuple[Any, Any]]
    only_a: tuple[Key, ...]
    only_b: tuple[Key, ...]
    min_effect: float
    confidence: float

    @property
    def same_device(self) -> bool:
        """Whether both runs name the same product; if not, the rows compare devices, not states of one."""
        return "device" not in self.environment_diff

    @property
    def expected_false(self) -> float:
        """At most this many rows are FASTER, SLOWER or DIFFERENT by chance alone (the twins of a row not counted)."""
        tests = {(row.name, row.quantity, tuple(sorted(row.params.items()))) for row in self.rows}
        return (1.0 - self.confidence) * len(tests)

    def count(self, verdict: Verdict) -> int:
        """Number of rows of a verdict."""
        return sum(row.verdict is verdict for row in self.rows)

    def to_frame(self) -> pd.DataFrame:
        """The rows as a DataFrame, a column for each parameter; needs pandas."""
        return tabular.frame(
            {
                **{name: value for name, value in asdict(row).items() if name not in ("params", "flags", "verdict")},
                **row.params,
                "verdict": str(row.verdict),
                "flags": " ".join(row.flags),
            }
            for row in self.rows
        )

    def _repr_html_(self) -> str:
        """The rows as a notebook shows them."""
        counts = ", ".join(f"{self.count(verdict)} {verdict}" for verdict in Verdict if self.count(verdict))
        rows = [
            (
                row.name,
                row.quantity,
                " ".join(f"{name}={value}" for name, value in row.params.items()),
                quantity(row.value_a, row.unit),
                quantity(row.value_b, row.unit),
                f"{row.ratio:.4f} ({row.low:.4f} to {row.high:.4f})",
                str(row.verdict),
            )
            for row in self.rows
        ]
        title = f"{self.b_id} over {self.a_id}: {counts or 'nothing in common'}"
        return tabular.html(title, ("probe", "quantity", "parameters", "a", "b", "ratio", "verdict"), rows)


def compare(
    a: Run,
    b: Run,
    *,
    min_effect: float = 0.01,
    confidence: float = 0.99,
    domain: View = "both",
    floors: Mapping[Identity, float] | None = None,
) -> Comparison:
    """Compare run b with run a.

    FASTER and SLOWER need an interval of b/a that excludes 1 and a ratio ``min_effect`` or more away from it; SAME
    needs the interval inside +-``SAME_BAND`` x ``min_effect``; all else is UNCLEAR. More of a cost (cycle, s, J) is
    SLOWER, more of a rate FASTER. ``domain`` keeps the rows of one domain; sizes and the like belong to both.
    ``floors`` (from ``noise_floor``) go before the default. A row is UNCLEAR where either side shared its GPU or, in
    time, where one side alone was throttled; few samples (flag, or under ``FEW``) make a difference UNCLEAR; drift
    and throttled widen the interval (unstable has a wide one of its own). Quantities match by name, quantity,
    parameters and unit. A value of zero or below is a GpuprobeError.
    """
    _check_settings(min_effect, confidence)
    left, right = _by_key(a), _by_key(b)
    judge = _Judge(min_effect, confidence, floors or {})
    pairs = [(left[key], right[key]) for key in left if key in right]
    return Comparison(
        a_id=a.run_id,
        b_id=b.run_id,
        rows=tuple(row for one, other in pairs for row in judge.rows(one, other) if _belongs(row, domain)),
        environment_diff=environment_diff(a, b),
        only_a=tuple(left[key].key for key in left if key not in right),
        only_b=tuple(right[key].key for key in right if key not in left),
        min_effect=min_effect,
        confidence=confidence,
    )


def family_confidence(confidence: float, tests: int) -> float:
    """Confidence of each of ``tests`` rows so that all of them together hold with ``confidence`` (Bonferroni)."""
    return 1.0 - (1.0 - confidence) / max(tests, 1)


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


def _belongs(row: Row, view: View) -> bool:
    return view == "both" or domain_of(row.unit) in (view, "native")


def _check_settings(min_effect: float, confidence: float) -> None:
    if not 0.0 < min_effect < 1.0 or not 0.5 <= confidence < 1.0:
        raise GpuprobeError(
            f"cannot compare with a least effect of {min_effect} and a confidence of {confidence}",
            "use an effect between 0 and 1 (0.01 is 1 %) and a confidence from 0.5 to below 1",
        )


def _by_key(run: Run) -> dict[Identity, Measurement]:
    found: dict[Identity, Measurement] = {}
    for measurement in run.measurements:
        key = measurement.key, measurement.unit
        if key in found:
            raise GpuprobeError(
                f"run {run.run_id} holds {label(measurement)} twice",
                "record it again with: gpuprobe microbench -o FILE",
            )
        if not measurement.value > 0.0:
            raise GpuprobeError(
                f"run {run.run_id}: {label(measurement)} is {measurement.value} {measurement.unit}, which has no ratio",
                "measure it again, or remove it from the run",
            )
        found[key] = measurement
    return found


def label(measurement: Measurement) -> str:
    """Name, quantity and parameters in one line, for messages."""
    params = ", ".join(f"{name}={value}" for name, value in sorted(measurement.params.items()))
    return f"{measurement.name} {measurement.quantity}" + (f" ({params})" if params else "")


def _in_twin(measurement: Measurement) -> tuple[Domain, Measurement] | None:
    """The measurement in its other domain, by the SM clock read in the kernel; None where it has none."""
    twin, clock = TWINS.get(measurement.unit), measurement.sm_clock_hz
    if twin is None or clock is None:
        return None
    if not clock > 0.0:
        raise GpuprobeError(f"{label(measurement)} has an SM clock of {clock} Hz", "measure it again")
    scale = clock**twin.power
    return twin.domain, replace(
        measurement,
        unit=twin.unit,
        samples=tuple(sample * scale for sample in measurement.samples),
        value=measurement.value * scale,
        low=measurement.low * scale,
        high=measurement.high * scale,
    )


@dataclass(frozen=True)
class _Judge:
    """The settings of a comparison, and the verdicts they give."""

    min_effect: float
    confidence: float
    floors: Mapping[Identity, float]

    def rows(self, a: Measurement, b: Measurement) -> Iterator[Row]:
        """The row in the unit measured and, where both sides convert, its twin."""
        default = default_floor(a.unit)
        yield self._row(a, b, "native", default)
        twin_a, twin_b = _in_twin(a), _in_twin(b)
        if twin_a and twin_b:
            yield self._row(twin_a[1], twin_b[1], twin_a[0], default)

    def _row(self, a: Measurement, b: Measurement, domain: Domain, default: float) -> Row:
        ratio = self._ratio(a, b, self.floors.get((a.key, a.unit), default))
        return Row(
            name=a.name,
            quantity=a.quantity,
            params=a.params,
            unit=a.unit,
            domain=domain,
            value_a=a.value,
            value_b=b.value,
            ratio=ratio.ratio,
            low=ratio.low,
            high=ratio.high,
            verdict=self._verdict(ratio, a, b),
            flags=_flags(a, b),
        )

    def _ratio(self, a: Measurement, b: Measurement, floor: float) -> Ratio:
        """Ratio b/a with the samples' noise and the noise from run to run in its interval."""
        quantile = _normal_quantile(self.confidence)
        noise = quantile * floor * math.hypot(_widening(a), _widening(b))
        return ratio_of(_interval(a), _interval(b), noise, stretch=quantile / _normal_quantile(0.95))

    def _verdict(self, ratio: Ratio, a: Measurement, b: Measurement) -> Verdict:
        if _foreign(a, b):
            return Verdict.UNCLEAR
        if ratio.beyond(self.min_effect):
            return Verdict.UNCLEAR if _is_few(a) or _is_few(b) else _direction(ratio, a.unit)
        return Verdict.SAME if ratio.within(SAME_BAND * self.min_effect) else Verdict.UNCLEAR


def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def _direction(ratio: Ratio, unit: str) -> Verdict:
    sign = orientation(unit)
    if sign == 0:
        return Verdict.DIFFERENT
    return Verdict.FASTER if (ratio.ratio > 1.0) == (sign > 0) else Verdict.SLOWER


def _foreign(a: Measurement, b: Measurement) -> bool:
    """Whether something outside the two states compared may have made the difference."""
    shared = "shared_gpu" in a.flags or "shared_gpu" in b.flags
    throttled = ("throttled" in a.flags) != ("throttled" in b.flags)
    return shared or (throttled and domain_of(a.unit) == "time")


def _is_few(measurement: Measurement) -> bool:
    return "few_samples" in measurement.flags or measurement.n < FEW


def _widening(measurement: Measurement) -> float:
    return WIDEN if {"drift", "throttled"} & set(measurement.flags) else 1.0


def _flags(a: Measurement, b: Measurement) -> tuple[str, ...]:
    sides = [f"{side}:{flag}" for side, one in (("a", a), ("b", b)) for flag in one.flags]
    clocks = a.sm_clock_hz, b.sm_clock_hz
    if clocks[0] and clocks[1] and abs(math.log(clocks[1] / clocks[0])) > math.log1p(0.01):
        sides.append("clock_differs")
    return tuple(sides)


def _interval(measurement: Measurement) -> Interval:
    return Interval(measurement.value, measurement.low, measurement.high)


def default_floor(unit: str) -> float:
    """Noise from run to run of a quantity measured in ``unit``, as a relative standard deviation."""
    return HOST_NOISE_FLOOR if unit == "s" else NOISE_FLOOR


def noise_floor(runs: Sequence[Run]) -> Mapping[Identity, float]:
    """Relative standard deviation from run to run of each row, from two or more runs of one device, for ``compare``.

    The variance seen is averaged with the default's, which weighs ``PRIOR_RUNS``; a spread above the default counts
    in full, times Student's quantile over the normal one, for it is known from few runs. Noise of the samples is in it
    too, so it errs on the wide side. Quantities found in one run only are left out and keep the default.
    """
    if len(runs) < 2 or len({run.device.name for run in runs}) > 1:
        raise GpuprobeError("a noise floor needs two or more runs of one device", "record another run on the same GPU")
    logs: dict[Identity, list[float]] = defaultdict(list)
    defaults: dict[Identity, float] = {}
    for run in runs:
        for (key, unit), measurement in _by_key(run).items():
            for in_unit, value in _in_units(measurement).items():
                logs[key, in_unit].append(math.log(value))
                defaults[key, in_unit] = default_floor(unit)
    return {identity: _floor(seen, defaults[identity]) for identity, seen in logs.items() if len(seen) >= 2}


def _in_units(measurement: Measurement) -> dict[str, float]:
    """The value by unit: as measured and, where it converts, as its twin."""
    twin = _in_twin(measurement)
    return {one.unit: one.value for one in (measurement, *(twin[1:] if twin else ()))}


def _floor(logs: Sequence[float], default: float) -> float:
    mean, degrees = sum(logs) / len(logs), len(logs) - 1
    squares = sum((value - mean) ** 2 for value in logs)
    moderated = math.sqrt((PRIOR_RUNS * default**2 + squares) / (PRIOR_RUNS + degrees))
    caution = student_quantile(0.99, PRIOR_RUNS + degrees) / _normal_quantile(0.99)
    return max(moderated, caution * math.sqrt(squares / degrees))


def environment_diff(a: Run, b: Run) -> dict[str, tuple[Any, Any]]:
    """What differs around two runs: key to (a, b). Temperatures from 5 K apart; packages one by one."""
    left, right = _surroundings(a), _surroundings(b)
    keys = [*left, *(key for key in right if key not in left)]
    pairs = {key: (left.get(key), right.get(key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if _differs(key, *pair)}


def _surroundings(run: Run) -> dict[str, Any]:
    plain = [field.name for field in fields(Environment) if field.name != "packages"]
    return {
        "device": run.device.name,
        "source": run.source,
        "mode": run.mode,
        **{name: getattr(run.environment, name) for name in plain},
        **{f"packages.{name}": version for name, version in sorted(run.environment.packages.items())},
    }


def _differs(key: str, a: Any, b: Any) -> bool:
    if key == "temperature_c" and a is not None and b is not None:
        return bool(abs(a - b) >= 5.0)
    return bool(a != b)


def to_document(comparison: Comparison) -> dict[str, Any]:
    """The JSON document printed by ``gpuprobe compare --json``."""
    return {
        "schema": 1,
        "a": comparison.a_id,
        "b": comparison.b_id,
        "min_effect": comparison.min_effect,
        "confidence": comparison.confidence,
        "same_device": comparison.same_device,
        "expected_false": comparison.expected_false,
        "rows": [_row_document(row) for row in comparison.rows],
        "environment_diff": {key: {"a": a, "b": b} for key, (a, b) in comparison.environment_diff.items()},
        "only_a": [_key_document(key) for key in comparison.only_a],
        "only_b": [_key_document(key) for key in comparison.only_b],
    }


def _row_document(row: Row) -> dict[str, Any]:
    return {**asdict(row), "params": dict(row.params), "verdict": str(row.verdict)}


def _key_document(key: Key) -> dict[str, Any]:
    return {"name": key[0], "quantity": key[1], "params": dict(key[2])}
