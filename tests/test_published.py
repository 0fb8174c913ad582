"""A Run beside published values: which ones apply, within what tolerance, and the reasons given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from gpuprobe.errors import GpuprobeError
from gpuprobe.published import Agreement, PublishedRow, against_published, row_document
from gpuprobe.record import DeviceSpec, Environment, Measurement, Number, Param, Run

BOOST = {"boost_clock_hz": Number(1.98e9, "datasheet", "test")}
DEVICE = DeviceSpec("h100-sxm", "NVIDIA H100 80GB HBM3", "sm_90", "GH100", BOOST)
CHIPS = {"h100-sxm": "GH100", "h800-pcie": "GH100", "a100-sxm-80gb": "GA100"}


@dataclass(frozen=True)
class Value:
    device: str
    value: float
    source: str = "2501.12084 T4"
    params: Mapping[str, Param] = field(default_factory=dict)
    quantity: str = "latency"
    method: str = ""
    tolerance: float = 0.03
    reason: str = ""


def measured(value: float = 32.5, unit: str = "cycle", flags: tuple[str, ...] = ()) -> Measurement:
    near = {"value": value, "low": value * 0.999, "high": value * 1.001}
    return Measurement("l1", "latency", {"size": 4096}, unit, (value,) * 9, **near, sm_clock_hz=1.5e9, flags=flags)


def rows_of(measurement: Measurement, *values: Value, chips: Mapping[str, str] = CHIPS) -> tuple[PublishedRow, ...]:
    run = Run("r", "2025-01-01T00:00:00Z", "synthetic", "full", DEVICE, Environment(), (measurement,))
    return against_published(run, {"l1": values, "other": (Value("h100-sxm", 1.0),)}, chips)


def test_the_same_product_comes_first_then_the_same_chip_and_no_other() -> None:
    rows = rows_of(measured(), Value("a100-sxm-80gb", 33.0), Value("h800-pcie", 32.0), Value("h100-sxm", 33.0))
    assert [(row.device, row.match) for row in rows] == [("h100-sxm", "device"), ("h800-pcie", "chip")]
    assert rows_of(measured(), Value("h800-pcie", 32.0), chips={}) == ()


def test_a_latency_may_be_3_percent_off_and_a_rate_5() -> None:
    def verdict(ratio: float, unit: str, tolerance: float = 0.0) -> Agreement:
        (row,) = rows_of(measured(100 * ratio, unit), Value("h100-sxm", 100.0, tolerance=tolerance))
        return row.verdict

    assert [verdict(ratio, "cycle") for ratio in (0.96, 0.98, 1.02, 1.04)] == ["OUTSIDE", "WITHIN", "WITHIN", "OUTSIDE"]
    assert [verdict(ratio, "B/s") for ratio in (0.94, 0.96, 1.04, 1.06)] == ["OUTSIDE", "WITHIN", "WITHIN", "OUTSIDE"]
    assert verdict(1.09, "cycle", tolerance=0.1) is Agreement.WITHIN


def test_ratio_is_ours_over_theirs_with_our_interval() -> None:
    (row,) = rows_of(measured(33.0), Value("h100-sxm", 30.0))
    assert (row.ratio, row.low, row.high) == pytest.approx((1.1, 1.1 * 0.999, 1.1 * 1.001))
    assert row.source == "2501.12084 T4" and row_document(row)["verdict"] == "OUTSIDE"


def test_parameters_and_quantity_must_fit_where_named() -> None:
    assert rows_of(measured(), Value("h100-sxm", 32.0, params={"size": 4096}))
    assert not rows_of(measured(), Value("h100-sxm", 32.0, params={"size": 8192}))
    assert not rows_of(measured(), Value("h100-sxm", 32.0, quantity="rate"))


def test_a_value_outside_says_what_the_records_show() -> None:
    value = Value("h800-pcie", 40.0, method="stride chase")
    (row,) = rows_of(measured(flags=("throttled",)), value)
    assert row.verdict is Agreement.OUTSIDE
    assert "18.8% below the published value, tolerance 3%" in row.reason
    assert "same chip (GH100)" in row.reason and "flagged throttled" in row.reason and "stride chase" in row.reason
    assert "GHz" not in row.reason
    (in_time,) = rows_of(measured(unit="FLOP/s"), value)
    assert "measured at 1.50 GHz, the boost clock is 1.98 GHz" in in_time.reason


def test_a_value_within_gives_the_distance_only() -> None:
    (row,) = rows_of(measured(32.5, flags=("throttled",)), Value("h800-pcie", 32.0, method="random chase"))
    assert row.reason == "1.6% above the published value, tolerance 3%"


def test_a_wide_interval_that_reaches_the_tolerance_is_said() -> None:
    wide = replace(measured(34.0), low=32.0, high=36.0)
    (row,) = rows_of(wide, Value("h100-sxm", 32.0))
    assert row.verdict is Agreement.OUTSIDE and "our interval reaches the tolerance" in row.reason
    (row,) = rows_of(measured(34.0), Value("h100-sxm", 32.0))
    assert "interval" not in row.reason


def test_a_published_zero_is_an_error() -> None:
    with pytest.raises(GpuprobeError, match="published value"):
        rows_of(measured(), Value("h100-sxm", 0.0))


def test_a_known_reason_makes_outside_explained_and_is_printed() -> None:
    (row,) = rows_of(measured(40.0), Value("h100-sxm", 30.0, reason="their clock reads are in the chain"))
    assert row.verdict is Agreement.EXPLAINED
    assert "their clock reads are in the chain" in row.reason
    (row,) = rows_of(measured(30.1), Value("h100-sxm", 30.0, reason="their clock reads are in the chain"))
    assert row.verdict is Agreement.WITHIN
    assert "clock reads" not in row.reason


def test_what_other_products_state_may_explain_a_rate_but_not_a_latency() -> None:
    half = DeviceSpec("h800-pcie", "H800", "sm_90", "GH100", {
        "sm_count": Number(66, "datasheet", "test"), "boost_clock_hz": Number(1.98e9, "datasheet", "test"),
        "dram_bandwidth_bytes_per_s": Number(2e12, "datasheet", "test"),
    })  # fmt: skip
    ours = {"sm_count": Number(132, "datasheet", "t"), "dram_bandwidth_bytes_per_s": Number(3e12, "datasheet", "t")}

    def row(name: str, unit: str, ratio: float) -> PublishedRow:
        measurement = replace(measured(100 * ratio, unit), name=name)
        run = Run("r", "2025-01-01", "synthetic", "full", DEVICE.with_numbers(ours), Environment(), (measurement,))
        (found,) = against_published(run, {name: (Value("h800-pcie", 100.0),)}, CHIPS, {"h800-pcie": half})
        return found

    assert row("mma_rate", "FLOP/s", 2.04).verdict is Agreement.EXPLAINED
    assert "2.00 times theirs, which leaves +2.0%" in row("mma_rate", "FLOP/s", 2.04).reason
    assert row("mma_rate", "FLOP/s", 2.2).verdict is Agreement.OUTSIDE
    assert row("dram_bandwidth", "B/s", 1.5).verdict is Agreement.EXPLAINED
    assert row("dram_bandwidth", "B/s", 2.0).verdict is Agreement.OUTSIDE
    assert row("l1", "cycle", 2.0).verdict is Agreement.OUTSIDE
    assert row("mma_rate", "FMA/cycle/SM", 2.0).verdict is Agreement.OUTSIDE


def test_a_throughput_at_its_limit_differs_by_a_clock_that_the_product_can_run_at() -> None:
    numbers = {"sm_count": Number(132, "datasheet", "t"), "max_sm_clock_hz": Number(1.98e9, "driver", "t")}

    def verdict(value: float, published: float, unit: str = "FLOP/s") -> PublishedRow:
        row = replace(measured(value, unit), name="wgmma_rate", limit=100.0, sm_clock_hz=1.6e9)
        run = Run("r", "2025-01-01", "synthetic", "full", DEVICE.with_numbers(numbers), Environment(), (row,))
        (found,) = against_published(run, {"wgmma_rate": (Value("h100-sxm", published),)}, CHIPS)
        return found

    assert verdict(99.0, 110.0).verdict is Agreement.EXPLAINED
    assert "99.0% of what the chip does at its 1.60 GHz, theirs asks for 1.76 GHz" in verdict(99.0, 110.0).reason
    assert verdict(90.0, 110.0).verdict is Agreement.OUTSIDE, "not at its limit"
    assert verdict(99.0, 130.0).verdict is Agreement.OUTSIDE, "no clock of the product gives that"
    assert verdict(99.0, 80.0).verdict is Agreement.OUTSIDE, "ours is faster: that is no clock's doing"
    assert verdict(99.0, 110.0, "FMA/cycle/SM").verdict is Agreement.OUTSIDE
