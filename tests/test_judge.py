"""From samples to a result: what is doubtful is flagged, what is impossible is refused, and the reasons are given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recording import CLOCK_HZ, chain_model, chain_probe, chain_sample, gpu_of, h100, kernels_of, plan

from gpuprobe import bounds
from gpuprobe.estimate import Estimate, Point, every, latency, rate
from gpuprobe.gpu.nvml import is_throttled
from gpuprobe.gpu.synthetic import Model, SyntheticGpu
from gpuprobe.judge import Result
from gpuprobe.measure import DRIFT_REPEATS, WARM_ROUNDS, Plan, measure
from gpuprobe.probe import Launch, Probe
from gpuprobe.record import Measurement, Sample
from gpuprobe.stats import median_interval
from gpuprobe.wall import LAUNCH_SLACK_S, disagreements

POWER_CAP, IDLE, APPLICATION_CLOCKS = 0x4, 0x1, 0x2


def judged(model: Model, probe: Probe | None = None, settings: Plan | None = None, **environment: object) -> Result:
    probe = probe or chain_probe()
    return measure(probe, kernels_of([probe]), gpu_of(model, **environment), settings or plan(), "seed")


def only(result: Result) -> Measurement:
    assert result.rejections == ()
    (found,) = result.measurements
    return found


def reason(result: Result) -> str:
    assert result.measurements == ()
    (found,) = result.rejections
    return found.reason


# --- the interval -----------------------------------------------------------------------------------------------


def test_value_and_interval_are_those_of_the_samples() -> None:
    found = only(judged(chain_model(4.0, 0.01)))
    assert (found.value, found.low, found.high) == tuple(median_interval(found.samples))
    assert found.n == len(found.samples) == len(set(found.samples))


def test_clock_and_power_are_medians_over_the_samples_that_know_them() -> None:
    def model(point: Point, index: int) -> Sample:
        return chain_sample(point, sm_clock_hz=CLOCK_HZ * (1 + index % 3), power_w=100.0 * (index % 2))

    found = only(judged(model))
    assert found.sm_clock_hz == CLOCK_HZ * 2
    assert found.power_w == 100.0


def test_where_nothing_is_known_of_clock_and_power_they_are_none() -> None:
    found = only(judged(chain_model(sm_clock_hz=0.0, power_w=0.0)))
    assert (found.sm_clock_hz, found.power_w) == (None, None)


# --- flags ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "flagged"), [(0.0, False), (0.15, False), (0.3, True), (1.0, True)])
def test_throttled_is_flagged_from_a_fifth_of_the_samples_on(share: float, flagged: bool) -> None:
    def model(point: Point, index: int) -> Sample:
        capped = (index - WARM_ROUNDS) % 20 < share * 20
        return chain_sample(point, throttle=float(POWER_CAP | IDLE if capped else APPLICATION_CLOCKS))

    found = only(judged(model, settings=plan(width=0.0, least=20, most=20)))
    assert ("throttled" in found.flags) is flagged


def test_idle_and_application_clocks_are_no_throttling() -> None:
    assert is_throttled(POWER_CAP)
    assert not is_throttled(IDLE | APPLICATION_CLOCKS)


@pytest.mark.parametrize(("change", "flagged"), [(1.0, False), (1.005, False), (1.02, True), (0.98, True)])
def test_a_first_configuration_that_is_not_what_it_was_is_flagged_as_drift(change: float, flagged: bool) -> None:
    rounds = WARM_ROUNDS + 11

    def model(point: Point, index: int) -> Sample:
        return chain_sample(point, 4.0 * (1 + 1e-4 * (index % 3)) * (change if index >= rounds else 1.0), overhead=0.0)

    found = only(judged(model))
    assert found.n == 11
    assert ("drift" in found.flags) is flagged


def test_drift_stands_on_every_measurement_of_the_probe() -> None:
    def model(point: Point, index: int) -> Sample:
        return chain_sample(point, 5.0 if index >= WARM_ROUNDS + 11 else 4.0)

    result = judged(model, chain_probe(axes={"OP": ["A", "B"]}))
    assert [m.flags for m in result.measurements] == [("drift",), ("drift",)]


def test_a_clock_that_changed_is_no_drift_of_what_is_counted_in_cycles() -> None:
    def model(point: Point, index: int) -> Sample:
        sample = chain_sample(point, event_s=0.0)
        return replace(sample, seconds=sample.seconds * (1.5 if index >= WARM_ROUNDS + 11 else 1.0))

    assert "drift" not in only(judged(model)).flags


def test_what_the_host_timed_drifts_by_its_seconds() -> None:
    def model(point: Point, index: int) -> Sample:
        seconds = point.number("CHAIN") * (2e-6 if index >= WARM_ROUNDS + 11 else 1e-6)
        return Sample(0.0, 0.0, seconds, 0.0, 0.0)

    probe = chain_probe(unit="1/s", estimate=rate(lambda p: p.number("CHAIN"), "1/s", axis="CHAIN"))
    assert only(judged(model, probe)).flags == ("drift",)


def test_other_processes_are_flagged() -> None:
    assert only(judged(chain_model(), other_processes=2)).flags == ("shared_gpu",)
    assert only(judged(chain_model(), other_processes=0)).flags == ()
    assert only(judged(chain_model(), other_processes=None)).flags == ()


@pytest.mark.parametrize(("samples", "flagged"), [(5, True), (10, True), (11, False)])
def test_few_samples_are_flagged(samples: int, flagged: bool) -> None:
    """The quantity is found in some rounds only, as the far half of a split cache is."""

    def sometimes(round_: object) -> list[Estimate]:
        seen.append(1)
        return latency()(round_) if len(seen) <= samples else []  # type: ignore[arg-type]

    seen: list[int] = []
    found = only(judged(chain_model(), chain_probe(estimate=sometimes), plan(most=20)))
    assert (found.n, "few_samples" in found.flags) == (samples, flagged)


@pytest.mark.parametrize(("noise", "flagged"), [(1e-4, False), (0.05, True)])
def test_an_interval_wider_than_asked_for_is_flagged(noise: float, flagged: bool) -> None:
    found = only(judged(chain_model(4.0, noise), settings=plan(width=0.005)))
    assert ("unstable" in found.flags) is flagged


# --- what cannot be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cycles", [0.99, 0.25, 1e-9])
def test_less_than_a_cycle_an_instruction_is_refused(cycles: float) -> None:
    assert "less than one: the work was optimised away" in reason(judged(chain_model(cycles)))


def test_one_cycle_an_instruction_is_possible() -> None:
    assert only(judged(chain_model(1.0))).value == 1.0


@pytest.mark.parametrize("seconds", [0.0, -1e-6])
def test_a_time_that_is_not_positive_is_refused(seconds: float) -> None:
    def estimate(round_: object) -> list[Estimate]:
        return [Estimate("period", {}, "s", seconds, chain_sample(Point((("CHAIN", 1),))))]

    assert "not positive" in reason(judged(chain_model(), chain_probe(estimate=estimate)))


def bandwidth_probe(gb_per_s: float) -> tuple[Model, Probe]:
    """A GPU that moves so many GB/s, and the probe that measures it against the memory interface."""

    def model(point: Point, index: int) -> Sample:
        seconds = point.number("PASSES") * 1e9 / (gb_per_s * 1e9) + 3e-6
        return Sample(seconds * CLOCK_HZ, seconds * CLOCK_HZ, seconds, seconds + 2e-5, CLOCK_HZ, values={})

    return model, chain_probe(
        unit="B/s",
        quantity="throughput",
        defines={},
        axes={"PASSES": [1, 2]},
        estimate=rate(lambda p: p.number("PASSES") * 1e9, "B/s"),
        bound=bounds.dram,
    )


def test_below_the_physical_limit_a_measurement_states_it() -> None:
    model, probe = bandwidth_probe(3000.0)
    found = only(judged(model, probe))
    assert found.limit == h100()["dram_bandwidth_bytes_per_s"]
    assert 0.8 < found.value / found.limit < 1.0


@pytest.mark.parametrize(("above", "refused"), [(1.005, False), (1.02, True), (2.0, True)])
def test_above_the_physical_limit_there_is_no_number(above: float, refused: bool) -> None:
    limit = h100()["dram_bandwidth_bytes_per_s"]
    result = judged(*bandwidth_probe(above * limit / 1e9))
    assert len(result.measurements) == (0 if refused else 1)
    if refused:
        assert "above the physical limit of" in reason(result)


def test_noise_that_reaches_beyond_the_limit_breaks_no_law() -> None:
    """The median is below the limit, one sample in three far above it: the interval straddles the limit."""
    rates = (0.985, 0.99, 1.05)
    limit = h100()["dram_bandwidth_bytes_per_s"]

    def model(point: Point, index: int) -> Sample:
        share = rates[index // 2 % 3]  # rounds of two points
        seconds = point.number("PASSES") * 1e9 / (share * limit)
        return Sample(seconds * CLOCK_HZ, seconds * CLOCK_HZ, seconds, 0.0, CLOCK_HZ)

    found = only(judged(model, bandwidth_probe(1.0)[1], plan(width=0.0, least=12, most=12)))
    assert found.value <= found.limit < found.high  # type: ignore[operator]


def test_one_refused_quantity_does_not_take_the_others_with_it() -> None:
    def estimate(round_: object) -> list[Estimate]:
        sample = chain_sample(Point((("CHAIN", 1),)))
        return [Estimate("good", {}, "cycle", 4.0, sample), Estimate("bad", {}, "cycle", 0.5, sample)]

    result = judged(chain_model(), chain_probe(estimate=estimate))
    assert [m.quantity for m in result.measurements] == ["good"]
    assert len(result.rejections) == 1


def test_tensor_and_cache_bounds_are_those_of_the_chip_at_the_measured_clock() -> None:
    from gpuprobe import arch

    sample = chain_sample(Point((("CHAIN", 1),)))
    hopper, architecture = h100(), arch.parse("sm_90")
    per_sm = Estimate("rate", {"TYPE": "F16"}, "FMA/cycle/SM", 1.0, sample)
    flops = replace(per_sm, unit="FLOP/s")
    assert bounds.tensor()(per_sm, hopper, architecture, None) == 2048
    assert bounds.tensor()(flops, hopper, architecture, 1.755e9) == pytest.approx(2 * 2048 * 132 * 1.755e9)
    assert bounds.tensor()(flops, hopper, architecture, None) is None
    assert bounds.l1_port(flops, hopper, architecture, 1e9) == architecture.l1_bytes_per_clock * 132 * 1e9
    assert bounds.l1_port(flops, hopper, architecture, None) is None


# --- the wall clock ---------------------------------------------------------------------------------------------

LONG = Launch(iters=100_000)


def timed(extra_s: float, share: float = 0.0) -> Model:
    """Samples whose CUDA events say ``extra_s`` and a share more than the kernel's own clock."""

    def model(point: Point, index: int) -> Sample:
        sample = chain_sample(point)
        return replace(sample, event_s=sample.seconds * (1 + share) + extra_s)

    return model


