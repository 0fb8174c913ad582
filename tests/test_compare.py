"""Comparison: verdicts on simulated pairs of runs, orientation, domains, flags, noise floors and documents."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe import comparison as comparing
from gpuprobe import domains
from gpuprobe.comparison import Comparison, Row, Verdict, compare, to_document
from gpuprobe.errors import GpuprobeError
from gpuprobe.record import DeviceSpec, Environment, Measurement, Run
from gpuprobe.stats import median_intervals

DEVICE = DeviceSpec("h100-sxm", "NVIDIA H100 80GB HBM3", "sm_90", "GH100", {})
CLOCK = 1.98e9


def run(measurements: Iterable[Measurement], run_id: str = "a", **environment: object) -> Run:
    surroundings = Environment(**environment)  # type: ignore[arg-type]
    return Run(run_id, "2025-01-01T00:00:00Z", "synthetic", "full", DEVICE, surroundings, tuple(measurements))


def measured(
    value: float = 100.0,
    unit: str = "cycle",
    name: str = "ffma_latency",
    clock: float | None = CLOCK,
    flags: tuple[str, ...] = (),
    n: int = 15,
    width: float = 0.001,
) -> Measurement:
    """A measurement whose interval is +-``width`` of the value."""
    return Measurement(
        name=name,
        quantity="latency",
        params={"warps": 4},
        unit=unit,
        samples=(value,) * n,
        value=value,
        low=value * (1 - width),
        high=value * (1 + width),
        sm_clock_hz=clock,
        flags=flags,
    )


def rows_of(a: Measurement, b: Measurement, **settings: object) -> tuple[Row, ...]:
    return compare(run([a]), run([b], "b"), **settings).rows  # type: ignore[arg-type]


# Simulated pairs


def _noise(tails: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Unit-variance noise of the samples."""
    if tails == "heavy":
        return rng.standard_t(3, shape) / math.sqrt(3)
    if tails == "bursts":
        return rng.normal(size=shape) * np.where(rng.random(shape) < 0.1, 3.0, 1.0) / math.sqrt(1.8)
    return rng.normal(size=shape)


def simulated(
    rows: int, rng: np.random.Generator, effect: float = 0.0, tails: str = "heavy", between: float = 0.003
) -> list[Measurement]:
    """``rows`` latencies of 100 cycles x (1 + effect): 0.2-1 % noise within the run, ``between`` from run to run."""
    found = []
    for n in (11, 15, 21, 31):
        share = rows // 4
        spread = np.exp(rng.uniform(math.log(0.002), math.log(0.01), (share, 1)))
        shift = between * rng.normal(size=(share, 1))
        samples = 100 * (1 + effect) * np.exp(shift + spread * _noise(tails, (share, n), rng))
        for i, (value, low, high) in enumerate(zip(*median_intervals(samples), strict=True)):
            probe, taken = f"probe_{n}_{i}", tuple(samples[i])
            found.append(Measurement(probe, "latency", {}, "cycle", taken, float(value), float(low), float(high)))
    return found


def verdicts(effect: float, rows: int, tails: str = "heavy", seed: int = 0, between: float = 0.003) -> Counter[Verdict]:
    rng = np.random.default_rng(seed)
    a = run(simulated(rows, rng, tails=tails, between=between))
    b = run(simulated(rows, rng, effect, tails, between), "b")
    return Counter(row.verdict for row in compare(a, b).rows)


@pytest.mark.parametrize("tails", ["normal", "heavy", "bursts"])
def test_equal_runs_get_at_most_one_false_verdict_in_a_hundred(tails: str) -> None:
    found = verdicts(0.0, 8000, tails)
    assert found[Verdict.FASTER] + found[Verdict.SLOWER] <= 0.01 * 8000
    assert found[Verdict.SAME] >= 0.8 * 8000


