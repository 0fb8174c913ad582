"""Energy from power ticks: conserved, attributed to what really drew it, refused where the ticks are too few."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe.trace.build import Builder
from gpuprobe.trace.energy import CLASSES, FEWEST_TICKS, energy, kernel_class

WATT = {"nvjet_tst_128x256": 650.0, "flash_fwd_kernel": 400.0, "vectorized_elementwise_kernel": 300.0, None: 90.0}
MIXES = {"prefill": (0.75, 0.15, 0.05), "decode": (0.2, 0.2, 0.35)}


class Run:
    """A run with known power at every time: kernels, phases, and a counter that ticks late every 100 ms."""

    def __init__(self, phases, lag_ns=30_000_000, seed=1, noise_w=0.0, sensor="energy_j", step_ns=2_000_000):
        random = np.random.default_rng(seed)
        self.kernels, self.phases, power, now = [], [], [(0, 90.0)], 0
        for phase, steps in phases:
            begin = now
            for _ in range(steps):
                shares = (*MIXES[phase], 1 - sum(MIXES[phase]))
                for name, share in zip(WATT, shares, strict=True):
                    length = int(share * step_ns * random.uniform(0.5, 1.5))
                    if name:
                        self.kernels.append((now, length, name))
                    power.append((now, WATT[name] + random.normal(0, noise_w)))
                    now += length
            self.phases.append((phase, begin, now - begin))
        power += [(now, 90.0), (now + 400_000_000, 90.0)]
        self.time = np.array([at for at, _ in power])
        watts = np.array([w for _, w in power])
        self.joules = np.append(0, np.cumsum(watts[:-1] * np.diff(self.time) / 1e9))
        self.end, self.lag_ns, self.sensor = now + 300_000_000, lag_ns, sensor

    def true_j(self, name):
        at = [(begin, begin + length) for phase, begin, length in self.phases if phase == name]
        return sum(float(np.diff(np.interp(ends, self.time, self.joules))[0]) for ends in at)

    def trace(self, **meta):
        builder = Builder()
        gpu, nvml, host = builder.lanes[1, 1, 0, 7], builder.lanes["nvml", 0, 0, None], builder.lanes[1, 1]
        starts, lengths, names = zip(*self.kernels, strict=True)
        names = [builder.texts[name] for name in names]
        builder.add("gpu", {"start": starts, "dur": lengths, "name": names, "lane": [gpu] * len(names)})
        polls = np.arange(7_000_000, self.end, 50_000_000)
        ticks = np.arange(0, self.end, 100_000_000)
        counter = np.interp(ticks - self.lag_ns, self.time, self.joules)
        last = np.searchsorted(ticks, polls, side="right") - 1
        watts = np.append(0, np.diff(counter) / 0.1)
        values = (np.round(counter, 3) if self.sensor == "energy_j" else watts)[last]
        text = [builder.texts[self.sensor]] * len(polls)
        builder.add("samples", {"start": polls, "value": values, "name": text, "lane": [nvml] * len(polls)})
        phases, begins, spans = zip(*self.phases, strict=True)
        rows = {"start": begins, "dur": spans, "name": [builder.texts[phase] for phase in phases]}
        builder.add("ranges", {**rows, "kind": [1] * len(phases), "lane": [host] * len(phases)})
        return builder.finish(meta)


PHASES = (("prefill", 400), ("decode", 500), ("prefill", 300), ("decode", 600))


def test_classes_get_the_power_that_they_drew_and_the_total_is_conserved():
    found = energy(Run(PHASES).trace())["devices"]["0"]
    assert sum(row["energy_j"] for row in found["classes"].values()) == pytest.approx(found["total_j"], rel=1e-12)
    for name, watt in (("gemm", 650), ("attention", 400), ("other kernels", 300), ("idle", 90)):
        row = found["classes"][name]
        assert row["power_w"] == pytest.approx(watt, rel=0.2 if name == "idle" else 0.08)
        assert row["energy_j_low"] <= row["energy_j"] <= row["energy_j_high"]
    assert 10e6 <= found["lag_ns"] <= 80e6
    assert set(found["classes"]) <= set(CLASSES)


def test_the_intervals_of_classes_hold_what_the_classes_drew():
    """90 % intervals: 34 of these 36 hold it; without the sensor's lag 24 do."""
    held = []
    for seed in range(12):
        run = Run(PHASES, lag_ns=70_000_000, seed=seed, noise_w=20.0)
        found = energy(run.trace())["devices"]["0"]["classes"]
        for class_, kernel in zip(("gemm", "attention", "other kernels"), WATT, strict=False):
            drawn = sum(
                float(np.diff(np.interp((at, at + length), run.time, run.joules))[0])
                for at, length, name in run.kernels
                if name == kernel
            )
            held.append(found[class_]["energy_j_low"] <= drawn <= found[class_]["energy_j_high"])
    assert sum(held) >= 30