def test_events_may_see_the_launch_besides_the_kernel() -> None:
    assert only(judged(timed(LAUNCH_SLACK_S), chain_probe(launch=LONG))).value == pytest.approx(4.0)


def test_a_kernel_of_two_speeds_is_set_beside_the_events_sample_by_sample() -> None:
    """An atomic's word lies near or far from its SM, half and half: medians of times would pick one mode each."""

    def times(point: Point, index: int) -> Sample:
        sample = chain_sample(point)
        slow = sample.seconds * (1.6 if index % 2 else 1.0)
        return replace(sample, seconds=slow, event_s=slow + (13e-6 if index % 4 else 16e-6))

    short, long = (Point((("CHAIN", 7),), iters=n) for n in (5_000, 100_000))
    assert disagreements({p: [times(p, i) for i in range(9)] for p in (short, long)}, prologue=False) == []
    wrong = {short: [times(short, i) for i in range(9)], long: [replace(times(long, i), event_s=1.0) for i in range(9)]}
    assert disagreements(wrong, prologue=False)


@pytest.mark.parametrize("share", [0.03, 1.0, -0.03])
def test_a_kernel_clock_that_disagrees_with_the_events_gives_no_number(share: float) -> None:
    result = judged(timed(20e-6, share), chain_probe(launch=LONG))
    assert result.measurements == ()
    assert all("they must agree within 1 %" in r.reason for r in result.rejections)
    assert {r.params["CHAIN"] for r in result.rejections} == {32, 64, 96}


