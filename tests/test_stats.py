"""Statistics: exact where a closed form is known, simulated where a coverage is promised."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gpuprobe import stats
from gpuprobe.errors import GpuprobeError
from gpuprobe.stats import Interval, StopReason, StopRule

samples = st.integers(1, 40).flatmap(lambda n: arrays(np.float64, n, elements=st.floats(1e-3, 1e6)))


@given(samples, st.floats(1e-3, 1e3))
def test_the_interval_scales_with_the_unit(values: np.ndarray, scale: float) -> None:
    here, there = stats.median_interval(values), stats.median_interval(values * scale)
    assert there == pytest.approx(tuple(number * scale for number in here), rel=1e-9, abs=1e-9 * scale)


@given(samples, st.randoms(use_true_random=False))
def test_the_interval_holds_the_median_and_does_not_depend_on_order(values: np.ndarray, random: object) -> None:
    interval = stats.median_interval(values)
    assert interval.low <= interval.value <= interval.high
    assert interval.value == pytest.approx(float(np.median(values)))
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert stats.median_interval(shuffled) == interval


@given(samples)
def test_more_confidence_is_never_narrower(values: np.ndarray) -> None:
    ends = [stats.median_interval(values, confidence) for confidence in (0.5, 0.9, 0.95, 0.99)]
    for narrow, wide in itertools.pairwise(ends):
        assert wide.low <= narrow.low + 1e-9 * abs(narrow.low) and wide.high >= narrow.high * (1 - 1e-9)


@given(samples, st.data())
def test_a_larger_sample_never_lowers_the_ends(values: np.ndarray, data: st.DataObject) -> None:
    if len(values) < 6:
        return
    raised = values.copy()
    raised[data.draw(st.integers(0, len(values) - 1))] *= 2
    before, after = stats.median_interval(values), stats.median_interval(raised)
    slack = 1e-9 * abs(before.high)
    assert after.low >= before.low - slack and after.value >= before.value - slack and after.high >= before.high - slack


def _draw(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Samples whose true median is 0."""
    normal = rng.normal(size=shape)
    if kind == "lognormal":
        return np.exp(normal) - 1.0
    if kind == "mixture":
        return normal * np.where(rng.random(shape) < 0.2, 8.0, 1.0)
    return normal


@pytest.mark.parametrize("kind", ["normal", "lognormal", "mixture"])
@pytest.mark.parametrize("n", [6, 11, 15, 16, 31])
def test_the_95_percent_interval_covers_the_true_median(kind: str, n: int) -> None:
    _, low, high = stats.median_intervals(_draw(kind, (20_000, n), np.random.default_rng(n)))
    assert 0.94 <= np.mean((low <= 0) & (high >= 0)) <= 0.96


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_few_samples_give_an_interval_that_still_covers(n: int) -> None:
    _, low, high = stats.median_intervals(_draw("normal", (20_000, n), np.random.default_rng(n)))
    assert 0.945 <= np.mean((low <= 0) & (high >= 0)) <= 0.985


def test_one_sample_knows_nothing() -> None:
    assert stats.median_interval([4.0]) == Interval(4.0, 0.0, 8.0)


def test_rows_agree_with_single_intervals() -> None:
    rows = np.random.default_rng(3).lognormal(size=(20, 13))
    values, lows, highs = stats.median_intervals(rows, 0.99)
    assert [stats.median_interval(row, 0.99) for row in rows] == list(zip(values, lows, highs, strict=True))


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [math.inf], [[1.0, 2.0]]])
def test_samples_must_be_finite_numbers_in_a_row(bad: list[float]) -> None:
    with pytest.raises(GpuprobeError):
        stats.median_interval(bad)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, math.nan])
def test_a_confidence_is_between_0_and_1(confidence: float) -> None:
    with pytest.raises(GpuprobeError, match="confidence"):
        stats.median_interval([1.0, 2.0], confidence)


@pytest.mark.parametrize(
    ("confidence", "degrees", "quantile"),
    [(0.95, 1, 12.7062), (0.95, 2, 4.30265), (0.99, 5, 4.03214), (0.95, 10, 2.22814), (0.99, 120, 2.61742)],
)
def test_student_quantiles_match_the_tables(confidence: float, degrees: int, quantile: float) -> None:
    assert stats.student_quantile(confidence, degrees) == pytest.approx(quantile, rel=1e-5)