@pytest.mark.parametrize(("effect", "verdict"), [(0.02, Verdict.SLOWER), (-0.02, Verdict.FASTER)])
def test_a_change_of_two_percent_is_found(effect: float, verdict: Verdict) -> None:
    found = verdicts(effect, 8000)
    wrong = {Verdict.FASTER, Verdict.SLOWER} - {verdict}
    assert found[verdict] >= 0.95 * 8000
    assert not any(found[other] for other in wrong)


def test_quiet_runs_are_told_apart_and_called_the_same_almost_always() -> None:
    assert verdicts(0.02, 2000, between=0.001)[Verdict.SLOWER] >= 0.985 * 2000
    quiet = verdicts(0.0, 2000, between=0.001)
    assert quiet[Verdict.SAME] >= 0.93 * 2000 and quiet[Verdict.FASTER] + quiet[Verdict.SLOWER] <= 2


def test_a_change_below_the_least_effect_is_not_reported_however_sure() -> None:
    floors = {(measured().key, "cycle"): 1e-5}
    (row, _) = rows_of(measured(100, width=0), measured(100.5, width=0), floors=floors)
    assert row.low > 1 and row.verdict is Verdict.SAME
    (row, _) = rows_of(measured(100, width=0), measured(100.5, width=0), floors=floors, min_effect=0.004)
    assert row.verdict is Verdict.SLOWER


def test_a_wide_interval_is_unclear() -> None:
    (row, _) = rows_of(measured(width=0.03), measured(101, width=0.03))
    assert row.verdict is Verdict.UNCLEAR and row.low < 1 < row.high


@given(st.floats(0.5, 2), st.floats(0, 0.1), st.floats(0, 0.1))
def test_swapping_the_runs_mirrors_every_row(ratio: float, width_a: float, width_b: float) -> None:
    a, b = measured(100, width=width_a), measured(100 * ratio, width=width_b)
    mirror = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
    for there, back in zip(rows_of(a, b), rows_of(b, a), strict=True):
        assert there.ratio == pytest.approx(1 / back.ratio)
        assert (there.low, there.high) == pytest.approx((1 / back.high, 1 / back.low))
        assert there.verdict is mirror.get(back.verdict, back.verdict)


# Units and domains


@pytest.mark.parametrize(
    ("unit", "verdict"),
    [
        ("cycle", Verdict.SLOWER),
        ("s", Verdict.SLOWER),
        ("J", Verdict.SLOWER),
        ("B/s", Verdict.FASTER),
        ("FLOP/s", Verdict.FASTER),
        ("FMA/cycle/SM", Verdict.FASTER),
        ("B/cycle/SM", Verdict.FASTER),
        ("B", Verdict.DIFFERENT),
    ],
)
def test_more_is_slower_for_costs_and_faster_for_rates(unit: str, verdict: Verdict) -> None:
    assert rows_of(measured(100, unit), measured(110, unit))[0].verdict is verdict


def test_cycles_also_get_a_row_in_time_by_the_clock_of_each_run() -> None:
    native, twin = rows_of(measured(100), measured(100, clock=CLOCK / 1.1))
    assert (native.unit, native.domain, native.verdict) == ("cycle", "native", Verdict.SAME)
    assert (twin.unit, twin.domain, twin.verdict) == ("s", "time", Verdict.SLOWER)
    assert twin.value_a == pytest.approx(100 / CLOCK) and twin.ratio == pytest.approx(1.1)
    assert "clock_differs" in native.flags


def test_a_rate_in_time_gets_a_row_in_cycles() -> None:
    native, twin = rows_of(measured(9e14, "FLOP/s"), measured(9e14 / 1.1, "FLOP/s", clock=CLOCK / 1.1))
    assert native.verdict is Verdict.SLOWER
    assert (twin.unit, twin.domain, twin.verdict) == ("FLOP/cycle", "cycle", Verdict.SAME)
    assert twin.value_a == pytest.approx(9e14 / CLOCK)


