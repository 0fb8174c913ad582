"""The checks of what streams through memory: DRAM and L2 bandwidth, strided and gathered reads.

What a kernel leaves in ``out`` is computed here once more, thread by thread and pass by pass as the CUDA source does
it, by code that shares nothing with the checks but the mixing function.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from gpuprobe.estimate import Point
from gpuprobe.families import streams
from gpuprobe.operands import mixed

from .probe_checks import MASK, SEED, mix, probe, verdict


def test_mixed_is_mix_of_every_element() -> None:
    values = [0, 1, 77, 2**31, 2**32 - 1]
    assert mixed(np.array(values, dtype=np.uint32)).tolist() == [mix(value) for value in values]


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
