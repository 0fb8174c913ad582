"""The host checks of the memory probes: right results pass; zeros, poison, and one pass or step more or less do not.

What a kernel leaves in ``out`` is computed here once more, thread by thread and pass by pass as the CUDA source does
it, by code that shares nothing with the checks but the mixing function.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from gpuprobe import device
from gpuprobe.estimate import Point
from gpuprobe.families import streams
from gpuprobe.families.l2map import analyse
from gpuprobe.operands import Lap, mixed
from gpuprobe.operands import mix as uncached_mix
from gpuprobe.probe import Probe, discover
from gpuprobe.record import Sample

MASK = 0xFFFFFFFF
mix = cache(uncached_mix)
SEED = 41


def probe(name: str) -> Probe:
    return next(one for one in discover() if one.name == name)


def verdict(one: Probe, point: Point, out: np.ndarray, seed: int = SEED) -> str | None:
    assert one.check is not None
    padded = np.full(one.out_words, 0xA5A5A5A5, dtype=np.uint32)
    padded[: len(out)] = out
    return one.check(point, seed, padded.tobytes())


def test_mixed_is_mix_of_every_element() -> None:
    values = [0, 1, 77, 2**31, 2**32 - 1]
    assert mixed(np.array(values, dtype=np.uint32)).tolist() == [mix(value) for value in values]


# Streams: DRAM and L2 bandwidth.

STREAM = Point(params=(("MODE", "READ"), ("UNROLL", 2)), grid=3, block=4, data_bytes=16 * 8 * 9 * 4, iters=3)


def vector(index: int) -> list[int]:
    return [mix(index), mix(3 * index & MASK), mix(7 * index & MASK), index]


def fold(words: list[int]) -> int:
    return words[0] ^ words[1] ^ words[2] ^ words[3]


def streamed(point: Point, seed: int, windows: streams.Windows) -> np.ndarray:
    """``out`` of stream.cuh, as the CUDA source has it."""
    mode, unroll = str(point["MODE"]), int(point.number("UNROLL"))
    parts = {"COPY": 2, "TRIAD": 3}.get(mode, 1)
    count = point.data_bytes // (windows.count * windows.spread) // 16 // parts
    starts = [(w * windows.spread + mix(seed + w) % windows.spread) * count * parts for w in range(windows.count)]
    memory = {i: vector(i) for i in range(point.data_bytes // 16)}
    sums = np.zeros(point.grid * point.block, dtype=np.uint64)
    tile = point.block * unroll
    tiles = count // tile
    for start, pass_ in itertools.product(starts, range(point.iters)):
        tag = seed + pass_ & MASK
        for block in range(point.grid):
            places = range(tiles) if mode == "READ_ALL" else range(block, tiles, point.grid)
            for place, thread, j in itertools.product(places, range(point.block), range(unroll)):
                at = start + place * tile + thread + j * point.block
                if mode in ("READ", "READ_ALL"):
                    sums[block * point.block + thread] += fold(memory[at])
                elif mode == "WRITE":
                    memory[at] = [tag, place, thread, 0x9E3779B9]
                elif mode == "COPY":
                    memory[at + count] = [memory[at][0] + tag & MASK, *memory[at][1:]]
                else:
                    b, c = memory[at], memory[at + count]
                    memory[at + 2 * count] = [x + tag * y & MASK for x, y in zip(b, c, strict=True)]
    if mode not in ("READ", "READ_ALL"):
        for block, thread in itertools.product(range(point.grid), range(point.block)):
            mine = len(range(block, tiles, point.grid))
            for k in range(4 if mine else 0):
                place = block + mix(seed + k) % mine * point.grid
                start = starts[(seed + k) % windows.count] + (parts - 1) * count
                for j in range(unroll):
                    sums[block * point.block + thread] += fold(memory[start + place * tile + thread + j * point.block])
    return (sums & np.uint64(MASK)).astype(np.uint32)


@pytest.mark.parametrize("windows", [streams.WHOLE, streams.Windows(2, 3)])
@pytest.mark.parametrize("mode", ["READ", "READ_ALL", "WRITE", "COPY", "TRIAD"])
def test_streams_know_what_every_thread_computes(mode: str, windows: streams.Windows) -> None:
    room = STREAM.data_bytes * windows.count * windows.spread
    point = replace(STREAM, params=(("MODE", mode), ("UNROLL", 2)), data_bytes=room)
    padded = streamed(point, SEED, windows)
    assert streams.check(point, SEED, padded.tobytes(), windows) is None
    for wrong in (
        np.zeros_like(padded),
        np.full_like(padded, 0xA5A5A5A5),
        streamed(replace(point, iters=2), SEED, windows),
        streamed(replace(point, iters=4), SEED, windows),
    ):
        assert streams.check(point, SEED, wrong.tobytes(), windows) is not None


def test_streams_look_at_every_block_in_time() -> None:
    """One block that did nothing is found within a few dozen samples."""
    out = streamed(STREAM, SEED, streams.WHOLE)
    out[8:12] = 0
    found = [streams.check(STREAM, seed, out.tobytes()) for seed in range(40)]
    assert any(found)


# Tables: a row for each setting of one launch.


def table(rows: list[tuple[int, int]]) -> np.ndarray:
    return np.array(rows, dtype=np.uint64).astype(np.uint32).ravel()


def shared_words(point: Point, seed: int) -> np.ndarray:
    """``out`` of shared_bandwidth.cu."""
    op, width = str(point["OP"]), int(point.number("WIDTH"))
    span = 16384 if op == "MIX" else 32768
    sums = np.zeros(1024, dtype=np.uint64)
    for thread in range(1024):
        stored = {}
        for pass_ in range(point.iters):
            for j in range(8):
                store = op == "ST" or (op == "MIX" and j % 2 == 1)
                at = thread * width + j * 1024 * width % span + (span if store and op == "MIX" else 0)
                if store:
                    tag = seed + pass_ & MASK
                    stored[j] = tag if width == 4 else tag ^ thread ^ (0 if width == 8 else thread ^ thread)
                else:
                    value = 0
                    for k in range(width // 4):
                        value ^= mix(at // 4 + k)
                    sums[thread] += value
        sums[thread] += sum(stored.values())
    return (sums & np.uint64(MASK)).astype(np.uint32)


@pytest.mark.parametrize("op", ["LD", "ST", "MIX"])
@pytest.mark.parametrize("width", [4, 8, 16])
def test_shared_bandwidth(op: str, width: int) -> None:
    one = probe("shared_bandwidth")
    point = Point(params=(("OP", op), ("WIDTH", width), ("PASSES", 3)), block=1024, iters=3)
    assert verdict(one, point, shared_words(point, SEED)) is None
    assert verdict(one, point, np.zeros(1024, dtype=np.uint32)) is not None
    for passes in (2, 4):
        assert verdict(one, point, shared_words(replace(point, iters=passes), SEED)) is not None


def conflict_words(point: Point, seed: int) -> np.ndarray:
    """``out`` of shared_conflicts.cu."""
    op, width = str(point["OP"]), int(point.number("WIDTH"))
    phase = 128 // width
    rows = []
    for ways in range(1, phase + 1):
        lane = ways % 32
        row, column = lane % phase, 0
        while row >= ways:
            row, column = row - ways, column + 1
        place = (lane // phase * ways + row) * 128 + column * width
        if op == "LATENCY":
            result = point.iters * int(point.number("CHAIN")) % 7 * 4096 + place
        elif op == "ST":
            tag = seed + point.iters - 1
            result = 7 * (tag if width == 4 else tag ^ lane)
        else:
            result = 0
            for j in range(7):
                value = 0
                for k in range(width // 4):
                    value ^= mix((place + 4096 * j) // 4 + k)
                result += value * point.iters
        rows.append((100, result & MASK))
    return table(rows)


@pytest.mark.parametrize("width", [4, 8, 16])
@pytest.mark.parametrize("op", ["LATENCY", "LD", "ST"])
def test_shared_conflicts(op: str, width: int) -> None:
    one = probe("shared_conflict_latency" if op == "LATENCY" else "shared_conflicts")
    point = Point(params=(("OP", op), ("WIDTH", width), ("CHAIN", 16)), iters=16)
    right = conflict_words(point, SEED)
    assert verdict(one, point, right) is None
    assert verdict(one, point, np.zeros_like(right)) is not None
    for passes in (15, 17):
        assert verdict(one, point, conflict_words(replace(point, iters=passes), SEED)) is not None


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


def test_shared_latency_ends_elsewhere_for_every_count() -> None:
    one = probe("shared_latency")
    point = Point(params=(("MODE", "DIRECT"), ("CHAIN", 16)), iters=256)
    steps = 256 * 16
    assert verdict(one, point, np.full(32, steps * 33 % 1021, dtype=np.uint32)) is None
    for wrong in (-16, -1, 1, 16):
        assert verdict(one, point, np.full(32, (steps + wrong) * 33 % 1021, dtype=np.uint32)) is not None
    assert verdict(one, point, np.zeros(32, dtype=np.uint32)) is not None


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


def curve_words(point: Point) -> np.ndarray:
    """``out`` of l2_bandwidth_curve.cu."""
    count, sums = point.data_bytes // 16, []
    for block in range(point.grid):
        begin = block * count // point.grid
        share = (block + 1) * count // point.grid - begin
        for thread in range(point.block):
            at, value = thread % share, 0
            for _ in range(point.iters):
                first = 4 * (begin + at)
                value += mix(first) ^ mix(first + 1) ^ mix(first + 2) ^ mix(first + 3)
                at += point.block % share
                at = at - share if at >= share else at
            sums.append(value & MASK)
    return np.array(sums, dtype=np.uint32)


@pytest.mark.parametrize("vectors", [20, 64, 100])
def test_l2_bandwidth_curve(vectors: int) -> None:
    one = probe("l2_bandwidth_curve")
    point = Point(params=(("MIB", 1), ("ACCESSES", 8)), grid=4, block=16, data_bytes=16 * vectors, iters=8)
    assert verdict(one, point, curve_words(point)) is None
    assert verdict(one, point, np.zeros(64, dtype=np.uint32)) is not None
    for accesses in (7, 9, 4, 12):
        assert verdict(one, point, curve_words(replace(point, iters=accesses))) is not None


def strided_words(point: Point) -> np.ndarray:
    """``out`` of strided_read.cu."""
    stride, total = int(point.number("STRIDE")), point.grid * point.block
    reads = point.data_bytes // 4 // (stride or 32)
    sums = []
    for thread in range(total):
        value, i = 0, thread
        while i + 7 * total < reads:
            for j in range(8):
                read = i + j * total
                at = read * stride if stride else mix(read + 1) & point.data_bytes // 4 - 1
                value += mix(at)
            i += 8 * total
        sums.append(value * point.iters & MASK)
    return np.array(sums, dtype=np.uint32)


@pytest.mark.parametrize("stride", [0, 1, 4, 32])
def test_strided_read(stride: int) -> None:
    one = probe("strided_read")
    point = Point(params=(("STRIDE", stride), ("PASSES", 3)), grid=3, block=4, data_bytes=1 << 15, iters=3)
    right = strided_words(point)
    assert verdict(one, point, right) is None
    assert verdict(one, point, np.zeros_like(right)) is not None
    for passes in (2, 4):
        assert verdict(one, point, strided_words(replace(point, iters=passes))) is not None


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


# What the estimates make of columns.


def sampled(values: dict[str, float]) -> Sample:
    return Sample(1.0, 1.0, 1e-3, 1e-3, 2e9, values=values)


def found_by(one: Probe, columns: dict[Point, dict[str, float]]) -> dict[str, float]:
    """Quantities without parameters, from the columns of each point."""
    estimates = one.estimate({point: sampled(values) for point, values in columns.items()})
    return {estimate.quantity: estimate.value for estimate in estimates if not estimate.params}


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
