"""What the cache probes conclude from samples of a cache that is known: sizes, line, near and far, halves."""

from __future__ import annotations

import numpy as np
import pytest

from gpuprobe.estimate import Estimate, Point
from gpuprobe.families.l2map import analyse
from gpuprobe.record import Sample

from .probe_checks import points, probe

CLOCKS = 24.0
"""Cycles that two reads of the clock cost."""


def sample(**values: float) -> Sample:
    return Sample(1.0, 1.0, 1.0, 1.0, 1.0, values=values)


def by_name(found: list[Estimate]) -> dict[str, list[Estimate]]:
    return {quantity: [one for one in found if one.quantity == quantity] for quantity in {f.quantity for f in found}}


def l1_round(lines: dict[int, int]) -> dict[Point, Sample]:
    """Chases through an L1 that holds ``lines[carveout]`` lines of 128 bytes: 33 cycles a hit, 210 beyond."""
    taken = {}
    for p in points("l1_capacity"):
        stride, carveout, loads = int(p["STRIDE"]), int(p["CARVEOUT"]), p.iters * int(p["CHAIN"])
        nominal = int(p["LINES"]) if carveout == 0 else 224
        counts = [nominal * (16 + k) // 32 * max(1, 128 // stride) for k in range(32)]
        held = lines[carveout] * max(1, 128 // stride)
        cycles = {f"setting_{k:02d}": 600.0 + loads * (33.0 if n <= held else 210.0) for k, n in enumerate(counts)}
        taken[p] = sample(**cycles)
    return taken


def test_l1_ends_between_the_last_number_of_lines_without_misses_and_the_first_with_them() -> None:
    found = by_name(probe("l1_capacity").estimate(l1_round({0: 1950, 100: 200})))
    sizes = {int(one.params["CARVEOUT"]): one.value for one in found["size"]}
    # 2048 * 30 // 32 = 1920 fit and 1984 do not; 224 * 28 // 32 = 196 and 203
    assert sizes == {0: (1920 + 1984) / 2 * 128, 100: (196 + 203) / 2 * 128}
    assert {round(one.value, 9) for one in found["latency"]} == {33.0, 210.0}
    assert [one.value for one in found["line"]] == [128.0]


def test_near_and_far_are_the_peaks_less_what_the_clock_reads_cost() -> None:
    """Loads of 200 cycles warm, 260 near and 440 far; two dependent loads cost the clock reads once."""
    made = {}
    for p in points("l2_near_far"):
        loads = int(p["LOADS"])
        warm = {f"lap1_{int(200 * loads + CLOCKS):04d}": 900.0}
        cold = {f"lap0_{int(cycles + CLOCKS):04d}": 500.0 for cycles in (260, 440)}
        made[p] = sample(**warm, **cold)
    found = by_name(probe("l2_near_far").estimate(made))
    assert {name: one[0].value for name, one in found.items()} == pytest.approx(
        {"again": 200.0, "near": 260.0, "far": 440.0}
    )


def test_every_sm_of_the_map_is_less_what_the_clock_reads_cost() -> None:
    summary = {"halves": 2.0, "clusters": 3.0, "agreement": 0.99}
    made = {}
    for p in points("l2_map"):
        columns = {f"{name}_{sm:03d}": level + sm + CLOCKS for sm in range(p.grid) for name, level in
                   (("near", 250.0), ("far", 430.0))}  # fmt: skip
        columns |= {f"half_{sm:03d}": 1.0 + sm % 2 for sm in range(p.grid)}
        made[p] = sample(warm=200.0 * int(p["LOADS"]) + CLOCKS, **summary, **columns)
    found = by_name(probe("l2_map").estimate(made))
    assert [(one.params["SM"], one.value) for one in found["near"]] == [(sm, 250.0 + sm) for sm in range(132)]
    assert [one.value for one in found["far"]] == [430.0 + sm for sm in range(132)]
    assert (found["halves"][0].value, found["half"][1].value) == (2.0, 2.0)


def test_halves_of_unequal_numbers_of_sms_are_told_apart() -> None:
    """Two SMs on the side of SM 0 and eight on the other; of 64 lines each side is home to a half."""
    side, home = np.array([0, 0, *[1] * 8]), np.arange(64) % 2
    noise = np.random.default_rng(1).normal(0, 1.5, (10, 64))
    cycles = np.where(side[:, None] == home[None, :], 260.0, 440.0) + noise
    found = analyse(cycles, 6.0)
    assert found.sm_half.tolist() == (1 + side).tolist() and found.line_half.tolist() == (1 + home).tolist()
    assert found.near == pytest.approx(np.full(10, 260.0), abs=2) and found.far == pytest.approx(
        np.full(10, 440.0), abs=2
    )
    assert (found.halves, found.agreement) == (2, 1.0)