@pytest.mark.parametrize("unit", ["B/s", "s", "B"])
def test_what_runs_on_another_clock_is_not_converted(unit: str) -> None:
    assert [row.domain for row in rows_of(measured(1, unit), measured(1, unit))] == ["native"]


def test_no_clock_no_twin() -> None:
    assert len(rows_of(measured(), measured(clock=None))) == 1


def test_every_twin_leads_to_the_other_domain() -> None:
    for unit, twin in domains.TWINS.items():
        assert {domains.domain_of(unit), domains.domain_of(twin.unit)} == {"cycle", "time"}
        assert domains.domain_of(twin.unit) == twin.domain
        assert domains.orientation(unit) == domains.orientation(twin.unit)


def test_a_view_keeps_one_domain_and_what_has_none() -> None:
    units = ["cycle", "FLOP/s", "B/s", "B"]
    a = run(measured(100, unit, name=f"probe_{i}") for i, unit in enumerate(units))

    def units_in(view: str) -> list[str]:
        return [row.unit for row in compare(a, a, domain=view).rows]  # type: ignore[arg-type]

    assert units_in("cycle") == ["cycle", "FLOP/cycle", "B"]
    assert units_in("time") == ["s", "FLOP/s", "B/s", "B"]
    assert len(units_in("both")) == 6


# Flags


def test_a_shared_gpu_makes_a_row_unclear() -> None:
    (row, twin) = rows_of(measured(), measured(150, flags=("shared_gpu",)))
    assert row.verdict is twin.verdict is Verdict.UNCLEAR and row.flags == ("b:shared_gpu",)


def test_throttling_on_one_side_makes_time_unclear_and_leaves_cycles() -> None:
    native, twin = rows_of(measured(), measured(110, flags=("throttled",)))
    assert native.verdict is Verdict.SLOWER and twin.verdict is Verdict.UNCLEAR
    native, twin = rows_of(measured(flags=("throttled",)), measured(110, flags=("throttled",)))
    assert native.verdict is twin.verdict is Verdict.SLOWER
    assert twin.flags == ("a:throttled", "b:throttled")


def test_drift_widens_the_interval_and_unstable_does_not_for_its_own_interval_is_wide_already() -> None:
    plain, wide, unstable = (
        rows_of(measured(), measured(101.5, flags=flags))[0] for flags in ((), ("drift",), ("unstable",))
    )
    assert wide.low < plain.low and wide.high > plain.high
    assert (unstable.low, unstable.high) == (plain.low, plain.high)
    assert (plain.verdict, wide.verdict) == (Verdict.SLOWER, Verdict.UNCLEAR)


@pytest.mark.parametrize("few", [{"n": 5}, {"flags": ("few_samples",)}])
def test_few_samples_cannot_show_a_difference_but_may_show_none(few: dict[str, object]) -> None:
    assert rows_of(measured(), measured(110, **few))[0].verdict is Verdict.UNCLEAR  # type: ignore[arg-type]
    assert rows_of(measured(), measured(100, **few))[0].verdict is Verdict.SAME  # type: ignore[arg-type]


def test_flags_that_only_inform_change_nothing() -> None:
    (row, _) = rows_of(measured(flags=("replayed", "emulated")), measured(110))
    assert row.verdict is Verdict.SLOWER and row.flags == ("a:replayed", "a:emulated")


# Runs that do not match


def test_quantities_of_one_run_only_are_listed() -> None:
    both, left, right = measured(name="both"), measured(name="left"), measured(name="right")
    found = compare(run([both, left]), run([right, both], "b"))
    assert {row.name for row in found.rows} == {"both"}
    assert (found.only_a, found.only_b) == ((left.key,), (right.key,))


def test_another_unit_is_another_quantity() -> None:
    found = compare(run([measured(unit="cycle")]), run([measured(unit="s")], "b"))
    assert not found.rows and found.only_a == found.only_b == (measured().key,)


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_a_value_of_zero_or_below_is_an_error(value: float) -> None:
    with pytest.raises(GpuprobeError, match=r"ffma_latency latency \(warps=4\)"):
        rows_of(measured(), measured(value))


