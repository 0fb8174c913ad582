"""The measuring method on GPUs made of formulas: the truth under noise, when it stops, order, checks, replay."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
from recording import (
    ENVIRONMENT,
    ComputingGpu,
    Watching,
    chain_model,
    chain_probe,
    chain_sample,
    gpu_of,
    h100,
    kernels_of,
    plan,
    verdict,
)

from gpuprobe.errors import GpuprobeError
from gpuprobe.estimate import Estimate, Point, every, latency
from gpuprobe.gpu.protocol import Gpu, Job, Outcome
from gpuprobe.gpu.synthetic import SyntheticGpu
from gpuprobe.judge import Result
from gpuprobe.measure import DRIFT_REPEATS, PAIR_STRIDE, PLANS, WARM_ROUNDS, Plan, measure
from gpuprobe.probe import Probe
from gpuprobe.record import Measurement, Run, Sample

GOOD, BAD = b"good", b"bad"


def result_of(gpu: Gpu, probe: Probe, settings: Plan, seed: str = "seed", **options: object) -> Result:
    return measure(probe, kernels_of([probe], settings.mode), gpu, settings, seed, **options)  # type: ignore[arg-type]


def only(result: Result) -> Measurement:
    assert (len(result.measurements), result.rejections) == (1, ())
    return result.measurements[0]


def run_of(result: Result, mode: str = "full") -> Run:
    return Run(
        "seed", "", "synthetic", mode, h100(), ENVIRONMENT, result.measurements, result.series, result.rejections
    )


def rounds(gpu: SyntheticGpu, points: int) -> list[tuple[Point, ...]]:
    """The measured rounds, in order: without the warm-up and the drift check."""
    order = gpu.order[WARM_ROUNDS * points : len(gpu.order) - 2 * DRIFT_REPEATS]
    return [tuple(order[start : start + points]) for start in range(0, len(order), points)]


# --- the truth --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cycles_each", [4.0, 23.0, 657.25])
def test_without_noise_the_latency_is_exact_whatever_the_overhead(cycles_each: float) -> None:
    found = only(result_of(gpu_of(chain_model(cycles_each)), chain_probe(), plan()))
    assert found.value == pytest.approx(cycles_each, rel=1e-9)
    assert (found.low, found.high) == (found.value, found.value)
    assert (found.unit, found.quantity, dict(found.params), found.n) == ("cycle", "latency", {}, 11)
    assert (found.sm_clock_hz, found.power_w, found.flags) == (1.755e9, 300.0, ())


def test_under_noise_the_interval_holds_the_true_latency_as_often_as_it_says() -> None:
    settings = plan(width=0.0, least=15, most=15)
    found = [only(result_of(gpu_of(chain_model(24.0, 0.01, seed)), chain_probe(), settings)) for seed in range(60)]
    assert sum(m.low <= 24.0 <= m.high for m in found) >= 52  # 57 expected; fewer than 52 in 1 % of cases
    assert statistics.median(m.value for m in found) == pytest.approx(24.0, rel=0.005)
    assert all(m.low < m.value < m.high and m.n == 15 for m in found)


def test_a_sample_gone_wild_hardly_moves_the_value() -> None:
    def model(point: Point, index: int) -> Sample:
        return chain_sample(point, 400.0 if index == 7 else 4.0)

    assert only(result_of(gpu_of(model), chain_probe(), plan(least=21))).value == pytest.approx(4.0)


def test_the_warm_up_is_not_measured() -> None:
    def model(point: Point, index: int) -> Sample:
        return chain_sample(point, 99.0 if index < WARM_ROUNDS else 4.0)

    assert set(only(result_of(gpu_of(model), chain_probe(), plan())).samples) == {4.0}


# --- when it stops ----------------------------------------------------------------------------------------------


def test_it_stops_as_soon_as_the_interval_is_narrow() -> None:
    gpu = gpu_of(chain_model(4.0, 1e-5))
    assert only(result_of(gpu, chain_probe(), plan(width=0.01, least=11, most=31))).n == 11
    repeated, *others = gpu.calls.values()
    assert repeated == WARM_ROUNDS + 11 + DRIFT_REPEATS
    assert sum(others) == (WARM_ROUNDS + 11) * len(others) + DRIFT_REPEATS


def test_noise_makes_it_go_on_to_the_most_samples_and_is_flagged() -> None:
    found = only(result_of(gpu_of(chain_model(4.0, 0.2)), chain_probe(), plan(width=0.001, most=31)))
    assert (found.n, found.flags) == (31, ("unstable",))


def test_the_noisiest_quantity_decides() -> None:
    def model(point: Point, index: int) -> Sample:
        return chain_sample(point, 4.0 if point["OP"] == "A" else 4.0 + index % 5)

    result = result_of(gpu_of(model), chain_probe(axes={"OP": ["A", "B"]}), plan(width=0.001, most=25))
    assert [m.n for m in result.measurements] == [25, 25]
    assert [m.flags for m in result.measurements] == [(), ("unstable",)]


def test_time_that_is_over_ends_it_with_few_samples_flagged() -> None:
    brief = replace(plan(), stop=replace(plan().stop, max_seconds=1e-9))
    found = only(result_of(gpu_of(chain_model()), chain_probe(), brief))
    assert found.n == 1
    assert set(found.flags) == {"few_samples", "unstable"}


def test_a_probe_that_gives_no_estimate_ends_too() -> None:
    gpu = gpu_of(chain_model())
    result = result_of(gpu, chain_probe(estimate=lambda round_: []), plan(most=17))
    assert (result.measurements, max(gpu.calls.values())) == ((), WARM_ROUNDS + 17 + DRIFT_REPEATS)


def test_the_plans_are_what_the_rules_ask_for() -> None:
    assert PLANS["quick"].stop.min_samples >= 11
    assert PLANS["full"].stop.relative_width < PLANS["quick"].stop.relative_width <= 0.01


@pytest.mark.parametrize(("width", "unstable"), [(0.5, False), (0.001, True)])
def test_a_fixed_number_of_rounds_is_judged_by_the_width_that_the_probe_declares(width: float, unstable: bool) -> None:
    found = only(result_of(gpu_of(chain_model(4.0, 0.05)), chain_probe(rounds=12, width=width), plan(width=0.01)))
    assert (found.n, "unstable" in found.flags) == (12, unstable)


# --- order and operands -----------------------------------------------------------------------------------------


def test_the_order_changes_from_round_to_round_and_a_seed_repeats_it() -> None:
    probe = chain_probe(defines={"CHAIN": [1, 2, 3, 4, 5, 6]})
    gpus = [gpu_of(chain_model()) for _ in range(3)]
    for gpu, seed in zip(gpus, ("a", "a", "b"), strict=True):
        result_of(gpu, probe, plan(width=0.0, least=12, most=12), seed)
    first, again, other = (rounds(gpu, 6) for gpu in gpus)
    assert len(first) == 12
    assert all(set(r) == set(first[0]) and len(r) == 6 for r in first)
    assert len(set(first)) >= 10
    assert first == again != other


def test_probes_of_one_run_do_not_share_their_order() -> None:
    orders = []
    for name in ("one", "two"):
        gpu = gpu_of(chain_model())
        probe = chain_probe(name, defines={"CHAIN": [1, 2, 3, 4, 5, 6]})
        result_of(gpu, probe, plan(width=0.0, least=12, most=12))
        orders.append(rounds(gpu, 6))
    assert orders[0] != orders[1]


def jobs_of(probe: Probe, seed: str = "seed") -> list[Job]:
    gpu = ComputingGpu(chain_model(), lambda job: GOOD)
    result_of(gpu, probe, plan(), seed)
    return gpu.jobs[WARM_ROUNDS * len(probe.points("full", h100())) :]


def test_operands_change_from_sample_to_sample_and_zeros_stay_zero() -> None:
    jobs = jobs_of(chain_probe(axes={"OPERANDS": ["random", "zero"]}))
    measured = [job for job in jobs if not job.repeat]
    random_seeds = [job.seed for job in measured if job.point["OPERANDS"] == "random"]
    assert {job.seed for job in measured if job.point["OPERANDS"] == "zero"} == {0}
    assert 0 not in random_seeds
    assert len(set(random_seeds)) == len(random_seeds)


def test_a_paired_probe_has_one_seed_a_round_the_same_in_every_run() -> None:
    by_run = [[job.seed for job in jobs_of(chain_probe(paired=True), seed)] for seed in ("a", "b")]
    drift_check = [1 + PAIR_STRIDE * n for n in range(DRIFT_REPEATS) for _ in range(2)]
    assert by_run[0] == by_run[1] == [1 + PAIR_STRIDE * n for n in range(11) for _ in range(3)] + drift_check
    assert all(len({1 + PAIR_STRIDE * n for n in range(sms)}) == sms for sms in (46, 108, 132, 142))
    assert all(
        len({(1 + PAIR_STRIDE * n) % sms for n in range(sms)}) == sms for sms in (46, 58, 84, 108, 114, 132, 142)
    )


def test_jobs_carry_the_kernel_of_their_point() -> None:
    probe = chain_probe(prepare="fill", entry="main", out_words=99)
    for job in jobs_of(probe):
        assert job.kernel == f"chain{[('CHAIN', job.point['CHAIN'])]}"
        assert (job.prepare, job.entry, job.out_words, job.probe) == ("fill", "main", 99, "chain")


def test_the_first_configuration_is_repeated_at_the_end_and_marked() -> None:
    jobs = jobs_of(chain_probe())
    assert [job.repeat for job in jobs[-2 * DRIFT_REPEATS :]] == [False, True] * DRIFT_REPEATS
    assert {job.point["CHAIN"] for job in jobs if job.repeat} == {32}
    assert not any(job.repeat for job in jobs[: -2 * DRIFT_REPEATS])


def test_a_configuration_that_runs_faster_after_itself_has_not_drifted() -> None:
    """As a read does that finds L2 without another kernel's writes in it."""
    last: list[Point] = []

    def model(point: Point, index: int) -> Sample:
        alone = last[-1:] == [point]
        last.append(point)
        return chain_sample(point, 3.9 if alone else 4.0)

    assert only(result_of(gpu_of(model), chain_probe(), plan())).flags == ()


