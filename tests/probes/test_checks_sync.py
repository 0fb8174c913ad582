"""The checks of the probes of barriers, warp operations, fences and clusters with their distributed shared memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpuprobe import arch, device
from gpuprobe.estimate import Point

from .probe_checks import H100, MASK, SEED, assert_told, point, probe, verdict

A100 = device.load("a100-sxm-80gb")
NAMES = [
    *("barrier_latency", "warp_latency", "fence_latency", "cluster_sync", "cluster_size", "atomic_latency"),
    *("atomic_rate", "atomic_handoff", "cp_async", "async_latency", "tma_tile", "tma_multicast", "dsm_latency"),
    *("dsm_handoff", "dsm_rate", "host_read", "host_latency", "shared_atomic_rate"),
]


@pytest.mark.parametrize("name", NAMES)
def test_every_probe_has_points_in_both_modes_and_counts_only_what_it_covers(name: str) -> None:
    made = probe(name)
    for spec in (H100, A100):
        if made.runs_on(arch.parse(spec.architecture)):
            full, quick = made.points("full", spec), made.points("quick", spec)
            assert full and quick and len(quick) <= len(full)
            assert {tuple(p.params) for p in quick} <= {tuple(p.params) for p in full}
    assert made.covers and all(row in (12, 23, 37, 38, 39, 40, 41, 42, 45) for row in made.covers)


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
    assert verdict(probe("warp_latency"), at, np.array([at.iters << lane for lane in range(32)])) is None
    assert verdict(probe("warp_latency"), at, np.full(32, at.iters * MASK)) is not None


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
    assert verdict(probe("cluster_size"), at, rows.ravel()) is None
    reduce = probe("cluster_size").reduce
    assert reduce is not None
    assert reduce(at, rows.astype(np.uint32).tobytes()) == {"resident": 132.0}
    assert verdict(probe("cluster_size"), at, rows.ravel() * 0) is not None
    rows[:, 1] = 7
    assert verdict(probe("cluster_size"), at, rows.ravel()) is not None


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

    assert verdict(probe("dsm_rate"), at, truth(at)) is None
    assert verdict(probe("dsm_rate"), at, np.zeros(4 * at.block, dtype=int)) is not None
    if op != "WRITE":
        assert verdict(probe("dsm_rate"), at, truth(replace(at, iters=4))) is not None
