"""How much work the probes say a sample does, counted again by hand: a rate comes back from samples made with it.

A check proves that a kernel did what it should, not that the probe divides by the right number of bytes or operations.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from gpuprobe.estimate import Point
from gpuprobe.record import Sample

from .probe_checks import points, probe

RATE, PER_CYCLE, START_S, START_CYCLES = 2.5e12, 37.0, 4e-6, 700.0


def threads(p: Point) -> int:
    return p.grid * p.block


def boxes(p: Point) -> int:
    """Boxes that all blocks load in a pass: each as many as it gets whole turns of."""
    assert p.tensor_map is not None
    whole = int(np.prod([dim // side for dim, side in zip(p.tensor_map.dims, p.tensor_map.box, strict=True)]))
    return whole // p.grid * p.grid


def strided(p: Point) -> int:
    """Words that threads read one by one: each goes on while all eight of its turn are inside."""
    whole = p.data_bytes // 4 // (int(p["STRIDE"]) or 32)
    total = threads(p)
    return sum(8 * ((whole - 1 - t + total) // (8 * total)) for t in range(0, total, 512)) * 512


IN_SECONDS: dict[str, Callable[[Point], float]] = {
    "cp_async": lambda p: p.data_bytes * p.iters,
    "host_read": lambda p: (16 << 20) * p.iters,
    "l2_bandwidth_curve": lambda p: 16 * threads(p) * p.iters,
    "tma_tile": lambda p: boxes(p) * int(np.prod(p.tensor_map.box)) * 4 * p.iters,  # type: ignore[union-attr]
    "atomic_rate": lambda p: 8 * threads(p) * p.iters,
    "tma_multicast": lambda p: p.grid * p.iters * 16384,
    "dsm_rate": lambda p: p.grid * p.iters * 65536,
    "strided_read": lambda p: 4 * strided(p) * p.iters,
}
"""Bytes or operations of the whole GPU in one sample."""

AN_SM: dict[str, Callable[[Point], float]] = {
    "l1_write": lambda p: 1024 * 4 * 16 * p.iters,
    "shared_bandwidth": lambda p: 1024 * 8 * p.number("WIDTH") * p.iters,
    "shared_atomic_rate": lambda p: 1024 * 8 * p.iters,
    "tma_multicast": lambda p: p.iters * 16384,
    "dsm_rate": lambda p: p.iters * 65536,
}
"""The same of one SM."""


def round_of(name: str, seconds: Callable[[Point], float], cycles: Callable[[Point], float]) -> dict[Point, Sample]:
    return {p: Sample(cycles(p) * 0.9, cycles(p), seconds(p), 0.0, 1.755e9) for p in points(name)}


SHAPES = {"F16": (16, 8, 16), "BF16": (16, 8, 16), "F16_F16_M16N8K16": (16, 8, 16), "TF32_F32_M16N8K8": (16, 8, 8),
          "F64_M8N8K4": (8, 8, 4), "S8_M16N8K32": (16, 8, 32), "B1_AND_M16N8K256": (16, 8, 256)}  # fmt: skip


@pytest.mark.parametrize("name", ["mma_rate", "mma_float", "mma_integer"])
def test_a_multiply_add_of_a_matrix_instruction_is_two_operations(name: str) -> None:
    """64 instructions a pass and warp (chains share them), each of m x n x k multiply-adds."""

    def work(p: Point) -> float:
        params = dict(p.params)
        m, n, k = SHAPES.get(str(params.get("MMA", params.get("TYPE"))), (1, 1, 1))
        return 2.0 * p.grid * int(p["WARPS"]) * 64 * p.iters * m * n * k

    found = probe(name).estimate(round_of(name, lambda p: START_S + work(p) / RATE, lambda p: 1.0 + p.iters))
    told = {str(one.params.get("MMA", one.params.get("TYPE"))): one for one in found if one.quantity == "throughput"}
    values = [one.value for kind, one in told.items() if kind in SHAPES]
    assert len(values) >= 2 and values == pytest.approx([RATE] * len(values), rel=1e-6)


@pytest.mark.parametrize("name", IN_SECONDS)
def test_a_throughput_is_work_over_wall_time_without_the_start(name: str) -> None:
    work = IN_SECONDS[name]
    found = probe(name).estimate(round_of(name, lambda p: START_S + work(p) / RATE, lambda p: 1.0 + p.iters))
    values = [one.value for one in found if one.quantity == "throughput"]
    assert values and values == pytest.approx([RATE] * len(values), rel=1e-3)


@pytest.mark.parametrize("name", AN_SM)
def test_a_rate_is_work_of_an_sm_over_the_cycles_of_the_slowest_block(name: str) -> None:
    work = AN_SM[name]
    made = round_of(name, lambda p: 1e-6 * (1 + p.iters), lambda p: START_CYCLES + work(p) / PER_CYCLE)
    values = [one.value for one in probe(name).estimate(made) if one.quantity in ("rate", "delivered")]
    assert values and values == pytest.approx([PER_CYCLE] * len(values), rel=1e-6)


def test_an_interval_is_cycles_of_a_scheduler_for_each_multiply_add() -> None:
    """register_banks: 64 FFMA a pass and warp, warps shared out over four schedulers; code_size: 60 in each KiB."""
    for name, work in (
        ("register_banks", lambda p: 64 * p.iters * p.number("WARPS") / 4),
        ("code_size", lambda p: 60 * p.iters * p.data_bytes / 1024),
    ):
        made = round_of(name, lambda p: 1.0, lambda p: 1.0)
        made = {p: Sample(START_CYCLES + 1.75 * work(p), 0.0, 0.0, 0.0, 0.0) for p in made}
        values = [one.value for one in probe(name).estimate(made)]
        assert values and values == pytest.approx([1.75] * len(values), rel=1e-9)


@pytest.mark.parametrize("name", ["atomic_handoff", "dsm_handoff"])
def test_a_hand_off_is_one_way_and_a_round_is_two(name: str) -> None:
    made = {
        p: Sample(START_CYCLES + 2 * 260.0 * p.iters, 0.0, START_S + 2 * 150e-9 * p.iters, 0.0, 0.0)
        for p in points(name)
    }
    found = probe(name).estimate(made)
    for quantity, wanted in (("one_way", 150e-9), ("one_way_cycles", 260.0)):
        values = [one.value for one in found if one.quantity == quantity]
        assert values and values == pytest.approx([wanted] * len(values), rel=1e-9, abs=0)


def test_a_migration_is_the_set_over_what_the_first_touch_costs_beyond_a_resident_pass() -> None:
    resident, away = points("unified_memory", STATE="RESIDENT"), points("unified_memory", STATE="AWAY")
    set_bytes = 192 << 20
    made = {p: Sample(1.0, 1.0, START_S + set_bytes * p.iters / RATE, 0.0, 1.0) for p in resident}
    made |= {p: Sample(1.0, 1.0, START_S + set_bytes / RATE + set_bytes / 20e9, 0.0, 1.0) for p in away}
    found = {one.quantity: one for one in probe("unified_memory").estimate(made)}
    assert found["throughput"].value == pytest.approx(RATE, rel=0.01)
    assert found["migration"].value == pytest.approx(20e9, rel=1e-6)
    assert found["throughput"].params == found["migration"].params == {}


def test_the_marks_of_a_launch_keep_their_names() -> None:
    columns = {"api_s": 1e-6, "start_s": 2e-6, "end_s": 3e-6, "done_s": 4e-6}
    made = {p: Sample(0.0, 0.0, 4e-6, 0.0, 0.0, values=columns) for p in points("launch_marks")}
    found = probe("launch_marks").estimate(made)
    assert {(one.quantity, one.value) for one in found} == {
        ("api", 1e-6),
        ("start", 2e-6),
        ("end", 3e-6),
        ("done", 4e-6),
    }
    assert {one.params["KIND"] for one in found} == {"stream", "cooperative", "cluster", "graph"}


def test_the_cost_of_a_launch_is_that_of_one_of_many() -> None:
    def sample(p: Point) -> Sample:
        count = p.number("LAUNCHES")
        return Sample(0.0, 0.0, START_S + 1.5e-6 * count, 0.0, 0.0, values={"api_s": 2.5e-6 * count})

    found = probe("launch_cost").estimate({p: sample(p) for p in points("launch_cost")})
    by = {
        quantity: {round(one.value, 12) for one in found if one.quantity == quantity} for quantity in ("period", "api")
    }
    assert by == {"period": {1.5e-6}, "api": {2.5e-6}}