def test_the_only_configuration_of_a_probe_is_repeated_after_itself() -> None:
    probe = chain_probe(defines={"CHAIN": [32]}, estimate=lambda round_: [])
    assert [job.repeat for job in jobs_of(probe)[-DRIFT_REPEATS:]] == [True] * DRIFT_REPEATS


def test_a_watcher_hears_of_every_round() -> None:
    watching = Watching()
    result_of(gpu_of(chain_model()), chain_probe(), plan(), watcher=watching)
    assert watching.rounds == [("chain", n) for n in range(1, 12)]


# --- checks -----------------------------------------------------------------------------------------------------


def is_good(point: Point, seed: int, out: bytes) -> str | None:
    return None if out == GOOD else "the kernel computed bad"


def computing(bad_op: str, when: int = 0) -> ComputingGpu:
    """A GPU that stores something wrong for one OP, from the sample number ``when`` of a point on."""

    def out(job: Job) -> bytes:
        return BAD if job.point["OP"] == bad_op and gpu.calls[job.point] > WARM_ROUNDS + when else GOOD

    gpu = ComputingGpu(chain_model(), out)
    return gpu


@pytest.mark.parametrize("when", [0, 1, 7])
def test_a_wrong_result_removes_its_quantity_and_no_other(when: int) -> None:
    probe = chain_probe(axes={"OP": ["A", "B"]}, check=is_good)
    result = result_of(computing("B", when), probe, plan())
    assert [m.params["OP"] for m in result.measurements] == ["A"]
    assert result.measurements[0].n >= 11
    assert {r.params["OP"] for r in result.rejections} == {"B"}
    assert {r.reason for r in result.rejections} == {"the kernel computed bad"}


