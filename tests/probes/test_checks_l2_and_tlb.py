"""The checks of the probes of L2's places and of the TLBs, and what their columns say."""

from __future__ import annotations

import numpy as np
import pytest

from gpuprobe.estimate import Point
from gpuprobe.families.l2map import analyse
from gpuprobe.operands import Lap

from .probe_checks import SEED, found_by, mix, probe, table, verdict


def near_far_words(point: Point, loads: int, steps: int) -> np.ndarray:
    """``out`` of l2_near_far.cu: all loads in one bin."""
    lines = point.data_bytes // 8 // 128
    words = np.zeros((8, 4 + 2 * 256), dtype=np.uint32)
    words[:, 3] = Lap(lines).place(steps) * 128
    words[:, 4 + 70] = lines // loads
    words[:, 4 + 256 + 70] = steps // loads - lines // loads
    return words.ravel()


@pytest.mark.parametrize("loads", [1, 2])
def test_l2_near_far_proves_its_steps(loads: int) -> None:
    one = probe("l2_near_far")
    point = Point(params=(("LOADS", loads),), data_bytes=8 << 20)
    steps = 2 * 8192 - loads
    right = near_far_words(point, loads, steps)
    assert verdict(one, point, right) is None
    assert verdict(one, point, np.zeros_like(right)) is not None
    for wrong in (steps - loads, steps + loads):
        assert verdict(one, point, near_far_words(point, loads, wrong)) is not None
    shorter = right.copy().reshape(8, -1)
    shorter[5, 3] = Lap(8192).place(steps - 1) * 128
    assert verdict(one, point, shorter.ravel()) is not None


def map_words(point: Point, loads: int, steps: int) -> np.ndarray:
    """``out`` of l2_map.cu: two halves of SMs and of lines, 250 and 430 cycles."""
    step, rows = point.data_bytes // 256, []
    line = Lap(256).place(steps)
    for block in range(point.grid):
        cycles = np.tile([250 if (sm_far := (block % 2 == k % 2)) else 430 for k in range(256)], 3).astype(np.uint32)
        assert sm_far in (True, False)
        head = [90000, line * step + mix(line) % (step // 128) * 128, (block * 5) % point.grid, 1]
        rows.append(np.concatenate([np.array(head, dtype=np.uint32), cycles[::2] | cycles[1::2] << np.uint32(16)]))
    return np.concatenate([np.zeros(16, dtype=np.uint32), *rows])


@pytest.mark.parametrize("loads", [1, 2])
def test_l2_map(loads: int) -> None:
    one = probe("l2_map")
    point = Point(params=(("LOADS", loads),), grid=132, block=128, data_bytes=16 << 20)
    right = map_words(point, loads, 256 - loads)
    assert verdict(one, point, right) is None
    assert verdict(one, point, np.zeros_like(right)) is not None
    for steps in (256 - 2 * loads, 256):
        assert verdict(one, point, map_words(point, loads, steps)) is not None
    idle = right.copy()
    idle[16 + 3 * 388 : 16 + 4 * 388] = 0xA5A5A5A5
    assert verdict(one, point, idle) is not None


def test_l2_map_of_two_halves() -> None:
    """132 SMs and 256 lines on 80 slices: halves, their members and the levels come back."""
    rng = np.random.default_rng(7)
    sm_half, slice_half, home = rng.integers(0, 2, 132), rng.integers(0, 2, 80), rng.integers(0, 80, 256)
    distance = 240 + rng.uniform(0, 70, (132, 80)) + 180 * (sm_half[:, None] != slice_half[None, :])
    found = analyse(distance[:, home] + rng.normal(0, 1.5, (132, 256)), 6.0)
    assert found.halves == 2
    assert found.agreement == 1
    assert found.clusters == len(set(home.tolist()))
    same = sm_half == sm_half[0]
    assert np.array_equal(found.sm_half == found.sm_half[0], same)
    assert np.all(found.far - found.near > 150)


def test_l2_map_of_one_piece() -> None:
    rng = np.random.default_rng(7)
    found = analyse(270 + rng.uniform(0, 60, (20, 1)) + rng.normal(0, 5, (20, 256)), 12.0)
    assert found.halves == 1
    assert set(found.sm_half.tolist()) == {1}


def tlb_words(point: Point, seed: int, steps: int) -> np.ndarray:
    """``out`` of tlb_reach.cu."""
    lines = (2 << 20) // 128
    most, rows, setting, pages = point.data_bytes // (2 << 20), [], 0, 0
    while pages < most:
        if setting == 0:
            pages = 1
        elif setting > 29:
            pages = (1 << 15) + (setting - 29) * 1024
        else:
            pages = (2 if setting % 2 else 3) << (setting - 1) // 2
        count = min(pages, most)
        each = (1024 + count - 1) // count if count < 1024 else 1
        spot = Lap(each * count).place(seed + steps)
        part = lines // each
        rows.append((100, spot % count * lines + spot // count * part + mix(spot) % part))
        setting += 1
    return table(rows)


def test_tlb_reach() -> None:
    one = probe("tlb_reach")
    point = Point(params=(("STEP", 2 << 20), ("CHAIN", 8)), block=256, data_bytes=40000 << 21, iters=32)
    right = tlb_words(point, SEED, 256)
    assert verdict(one, point, right) is None
    assert verdict(one, point, np.zeros_like(right)) is not None
    for steps in (248, 255, 257, 264):
        assert verdict(one, point, tlb_words(point, SEED, steps)) is not None


def test_the_reach_of_two_levels_of_tlb() -> None:
    one = probe("tlb_reach")
    counts = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072]
    counts += [4096, 6144, 8192, 12288, 16384, 24576, 32768, 33792, 34816, 35840, 36000]

    def latency(pages: int) -> float:
        first = 10 * max(0.0, 1 - 128 / pages)
        return 274.5 + first + 150 * max(0.0, 1 - 32768 / pages)

    table = {}
    for chain in (8, 24):
        point = Point(params=(("STEP", 2 << 20), ("CHAIN", chain)), data_bytes=36000 << 21, iters=100)
        table[point] = {f"pages_{pages:05d}": latency(pages) * 100 * chain + 500 for pages in counts}
    found = found_by(one, table)
    assert found["reach_1"] == 256 << 20
    assert found["reach_2"] == 64 << 30
    assert "reach_3" not in found