def test_a_counter_that_was_reset_between_two_polls_loses_that_window_only():
    trace = Run(PHASES).trace()
    samples = trace.samples
    middle = next(at for at in range(len(samples.value) // 2, len(samples.value)) if np.diff(samples.value)[at - 1])
    value = samples.value - np.where(np.arange(len(samples.value)) >= middle, samples.value[middle], 0.0)
    reset = replace(trace, samples=replace(samples, value=value))
    whole, found = (energy(one)["devices"]["0"] for one in (trace, reset))
    assert found["ticks"] == whole["ticks"] - 1
    assert found["mean_w"] == pytest.approx(whole["mean_w"], rel=0.05)


def test_a_phase_between_others_gets_its_energy_and_tokens():
    run = Run(PHASES)
    found = energy(run.trace(workload={"phase": "decode", "tokens_per_step": 4}))["devices"]["0"]
    row = found["phases"]["decode"]
    assert row["energy_j"] == pytest.approx(run.true_j("decode"), rel=0.02)
    assert row["tokens"] == 8
    assert row["energy_per_token_j"] == pytest.approx(row["energy_j"] / 8)
    assert "tokens" not in found["phases"]["prefill"]


def test_what_always_runs_together_keeps_wide_intervals():
    same = energy(Run((("decode", 1500),), step_ns=1_000_000).trace())["devices"]["0"]["classes"]["gemm"]
    mixed = energy(Run(PHASES).trace())["devices"]["0"]["classes"]["gemm"]
    width = [(row["power_w_high"] - row["power_w_low"]) / row["power_w"] for row in (same, mixed)]
    assert width[0] > 3 * width[1]


def test_power_samples_stand_in_for_a_counter():
    found = energy(Run(PHASES, sensor="power_w").trace())["devices"]["0"]
    assert found["sensor"] == "power_w"
    assert found["classes"]["gemm"]["power_w"] == pytest.approx(650, rel=0.1)


def test_too_few_ticks_are_refused_for_the_run_and_for_a_phase():
    found = energy(Run((("decode", 250),)).trace())
    assert found["devices"] == {}
    assert f"{FEWEST_TICKS} are needed" in found["problems"][0]
    phases = energy(Run((*PHASES, ("prefill", 3))).trace())["devices"]["0"]["phases"]
    assert "energy_j" in phases["prefill"]
    short = Run((("prefill", 1000), ("decode", 50))).trace()
    assert "3 are needed" in energy(short)["devices"]["0"]["phases"]["decode"]["refused"]


def test_a_trace_without_samples_is_refused():
    run = Run((("decode", 600),))
    trace = run.trace()
    bare = type(trace)(**{**trace.__dict__, "samples": type(trace).__dataclass_fields__["samples"].default_factory()})
    assert "no power samples" in energy(bare)["problems"][0]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), lag=st.integers(0, 120), noise=st.floats(0, 60))
def test_the_parts_sum_to_the_counter_whatever_the_noise(seed, lag, noise):
    trace = Run((("prefill", 300), ("decode", 500)), lag_ns=lag * 1_000_000, seed=seed, noise_w=noise).trace()
    found = energy(trace)["devices"]["0"]
    assert sum(row["energy_j"] for row in found["classes"].values()) == pytest.approx(found["total_j"], rel=1e-9)
    assert all(row["energy_j"] >= 0 for row in found["classes"].values())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nvjet_tst_128x256_64x4_2x1_v_bz_coopA_NNT", "gemm"),
        ("void pytorch_flash::flash_fwd_kernel<...>", "attention"),
        ("ncclDevKernel_AllReduce_Sum_bf16_RING_LL", "communication"),
        ("void at::native::vectorized_elementwise_kernel<4, ...>", "other kernels"),
    ],
)
def test_kernels_have_a_class(name, expected):
    assert kernel_class(name) == expected
