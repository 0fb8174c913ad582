"""Energy per operation from blocks of work: what the counter's ticks give, what is refused, how a block is run."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording import chain_probe, gpu_of, kernels_of, plan

from gpuprobe.energy.counter import PERIODS, WINDOWS, block_values, has_enough, refusal, window_powers_w
from gpuprobe.energy.per_operation import energy_per, increments, line, power, unfit
from gpuprobe.estimate import Point
from gpuprobe.gpu.energy_block import LONGEST_S, SETTLE_S, run_block, watch_sensors
from gpuprobe.measure import measure
from gpuprobe.probe import Launch
from gpuprobe.record import Sample


def polls(power_w: float, seconds: float, tick_s: float = 0.1, every_s: float = 0.001) -> list[tuple[float, float]]:
    """Polls of a counter of constant power."""
    return [
        (i * every_s, power_w * tick_s * math.floor(i * every_s / tick_s + 1e-9)) for i in range(int(seconds / every_s))
    ]


def block(power_w: float, rate: float, clock_hz: float = 1.98e9, seconds: float = 1.4) -> Sample:
    """A sample of a steady block: ``rate`` launches a second at ``power_w``."""
    values = block_values(polls(power_w, seconds), 0.12) | {"launches_per_s": rate}
    return Sample(1.0, 1.0, 1 / rate if rate else seconds, 0.0, clock_hz, power_w=power_w, values=values)


def point(warps: int, operands: str = "random", **others: str) -> Point:
    params = {**others, "WARPS": warps, "OPERANDS": operands}
    return Point(tuple(params.items()), grid=1, block=32 * warps, iters=10, zero=operands == "zero")


# --- the counter ------------------------------------------------------------------------------------------------


@given(st.floats(50, 700), st.sampled_from([0.02, 0.05, 0.1]))
def test_power_comes_back_from_ticks(power_w: float, tick_s: float) -> None:
    values = block_values(polls(power_w, 1.6, tick_s), 0.12)
    assert values["energy_j"] / values["span_s"] == pytest.approx(power_w, rel=0.002)
    assert values["tick_s"] == pytest.approx(tick_s, rel=0.03)
    assert refusal(values) is None
    assert window_powers_w(values) == [pytest.approx(power_w, rel=0.02)] * WINDOWS


@pytest.mark.parametrize(("seconds", "enough"), [(0.4, False), (0.9, False), (1.15, False), (1.35, True)])
def test_a_block_below_ten_periods_is_refused(seconds: float, enough: bool) -> None:
    found = polls(300.0, seconds)
    assert has_enough(found, 0.12) is enough
    reason = refusal(block_values(found, 0.12))
    assert (reason is None) is enough
    assert enough or f"at least {PERIODS} are needed" in str(reason)


def test_a_counter_that_stands_still_is_refused() -> None:
    assert "did not move" in str(refusal(block_values([(0.01 * i, 5.0) for i in range(300)], 0.1)))
    assert "did not move" in str(refusal({}))


def test_a_quick_counter_still_needs_a_second() -> None:
    assert not has_enough(polls(300.0, 0.8, tick_s=0.02), 0.12)


# --- energy per operation ---------------------------------------------------------------------------------------


def test_the_line_through_two_rates() -> None:
    assert line([1e12, 3e12], [110.0, 130.0]) == pytest.approx((1e-11, 100.0), abs=0)
    assert line([1e12, 1e12], [110.0, 130.0]) is None


def test_static_power_cancels_and_zeros_share_the_origin() -> None:
    work = lambda p: 1e9 * p.block  # noqa: E731
    static_w, random_j, zero_j = 120.0, 4e-12, 1.5e-12
    rates = {4: 100.0, 32: 300.0}
    round_ = {
        point(warps): block(static_w + random_j * 1e9 * 32 * warps * rate, rate) for warps, rate in rates.items()
    } | {point(32, "zero"): block(static_w + zero_j * 1e9 * 1024 * 300.0, 300.0)}
    found = energy_per(work, "J/op")(round_)
    by = {(e.quantity, e.params.get("OPERANDS")): e for e in found}
    assert by["energy", "random"].value == pytest.approx(random_j, rel=0.03, abs=0)
    assert by["energy", "zero"].value == pytest.approx(zero_j, rel=0.06, abs=0)
    assert by["static", None].value == pytest.approx(static_w, rel=0.05)
    assert len(found) == 3 * WINDOWS
    assert {e.unit for e in found} == {"J/op", "W"}


def test_one_rate_alone_or_two_clocks_give_nothing() -> None:
    estimate = energy_per(lambda p: 1e9, "J/op")
    assert estimate({point(4): block(200.0, 100.0)}) == []
    slow, quick = block(200.0, 100.0), block(600.0, 300.0, clock_hz=1.98e9 * 0.96)
    assert estimate({point(4): slow, point(32): quick}) == []
    steady = {point(4): slow, point(32): replace(quick, sm_clock_hz=1.98e9 * 0.99)}
    assert len(estimate(steady)) == 2 * WINDOWS


def test_what_a_level_adds_to_the_one_before() -> None:
    joules = {"L1": 1e-12, "L2": 5e-12, "READ": 12e-12}
    round_ = {
        point(warps, LEVEL=level): block(100.0 + joule * 1e9 * 32 * warps * 500, 500.0)
        for level, joule in joules.items()
        for warps in (1, 16)
    }
    found = increments(lambda p: 1e9 * p.block, "J/bit", "LEVEL", ("L1", "L2", "READ"))(round_)
    added = {e.params["LEVEL"]: e.value for e in found if e.quantity == "increment"}
    assert added == {"L2": pytest.approx(4e-12, rel=0.05, abs=0), "READ": pytest.approx(7e-12, rel=0.05, abs=0)}


def test_power_of_every_state() -> None:
    found = power()({point(1): block(75.0, 0.0), point(2): block(0.0, 0.0, seconds=0.3)})
    assert [e.value for e in found] == [pytest.approx(75.0, rel=0.02)] * WINDOWS


# --- in a measurement: a refusal is a rejection, rounds are fixed ----------------------------------------------


def energy_probe(**changes: object):
    defaults = {
        "unit": "J/op", "quantity": "energy", "method": "energy", "defines": {"OP": ["FFMA"]},
        "axes": {"WARPS": [4, 32], "OPERANDS": ["random"]}, "launch": Launch(iters=10),
        "estimate": energy_per(lambda p: 1e9 * p.number("WARPS"), "J/op"), "refuse": unfit, "rounds": 2,
        "width": 0.2,
    }  # fmt: skip
    return chain_probe("energy", **{**defaults, **changes})


def test_a_block_that_is_unfit_becomes_a_rejection_with_its_reason() -> None:
    probe = energy_probe()
    gpu = gpu_of(lambda p, index: block(200.0, 100.0, seconds=0.6))
    result = measure(probe, kernels_of([probe]), gpu, plan(), "seed")
    assert result.measurements == ()
    assert sorted(one.params["WARPS"] for one in result.rejections) == [4, 32]
    assert all("at least 10 are needed" in one.reason for one in result.rejections)


def test_a_gpu_that_waited_between_launches_is_refused() -> None:
    busy = block(200.0, 100.0)
    assert unfit(point(4), busy) is None
    assert unfit(point(4), replace(busy, seconds=0.0097)) is None
    assert "not busy" in str(unfit(point(4), replace(busy, seconds=0.008)))
    assert "not busy" in str(unfit(point(4), replace(busy, seconds=0.0105)))
    capped = replace(busy, values={**busy.values, "throttled": 1.0})
    assert "held the clock down" in str(unfit(point(4), capped))


def test_rounds_are_fixed_and_nothing_is_discarded_or_repeated() -> None:
    probe = energy_probe()
    gpu = gpu_of(lambda p, index: block(100.0 + p.number("WARPS"), 1000.0))
    result = measure(probe, kernels_of([probe]), gpu, plan(), "seed")
    assert sorted(gpu.calls.values()) == [2, 2]
    by = {m.quantity: m for m in result.measurements}
    assert by["energy"].value == pytest.approx(1e-12, rel=0.05, abs=0)
    assert by["energy"].n == 2 * WINDOWS
    assert "unstable" not in by["energy"].flags and "few_samples" not in by["energy"].flags


def test_without_fixed_rounds_the_plan_decides() -> None:
    probe = energy_probe(rounds=0)
    gpu = gpu_of(lambda p, index: block(100.0 + p.number("WARPS"), 1000.0))
    measure(probe, kernels_of([probe]), gpu, replace(plan(), stop=replace(plan().stop, max_samples=40)), "seed")
    assert max(gpu.calls.values()) > 2


# --- running a block --------------------------------------------------------------------------------------------


class Clock:
    """Time that passes by being looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.0004
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Event:
    """Done 10 ms of the clock after the work queued before it."""

    last = 0.0

    def __init__(self, clock: Clock) -> None:
        Event.last = max(Event.last, clock.now) + 0.010
        self.clock, self.due = clock, Event.last

    @property
    def done(self) -> bool:
        return self.clock.now >= self.due