def test_work_before_the_clocks_start_may_be_longer_but_never_shorter() -> None:
    assert only(judged(timed(20e-6, 0.5), chain_probe(launch=LONG, prologue=True))).n
    assert judged(timed(0.0, -0.5), chain_probe(launch=LONG, prologue=True)).measurements == ()


@pytest.mark.parametrize(("share", "works"), [(0.004, True), (0.02, False)])
def test_what_a_launch_costs_cancels_between_points_of_one_shape(share: float, works: bool) -> None:
    """2 % of a kernel of a millisecond are less than a launch: only the difference of two kernels shows it."""
    result = judged(timed(40e-6, share), chain_probe(launch=Launch(iters=20_000)))
    assert bool(result.measurements) is works


def test_points_that_differ_by_their_code_are_compared_as_well_where_all_work_is_timed() -> None:
    """4 % of half a millisecond pass for a launch in one point alone; the difference of two points shows them."""
    assert judged(timed(20e-6, 0.04), chain_probe(launch=Launch(iters=5_000))).measurements == ()


def test_what_stands_alone_may_miss_no_more_than_a_launch() -> None:
    alone = Point((("CHAIN", 32),), iters=5_000)
    for missing_s, broken in ((50e-6, False), (150e-6, True)):
        sample = chain_sample(alone)
        samples = {alone: [replace(sample, event_s=sample.seconds + missing_s)]}
        assert bool(disagreements(samples, prologue=False)) is broken


