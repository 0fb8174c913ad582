"""Two states of a GPU to verdicts, in time and in cycles: a run beside another, or repeats of each.

Two runs of one GPU differ by more than the samples of either show: another process, temperature, placement in memory.
So the interval of a ratio b/a holds both: the recorded 95 % intervals of the medians, stretched to ``confidence``, and
a noise floor from run to run, which repeats narrow (``gpuprobe.repeats``). What follows from it, with 99 %, 1 % and a
floor of 0.3 % a run:

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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from gpuprobe import tabular
from gpuprobe.domains import LABEL, Domain, View, belongs, domain_of, orientation, twin_of
from gpuprobe.errors import GpuprobeError
from gpuprobe.record import Environment, Params, Run
from gpuprobe.repeats import Identity, Key, Repeats, by_identity, checked_side, ratio_between
from gpuprobe.stats import Ratio
from gpuprobe.units import quantity

if TYPE_CHECKING:
    import pandas as pd

NOISE_FLOOR = 0.003
"""Standard deviation of a quantity from run to run of one GPU, relative. An allowance, not a measurement: it lets two
runs agree within 1 % in 98 % of quantities. ``gpuprobe.floors`` replaces it by what the probes declare."""

HOST_NOISE_FLOOR = 0.01
"""The same for what the host takes part in (unit s: launches), for CPU scheduling and frequency. An allowance."""

SAME_BAND = 2.0
"""SAME excludes a change of this many times ``min_effect``: what compare promises to find. At ``min_effect`` itself no
interval that holds the floor could fit (0.3 % a run is +-1.1 % of a ratio at 99 %), and no row would ever be SAME."""


class Verdict(StrEnum):
    """What became of a quantity from run a to run b. DIFFERENT is for those that are neither fast nor slow (bytes)."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    SAME = "SAME"
    UNCLEAR = "UNCLEAR"
    DIFFERENT = "DIFFERENT"


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

    @property
    def apart(self) -> float:
        """How far the sides are apart, whichever is larger: the logarithm of the ratio without its sign."""
        return abs(math.log(self.ratio)) if self.ratio > 0 else math.inf


@dataclass(frozen=True)
class Comparison:
    """Two states compared: rows in the order of a, what differs around them, and what only one of them holds.

    ``a_ids`` and ``b_ids`` name the runs of either state.
    """

    a_ids: tuple[str, ...]
    b_ids: tuple[str, ...]
    rows: tuple[Row, ...]
    environment_diff: Mapping[str, tuple[Any, Any]]
    only_a: tuple[Key, ...]
    only_b: tuple[Key, ...]
    min_effect: float
    confidence: float

    @property
    def a_id(self) -> str:
        """The runs of state a in one line."""
        return " + ".join(self.a_ids)

    @property
    def b_id(self) -> str:
        """The runs of state b in one line."""
        return " + ".join(self.b_ids)

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
    a: Run | Sequence[Run],
    b: Run | Sequence[Run],
    *,
    min_effect: float = 0.01,
    confidence: float = 0.99,
    domain: View = "both",
    floors: Mapping[Identity, float] | None = None,
) -> Comparison:
    """Compare state b with state a: a run each, or several runs of one state, whose mean is less noisy.

    FASTER and SLOWER need an interval of b/a that excludes 1 and a ratio ``min_effect`` or more away from it; SAME
    needs the interval inside +-``SAME_BAND`` x ``min_effect``; all else is UNCLEAR. More of a cost (cycle, s, J) is
    SLOWER, more of a rate FASTER. ``domain`` keeps the rows of one domain; sizes and the like belong to both.
    ``floors`` (from ``gpuprobe.floors``) go before the default. A row is UNCLEAR where either side shared its GPU or,
    in time, where one side alone was throttled; few samples make a difference UNCLEAR; drift and throttled widen the
    interval (unstable has a wide one of its own). Quantities match by name, quantity, parameters and unit; labels
    are left out. A value of zero or below is a GpuprobeError.
    """
    _check_settings(min_effect, confidence)
    one, other = (checked_side([side] if isinstance(side, Run) else side) for side in (a, b))
    left, right = by_identity(one), by_identity(other)
    judge = _Judge(min_effect, confidence, floors or {})
    pairs = [(left[one], right[one]) for one in left if one in right and one[1] != LABEL]
    return Comparison(
        a_ids=tuple(run.run_id for run in one),
        b_ids=tuple(run.run_id for run in other),
        rows=tuple(row for pair in pairs for row in judge.rows(*pair) if belongs(row.unit, domain)),
        environment_diff=environment_diff(one[0], other[0]),
        only_a=tuple(key for key, unit in left if (key, unit) not in right),
        only_b=tuple(key for key, unit in right if (key, unit) not in left),
        min_effect=min_effect,
        confidence=confidence,
    )