@pytest.mark.parametrize("when", [1, 7])
def test_a_quantity_that_was_rejected_is_not_waited_for(when: int) -> None:
    probe = chain_probe(axes={"OP": ["A", "B"]}, check=is_good)
    assert result_of(computing("B", when), probe, plan()).measurements[0].n == 11


def test_the_check_gets_the_seed_of_its_sample() -> None:
    def check(point: Point, seed: int, out: bytes) -> str | None:
        return None if int.from_bytes(out, "little") == seed else "another seed"

    gpu = ComputingGpu(chain_model(), lambda job: job.seed.to_bytes(8, "little"))
    probe = chain_probe(axes={"OPERANDS": ["random", "zero"]}, check=check)
    assert result_of(gpu, probe, plan()).rejections == ()


def test_a_wrong_result_is_not_reduced_for_it_may_have_no_shape() -> None:
    def reduce(point: Point, out: bytes) -> dict[str, float]:
        return {"stored": {GOOD: 1.0}[out]}

    result = result_of(computing("B", 1), chain_probe(axes={"OP": ["A", "B"]}, check=is_good, reduce=reduce), plan())
    assert [m.params["OP"] for m in result.measurements] == ["A"]


def test_a_wrong_result_of_the_drift_check_counts_as_well() -> None:
    gpu = ComputingGpu(chain_model(), lambda job: BAD if job.repeat else GOOD)
    result = result_of(gpu, chain_probe(check=is_good), plan())
    assert result.measurements == ()
    assert result.rejections[0].reason == "the kernel computed bad"