def test_student_becomes_normal() -> None:
    assert stats.student_quantile(0.95, 5000) == pytest.approx(1.96, abs=1e-3)


def test_relative_width() -> None:
    assert stats.relative_width(Interval(200.0, 199.0, 201.0)) == pytest.approx(0.01)
    assert stats.relative_width(Interval(0.0, -1.0, 1.0)) == math.inf
    assert stats.relative_width(Interval(0.0, 0.0, 0.0)) == 0.0


def test_a_curve_needs_two_different_x() -> None:
    with pytest.raises(GpuprobeError):
        stats.plateaus([2.0, 2.0], [1.0, 3.0])
    with pytest.raises(GpuprobeError):
        stats.plateaus([1.0, 2.0, 3.0], [1.0, 3.0])


FOOTPRINTS = 2.0 ** np.arange(12, 31.01, 0.5)


def _latency(noise: float, seed: int = 0) -> np.ndarray:
    """Latency of a random chase: L1 of 192 KiB at 33 cycles, L2 of 24 MB at 264, DRAM at 680, mixed by hits."""
    in_l1 = np.where(FOOTPRINTS <= 2**17.6, 1.0, 0.0)
    in_l2 = np.clip(2.4e7 / FOOTPRINTS, 0, 1) ** 2 - in_l1
    level = 33 * in_l1 + 264 * in_l2 + 680 * (1 - in_l1 - in_l2)
    return level * np.exp(noise * np.random.default_rng(seed).normal(size=len(level)))


@pytest.mark.parametrize("noise", [0.0, 0.002, 0.01])
def test_plateaus_of_a_cache_hierarchy(noise: float) -> None:
    found = stats.plateaus(FOOTPRINTS, _latency(noise))
    assert [plateau.level for plateau in found.plateaus] == pytest.approx([33, 264, 680], rel=0.02)
    assert found.edges[0] == pytest.approx(2**17.75, rel=0.01)
    assert 1.6e7 < found.edges[1] < 3.5e7


def test_an_outlier_does_not_break_a_plateau_and_a_flat_line_is_one() -> None:
    flat = np.full(len(FOOTPRINTS), 33.0)
    flat[20] = 60.0
    found = stats.plateaus(FOOTPRINTS, flat)
    assert found.edges == () and found.plateaus[0] == (33.0, FOOTPRINTS[0], FOOTPRINTS[-1], len(FOOTPRINTS))


def test_a_pure_ramp_has_no_plateau() -> None:
    assert stats.plateaus(FOOTPRINTS, np.geomspace(30, 3000, len(FOOTPRINTS))).plateaus == ()


def test_plateaus_do_not_depend_on_the_order_of_points() -> None:
    order = np.random.default_rng(0).permutation(len(FOOTPRINTS))
    latency = _latency(0.002)
    assert stats.plateaus(FOOTPRINTS[order], latency[order]) == stats.plateaus(FOOTPRINTS, latency)


def test_near_and_far_are_two_clusters() -> None:
    rng = np.random.default_rng(1)
    latency = np.concatenate([rng.normal(258, 12, 66), rng.normal(414, 20, 66)])
    found = stats.two_clusters(rng.permutation(latency))
    assert found.distinct and (found.low_count, found.high_count) == (66, 66)
    assert (found.low_center, found.high_center) == pytest.approx((258, 414), rel=0.02)
    assert 290 < found.threshold < 370


@pytest.mark.parametrize("shape", ["normal", "uniform"])
@pytest.mark.parametrize(("n", "share"), [(12, 0.03), (50, 0.01), (132, 0.005)])
def test_one_cloud_is_not_called_two(shape: str, n: int, share: float) -> None:
    rng = np.random.default_rng(n)
    clouds = rng.normal(size=(1000, n)) if shape == "normal" else rng.random((1000, n))
    assert np.mean([stats.two_clusters(cloud).distinct for cloud in clouds]) <= share


