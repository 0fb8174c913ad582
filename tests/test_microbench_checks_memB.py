"""The host checks of the probes of synchronisation, atomics, asynchronous copies, clusters and host memory.

Each truth is computed here by walking through what the kernel does; a check must accept it, and refuse zeros, a pass
more and (where the result tells) a step of the chain more or less.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpuprobe import arch, device
from gpuprobe.estimate import Point, TensorMap
from gpuprobe.gpu import driver
from gpuprobe.operands import Lap
from gpuprobe.probe import Probe, load
from gpuprobe.resources import folder

H100 = device.load("h100-sxm")
A100 = device.load("a100-sxm-80gb")
POISON = 0xA5A5A5A5
MASK = 0xFFFFFFFF
SEED = 12345
NAMES = [
    *("barrier_latency", "warp_latency", "fence_latency", "cluster_sync", "cluster_size", "atomic_latency"),
    *("atomic_rate", "atomic_handoff", "cp_async", "async_latency", "tma_tile", "tma_multicast", "dsm_latency"),
    *("dsm_handoff", "dsm_rate", "host_read", "host_latency", "shared_atomic_rate"),
]


def probe(name: str) -> Probe:
    return load(next(Path(folder("microbench")).rglob(f"{name}.py")))


def points(name: str, **params: object) -> list[Point]:
    found = [p for p in probe(name).points("full", H100) if all(p[key] == value for key, value in params.items())]
    assert found, (name, params)
    return found


def point(name: str, **params: object) -> Point:
    return points(name, **params)[0]


def said(name: str, at: Point, out: np.ndarray, seed: int = SEED) -> str | None:
    check = probe(name).check
    assert check is not None
    padded = np.full(max(out.size, probe(name).out_words), POISON, dtype=np.uint32)
    padded[: out.size] = (out.astype(object) & MASK).astype(np.uint32)
    return check(at, seed, padded.tobytes())


def with_chain(at: Point, change: int) -> Point:
    params = tuple((name, int(value) + change if name == "CHAIN" else value) for name, value in at.params)
    return replace(at, params=params)


def assert_told(name: str, at: Point, truth: Callable[[Point], np.ndarray], *, steps_show: bool) -> None:
    """The truth is accepted; zeros, another number of passes and (``steps_show``) of steps are not."""
    assert said(name, at, truth(at)) is None
    assert said(name, at, np.zeros_like(truth(at))) is not None
    for change in (-1, 1):
        assert said(name, at, truth(replace(at, iters=at.iters + change))) is not None
        if steps_show:
            assert said(name, at, truth(with_chain(at, change))) is not None


@pytest.mark.parametrize("name", NAMES)
def test_every_probe_has_points_in_both_modes_and_counts_only_what_it_covers(name: str) -> None:
    made = probe(name)
    for spec in (H100, A100):
        if made.runs_on(arch.parse(spec.architecture)):
            full, quick = made.points("full", spec), made.points("quick", spec)
            assert full and quick and len(quick) <= len(full)
            assert {tuple(p.params) for p in quick} <= {tuple(p.params) for p in full}
    assert made.covers and all(row in (12, 23, 37, 38, 39, 40, 41, 45) for row in made.covers)


@pytest.mark.parametrize("warps", [2, 8, 32])
def test_barrier_words_move_a_warp_a_pass(warps: int) -> None:
    def truth(at: Point) -> np.ndarray:
        x = np.arange(at.block)
        for _ in range(at.iters):
            x = np.roll(x, -32) + 1
        return x

    assert_told("barrier_latency", point("barrier_latency", OP="NAMED", WARPS=warps), truth, steps_show=False)


@pytest.mark.parametrize(
    ("op", "steps_show"), [("SHFL_IDX", True), ("SHFL_BFLY", True), ("REDUX_ADD", True), ("MATCH_ANY", False)]
)
def test_warp_sums(op: str, steps_show: bool) -> None:
    def truth(at: Point) -> np.ndarray:
        lanes = np.arange(at.block)
        x, total = {"REDUX_ADD": lanes * 0 + 1, "MATCH_ANY": lanes * 0 + 3}.get(op, lanes).astype(object), 0
        for _ in range(at.iters):
            for _ in range(int(at["CHAIN"])):
                if op == "SHFL_IDX":
                    x = np.roll(x, -1)
                elif op == "SHFL_BFLY":
                    x = x[lanes ^ 1]
                elif op == "REDUX_ADD":
                    x = x * 0 + (x.sum() & MASK)
                else:
                    x = x * 0 + MASK
            total = (total + x) & MASK
        return np.asarray(total)

    assert_told("warp_latency", point("warp_latency", OP=op, WARPS=1, DISTINCT=1), truth, steps_show=steps_show)


def test_match_of_different_values_keeps_them_apart() -> None:
    at = point("warp_latency", OP="MATCH_ANY", WARPS=1, DISTINCT=32)
    assert said("warp_latency", at, np.array([at.iters << lane for lane in range(32)])) is None
    assert said("warp_latency", at, np.full(32, at.iters * MASK)) is not None


def test_true_votes_count_the_passes() -> None:
    at = point("warp_latency", OP="VOTE_ALL", WARPS=32)
    assert_told("warp_latency", at, lambda p: np.full(p.block, p.iters), steps_show=False)


@pytest.mark.parametrize("pending", [0, 1])
def test_fences_count_their_steps(pending: int) -> None:
    def truth(at: Point) -> np.ndarray:
        return np.full(at.block, SEED + at.iters * int(at["CHAIN"]) - pending)

    assert_told("fence_latency", point("fence_latency", FENCE="GPU", PENDING=pending), truth, steps_show=True)


@pytest.mark.parametrize("size", [2, 16])
def test_cluster_words_move_a_block_a_pass(size: int) -> None:
    def truth(at: Point) -> np.ndarray:
        x = np.repeat(np.arange(size)[:, None], at.block, axis=1)
        for _ in range(at.iters):
            x = np.roll(x, -1, axis=0) + 1
        return x.ravel()

    assert_told("cluster_sync", point("cluster_sync", CLUSTER=size, WARPS=32), truth, steps_show=False)


def test_cluster_size_counts_the_blocks_of_the_first_wave() -> None:
    at = point("cluster_size", CLUSTER=2)
    blocks = np.arange(at.grid)
    wave = blocks >= 132
    start = (0xFFFFF000 + blocks + 70_000 * wave) & MASK
    rows = np.stack([start, blocks % 132, blocks % 2, np.full(at.grid, 2)], axis=1)
    assert said("cluster_size", at, rows.ravel()) is None
    reduce = probe("cluster_size").reduce
    assert reduce is not None
    assert reduce(at, rows.astype(np.uint32).tobytes()) == {"resident": 132.0}
    assert said("cluster_size", at, rows.ravel() * 0) is not None
    rows[:, 1] = 7
    assert said("cluster_size", at, rows.ravel()) is not None


@pytest.mark.parametrize("space", ["GLOBAL", "SHARED"])
@pytest.mark.parametrize(
    ("op", "steps_show"),
    [(op, True) for op in ("ADD_U32", "ADD_U64", "ADD_F32", "ADD_F16X2", "EXCH_U32")]
    + [(op, False) for op in ("MIN_U32", "CAS_U32", "CAS_U64")],
)
def test_atomics_return_what_was_there(op: str, steps_show: bool, space: str) -> None:
    def truth(at: Point) -> np.ndarray:
        kind = {"F32": np.float32, "F16X2": np.float16}.get(op.split("_")[1], np.uint64)
        word = np.array([{"ADD_F32": 0x3F800000, "ADD_F16X2": 0x00200010}.get(op, 1)], dtype=np.uint32)
        memory = word.view(kind) if kind is not np.uint64 else word.astype(np.uint64)
        x = memory + (4 if op in ("MIN_U32", "EXCH_U32") else 0)
        for _ in range(int(at["CHAIN"])):
            old = memory
            if op.startswith("ADD"):
                memory = memory + x
            elif op == "EXCH_U32":
                memory = x
            elif op == "MIN_U32":
                memory = np.minimum(memory, x)
            elif memory == x:
                memory = np.array([12345], dtype=np.uint64)
            x = old
        return np.array([int(x.view(np.uint32)[0]) * at.iters])

    assert_told("atomic_latency", point("atomic_latency", SPACE=space, OP=op, CHAIN=21), truth, steps_show=steps_show)


@pytest.mark.parametrize("op", ["REDG_ADD_U32", "REDG_ADD_F32", "REDG_ADD_F16X2", "ATOM_ADD_U32", "ATOM_CAS_U32"])
@pytest.mark.parametrize("size", [4, 4096])
def test_atomic_rate_words(op: str, size: int) -> None:
    at = replace(point("atomic_rate", OP=op, BYTES=size), grid=3, block=1000, iters=1)
    threads, count, sums = at.grid * at.block, size // 4, 1 << 15

    def truth(now: Point) -> np.ndarray:
        kind = {"F32": np.float32, "F16X2": np.float16}.get(op.rsplit("_", 1)[-1])
        words = np.full(count, POISON, dtype=np.uint32)
        old = np.zeros(threads, dtype=np.uint64)
        for thread in range(threads):
            for _ in range(8 * now.iters):
                old[thread] += int(words[thread % count])
                if op == "ATOM_CAS_U32":
                    continue
                value = words[thread % count : thread % count + 1]
                value[:] = value + np.uint32(1) if kind is None else (value.view(kind) + kind(1)).view(np.uint32)
        out = np.zeros(sums + 1, dtype=np.int64)
        out[:count] = words
        out[sums] = POISON + (int(old.sum()) if op.startswith("ATOM") else 0)
        return out

    assert said("atomic_rate", at, truth(at)) is None
    assert said("atomic_rate", at, np.zeros(sums + 1, dtype=int)) is not None
    if op != "REDG_ADD_F16X2" or size > 4:  # on one word a float16 sticks at 2048
        assert said("atomic_rate", at, truth(replace(at, iters=2))) is not None


@pytest.mark.parametrize("space", ["GLOBAL", "SHARED"])
def test_handoffs_are_counted_by_both(space: str) -> None:
    def truth(at: Point) -> np.ndarray:
        return np.array([POISON + 2 * at.iters if space == "GLOBAL" else POISON, at.iters, at.iters, 3, 69])

    assert_told("atomic_handoff", point("atomic_handoff", SPACE=space), truth, steps_show=False)


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

    assert said("tma_tile", at, truth(at)) is None
    assert said("tma_tile", at, np.zeros(at.grid, dtype=int)) is not None
    assert said("tma_tile", at, truth(at), seed=SEED + 1) is not None or mode != "STORE"
    if mode != "STORE":
        assert said("tma_tile", at, truth(replace(at, iters=4))) is not None


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


@pytest.mark.parametrize("mode", ["LOAD", "EXCH"])
def test_dsm_latency_ends(mode: str) -> None:
    def truth(at: Point) -> np.ndarray:
        steps = int(at["CHAIN"])
        return np.array([at.iters * steps * 33 % 1024 if mode == "LOAD" else at.iters * (1 if steps % 2 else 5)])

    at = replace(point("dsm_latency", MODE=mode, CLUSTER=2, PEER=1), iters=63)
    assert_told("dsm_latency", at, truth, steps_show=True)


def test_dsm_handoff_counts_both_ways() -> None:
    assert_told("dsm_handoff", point("dsm_handoff", CLUSTER=2), lambda p: np.array([2 * p.iters]), steps_show=False)


@pytest.mark.parametrize(
    ("op", "pattern"),
    [("READ", "RING"), ("READ", "BROADCAST"), ("WRITE", "RING"), ("WRITE", "BROADCAST"), ("ADD", "RING")],
)
def test_dsm_rate_memory(op: str, pattern: str) -> None:
    at = replace(point("dsm_rate", OP=op, CLUSTER=4, PATTERN=pattern), grid=4, iters=3)

    def truth(now: Point) -> np.ndarray:
        peer = {"RING": [1, 2, 3, 0], "BROADCAST": [0, 0, 0, 0]}[pattern]
        count = 65536 // 4
        memory = np.array([[rank + i if op == "READ" else 0 for i in range(count)] for rank in range(4)], dtype=object)
        sums = np.zeros((4, now.block), dtype=object)
        threads = np.arange(now.block)
        for rank in range(4):
            target = memory[peer[rank]]
            steps = 65536 // 16 // now.block
            if op == "READ":
                sums[rank] = target.reshape(steps, now.block, 4).sum(axis=(0, 2)) * now.iters
            elif op == "WRITE":
                view = target.reshape(steps, now.block, 4)
                view[:, :, 0] = (rank + 16 * now.block * np.arange(steps)[:, None] + 0 * threads).astype(object)
                view[:, :, 1:] = threads[None, :, None].astype(object)
            else:
                target += now.iters
        if op != "READ":
            sums = memory.reshape(4, -1, now.block).sum(axis=1)
        return sums.ravel()

    assert said("dsm_rate", at, truth(at)) is None
    assert said("dsm_rate", at, np.zeros(4 * at.block, dtype=int)) is not None
    if op != "WRITE":
        assert said("dsm_rate", at, truth(replace(at, iters=4))) is not None


@pytest.mark.parametrize("shift", [0, 16, 64])
def test_host_read_sums(shift: int) -> None:
    at = point("host_read", SHIFT=shift)

    def truth(now: Point) -> np.ndarray:
        total = int(np.arange(shift // 4, (1 << 22) + shift // 4, dtype=np.uint64).sum()) * now.iters
        out = np.zeros(now.grid * now.block, dtype=object)
        out[5] = total
        return out

    assert_told("host_read", at, truth, steps_show=False)
    assert said("host_read", at, truth(at) + np.eye(1, at.grid * at.block, 3, dtype=int)[0]) is not None


def test_extra_is_the_difference_to_the_plain_load() -> None:
    from gpuprobe.record import Sample

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


@pytest.mark.parametrize("op", ["ADD_U32", "ADD_F32"])
@pytest.mark.parametrize("count", [1, 32, 1024])
def test_shared_atomic_words(op: str, count: int) -> None:
    at = replace(point("shared_atomic_rate", OP=op, WORDS=count), grid=2)

    def truth(now: Point) -> np.ndarray:
        row = np.zeros(1024, dtype=np.float32 if op == "ADD_F32" else np.uint32)
        np.add.at(row, np.arange(1024 * 8 * now.iters) % 1024 % count, row.dtype.type(1 if op == "ADD_F32" else 3))
        return np.tile(row.view(np.uint32), 2)

    assert_told("shared_atomic_rate", at, truth, steps_show=False)


def test_a_compare_that_never_matches_leaves_the_words() -> None:
    at = replace(point("shared_atomic_rate", OP="CAS_U32", WORDS=32), grid=2)
    assert said("shared_atomic_rate", at, np.zeros(2048, dtype=int)) is None
    assert said("shared_atomic_rate", at, np.eye(1, 2048, 5, dtype=int)[0]) is not None