@pytest.mark.parametrize(("share", "works"), [(0.004, True), (0.03, False)])
def test_work_before_the_clocks_cancels_between_numbers_of_passes(share: float, works: bool) -> None:
    """Points that differ by their passes alone have done the same before their clocks began."""
    probe = chain_probe(
        axes={"PASSES": [1, 2]},
        launch=Launch(iters=lambda p, d: 50_000 * int(p["PASSES"])),
        prologue=True,
    )
    assert bool(judged(timed(5e-3, share), probe).measurements) is works


@pytest.mark.parametrize(("nvml_hz", "flagged"), [(CLOCK_HZ, False), (CLOCK_HZ * 1.01, False), (CLOCK_HZ * 1.09, True)])
def test_a_clock_of_nvml_that_is_not_the_kernels_is_flagged(nvml_hz: float, flagged: bool) -> None:
    found = only(judged(chain_model(nvml_sm_clock_hz=nvml_hz)))
    assert ("nvml_clock_differs" in found.flags) is flagged
    assert found.sm_clock_hz == CLOCK_HZ


def test_one_delayed_sample_is_the_host_and_not_the_clock() -> None:
    def model(point: Point, index: int) -> Sample:
        sample = chain_sample(point)
        return replace(sample, event_s=sample.seconds + (5e-3 if index == 9 else 2e-5))

    assert only(judged(model, chain_probe(launch=LONG))).n == 11


def test_one_sample_longer_than_its_events_is_a_broken_clock() -> None:
    def model(point: Point, index: int) -> Sample:
        sample = chain_sample(point)
        return replace(sample, event_s=sample.seconds * (0.9 if index == 9 else 1.0) + 1e-5)

    assert judged(model, chain_probe(launch=LONG)).measurements == ()


def test_what_has_no_events_is_not_compared() -> None:
    assert only(judged(chain_model(event_s=0.0), chain_probe(launch=LONG))).n == 11


def test_a_disagreement_at_one_setting_leaves_the_others() -> None:
    def model(point: Point, index: int) -> Sample:
        sample = chain_sample(point)
        wrong = point["OP"] == "B" and point["CHAIN"] == 64
        return replace(sample, event_s=sample.seconds * (2 if wrong else 1) + 2e-5)

    result = judged(model, chain_probe(axes={"OP": ["A", "B"]}, launch=LONG))
    assert [m.params["OP"] for m in result.measurements] == ["A"]
    assert [dict(r.params) for r in result.rejections] == [{"CHAIN": 64, "OP": "B"}]


# --- the raw series ---------------------------------------------------------------------------------------------


def test_every_sample_is_kept_with_its_kernel_and_the_drift_check_apart() -> None:
    result = judged(chain_model(4.0, 0.001))
    assert {(tuple(s.params.items()), len(s)) for s in result.series} == {
        ((("CHAIN", 32),), 11),
        ((("CHAIN", 64),), 11),
        ((("CHAIN", 96),), 11),
        ((("CHAIN", 32), ("repeat", 1)), DRIFT_REPEATS),
    }
    assert {s.kernel for s in result.series} == {f"chain[('CHAIN', {n})]" for n in (32, 64, 96)}


def test_the_samples_of_a_measurement_follow_from_its_series() -> None:
    result = judged(chain_model(4.0, 0.01), chain_probe(estimate=every(latency())))
    by_chain = {s.params["CHAIN"]: s.samples() for s in result.series if "repeat" not in s.params}
    points = {point["CHAIN"]: point for point in chain_probe().points("full", h100())}
    for index, value in enumerate(only(result).samples):
        round_ = {points[chain]: samples[index] for chain, samples in by_chain.items()}
        assert latency()(round_)[0].value == pytest.approx(value, rel=1e-8)


def test_a_refused_quantity_keeps_its_samples_for_whoever_wants_to_know_why() -> None:
    result = judged(chain_model(0.5))
    assert result.measurements == ()
    assert sum(len(s) for s in result.series) == 33 + DRIFT_REPEATS


def test_a_synthetic_gpu_says_that_it_is_one() -> None:
    assert SyntheticGpu(h100(), chain_model()).source == "synthetic"
