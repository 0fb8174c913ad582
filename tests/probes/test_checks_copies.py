"""The checks of the probes of asynchronous copies, TMA and host memory; the structures that TMA and launches need."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
import pytest

from gpuprobe.estimate import Point, TensorMap
from gpuprobe.gpu import driver
from gpuprobe.operands import Lap
from gpuprobe.record import Sample

from .probe_checks import MASK, SEED, assert_told, point, points, probe, verdict


def test_cp_async_sums() -> None:
    at = replace(point("cp_async", FROM="L2", STAGES=2), grid=3, data_bytes=5 * 3 * 256 * 16, iters=2)

    def truth(now: Point) -> np.ndarray:
        vectors = np.arange(now.data_bytes // 16).reshape(5, 3 * 256)
        return vectors.sum(axis=0) * now.iters

    assert_told("cp_async", at, truth, steps_show=False)


@pytest.mark.parametrize("name", ["async_latency", "host_latency"])
def test_chases_end_where_the_host_does(name: str) -> None:
    at = points(name)[-1] if name == "host_latency" else point(name, VIA="BULK", BYTES=4 << 20)

    def truth(now: Point) -> np.ndarray:
        place = Lap(now.data_bytes // 128).place(SEED + now.iters * int(now["CHAIN"])) * 128
        return np.array([place & MASK, place >> 32])

    assert_told(name, at, truth, steps_show=True)


BOX_OF = {1: "4096", 2: "64x64", 3: "16x16x16"}


@pytest.mark.parametrize("mode", ["LOAD", "STORE", "ADD"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_tma_tile_corners(mode: str, rank: int) -> None:
    at = replace(point("tma_tile", MODE=mode, RANK=rank, FROM="L2", BOX=BOX_OF[rank]), iters=3)
    shape = at.tensor_map
    assert shape is not None
    tensor = np.arange(int(np.prod(shape.dims)), dtype=np.int64).reshape(shape.dims[::-1])
    sides = [dim // side for dim, side in zip(shape.dims, shape.box, strict=True)]

    def corners(index: int) -> tuple[int, int]:
        low = []
        for side, count in zip(shape.box, sides, strict=True):
            low.append(index % count * side)
            index //= count
        high = [place + side - 1 for place, side in zip(low, shape.box, strict=True)]
        return int(tensor[tuple(low[::-1])]), int(tensor[tuple(high[::-1])])

    def truth(now: Point) -> np.ndarray:
        mine = int(np.prod(sides)) // now.grid
        sums = []
        for block in range(now.grid):
            boxes = [corners(block + k * now.grid) for k in range(mine)]
            if mode == "LOAD":
                sums.append(sum(map(sum, boxes)) * now.iters)
            elif mode == "STORE":
                sums.append(mine * (SEED + SEED + int(np.prod(shape.box)) - 1))
            else:
                sums.append(mine * 2 * now.iters)
        return np.array(sums)

    assert verdict(probe("tma_tile"), at, truth(at)) is None
    assert verdict(probe("tma_tile"), at, np.zeros(at.grid, dtype=int)) is not None
    assert verdict(probe("tma_tile"), at, truth(at), seed=SEED + 1) is not None or mode != "STORE"
    if mode != "STORE":
        assert verdict(probe("tma_tile"), at, truth(replace(at, iters=4))) is not None


def test_tma_multicast_sums() -> None:
    at = replace(point("tma_multicast", CLUSTER=4), grid=8, data_bytes=6 * 16384, iters=5)

    def truth(now: Point) -> np.ndarray:
        boxes = np.arange(6 * 4096).reshape(6, 4096)
        sums = []
        for cluster in range(2):
            order = [(cluster * 3 + k) % 6 for k in range(now.iters)]
            sums += [int(sum(boxes[box, 0] + boxes[box, -1] for box in order))] * 4
        return np.array(sums)

    assert_told("tma_multicast", at, truth, steps_show=False)


@pytest.mark.parametrize("shift", [0, 16, 64])
def test_host_read_sums(shift: int) -> None:
    at = point("host_read", SHIFT=shift)

    def truth(now: Point) -> np.ndarray:
        total = int(np.arange(shift // 4, (1 << 22) + shift // 4, dtype=np.uint64).sum()) * now.iters
        out = np.zeros(now.grid * now.block, dtype=object)
        out[5] = total
        return out

    assert_told("host_read", at, truth, steps_show=False)
    assert verdict(probe("host_read"), at, truth(at) + np.eye(1, at.grid * at.block, 3, dtype=int)[0]) is not None


def test_extra_is_the_difference_to_the_plain_load() -> None:
    made = probe("async_latency")
    cycles = {"LOAD": 260.0, "CP_ASYNC": 300.0, "BULK": 365.0}
    taken = {
        p: Sample(
            cycles=cycles[str(p["VIA"])] * p.number("CHAIN") * p.iters,
            cycles_max=0.0,
            seconds=0.0,
            event_s=0.0,
            sm_clock_hz=1.0,
        )
        for p in points("async_latency", BYTES=4 << 20)
    }
    found = {str(e.params["VIA"]): e.value for e in made.estimate(taken) if e.quantity == "extra"}
    assert found == pytest.approx({"CP_ASYNC": 40.0, "BULK": 105.0})


def test_dense_tensor_strides() -> None:
    shape = TensorMap.dense("f32", 4, (64, 32, 8), (16, 8, 4))
    assert shape.strides == (256, 8192)


def test_head_of_an_undescribed_tensor_tells_its_shape() -> None:
    shape = TensorMap("u32", (1 << 20,), (), (4096,), described=False)
    head = driver.encode(shape, 0)
    assert head.nbytes == TensorMap.HEAD_BYTES and not head[:128].any()
    assert head[128:172].view(np.uint32).tolist() == [1, 1 << 20, 1, 1, 1, 1, 4096, 1, 1, 1, 1]


def test_launch_structures_have_the_drivers_layout() -> None:
    config, attribute = driver._Config, driver._Attribute
    assert (ctypes.sizeof(config), config.stream.offset, config.attributes.offset) == (56, 32, 40)
    assert (ctypes.sizeof(attribute), attribute.value.offset) == (72, 8)