def test_a_clock_of_zero_and_a_quantity_held_twice_are_errors() -> None:
    with pytest.raises(GpuprobeError, match="SM clock"):
        rows_of(measured(), measured(clock=0.0))
    with pytest.raises(GpuprobeError, match="twice"):
        compare(run([measured(), measured()]), run([measured()], "b"))


@pytest.mark.parametrize("wrong", [{"min_effect": 0.0}, {"min_effect": 1.0}, {"confidence": 1.0}, {"confidence": 99}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(GpuprobeError, match="confidence"):
        rows_of(measured(), measured(), **wrong)


# Around the rows


def test_environment_diff_names_what_differs_and_nothing_else() -> None:
    a = run([], driver="570.1", power_limit_w=700.0, temperature_c=31.0, packages={"numpy": "2.0", "cupy": "13"})
    b = run([], "b", driver="575.2", power_limit_w=700.0, temperature_c=34.0, packages={"numpy": "2.1"})
    assert compare(a, b).environment_diff == {
        "driver": ("570.1", "575.2"),
        "packages.cupy": ("13", None),
        "packages.numpy": ("2.0", "2.1"),
    }
    hot = replace(b, environment=replace(b.environment, temperature_c=36.0))
    assert compare(a, hot).environment_diff["temperature_c"] == (31.0, 36.0)


def test_different_devices_are_compared_and_said() -> None:
    other = replace(run([measured(120)], "b"), device=replace(DEVICE, name="h200-sxm"))
    found = compare(run([measured()]), other)
    assert not found.same_device and found.environment_diff["device"] == ("h100-sxm", "h200-sxm")
    assert found.rows[0].verdict is Verdict.SLOWER
    assert compare(run([]), run([], "b")).same_device


def test_expected_false_verdicts_count_a_quantity_and_its_twin_once() -> None:
    many = run(measured(name=f"probe_{i}") for i in range(50))
    found = compare(many, many)
    assert len(found.rows) == 100 and found.expected_false == pytest.approx(0.5)
    assert found.count(Verdict.SAME) == 100
    assert comparing.family_confidence(0.99, 50) == pytest.approx(0.9998)


def repeats(runs: int, rows: int, rng: np.random.Generator, effect: float = 0.0, between: float = 0.003) -> list[Run]:
    """Runs of one state: each row with its own place within ``between`` in every run."""
    return [run(simulated(rows, rng, effect, "heavy", between), f"{effect}-{i}") for i in range(runs)]


def false_share(runs: int, between: float) -> float:
    """Share of false verdicts between states that differ by noise alone, where 0.3 % from run to run is declared."""
    rng = np.random.default_rng(1)
    a, b = repeats(runs, 2000, rng, between=between), repeats(runs, 2000, rng, between=between)
    rows = compare(a, b, confidence=0.95).rows
    return sum(row.verdict in (Verdict.FASTER, Verdict.SLOWER) for row in rows) / len(rows)


def test_repeats_of_an_unchanged_state_get_at_most_one_false_verdict_in_a_hundred() -> None:
    assert false_share(2, 0.003) <= 0.01 and false_share(4, 0.003) <= 0.01


def test_repeats_see_noise_that_was_declared_too_small() -> None:
    assert false_share(1, 0.006) > 0.1 and false_share(4, 0.006) < 0.03


def test_four_runs_each_find_a_change_that_one_run_each_does_not() -> None:
    """Noise from run to run of 0.8 %, that of L2 bandwidth, declared: 2 % is found in half of single pairs."""
    rng = np.random.default_rng(2)
    shares = {}
    for runs in (1, 4):
        a, b = repeats(runs, 1000, rng, between=0.008), repeats(runs, 1000, rng, 0.02, between=0.008)
        floors = {(one.key, one.unit): 0.008 for one in a[0].measurements}
        rows = compare(a, b, confidence=0.95, floors=floors).rows
        shares[runs] = sum(row.verdict is Verdict.SLOWER for row in rows) / len(rows)
    assert shares[1] < 0.5 and shares[4] > 0.85


def test_repeats_that_differ_by_more_than_declared_widen_the_interval() -> None:
    def states(*values: float) -> list[Run]:
        return [run([measured(value)], str(i)) for i, value in enumerate(values)]

    near, far = states(99.9, 100, 100.1), states(98, 100, 102)
    (steady, _), (moving, _) = (compare(side, states(101.4, 101.5, 101.6)).rows for side in (near, far))
    assert (steady.verdict, moving.verdict) == (Verdict.SLOWER, Verdict.UNCLEAR)
    assert moving.high / moving.low > steady.high / steady.low > 1


def test_one_run_a_side_is_what_it_was_and_repeats_only_narrow_it() -> None:
    widths = []
    for count in (1, 2, 3, 5):
        a, b = ([run([measured()], f"{side}{i}") for i in range(count)] for side in "ab")
        row = compare(a, b).rows[0]
        assert row.value_a == 100.0 and row.ratio == 1.0
        widths.append(row.high - row.low)
    assert widths == sorted(widths, reverse=True) and widths[-1] < 0.6 * widths[0]
    single = compare(run([measured()]), run([measured()], "b")).rows[0]
    assert single.high - single.low == widths[0]


def test_a_quantity_that_one_repeat_lacks_is_compared_by_the_others() -> None:
    both, left = measured(name="both"), measured(name="left")
    found = compare([run([both, left]), run([both], "a2")], run([left, both], "b"))
    assert {row.name for row in found.rows} == {"both", "left"} and found.only_a == found.only_b == ()
    assert (found.a_id, found.b_id) == ("a + a2", "b")


def test_flags_of_any_repeat_are_the_sides() -> None:
    shared = compare([run([measured()]), run([measured(flags=("shared_gpu",))], "a2")], run([measured(120)], "b"))
    assert shared.rows[0].verdict is Verdict.UNCLEAR and shared.rows[0].flags == ("a:shared_gpu",)
    few = [run([measured(n=3)], str(i)) for i in range(2)]
    assert compare(few, run([measured(110)], "b")).rows[0].verdict is Verdict.SLOWER


def test_repeats_are_distinct_runs_of_one_product() -> None:
    other = replace(run([measured()], "c"), device=replace(DEVICE, name="l4"))
    for side, wrong in (([run([]), other], "one product"), ([], "none"), ([run([]), run([])], "its own repeats")):
        with pytest.raises(GpuprobeError, match=wrong):
            compare(side, run([], "b"))


def test_the_document_is_json_of_the_promised_shape() -> None:
    found: Comparison = compare(
        run([measured(), measured(name="x")], driver="1"), run([measured(110)], "b", driver="2")
    )
    document = json.loads(json.dumps(to_document(found), allow_nan=False))
    assert (document["a"], document["b"]) == ("a", "b")
    assert {"name", "params", "ratio", "low", "high", "verdict", "domain", "unit", "flags"} <= document["rows"][
        0
    ].keys()
    assert document["rows"][0]["verdict"] == "SLOWER" and document["rows"][0]["params"] == {"warps": 4}
    assert document["runs"] == {"a": ["a"], "b": ["b"]}
    assert document["environment_diff"] == {"driver": {"a": "1", "b": "2"}}
    assert document["only_a"] == [{"name": "x", "quantity": "latency", "params": {"warps": 4}}]


def test_an_interval_down_to_zero_still_makes_finite_json() -> None:
    wild = replace(measured(), low=-5.0, high=1e9, samples=(100.0,))
    json.dumps(to_document(compare(run([wild]), run([measured()], "b"))), allow_nan=False)


def test_labels_have_no_ratio() -> None:
    assert rows_of(measured(1.0, unit="number"), measured(2.0, unit="number")) == ()
