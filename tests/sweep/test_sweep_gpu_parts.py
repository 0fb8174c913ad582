"""The parts of the timer that are plain arithmetic: plans, sensor logs, traces cut at markers, operand layout."""

from __future__ import annotations

import time
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.gpu.gemm_plan import BURST, COLD_L2_MULTIPLE, SUSTAINED, plan
from gpuprobe.gpu.gemm_torch import between_markers
from gpuprobe.gpu.nvml import Reading
from gpuprobe.gpu.sensor_log import SensorLog, power_between_ticks

L2 = 50 << 20
MARKER = {
    "cat": "kernel",
    "name": "void at::native::vectorized_elementwise_kernel<4, at::native::neg_kernel_cuda>",
    "dur": 1,
}


@given(
    st.sampled_from(["hot", "cold", "sustained"]),
    st.floats(1e-6, 0.2),
    st.floats(1e-6, 1e-3),
    st.integers(1500, 1 << 33),
)
def test_every_plan_keeps_the_definition_of_its_regime(
    regime: str, gemm_s: float, host_s: float, set_bytes: int
) -> None:
    planned = plan(regime, gemm_s, host_s, set_bytes, L2)
    effort = SUSTAINED if regime == "sustained" else BURST
    assert 1 <= planned.operand_sets <= planned.launches
    assert planned.launches % planned.operand_sets == 0
    if regime == "hot":
        assert (planned.operand_sets, planned.flush) == (1, False)
        assert planned.launches * gemm_s < effort.replay_s + gemm_s
    elif regime == "cold":
        rotates = planned.operand_sets * set_bytes > COLD_L2_MULTIPLE * L2
        assert rotates != planned.flush
    assert planned.operand_sets * set_bytes <= COLD_L2_MULTIPLE * L2 + set_bytes


@pytest.mark.parametrize(
    ("regime", "gemm_s", "set_bytes", "expected"),
    [
        ("hot", 3e-6, 1 << 20, (124, 1, False)),  # as many as 5 ms of capture allow
        ("hot", 2e-3, 1 << 28, (1, 1, False)),
        ("cold", 50e-6, 60 << 20, (12, 4, False)),
        ("cold", 400e-6, 60 << 20, (4, 4, False)),  # few sets are rotated though the replay grows
        ("cold", 3e-6, 1 << 18, (124, 124, True)),  # 801 sets would not fit
        ("sustained", 100e-6, 60 << 20, (100, 4, False)),
    ],
)
def test_plans_of_typical_gemms(regime: str, gemm_s: float, set_bytes: int, expected: tuple[int, int, bool]) -> None:
    planned = plan(regime, gemm_s, 40e-6, set_bytes, L2)
    assert (planned.launches, planned.operand_sets, planned.flush) == expected


def test_power_is_taken_between_ticks_of_the_counter() -> None:
    polls = tuple((0.01 * i, 100.0 + 70.0 * (i // 10)) for i in range(100))  # a tick of 70 J every 100 ms: 700 W
    assert power_between_ticks(polls, 0.25, 0.95) == pytest.approx(700.0)
    assert power_between_ticks(polls, 0.25, 0.38) is None  # one tick only
    assert power_between_ticks((), 0.0, 1.0) is None


def reading(at_s: float, clock_hz: float | None, throttle: int | None = 0) -> Reading:
    return Reading(at_s, at_s, 300.0, None, 1.0, clock_hz, None, 40.0, throttle)


class Sensors:
    """Readings that tell the order in which they were polled."""

    def __init__(self) -> None:
        self._number = count()

    @property
    def energy_j(self) -> float:
        return float(next(self._number))

    def read(self) -> Reading:
        return reading(time.perf_counter(), 1e9)


def test_the_condition_is_the_median_inside_or_the_nearest_reading() -> None:
    log = SensorLog(Sensors())
    log._readings.extend(
        [reading(1.0, 1.9e9), reading(2.0, 1.5e9, 4), reading(3.0, 1.7e9, 1), reading(9.0, None, None)]
    )
    inside = log.condition(1.5, 3.5)
    assert (inside.sm_clock_hz, inside.throttle) == (1.6e9, 5)
    nearest = log.condition(5.0, 5.1)
    assert nearest.sm_clock_hz == 1.7e9
    unknown = log.condition(8.9, 9.1)
    assert (unknown.sm_clock_hz, unknown.throttle) == (None, None)


def test_the_log_polls_until_it_is_closed() -> None:
    log = SensorLog(Sensors(), period_s=0.001)
    log.start()
    log.start_energy()
    while len(log._energy) < 3:
        time.sleep(0.001)
    log.close()
    assert not log._thread.is_alive()
    assert len(log._readings) >= 1


def kernel(name: str, ts: float) -> dict[str, object]:
    return {"cat": "kernel", "name": name, "ts": ts, "dur": 2.5, "args": {"grid": [4, 2, 1], "block": [384, 1, 1]}}


def test_a_trace_is_cut_at_its_markers() -> None:
    events = [
        {"cat": "cuda_runtime", "name": "cudaLaunchKernel", "ts": 0},
        kernel("b", 30),
        MARKER | {"ts": 10},
        MARKER | {"ts": 20},
        kernel("void ns::a<int>(int, float)", 15),
        {"cat": "gpu_memset", "name": "Memset (Device)", "ts": 25, "dur": 1},
        MARKER | {"ts": 40},
    ]
    first, second = between_markers(events, 2)
    assert [launch.name for launch in first] == ["void ns::a<int>"]
    assert (first[0].grid, first[0].time_s) == ((4, 2, 1), pytest.approx(2.5e-6))
    assert [launch.name for launch in second] == ["Memset (Device)", "b"]


def test_a_lost_marker_leaves_every_kernel_unknown() -> None:
    assert between_markers([MARKER | {"ts": 1}, kernel("a", 2), MARKER | {"ts": 3}], 2) == [[], []]
