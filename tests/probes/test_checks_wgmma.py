"""The checks of the wgmma probes: right results pass, wrong ones do not; instructions and work are stated right."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from gpuprobe import arch, device
from gpuprobe.estimate import Estimate, Point
from gpuprobe.families import wgmma
from gpuprobe.families.wgmma import Instruction
from gpuprobe.operands import operand
from gpuprobe.probe import Probe, discover
from gpuprobe.record import Sample

PROBES = {probe.name: probe for probe in discover() if probe.name.startswith("wgmma") and "numerics" not in probe.name}
SEED = 20260723
ITERS = 3


def point_of(kind: str, n: int = 256, sparse: int = 0, chain: int = 16, blocks: int = 2, groups: int = 2) -> Point:
    params = (("TYPE", kind), ("N", n), ("SPARSE", sparse), ("CHAIN", chain))
    return Point(params, grid=blocks, block=128 * groups, iters=ITERS)


def right(point: Point, seed: int, steps: float = 0.0) -> NDArray[np.float64]:
    """What the threads of a warpgroup store, in exact arithmetic, after ``steps`` wgmmas more than asked for."""
    instruction = wgmma.instruction_of(dict(point.params))
    turns = 1 if instruction.kind in wgmma.NARROW else point.iters
    count = turns * point.number("CHAIN") + steps
    return wgmma.thread_results(wgmma.product(instruction, seed)) * count / instruction.slices


def stored(point: Point, values: NDArray[np.float64]) -> bytes:
    """``values`` of a warpgroup as every warpgroup of the GPU stores them."""
    groups = point.grid * point.block // 128
    if dict(point.params)["TYPE"] == "S8":
        return np.tile(np.mod(np.round(values), 2.0**32).astype(np.uint64).astype(np.uint32), (groups, 1)).tobytes()
    return np.tile(values.astype(np.float32), (groups, 1)).tobytes()


INSTRUCTIONS = list(itertools.product((*wgmma.TYPES, wgmma.MIXED), (8, 256), (0, 1)))


@pytest.mark.parametrize(("kind", "n", "sparse"), INSTRUCTIONS)
def test_the_right_results_pass_and_one_step_more_or_less_does_not(kind: str, n: int, sparse: int) -> None:
    point = point_of(kind, n, sparse)
    assert wgmma.check(point, SEED, stored(point, right(point, SEED))) is None
    for steps in (-1.0, 1.0):
        assert wgmma.check(point, SEED, stored(point, right(point, SEED, steps))) is not None
    assert wgmma.check(point, SEED, bytes(len(stored(point, right(point, SEED))))) is not None
    assert wgmma.check(point, SEED + 1, stored(point, right(point, SEED))) is not None


@pytest.mark.parametrize("kind", wgmma.TYPES)
def test_zero_operands_must_give_zeros(kind: str) -> None:
    point = point_of(kind)
    assert wgmma.check(point, 0, stored(point, right(point, 0))) is None
    assert wgmma.check(point, 0, stored(point, np.full((128, 4), 1e-3 if kind != "S8" else 1.0))) is not None


@pytest.mark.parametrize("kind", ["F16", "E4M3", "S8"])
@pytest.mark.parametrize("word", [0, 3])
def test_one_wrong_word_of_any_warpgroup_is_seen(kind: str, word: int) -> None:
    point = point_of(kind)
    results = np.frombuffer(stored(point, right(point, SEED)), dtype=np.uint32).copy()
    for group in range(4):
        damaged = results.copy()
        damaged[(group * 128 + 77) * 4 + word] ^= np.uint32(0x00800000)
        assert wgmma.check(point, SEED, damaged.tobytes()) is not None, (group, word)


def test_a_wrong_sum_of_all_warpgroups_is_seen() -> None:
    """The first elements may be right where the rest of the accumulators is not."""
    point = point_of("F16")
    values = right(point, SEED)
    values[:, 3] += 0.2 * np.abs(values[:, 3]).max()
    assert wgmma.check(point, SEED, stored(point, values)) is not None


@pytest.mark.parametrize("n", [8, 64, 256])
def test_the_sum_of_a_thread_is_that_of_its_fragment(n: int) -> None:
    """By the PTX ISA: row 16 warp + lane / 4 + 8 (i / 2 % 2), column 8 (i / 4) + 2 (lane % 4) + i % 2."""
    matrix = np.random.default_rng(1).normal(size=(64, n))
    found = wgmma.thread_results(matrix)
    for thread in range(128):
        warp, lane = divmod(thread, 32)
        held = [
            matrix[16 * warp + lane // 4 + 8 * (i // 2 % 2), 8 * (i // 4) + 2 * (lane % 4) + i % 2]
            for i in range(n // 2)
        ]
        assert found[thread] == pytest.approx([held[0], held[1], held[-2], sum(held)])


def test_sparse_products_leave_out_what_is_not_stored() -> None:
    """By hand: of B's k only the second and fourth of four meet A (F16), element j of A at 2 j + 1."""
    instruction = Instruction("F16", 8, sparse=True)
    a = operand(np.arange(64 * 32, dtype=np.uint32), SEED).reshape(64, 32).astype(np.float64)
    b = operand(np.arange(8 * 64, dtype=np.uint32) + np.uint32(64 * 32), SEED).reshape(8, 64).astype(np.float64)
    wanted = sum(np.outer(a[:, j], b[:, 2 * j + 1]) for j in range(32))
    assert np.allclose(wgmma.product(instruction, SEED), wanted)