def family_confidence(confidence: float, tests: int) -> float:
    """Confidence of each of ``tests`` rows so that all of them together hold with ``confidence`` (Bonferroni)."""
    return 1.0 - (1.0 - confidence) / max(tests, 1)


def _check_settings(min_effect: float, confidence: float) -> None:
    if not 0.0 < min_effect < 1.0 or not 0.5 <= confidence < 1.0:
        raise GpuprobeError(
            f"cannot compare with a least effect of {min_effect} and a confidence of {confidence}",
            "use an effect between 0 and 1 (0.01 is 1 %) and a confidence from 0.5 to below 1",
        )


@dataclass(frozen=True)
class _Judge:
    """The settings of a comparison, and the verdicts they give."""

    min_effect: float
    confidence: float
    floors: Mapping[Identity, float]

    def rows(self, a: Repeats, b: Repeats) -> Iterator[Row]:
        """The row in the unit measured and, where every run of both sides converts, its twin."""
        default = default_floor(a.runs[0].unit)
        yield self._row(a, b, "native", default)
        twin_a, twin_b = _in_twin(a), _in_twin(b)
        if twin_a and twin_b:
            yield self._row(twin_a, twin_b, domain_of(twin_a.runs[0].unit), default)

    def _row(self, a: Repeats, b: Repeats, domain: Domain, default: float) -> Row:
        first = a.runs[0]
        ratio = ratio_between(a, b, self.floors.get((first.key, first.unit), default), self.confidence)
        return Row(
            name=first.name,
            quantity=first.quantity,
            params=first.params,
            unit=first.unit,
            domain=domain,
            value_a=a.value,
            value_b=b.value,
            ratio=ratio.ratio,
            low=ratio.low,
            high=ratio.high,
            verdict=self._verdict(ratio, a, b),
            flags=_flags(a, b),
        )

    def _verdict(self, ratio: Ratio, a: Repeats, b: Repeats) -> Verdict:
        unit = a.runs[0].unit
        if _is_foreign(a, b, unit):
            return Verdict.UNCLEAR
        if ratio.beyond(self.min_effect):
            return Verdict.UNCLEAR if a.is_few or b.is_few else _direction(ratio, unit)
        return Verdict.SAME if ratio.within(SAME_BAND * self.min_effect) else Verdict.UNCLEAR


def _in_twin(side: Repeats) -> Repeats | None:
    """Every run's value in the other domain, by the clock of that run; None where one has no twin."""
    twins = [twin for twin in map(twin_of, side.runs) if twin is not None]
    return Repeats(tuple(twins)) if len(twins) == len(side.runs) else None


def _direction(ratio: Ratio, unit: str) -> Verdict:
    sign = orientation(unit)
    if sign == 0:
        return Verdict.DIFFERENT
    return Verdict.FASTER if (ratio.ratio > 1.0) == (sign > 0) else Verdict.SLOWER


def _is_foreign(a: Repeats, b: Repeats, unit: str) -> bool:
    """Whether something outside the two states compared may have made the difference."""
    shared = "shared_gpu" in a.flags or "shared_gpu" in b.flags
    throttled = ("throttled" in a.flags) != ("throttled" in b.flags)
    return shared or (throttled and domain_of(unit) == "time")


def _flags(a: Repeats, b: Repeats) -> tuple[str, ...]:
    sides = [f"{name}:{flag}" for name, side in (("a", a), ("b", b)) for flag in side.flags]
    clocks = a.sm_clock_hz, b.sm_clock_hz
    if clocks[0] and clocks[1] and abs(math.log(clocks[1] / clocks[0])) > math.log1p(0.01):
        sides.append("clock_differs")
    return tuple(sides)


def default_floor(unit: str) -> float:
    """Noise from run to run of a quantity measured in ``unit``, as a relative standard deviation."""
    return HOST_NOISE_FLOOR if unit == "s" else NOISE_FLOOR


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
        "runs": {"a": list(comparison.a_ids), "b": list(comparison.b_ids)},
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