def test_columns_reduced_from_what_the_kernel_stored_reach_estimates_and_series() -> None:
    def estimate(round_: object) -> list[Estimate]:
        return [Estimate("stored", {}, "s", s.values["stored"], s) for s in round_.values()][:1]  # type: ignore[attr-defined]

    gpu = ComputingGpu(chain_model(), lambda job: (job.point["CHAIN"]).to_bytes(4, "little"))  # type: ignore[union-attr]
    probe = chain_probe(
        reduce=lambda point, out: {"stored": float(int.from_bytes(out, "little"))},
        estimate=every(latency(), estimate),  # type: ignore[arg-type]
    )
    result = result_of(gpu, probe, plan())
    assert {m.quantity: m.value for m in result.measurements} == {"latency": 4.0, "stored": 32.0}
    assert {one.columns["stored"][0] for one in result.series} == {32.0, 64.0, 96.0}


def test_a_kernel_that_failed_the_gate_gives_a_reason_and_no_number_and_the_rest_is_measured() -> None:
    probe = chain_probe(defines={"OP": ["A", "B"], "CHAIN": [32, 64]})
    kernels = kernels_of(
        [probe], verdicts=lambda p, params: verdict("no FFMA" if dict(params) == {"OP": "B", "CHAIN": 64} else "")
    )
    gpu = gpu_of(chain_model())
    result = measure(probe, kernels, gpu, plan(), "seed")
    assert [dict(m.params) for m in result.measurements] == [{"OP": "A"}]
    assert [(dict(r.params), r.reason) for r in result.rejections] == [({"OP": "B", "CHAIN": 64}, "no FFMA")]
    assert {(p["OP"], p["CHAIN"]) for p in gpu.order} == {("A", 32), ("A", 64), ("B", 32)}


def test_where_every_kernel_failed_nothing_runs() -> None:
    probe = chain_probe()
    gpu = gpu_of(chain_model())
    result = measure(probe, kernels_of([probe], verdicts=lambda p, d: verdict("no FFMA")), gpu, plan(), "seed")
    assert (result.measurements, result.series, gpu.order) == ((), (), [])
    assert len(result.rejections) == 3


def test_an_emulation_that_is_allowed_is_labelled() -> None:
    probe = chain_probe(defines={"OP": ["A", "B"], "CHAIN": [32, 64]})
    kernels = kernels_of([probe], verdicts=lambda p, d: verdict(label="emulated" if d["OP"] == "B" else "native"))
    result = measure(probe, kernels, gpu_of(chain_model()), plan(), "seed")
    assert {m.params["OP"]: m.flags for m in result.measurements} == {"A": (), "B": ("emulated",)}
    assert {s.params["OP"]: s.label for s in result.series} == {"A": "native", "B": "emulated"}


def test_a_failure_of_the_gpu_is_not_swallowed() -> None:
    class Failing(SyntheticGpu):
        def run(self, job: Job) -> Outcome:
            raise GpuprobeError("illegal address", "report it")

    with pytest.raises(GpuprobeError, match="illegal address"):
        result_of(Failing(h100(), chain_model()), chain_probe(), plan())