@pytest.mark.parametrize(
    ("kind", "value", "held"),
    [
        ("E4M3", 3.9921875, 4.0),
        ("E4M3", 0.0078125, 0.0078125),  # subnormal
        ("E4M3", 0.0009, 0.0),
        ("E4M3", 1.0625, 1.0),  # a tie, to even
        ("E4M3", 1.1875, 1.25),
        ("E4M3", 500.0, 448.0),
        ("E5M2", 1.1, 1.0),
        ("E5M2", 1.125, 1.0),
        ("E5M2", -1.375, -1.5),
        ("TF32", 3.9921875, 3.9921875),
        ("S8", -3.9921875, -127.0),
        ("S8", 0.99, 31.0),
        ("F16", 1.00048828125, 1.0),
    ],
)
def test_operands_are_rounded_as_the_device_does(kind: str, value: float, held: float) -> None:
    assert wgmma.quantised(np.array([value], dtype=np.float32), kind).tolist() == [held]


@pytest.mark.parametrize(
    ("instruction", "opcode", "fma"),
    [
        (Instruction("F16"), "HGMMA.64x256x16.F32", 64 * 256 * 16),
        (Instruction("TF32", 8), "HGMMA.64x8x8.F32.TF32", 64 * 8 * 8),
        (Instruction("E4M3_F16", 64), "QGMMA.64x64x32.F16.E4M3.E4M3", 64 * 64 * 32),
        (Instruction("S8", 256, sparse=True), "IGMMA.SP.64x256x64.S8.S8", 64 * 256 * 64),
        (Instruction("BF16", 128, sparse=True), "HGMMA.SP.64x128x32.F32.BF16", 64 * 128 * 32),
    ],
)
def test_instructions_are_named_and_counted(instruction: Instruction, opcode: str, fma: int) -> None:
    assert (instruction.opcode, instruction.fma) == (opcode, fma)


def bound_of(probe: Probe, unit: str, clock_hz: float | None = None, **params: str | int) -> float | None:
    estimate = Estimate("rate", params, unit, 1.0, Sample(1.0, 1.0, 1.0, 1.0, 1.0))
    assert probe.bound is not None
    return probe.bound(estimate, device.load("h100-sxm"), arch.parse("sm_90"), clock_hz)