def test_a_block_keeps_the_gpu_busy_until_the_counter_has_ticked_enough() -> None:
    clock = Clock()
    Event.last = 0.0
    found = run_block(lambda: Event(clock), lambda: 30.0 * math.floor(clock.now / 0.1), clock, clock.sleep)
    assert refusal(block_values(found.polls, found.settled_s)) is None
    assert 1.1 <= clock.now <= 1.5
    assert len(found.events) == pytest.approx(clock.now / 0.010, abs=4)
    assert found.settled_launches == pytest.approx(SETTLE_S / 0.010, abs=3)


def test_a_first_launch_that_loads_its_kernel_for_longer_than_power_settles_is_no_failure() -> None:
    clock = Clock()
    Event.last = 0.0

    def launch() -> Event:
        clock.sleep(0.0 if clock.now else 3 * SETTLE_S)
        return Event(clock)

    found = run_block(launch, lambda: 30.0 * math.floor(clock.now / 0.1), clock, clock.sleep)
    assert refusal(block_values(found.polls, found.settled_s)) is None


def test_a_counter_that_never_moves_ends_the_block_at_last_and_one_that_is_missing_at_once() -> None:
    clock = Clock()
    found = run_block(None, lambda: 5.0, clock, clock.sleep)
    assert LONGEST_S <= clock.now < LONGEST_S + 0.1
    assert refusal(block_values(found.polls, found.settled_s)) is not None
    clock = Clock()
    assert run_block(None, lambda: None, clock, clock.sleep).polls == []
    assert clock.now < 0.1


def test_watching_keeps_every_change_and_when_the_load_was_on() -> None:
    clock, burned = Clock(), []
    columns = watch_sensors(
        burned.append, lambda: {"instant": math.floor(clock.now / 0.1) * 10.0, "average": None}, 7, clock
    )
    assert columns["load_n"] == len(burned) > 10
    assert columns["load_off00"] - columns["load_on00"] == pytest.approx(burned[0])
    assert columns["instant_n"] == pytest.approx(columns["watched_s"] / 0.1, abs=2)
    assert "average_n" not in columns
