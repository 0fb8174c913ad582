"""From the columns of a watched sample to period, window and delay of each sensor; the same after a file."""

from __future__ import annotations

import pytest

from energy.synthetic_sensors import Made, counter_polls
from gpuprobe.energy.counter import ticks
from gpuprobe.energy.estimators import busy_stretches, estimate, load_columns, sensor_of
from gpuprobe.energy.sensor import Signal, columns_of
from gpuprobe.energy.waveform import length_s, stretches
from gpuprobe.estimate import Point
from gpuprobe.record import Sample, Series

POINT = Point((("OP", "FFMA"),))
WINDOWS = {"instant": 0.025, "average": 1.0}


@pytest.fixture(scope="module")
def sample() -> Sample:
    """Three sensors of known windows under the probe's load."""
    busy = stretches(5)
    end_s = length_s(busy)
    signal = Signal.of_load(busy, -10.0, end_s)
    columns = load_columns(busy) | {"watched_s": end_s}
    for name, window_s in WINDOWS.items():
        made = Made(0.1, window_s, lag_s=0.005)
        columns |= columns_of(name, ticks(made.polls(signal, end_s, every_s=0.0005)))
    columns |= columns_of("counter", ticks(counter_polls(signal, end_s)))
    return Sample(0.0, 0.0, end_s, 0.0, 0.0, values=columns)


def test_every_sensor_is_told_by_its_window(sample: Sample) -> None:
    by = {(one.params["SENSOR"], one.quantity): one for one in estimate({POINT: sample})}
    assert by["counter", "window"].value == pytest.approx(0.1, abs=0.012)
    assert by["instant", "window"].value == pytest.approx(0.025, abs=0.006)
    assert by["average", "window"].value == pytest.approx(1.0, abs=0.06)
    assert by["instant", "delay"].value == pytest.approx(0.0175, abs=0.003)
    assert by["average", "delay"].value == pytest.approx(0.505, abs=0.02)
    assert all(by[name, "period"].value == pytest.approx(0.1, rel=0.02) for name in ("counter", "instant", "average"))
    assert by["instant", "agreement"].value == pytest.approx(1.0, abs=0.1)
    assert {one.unit for one in by.values()} == {"s", "ratio"}


def test_a_stored_series_gives_the_same_numbers(sample: Sample) -> None:
    rounded = sample.rounded()
    (again,) = Series.of("power_sensor", {"OP": "FFMA"}, "", "", [rounded]).samples()
    before, after = (
        [(e.quantity, dict(e.params), e.value) for e in estimate({POINT: one})] for one in (rounded, again)
    )
    assert before == after


def test_what_a_gpu_does_not_have_is_left_out(sample: Sample) -> None:
    without = {name: value for name, value in sample.values.items() if not name.startswith("average_")}
    found = estimate({POINT: Sample(0.0, 0.0, 1.0, 0.0, 0.0, values=without)})
    assert {one.params["SENSOR"] for one in found} == {"counter", "instant"}
    assert estimate({POINT: Sample(0.0, 0.0, 1.0, 0.0, 0.0)}) == []
    assert sensor_of(without, "average") is None


def test_the_load_survives_its_columns() -> None:
    busy = stretches(9)
    assert busy_stretches(load_columns(busy)) == busy
    assert len({tuple(stretches(seed)) for seed in range(5)}) == 5