def test_limits_are_those_of_the_operands_and_twice_that_for_sparse_ones() -> None:
    unit = "FMA/cycle/SM"
    assert bound_of(PROBES["wgmma_rate"], unit, TYPE="F16_F16") == 2048
    assert bound_of(PROBES["wgmma_rate"], unit, TYPE="E4M3_F16") == 4096
    assert bound_of(PROBES["wgmma_rate"], unit, TYPE="E4M3_E5M2") == 4096
    assert bound_of(PROBES["wgmma_sparse_rate"], unit, TYPE="TF32", SPARSE=1) == 2048
    assert bound_of(PROBES["wgmma_rate"], "FLOP/s", 1e9, TYPE="S8") == 2 * 4096 * 132 * 1e9
    assert bound_of(PROBES["wgmma_rate"], "FLOP/s", None, TYPE="S8") is None


def test_mixed_operands_are_of_the_types_named() -> None:
    mixed, plain = Instruction("E4M3_E5M2", 8), Instruction("E4M3", 8)
    a = wgmma.quantised(operand(np.arange(64 * 128, dtype=np.uint32), SEED), "E4M3").reshape(64, 128)
    b = wgmma.quantised(operand(np.arange(8 * 128, dtype=np.uint32) + np.uint32(64 * 128), SEED), "E5M2").reshape(
        8, 128
    )
    assert np.allclose(wgmma.product(mixed, SEED), a @ b.T)
    assert not np.allclose(wgmma.product(plain, SEED), a @ b.T)
    assert mixed.opcode == "QGMMA.64x8x32.F32.E4M3.E5M2"


def test_work_is_counted_by_warpgroup_block_and_pass() -> None:
    point = point_of("E4M3", n=256, blocks=132, groups=2)
    assert wgmma.per_sm(point) == 3 * 16 * 2 * 64 * 256 * 32
    assert wgmma.flop(point) == 2 * 132 * wgmma.per_sm(point)


def test_points_that_recordings_hold_are_still_there() -> None:
    """The first recorded runs have TYPE, CHAIN, GROUPS, OPERANDS and PASSES, and no other parameter."""
    points = [dict(point.params) for point in PROBES["wgmma_rate"].points("full", device.load("h100-sxm"))]
    for kind in ("F16", "BF16"):
        for groups in (1, 2):
            for passes in (1000, 3000):
                wanted = {"TYPE": kind, "CHAIN": 16, "GROUPS": groups, "OPERANDS": "random", "PASSES": passes}
                assert wanted in points


@pytest.mark.parametrize("kind", ["F16", "BF16", "TF32", "E4M3", "E5M2", "S8"])
def test_every_type_is_measured_over_n_dense_and_sparse_from_shared_memory_and_registers(kind: str) -> None:
    h100 = device.load("h100-sxm")
    for names in (("wgmma_latency_by_n", "wgmma_latency"), ("wgmma_rate_by_n", "wgmma_rate", "wgmma_rate_rs"),
                  ("wgmma_sparse_rate_by_n", "wgmma_sparse_rate")):  # fmt: skip
        params = [dict(point.params) for name in names for point in PROBES[name].points("full", h100)]
        found = {
            (p.get("FORM", "RS" if "GROUPS" not in p else "SS"), p.get("N", 256)) for p in params if p["TYPE"] == kind
        }
        assert found == set(itertools.product(("SS", "RS"), (8, 16, 32, 64, 128, 256)))


def test_published_values_over_n_are_of_f16_alone() -> None:
    for name in ("wgmma_latency_by_n", "wgmma_rate_by_n"):
        assert {value.params["TYPE"] for value in PROBES[name].published} == {"F16"}


def test_accumulators_of_every_point_fit_the_registers_and_results_fit_the_output() -> None:
    for probe in PROBES.values():
        for point in probe.points("full", device.load("h100-sxm")):
            n = int(dict(point.params).get("N", 256))
            assert point.block * (n // 2 + 40) <= 65536, probe.name
            assert point.grid * point.block * 4 <= probe.out_words, probe.name
