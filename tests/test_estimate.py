"""Estimators are algebra: what they cancel, they cancel exactly; what is missing gives nothing, not a wrong number."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.estimate import Estimate, Point, at, every, latency, period, rate, rate_per_sm, slope
from gpuprobe.record import Sample

ZERO = Sample(0.0, 0.0, 0.0, 0.0, 0.0)
reals = st.floats(0.01, 1e6)


def chain(length: int, iters: int = 1, **others: int | str) -> Point:
    return Point((("CHAIN", length), *others.items()), iters=iters)


def passes(count: int, **others: int | str) -> Point:
    return Point((("PASSES", count), *others.items()))


def only(estimates: list[Estimate]) -> Estimate:
    assert len(estimates) == 1
    return estimates[0]


# --- the slope --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overhead", [0, 17, 10_000])
@pytest.mark.parametrize("lengths", [(32, 64), (32, 64, 96), (96, 32, 64), (1, 2, 7, 100)])
def test_a_constant_overhead_cancels_exactly(overhead: int, lengths: tuple[int, ...]) -> None:
    round_ = {chain(n, 8): replace(ZERO, cycles=8.0 * (4 * n + overhead)) for n in lengths}
    assert only(latency()(round_)).value == 4.0


@given(reals, st.floats(0, 1e6), st.lists(st.integers(1, 10**4), min_size=2, max_size=6, unique=True))
def test_slope_and_overhead_of_any_size(each_: float, overhead: float, lengths: list[int]) -> None:
    round_ = {chain(n): replace(ZERO, cycles=each_ * n + overhead) for n in lengths}
    largest = each_ * max(lengths) + overhead
    assert math.isclose(only(latency()(round_)).value, each_, rel_tol=1e-9, abs_tol=1e-9 * largest)


@given(st.lists(reals, min_size=3, max_size=3), st.floats(0.1, 10), st.floats(-100, 100))
def test_the_slope_is_linear_in_what_is_measured(ys: list[float], scale: float, shift: float) -> None:
    def found(values: list[float]) -> float:
        points = {chain(n): replace(ZERO, cycles=value) for n, value in zip((1, 2, 3), values, strict=True)}
        return only(latency()(points)).value

    assert math.isclose(found([scale * y + shift for y in ys]), scale * found(ys), rel_tol=1e-6, abs_tol=1e-6)


def test_it_is_the_least_squares_slope() -> None:
    round_ = {chain(n): replace(ZERO, cycles=y) for n, y in ((1, 1.0), (2, 3.0), (4, 4.0))}
    assert only(latency()(round_)).value == pytest.approx(13 / 14)


def test_passes_through_the_body_are_divided_out() -> None:
    round_ = {chain(n, iters): replace(ZERO, cycles=float(iters * (4 * n + 9))) for n, iters in ((32, 10), (64, 1000))}
    assert only(latency()(round_)).value == 4.0


def test_each_setting_of_the_other_axes_has_a_slope_of_its_own() -> None:
    cost = {"EX2": 18.0, "RSQRT": 40.0}
    round_ = {chain(n, OP=op): replace(ZERO, cycles=cost[op] * n) for n in (32, 64) for op in cost}
    assert {e.params["OP"]: e.value for e in latency()(round_)} == cost
    assert all(set(e.params) == {"OP"} for e in latency()(round_))


@pytest.mark.parametrize("lengths", [(), (64,)])
def test_fewer_than_two_points_give_nothing(lengths: tuple[int, ...]) -> None:
    assert latency()({chain(n): replace(ZERO, cycles=1.0) for n in lengths}) == []


def test_a_group_with_a_missing_point_does_not_take_one_from_another() -> None:
    round_ = {chain(32, OP="A"): ZERO, chain(32, OP="B"): ZERO, chain(64, OP="B"): replace(ZERO, cycles=64.0)}
    assert [e.params["OP"] for e in latency()(round_)] == ["B"]


def test_the_clock_and_power_beside_it_are_those_of_the_longest_chain() -> None:
    round_ = {chain(n): replace(ZERO, cycles=float(n), power_w=float(n)) for n in (96, 32, 64)}
    assert only(latency()(round_)).sample.power_w == 96.0


def test_an_axis_of_texts_has_no_slope() -> None:
    with pytest.raises(TypeError, match="CHAIN is not numeric"):
        latency()({Point((("CHAIN", "long"),)): ZERO, chain(2): ZERO})


def test_points_at_one_place_have_no_slope() -> None:
    at_one_place = slope("CHAIN", quantity="q", unit="s", x=lambda p: 1.0, y=lambda p, s: s.cycles)
    assert at_one_place({chain(1): ZERO, chain(2): replace(ZERO, cycles=1.0)}) == []


# --- rates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", [0.0, 5000.0])
def test_a_rate_is_the_inverse_slope_and_the_fill_cancels(fill: float) -> None:
    def work(point: Point) -> float:
        return 2048.0 * point.number("PASSES")

    round_ = {passes(n): replace(ZERO, cycles=1.0, cycles_max=2.0 * n + fill) for n in (128, 384)}
    found = only(rate_per_sm(work, "FMA/cycle/SM")(round_))
    assert (found.value, found.unit, found.quantity) == (1024.0, "FMA/cycle/SM", "rate")


def test_a_rate_per_second_goes_by_the_wall_not_the_cycles() -> None:
    round_ = {passes(n): replace(ZERO, cycles=1.0, cycles_max=1.0, seconds=1e-3 * n + 5e-6) for n in (1, 2)}
    found = only(rate(lambda p: 3e9 * p.number("PASSES"), "B/s")(round_))
    assert found.value == pytest.approx(3e12, rel=1e-12)


def test_a_rate_of_no_time_gives_nothing_instead_of_infinity() -> None:
    round_ = {passes(n): replace(ZERO, seconds=1.0) for n in (1, 2)}
    assert rate(lambda p: p.number("PASSES"), "B/s")(round_) == []


@given(reals, st.floats(0, 1e3))
def test_rate_and_time_for_each_are_inverse(each_: float, fill: float) -> None:
    round_ = {passes(n): replace(ZERO, seconds=each_ * n + fill) for n in (1, 3)}
    by_rate = only(rate(lambda p: p.number("PASSES"), "1/s")(round_)).value
    by_period = only(period("PASSES", "period")(round_)).value
    assert math.isclose(by_rate * by_period, 1.0, rel_tol=1e-9)


# --- others -----------------------------------------------------------------------------------------------------


def test_a_period_may_be_of_a_column_of_the_probe() -> None:
    round_ = {passes(n): replace(ZERO, seconds=9.0, values={"api_s": 2e-6 * n + 1e-3}) for n in (128, 512)}
    found = only(period("PASSES", "api", "api_s")(round_))
    assert found.value == pytest.approx(2e-6)
    assert (found.unit, found.quantity, dict(found.params)) == ("s", "api", {})


def test_a_column_may_be_taken_at_one_place_of_an_axis_as_it_is() -> None:
    round_ = {passes(n, OP=op): replace(ZERO, values={"api_s": n * 1e-6}) for n in (128, 512) for op in "AB"}
    found = at("PASSES", 512, "api", "api_s")(round_)
    assert [(e.quantity, e.unit, e.value, e.params["OP"]) for e in found] == [
        ("api", "s", 512e-6, "A"),
        ("api", "s", 512e-6, "B"),
    ]
    assert [e.value for e in at("PASSES", 512, "api", "api_s", each=512)(round_)] == [1e-6, 1e-6]
    assert at("PASSES", 99, "api", "api_s")(round_) == []


def test_every_keeps_the_order_of_its_estimators() -> None:
    round_ = {passes(n): replace(ZERO, seconds=float(n), values={"api_s": 1.0}) for n in (1, 2)}
    found = every(at("PASSES", 1, "api", "api_s"), period("PASSES", "period"))(round_)
    assert [e.quantity for e in found] == ["api", "period"]


def test_a_point_knows_its_parameters() -> None:
    point = chain(32, OP="EX2", ILP=4)
    assert (point["OP"], point.number("ILP")) == ("EX2", 4)
    assert list(point.without("CHAIN").items()) == [("OP", "EX2"), ("ILP", 4)]
    with pytest.raises(KeyError):
        point["NONE"]
