"""The checks of the probes of L1 and the constant caches, and the sizes that follow from their columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpuprobe import device
from gpuprobe.estimate import Point
from gpuprobe.operands import Lap

from .probe_checks import MASK, SEED, found_by, mix, probe, sampled, table, verdict


def ring_words(point: Point, steps: int) -> np.ndarray:
    """``out`` of constant_latency.cu."""
    lines = (8, 16, 24, 28, 32, 33, 36, 40, 48, 64, 128, 256, 384, 512, 768, 1024)
    rows = []
    for k, count in enumerate(lines):
        line = 0
        for _ in range(steps):
            line = (line + 13) % count
        rows.append((100, 64 * line + 4 * k))
    return table(rows)


def test_constant_latency() -> None:
    one = probe("constant_latency")
    point = Point(params=(("CHAIN", 16),), iters=31)
    steps = 31 * 16
    assert verdict(one, point, ring_words(point, steps)) is None
    assert verdict(one, point, np.zeros(32, dtype=np.uint32)) is not None
    for wrong in (-1, 1, -16, 16):
        assert verdict(one, point, ring_words(point, steps + wrong)) is not None


def l1_words(point: Point, seed: int) -> np.ndarray:
    """``out`` of l1_bandwidth.cu."""
    words, rows = int(point.number("WIDTH")) // 4, []
    for pattern in range(14):
        thread = (pattern * 37 + seed) % 2**32 % 1024
        warp, lane = thread // 32, thread % 32
        if pattern < 8:
            at = warp * 32 + lane * (pattern if pattern < 5 else 1 << pattern - 2)
        else:
            wide = 1 << pattern - 8
            at = warp * wide + lane % wide + lane // wide * 4098
        value = 0
        for j in range(8):
            read = 0
            for k in range(words):
                read ^= mix(at * words + 32 * j + k)
            value += read * point.iters
        rows.append((100, value & MASK))
    return table(rows)


@pytest.mark.parametrize("width", [4, 8, 16])
def test_l1_bandwidth(width: int) -> None:
    one = probe("l1_bandwidth")
    point = Point(params=(("WIDTH", width), ("PASSES", 10)), block=1024, iters=10)
    right = l1_words(point, SEED)
    assert verdict(one, point, right) is None
    assert verdict(one, point, np.zeros_like(right)) is not None
    for passes in (9, 11):
        assert verdict(one, point, l1_words(replace(point, iters=passes), SEED)) is not None


def test_l1_write() -> None:
    one = probe("l1_write")
    point = Point(params=(("SMS", "all"), ("PASSES", 200)), grid=3, block=1024, iters=200)

    def stored(passes: int) -> np.ndarray:
        values = [
            sum(SEED + passes - 1 + 3 * thread + 5 * block + 7 * j for j in range(4)) & MASK
            for block in range(3)
            for thread in range(1024)
        ]
        return np.array(values, dtype=np.uint32)

    assert verdict(one, point, stored(200)) is None
    for wrong in (np.zeros(3072, dtype=np.uint32), stored(199), stored(201)):
        assert verdict(one, point, wrong) is not None


def capacity_words(point: Point, seed: int, extra: int) -> np.ndarray:
    """``out`` of l1_capacity.cu, ``extra`` loads off."""
    nominal = 2048 if point["CARVEOUT"] == 0 else 224
    stride, loads = int(point.number("STRIDE")), point.iters * int(point.number("CHAIN"))
    rows = []
    for setting in range(32):
        places = nominal * (16 + setting) // 32 * (128 // stride if stride < 128 else 1)
        rows.append((100, Lap(places).place(seed + 2 * places + loads + extra)))
    return table(rows)


@pytest.mark.parametrize(("carveout", "stride"), [(0, 128), (100, 64), (100, 4096)])
def test_l1_capacity(carveout: int, stride: int) -> None:
    one = probe("l1_capacity")
    params = (("LINES", 2048), ("CARVEOUT", carveout), ("STRIDE", stride), ("CHAIN", 8))
    point = Point(params=params, block=256, iters=43)
    right = capacity_words(point, SEED, 0)
    assert verdict(one, point, right) is None
    assert verdict(one, point, np.zeros_like(right)) is not None
    for extra in (-8, -1, 1, 8):
        assert verdict(one, point, capacity_words(point, SEED, extra)) is not None


def policy_words(seed: int, lines: int) -> np.ndarray:
    """``out`` of l1_policy.cu: stores at the first word are events 9 and 10, all other words hold 7."""
    return table([(36 * 64 << 8 | 64, lines * (seed if event in (9, 10) else 7) & MASK) for event in range(20)])


def test_l1_policy() -> None:
    one = probe("l1_policy")
    point = one.points("full", device.load("h100-sxm"))[0]
    right = policy_words(SEED, 64)
    assert verdict(one, point, right) is None
    for wrong in (np.zeros_like(right), policy_words(SEED, 63), policy_words(SEED, 65), policy_words(SEED + 1, 64)):
        assert verdict(one, point, wrong) is not None


def test_the_size_of_the_constant_cache() -> None:
    one = probe("constant_latency")
    lines = (8, 16, 24, 28, 32, 33, 36, 40, 48, 64, 128, 256, 384, 512, 768, 1024)
    cycles = (28, 28, 28, 28, 28, 38, 64, 93, 92, 93, 92, 93, 93, 93, 95, 91)
    table = {}
    for chain in (16, 48):
        point = Point(params=(("CHAIN", chain),), iters=31)
        table[point] = {f"lines_{count:04d}": 31 * chain * each + 77 for count, each in zip(lines, cycles, strict=True)}
    assert found_by(one, table) == {"size_1": 2048}


def test_size_and_line_of_l1() -> None:
    one = probe("l1_capacity")
    table = {}
    for carveout, stride in ((0, 128), (100, 64), (100, 128), (100, 4096)):
        for chain in (8, 24):
            params = (("LINES", 2048), ("CARVEOUT", carveout), ("STRIDE", stride), ("CHAIN", chain))
            nominal, held = (2048, 1950) if carveout == 0 else (224, 200)
            each = 2 if stride == 64 else 1
            places = [nominal * (16 + k) // 32 * each for k in range(32)]
            cycles = [32.0 if count <= held * each else 150.0 for count in places]
            table[Point(params=params, iters=43)] = {
                f"setting_{k:02d}": 43 * chain * value + 50 for k, value in enumerate(cycles)
            }
    estimates = one.estimate({point: sampled(values) for point, values in table.items()})
    sizes = {one.params["CARVEOUT"]: one.value for one in estimates if one.quantity == "size"}
    assert sizes[0] == pytest.approx(1952 * 128, rel=0.02)
    assert sizes[100] == pytest.approx(200 * 128, rel=0.04)
    assert [one.value for one in estimates if one.quantity == "line"] == [pytest.approx(128, rel=0.05)]


def test_the_sector_is_where_a_load_brings_nothing_to_its_neighbour() -> None:
    one = probe("l1_policy")
    point = one.points("full", device.load("h100-sxm"))[0]
    cycles = [280.0, 36.0, 36.0, 36.0, 36.0, *[280.0] * 15]
    assert found_by(one, {point: {f"cycles_{k:02d}": value for k, value in enumerate(cycles)}}) == {"sector": 32}