def test_equal_values_and_lone_outliers_are_one_cluster() -> None:
    assert stats.two_clusters([23.0] * 9) == (23.0, 23.0, 23.0, 9, 0, 0.0)
    assert not stats.two_clusters([23.0] * 9).distinct
    assert not stats.two_clusters([23.0] * 30 + [99.0]).distinct
    assert stats.two_clusters([23.0] * 9 + [29.0] * 9).separation == math.inf


@given(st.lists(st.floats(1, 1e4), min_size=2, max_size=30), st.floats(0.1, 10))
def test_the_cut_is_the_best_of_all_cuts(values: list[float], scale: float) -> None:
    found = stats.two_clusters(values)
    if found.high_count == 0:
        return
    ordered = np.sort(values)

    def within(cut: int) -> float:
        return float(cut * ordered[:cut].var() + (len(ordered) - cut) * ordered[cut:].var())

    best = min(within(cut) for cut in range(1, len(ordered)))
    assert within(found.low_count) <= best * (1 + 1e-6) + 1e-6
    assert stats.two_clusters(np.multiply(values, scale)).low_count == found.low_count or best < 1e-6


def test_a_difference_is_a_ratio_with_an_interval() -> None:
    rng = np.random.default_rng(2)
    a, b = 100 + rng.normal(size=31), 103 + rng.normal(size=31)
    ratio = stats.is_different(a, b)
    assert ratio.low < 1.03 < ratio.high and ratio.beyond(0.01) and not ratio.beyond(0.05) and not ratio.within(0.02)
    assert stats.is_different(a, a).within(0.02)


@given(samples, samples)
def test_swapping_the_sides_inverts_the_ratio(a: np.ndarray, b: np.ndarray) -> None:
    there, back = stats.is_different(a, b), stats.is_different(b, a)
    assert (there.ratio, there.low, there.high) == pytest.approx(
        (1 / back.ratio, 1 / back.high, 1 / back.low), rel=1e-9
    )
    assert there.low <= there.ratio <= there.high and there.high <= there.ratio * 10.001


def test_the_interval_of_a_ratio_covers_it() -> None:
    rng = np.random.default_rng(8)
    pairs = ((np.exp(0.05 * rng.normal(size=15)), 1.1 * np.exp(0.02 * rng.normal(size=11))) for _ in range(1500))
    ratios = [stats.is_different(a, b) for a, b in pairs]
    assert 0.93 <= np.mean([ratio.low <= 1.1 <= ratio.high for ratio in ratios]) <= 0.98


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_ratio_needs_positive_values(value: float) -> None:
    with pytest.raises(GpuprobeError, match="positive"):
        stats.ratio_of(Interval(1.0, 0.9, 1.1), Interval(value, value - 1, value + 1))


def test_an_interval_down_to_zero_is_cut_at_tenfold() -> None:
    ratio = stats.ratio_of(Interval(1.0, 1.0, 1.0), Interval(2.0, -3.0, 2.5))
    assert ratio.low == pytest.approx(0.2) and ratio.high == pytest.approx(2.5)


def test_drift_says_what_changed_from_first_to_last() -> None:
    first = 100 + np.random.default_rng(4).normal(0, 0.1, 15)
    assert stats.drift(first, first * 1.03).beyond(0.01)
    assert not stats.drift(first, first * 1.002).beyond(0.01)


def test_stop_rule_gives_the_reason() -> None:
    rule = StopRule(relative_width=0.01, min_samples=5, max_samples=8, max_seconds=2.0)
    steady, noisy = [100.0] * 5, [100.0, 150.0] * 4
    assert rule.done(steady[:4], 0.1) is None
    assert rule.done(steady, 0.1) is StopReason.NARROW
    assert rule.done(noisy[:7], 0.1) is None
    assert rule.done(noisy, 0.1) is StopReason.MAX_SAMPLES
    assert rule.done(noisy[:2], 2.0) is StopReason.MAX_SECONDS
    assert rule.done([], 99.0) is None


@pytest.mark.parametrize("wrong", [{"min_samples": 0}, {"max_samples": 3}, {"max_seconds": 0}, {"relative_width": -1}])
def test_a_stop_rule_that_cannot_be_met_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(GpuprobeError):
        StopRule(**wrong)  # type: ignore[arg-type]
