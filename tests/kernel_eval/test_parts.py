"""The pure parts of a kernel evaluation: verdicts, tolerances, layout, speed-ups, floor, metrics, advice."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe import device
from gpuprobe.kernel_eval.advice import from_metrics, from_times
from gpuprobe.kernel_eval.findings import GRAVITY, Finding, Verdict, verdict_of
from gpuprobe.kernel_eval.floor import distance, floor_of
from gpuprobe.kernel_eval.layout import TensorSpec, lay_out, layout_of
from gpuprobe.kernel_eval.metrics import SUMMARY, parse, refusal
from gpuprobe.kernel_eval.pool import ALIKE, alike
from gpuprobe.kernel_eval.session import cold_plan
from gpuprobe.kernel_eval.speed import fast_p, headline, latencies, ratio_of, repeat_gain, speed
from gpuprobe.kernel_eval.tolerance import allowed, decode, examine, witness_misses

ROW = {
    "dtype": "float32",
    "error": 1e-6,
    "reference_error": 1e-6,
    "conditioning": 1e-7,
    "nonfinite": 0,
    "poison": 0,
    "elements": 100,
    "scale": 1.0,
}


def test_the_gravest_finding_decides() -> None:
    order = ["less-precise", "wrong-values", "hang", "mutates-inputs"]
    verdicts = [verdict_of(Finding(name, "") for name in order[: n + 1]) for n in range(len(order))]
    assert verdicts == [Verdict.CORRECT, Verdict.WRONG, Verdict.FAILED, Verdict.CHEATS]
    assert verdict_of([]) is Verdict.CORRECT


def test_every_finding_has_a_gravity() -> None:
    assert all(Finding(name, "").gravity == gravity for name, gravity in GRAVITY.items())


def test_a_row_within_tolerance_finds_nothing() -> None:
    assert examine(ROW, "given") == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"error": 2e-4}, "wrong-values"),
        ({"poison": 1}, "unwritten-output"),
        ({"nonfinite": 1}, "wrong-nonfinite"),
        ({"conditioning": 1.0}, "inconclusive"),
    ],
)
def test_a_row_beyond_tolerance_is_named(change: dict[str, float], name: str) -> None:
    assert [finding.name for finding in examine({**ROW, **change}, "given")] == [name]


def test_the_reference_error_widens_what_is_allowed() -> None:
    assert allowed({**ROW, "reference_error": 1e-3}) > 2e-3 > allowed(ROW)


def test_integers_must_agree_exactly() -> None:
    assert examine({"exact": True, "dtype": "int64"}, "given") == []
    assert examine({"exact": False, "dtype": "int64"}, "given")[0].name == "wrong-values"


def test_witnesses_that_differ_are_missed_and_nan_meets_nan() -> None:
    expected = np.array([[[1.0, np.nan, 2.0, np.inf, 3.0]]])
    found = np.array([[[1.0 + 1e-7, np.nan, np.nan, np.inf, 3.1]]])
    assert witness_misses(found, expected, [1.0], [1e-4]).ravel().tolist() == [False, False, True, False, True]


def test_poison_is_nan_in_every_floating_type_and_never_a_match() -> None:
    for dtype, size in (("bfloat16", 2), ("float16", 2), ("float32", 4), ("float64", 8)):
        assert np.isnan(decode(b"\xff" * 4 * size, dtype, 2, 2)).all()
    assert (decode(b"\xff" * 16, "int64", 1, 2) == -1).all()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=4, max_size=4))
def test_bfloat16_is_decoded_by_its_bits(values: list[float]) -> None:
    bits = (np.array(values, dtype=np.float32).view(np.uint32) >> 16).astype(np.uint16)
    truncated = (bits.astype(np.uint32) << 16).view(np.float32)
    assert decode(bits.tobytes(), "bfloat16", 2, 2).ravel().tolist() == truncated.astype(np.float64).tolist()


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=1, max_size=4),
    st.integers(2, 6),
)
def test_nothing_in_the_arena_overlaps(shapes: list[tuple[int, int]], slots: int) -> None:
    inputs = [TensorSpec(shape, "float32", 4, True) for shape in shapes]
    outputs = [TensorSpec((7, 3), "float16", 2, True), TensorSpec((5,), "int64", 8, False)]
    layout = lay_out(inputs, outputs, slots)
    ranges = [(at, spec.bytes) for row in layout.slots for at, spec in zip(row, inputs, strict=True)]
    ranges += [(at, spec.bytes) for row in layout.outs for at, spec in zip(row, outputs, strict=True)]
    ranges += [(layout.positions, 8), (layout.looks, 8)]
    ranges = sorted(size for size in ranges if size[1])
    assert all(at + size <= later for (at, size), (later, _) in pairwise(ranges))
    assert layout_of(json.loads(json.dumps(layout.document()))) == layout


def test_a_cold_rotation_is_larger_than_the_cache_or_is_flushed() -> None:
    assert cold_plan(10 << 20, 50 << 20) == (20, False)
    slots, flushed = cold_plan(1 << 10, 50 << 20)
    assert flushed and slots == 128
    assert cold_plan(8 << 30, 50 << 20) == (2, False)


def test_the_harness_is_taken_off_both_sides() -> None:
    rounds = [(1.0, 1.0 + 20.0 * drift, 1.0 + 10.0 * drift) for drift in (1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0)]
    result = speed("hot", "stream", 10, rounds)
    assert result is not None
    assert result.speedup.ratio == pytest.approx(2.0)
    assert result.candidate.value == pytest.approx((0.9 + 0.95 + 1.0 + 1.0) / 4)  # the faster half of seven
    assert result.speedup.high - result.speedup.low < 1e-9  # drift is common to a round


def test_windows_that_are_all_harness_give_no_speed() -> None:
    assert speed("hot", "host", 10, [(1.0, 2.0, 0.9)] * 8) is None


def test_fast_p_counts_only_what_is_correct() -> None:
    outcomes = [(Verdict.CORRECT, 2.5), (Verdict.CORRECT, 0.9), (Verdict.CHEATS, 9.0), (Verdict.WRONG, None)]
    shares = fast_p(outcomes, (0.0, 0.8, 1.0, 3.0))
    assert shares == {"0": 0.5, "0.8": 0.5, "1": 0.25, "3": 0.0}


def test_cold_is_the_headline() -> None:
    rounds = [(1.0, 3.0, 2.0)] * 7
    hot, cold = speed("hot", "host", 1, rounds), speed("cold", "host", 1, rounds)
    assert hot is not None and cold is not None
    assert headline([hot, cold]) is cold
    assert headline([hot]) is hot
    assert headline([]) is None


def test_work_skipped_on_repeated_inputs_shows_through_an_outlier() -> None:
    changed = [2.0 + 0.01 * n for n in range(9)]
    assert repeat_gain([1.2] * 8 + [9.0], changed, 1.0) == pytest.approx(5.2, rel=0.1)
    assert repeat_gain(changed[::-1], changed, 1.0) is None
    assert repeat_gain([1.6] * 9, changed, 1.0) is None  # less than a factor of two: noise, or a cache
    assert repeat_gain([1.2, 9.0, 9.0, 9.0, 1.2, 1.2, 1.2, 1.2, 1.2], changed, 1.0) is None


def test_more_windows_tell_as_much_where_noise_hides_some_pairs() -> None:
    rng = np.random.default_rng(3)
    noise = [1.0 + rng.exponential(1.0, 27) for _ in range(4)]
    same, changed, busy, calm = (list(scale * row) for scale, row in zip((1.0, 2.4, 1.0, 1.0), noise, strict=True))
    assert repeat_gain(same, changed, 0.0) is not None
    assert repeat_gain(busy, calm, 0.0) is None and repeat_gain(calm, busy, 0.0) is None


def test_a_small_gain_is_accused_where_the_order_of_windows_is_sure() -> None:
    rng = np.random.default_rng(4)
    changed, same = (list(scale * (1 + 0.05 * rng.random(9))) for scale in (1.0, 0.6))
    assert repeat_gain(same, changed, 0.0) is None
    assert repeat_gain(same, changed, 0.0, 0.8, 3.5) == pytest.approx(1 / 0.6, rel=0.1)
    assert repeat_gain([*same[:7], 2.0, 2.0], changed, 0.0, 0.8, 3.5) is None  # seven of nine: not sure yet
    assert (
        repeat_gain([*same[:7], 2.0, 2.0] * 3, changed * 3, 0.0, 0.8, 3.5) is not None
    )  # of three times as many it is


def test_noise_alone_accuses_nobody_of_a_small_gain() -> None:
    rng = np.random.default_rng(5)
    trials = [rng.lognormal(0.0, 0.8, size=(2, 27)) for _ in range(2000)]
    assert sum(repeat_gain(list(one), list(two), 0.0, 0.8, 3.5) is not None for one, two in trials) <= 4


def test_what_costs_the_reference_more_as_well_excuses_the_candidate() -> None:
    assert ratio_of([2.0] * 9, [6.0] * 9, 1.0, [1.5] * 9) == pytest.approx(5.0)
    assert ratio_of([2.0] * 9, [6.0] * 9, 1.0, [41.0] * 9) == pytest.approx(1.1)  # nothing beside so long a candidate
    assert ratio_of([6.0] * 9, [2.0] * 9, 1.0, [1.5] * 9) == 1.0


def test_what_launches_cost_in_a_process_is_taken_off_its_own_windows() -> None:
    dear = [(1.0, 3.0, 3.5)] * 4
    result = speed("cold", "stream", 2, [*dear, *[(1.5, 3.5, 3.0)] * 4], [4, 4], [0.5, -0.5])
    assert result is not None
    assert (result.reference.value, result.candidate.value) == (pytest.approx(1.0), pytest.approx(1.0))
    assert result.speedup.low == pytest.approx(1.0) == result.speedup.high
    assert speed("cold", "stream", 2, dear, [4], [2.6]) is None


def test_processes_that_differ_make_the_interval_wide() -> None:
    """Windows that hardly scatter: what one pair alone says is no statement about the next."""
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(200):
        level = 1 + 0.02 * rng.standard_normal(4)
        rounds = [(1.0, 3.0, 1.0 + 2.0 * one * (1 + 1e-4 * n)) for one in level for n in range(5)]
        result = speed("cold", "stream", 1, rounds, [5] * 4)
        assert result is not None and result.speedup.ratio == pytest.approx(1 / float(level.mean()), rel=1e-3)
        inside += result.speedup.low <= 1.0 <= result.speedup.high
    assert inside >= 185  # 95 % of 200 less what chance allows


@given(st.lists(st.floats(1.0, 2.0), min_size=1, max_size=9), st.lists(st.floats(1.0, 2.0), min_size=1, max_size=9))
def test_processes_are_taken_in_which_launches_cost_the_same(paces: list[float], candidates: list[float]) -> None:
    pairs = alike(paces, candidates, 3)
    assert 1 <= len(pairs) <= 3
    for side, number in ((paces, 0), (candidates, 1)):
        chosen = [side[pair[number]] for pair in pairs]
        assert len({pair[number] for pair in pairs}) == len(pairs)
        assert chosen[0] == min(side) and chosen == sorted(chosen)
        assert all(cost <= (1 + ALIKE) * min(*paces, *candidates) for cost in chosen[1:])


def test_a_pair_of_two_kinds_of_processes_is_the_last_resort() -> None:
    assert alike([1.30, 1.21, 1.20], [1.31, 1.22, 1.29], 4) == [(2, 1)]
    assert alike([1.30, 1.21, 1.20], [1.21, 1.22, 1.29], 4) == [(2, 0), (1, 1)]
    assert alike([1.30], [1.20], 4) == [(0, 0)]


def test_latency_quantiles_are_ordered() -> None:
    found = latencies({"candidate": [float(n) for n in range(101)], "empty": []})
    assert found == {"candidate": {"p50": 50.0, "p90": 90.0, "p99": 99.0}}


def test_the_floor_is_the_larger_of_traffic_and_arithmetic() -> None:
    h100 = device.load("h100-sxm")
    memory = floor_of(3_352_000_000, 10**9, ["bfloat16"], h100)
    compute = floor_of(10**6, 10**12, ["bfloat16"], h100)
    assert memory.bound == "memory" and memory.seconds == pytest.approx(1e-3, rel=1e-3)
    assert compute.bound == "compute" and compute.seconds == pytest.approx(1e12 / 989.4e12, rel=1e-3)
    assert distance(memory, 2e-3)["share"] == pytest.approx(0.5, rel=1e-3)
    assert floor_of(10, 10, ["float32"], None).seconds is None


def _csv(**values: str) -> str:
    head = ["ID", "Kernel Name", *values]
    units = ["", "", *("usecond" if "time" in name else "%" for name in values)]
    body = ["0", "softmax<float, 4>", *values.values()]
    rows = [",".join(f'"{cell}"' for cell in row) for row in (head, units, body)]
    return "==PROF== Connected\n" + "\n".join(rows)


def test_ncu_tables_are_read_with_their_units() -> None:
    text = _csv(**{SUMMARY["time_ns"]: "1,234.5", SUMMARY["dram_percent"]: "81.2", SUMMARY["waves"]: "n/a"})
    (kernel,) = parse(text)
    assert kernel == {"name": "softmax<float, 4>", "time_ns": 1234500.0, "dram_percent": 81.2}


def test_why_ncu_says_nothing() -> None:
    assert parse("==ERROR== ERR_NVGPUCTRPERM - The user does not have permission") == []
    assert "permission" in refusal("==ERROR== ERR_NVGPUCTRPERM - The user does not have permission")
    assert refusal("==ERROR== Unknown metric") == "Unknown metric"
    assert refusal("") == "ncu saw no kernel"


@pytest.mark.parametrize(
    ("metrics", "bound"),
    [
        ({"dram_percent": 85.0, "sm_percent": 20.0, "waves": 8.0}, "memory"),
        ({"tensor_percent": 78.0, "dram_percent": 30.0, "waves": 8.0}, "compute"),
        ({"dram_percent": 15.0, "sm_percent": 12.0, "waves": 6.0, "occupancy_percent": 20.0}, "latency"),
        ({"dram_percent": 15.0, "waves": 0.2}, "parallelism"),
    ],
)
def test_advice_names_what_bounds_a_kernel(metrics: dict[str, float], bound: str) -> None:
    advice = from_metrics(metrics)
    assert advice.bound == bound and advice.try_next and advice.evidence


def test_advice_mentions_spills_and_uncoalesced_loads() -> None:
    advice = from_metrics({"dram_percent": 85.0, "spill_instructions": 5.0, "sectors_per_load": 16.0, "waves": 9.0})
    assert any("spill" in text for text in advice.try_next) and any("sectors" in text for text in advice.try_next)


@pytest.mark.parametrize(
    ("facts", "bound"),
    [
        ({"host": True}, "host"),
        ({"kernels": 6, "cold_s": 20e-6, "hot_s": 19e-6, "floor_share": 0.1, "floor_bound": "memory"}, "launch"),
        ({"kernels": 1, "cold_s": 20e-6, "hot_s": 19e-6, "floor_share": 0.8, "floor_bound": "memory"}, "memory"),
        ({"kernels": 1, "cold_s": 20e-6, "hot_s": 19e-6, "floor_share": 0.2, "floor_bound": "compute"}, "latency"),
    ],
)
def test_advice_without_counters(facts: dict[str, float], bound: str) -> None:
    assert from_times(facts).bound == bound
