"""The host models behind the tensor probes' checks against the PTX ISA's own formulas; the checks can fail."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe import device, resources
from gpuprobe.errors import GpuprobeError
from gpuprobe.estimate import Point
from gpuprobe.families import matrix_path, mma_host
from gpuprobe.families.grid import knee, where
from gpuprobe.families.mma_grid import Grid, check, chunk, instruction, is_full
from gpuprobe.mma import parse
from gpuprobe.operands import mix, operand, rounded
from gpuprobe.probe import Probe, discover
from gpuprobe.record import Sample
from gpuprobe.sass.registers import result_registers

SEED = 987654321
MATRIX = ("mma_latency", "mma_rate", "mma_float", "mma_integer", "mma_fp8", "mma_sparse")
PATHS = ("ldmatrix_latency", "ldmatrix_rate", "stmatrix_latency", "stmatrix_rate", "movmatrix")
TABLE = (resources.folder("microbench") / "tensor" / "mma.cuh").read_text(encoding="utf-8")
NAMES = re.findall(r"^#define (\w+) \d+, \d+, ", TABLE, re.MULTILINE)


def probe(name: str) -> Probe:
    return next(one for one in discover() if one.name == name)


def points(name: str) -> list[Point]:
    return probe(name).points("full", device.load("h100-sxm"))


# --- names --------------------------------------------------------------------------------------------------


def test_the_table_of_the_kernel_and_the_parser_agree() -> None:
    rows = re.findall(r"^#define (\w+) (\d+), (\d+), (\w+), (\w+), (\w+), \"([^\"]*)\", (\d)$", TABLE, re.MULTILINE)
    assert len(rows) == len(NAMES) >= 44
    for name, m, k, a, b, c, operation, sparsity in rows:
        mma = parse(name)
        found = (mma.m, mma.k, mma.a.lower(), mma.b.lower(), mma.c.lower(), mma.sparse)
        assert found == (int(m), int(k), a, b, c, sparsity == "2"), name
        assert operation == (f".{mma.operation.lower()}.popc" if mma.operation else "")


@pytest.mark.parametrize("name", ["", "F16_M16N16K16", "X9_F32_M16N8K16", "F16_F32_M16N8", "SP_", "mma"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(GpuprobeError):
        parse(name)


def test_sparse_instructions_count_the_dense_product() -> None:
    assert parse("SP_F16_F32_M16N8K32").fma == 16 * 8 * 32
    assert parse("SP_F16_F32_M16N8K32").stored_k == 16


# --- operands and products, register by register ------------------------------------------------------------


def bits_of(name: str) -> int:
    return {"S8": 8, "S4": 4, "B1": 1, "E4M3": 8, "E5M2": 8}.get(parse(name).a, 16)


def decoded(kind: str, raw: int) -> float:
    """One element by the definition of its format."""
    if kind == "B1":
        return raw
    if kind in ("S8", "S4"):
        bits = 8 if kind == "S8" else 4
        return raw - (1 << bits) if raw >> (bits - 1) else raw
    exponent_bits, mantissa_bits = {"E4M3": (4, 3), "E5M2": (5, 2), "F16": (5, 10)}[kind]
    sign = -1.0 if raw >> (exponent_bits + mantissa_bits) else 1.0
    exponent = raw >> mantissa_bits & ((1 << exponent_bits) - 1)
    mantissa = raw & ((1 << mantissa_bits) - 1)
    return sign * 2.0 ** (exponent - (1 << (exponent_bits - 1)) + 1) * (1 + mantissa / (1 << mantissa_bits))


COARSE_MASKS = {"E4M3": (0x8C8C8C8C, 0x30303030), "E5M2": (0x86868686, 0x38383838), "F16": (0x86008600, 0x38003800)}


def word_of(kind: str, number: int, seed: int) -> int:
    """What mma.cuh makes of unit ``number``."""
    word = mix((number * 0x9E3779B9 + seed) & 0xFFFFFFFF)
    if kind in COARSE_MASKS:
        kept, set_ = COARSE_MASKS[kind]
        word = word & kept | set_
    return word


def by_registers(name: str, seed: int, fragment: int) -> tuple[np.ndarray, np.ndarray]:
    """A (as stored) and B put together from each lane's registers: the ISA's rows and columns, mma.cuh's words."""
    mma = parse(name)
    bits = bits_of(name)
    each = 32 // bits
    a, b = np.full((mma.m, mma.stored_k), np.nan), np.full((mma.k, 8), np.nan)
    units = mma.stored_k // each
    for lane in range(32):
        group, inside = lane >> 2, lane % 4
        for i in range(units // 4 * (mma.m // 8)):
            row, unit = (group + 8 * (i % 2), inside + 4 * (i // 2)) if mma.m == 16 else (group, inside + 4 * i)
            word = word_of(mma.a, row * units + unit, seed)
            for j in range(each):
                a[row, unit * each + j] = decoded(mma.a, word >> (j * bits) & ((1 << bits) - 1))
        for i in range(mma.k // each // 4):
            unit = inside + 4 * i
            number = 16 * units + unit * 8 + group
            word = word_of(mma.b, number, seed)
            if fragment and mma.integer:
                word = word_of(mma.b, number, seed + 0x51ED270B)
            for j in range(each):
                value = decoded(mma.b, word >> (j * bits) & ((1 << bits) - 1))
                b[unit * each + j, group] = -value if fragment and not mma.integer else value
    assert not np.isnan(a).any()
    assert not np.isnan(b).any()
    return a, b


WORDS = [name for name in NAMES if parse(name).integer or parse(name).coarse]


@pytest.mark.parametrize("name", [name for name in WORDS if not parse(name).sparse])
@pytest.mark.parametrize("fragment", [0, 1])
def test_products_of_packed_elements_are_those_of_the_registers(name: str, fragment: int) -> None:
    a, b = by_registers(name, SEED, fragment)
    wanted = (a[:, :, None] != b[None]).sum(axis=1) if parse(name).operation == "XOR" else a @ b
    assert np.array_equal(mma_host.products(parse(name), SEED)[fragment], wanted)


@pytest.mark.parametrize("name", ["F16", "BF16", "F16_F32_M16N8K8", "TF32_F32_M16N8K8", "F64_M16N8K16", "F64_M8N8K4"])
def test_products_of_normal_numbers_are_those_of_their_indices(name: str) -> None:
    mma = parse(name)
    kind = "BF16" if mma.a == "BF16" else "F16"

    def value(index: int) -> float:
        return float(rounded(operand(np.array([index], dtype=np.uint32), SEED), kind)[0])

    first, second = mma_host.products(mma, SEED)
    wanted = sum(value(3 * mma.k + k) * value(16 * mma.k + k * 8 + 5) for k in range(mma.k))
    assert first[3, 5] == pytest.approx(wanted, abs=1e-12)
    assert np.array_equal(second, -first)


@pytest.mark.parametrize("name", [name for name in NAMES if parse(name).sparse])
def test_sparse_selectors_are_valid_and_all_used(name: str) -> None:
    mma = parse(name)
    places = mma_host.places(mma, SEED)
    width, kept, pairs = {"TF32": (2, 1, 1), "S4": (8, 4, 2)}.get(mma.a, (4, 2, 1))
    assert places.shape == (mma.m, mma.stored_k)
    assert (np.diff(places, axis=1) > 0).all()
    chunks = places.reshape(mma.m, -1, kept)
    assert (chunks // width == np.arange(mma.k // width)[:, None]).all()
    inside = {tuple(int(i) for i in chunk) for chunk in (chunks % width // pairs).reshape(-1, kept)}
    assert len(inside) == (2 if mma.a == "TF32" else 6)


def test_a_sparse_product_skips_what_is_not_stored() -> None:
    mma = parse("SP_S8_M16N8K32")
    a, b = by_registers("SP_S8_M16N8K32", SEED, 0)
    places = mma_host.places(mma, SEED)
    wanted = [
        [sum(a[row, i] * b[places[row, i], column] for i in range(16)) for column in range(8)] for row in range(16)
    ]
    assert np.array_equal(mma_host.products(mma, SEED)[0], wanted)


# --- what lanes store ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_sums_are_exact_in_their_accumulators(name: str) -> None:
    """Products and sums of a few chains are multiples of the last place that the accumulator keeps."""
    mma = parse(name)
    for seed in (1, SEED, 2**31 - 1):
        first, second = mma_host.products(mma, seed)
        if mma.integer:
            continue
        most = float(np.abs(first).max()) + 3
        if mma.c == "F16":
            assert most < 128
            assert np.array_equal(first * 16, np.round(first * 16))
        else:
            assert most < 256
            assert np.array_equal(first * 2**14, np.round(first * 2**14))
        assert not (first + second).any()


@pytest.mark.parametrize(
    "name", ["S8_M16N8K32", "F16", "F16_F16_M16N8K16", "F64_M16N8K8", "S8_M8N8K16", "B1_XOR_M16N8K256"]
)
def test_one_step_more_or_less_is_another_result(name: str) -> None:
    steps = 64
    wanted = mma_host.mma_words(name, SEED, steps, 2)
    assert mma_host.expect_warps(np.tile(wanted.ravel(), 3), wanted) is None
    first, second = mma_host.products(parse(name), SEED)
    for more in (second, -first):
        assert np.asarray(more).any()
    if parse(name).integer:
        for other in (steps - 2, steps + 2):
            assert mma_host.expect_warps(mma_host.mma_words(name, SEED, other, 2).ravel(), wanted) is not None
    for other_chains in (1, 4):
        assert mma_host.expect_warps(mma_host.mma_words(name, SEED, steps, other_chains).ravel(), wanted) is not None


def sampled(name: str) -> list[Point]:
    """A few points of a probe, one for each set of the first axes."""
    found: dict[object, Point] = {}
    for point in points(name):
        found.setdefault(tuple(point.without("PASSES", "WARPS").items()), point)
    return list(found.values())


def right_answer(point: Point, name: str, seed: int) -> np.ndarray:
    """The words of every warp, as the probe's own model has them."""
    params = dict(point.params)
    warps = point.grid * point.block // 32
    if name in MATRIX:
        mma = instruction(params)
        steps, chains = (point.iters * int(params["CHAIN"]), 1) if "CHAIN" in params else (0, int(params["ILP"]))
        steps = steps or point.iters * chunk(mma) // chains
        one = mma_host.mma_words(mma.name, seed, steps, chains)
    else:
        count, trans = int(params.get("X", 1)), bool(params.get("TRANS", 0))
        one = {
            "ldmatrix_latency": lambda: matrix_path.chased(point.iters * 32, count),
            "ldmatrix_rate": lambda: matrix_path.loaded_sums(point.iters, 16, count, trans=trans, seed=seed),
            "stmatrix_latency": lambda: matrix_path.turned(point.iters * 15, count, trans=trans, seed=seed),
            "stmatrix_rate": lambda: matrix_path.stored(point.iters, count, trans=trans, seed=seed),
            "movmatrix": lambda: matrix_path.moved_sums(int(params.get("ILP", 1)), seed),
        }[name]()
    return np.tile(one.ravel(), warps)


@pytest.mark.parametrize("name", [*MATRIX, *PATHS])
def test_checks_see_one_wrong_lane_of_the_last_warp_and_zeros(name: str) -> None:
    one = probe(name)
    assert one.check is not None
    for point in sampled(name):
        seed = 0 if point.zero else SEED
        answer = right_answer(point, name, seed)
        assert one.check(point, seed, answer.tobytes()) is None
        wrong = answer.copy()
        wrong[-1 if name == "movmatrix" else -4] ^= 1
        assert one.check(point, seed, wrong.tobytes()) is not None
        assert point.zero or one.check(point, seed, bytes(4 * answer.size)) is not None


@pytest.mark.parametrize(
    "name", ["ldmatrix_latency", "ldmatrix_rate", "stmatrix_latency", "stmatrix_rate", "mma_integer"]
)
def test_checks_see_a_pass_too_many_or_too_few(name: str) -> None:
    from dataclasses import replace

    one = probe(name)
    assert one.check is not None
    for point in [point for point in sampled(name) if not point.zero]:
        for iters in (point.iters - 1, point.iters + 1):
            answer = right_answer(replace(point, iters=iters), name, SEED)
            assert one.check(point, SEED, answer.tobytes()) is not None, dict(point.params)


# --- the way through shared memory --------------------------------------------------------------------------


def ldmatrix(memory: Sequence[int], addresses: Sequence[int], count: int, *, trans: bool) -> list[list[int]]:
    """By the ISA: lane i names row i % 8 of matrix i / 8; it gets elements 2 (i % 4) and + 1 of row i / 4."""
    registers = []
    for lane in range(32):
        row, column = lane // 4, lane % 4 * 2
        found = []
        for matrix in range(count):

            def element(r: int, c: int, matrix: int = matrix) -> int:
                return memory[addresses[matrix * 8 + r] // 2 + c]

            pair = (
                (element(column, row), element(column + 1, row))
                if trans
                else (element(row, column), element(row, column + 1))
            )
            found.append(pair[0] | pair[1] << 16)
        registers.append(found + [0] * (4 - count))
    return registers


def halves(words: np.ndarray) -> list[int]:
    return [int(half) for half in np.ascontiguousarray(words).view(np.uint16).ravel()]


@pytest.mark.parametrize("trans", [False, True])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_loaded_sums_are_those_of_the_instruction(count: int, trans: bool) -> None:
    loads, passes_ = 16, 11
    memory = halves(mma_host.hashed(np.arange((8 + loads) * 128), SEED))
    total = np.zeros((32, 4), dtype=np.uint64)
    for turn in range(passes_):
        for j in range(loads):
            base = (turn % 8 + j) * 512
            total += np.array(
                ldmatrix(memory, [base + lane * 16 for lane in range(32)], count, trans=trans), dtype=np.uint64
            )
    found = matrix_path.loaded_sums(passes_, loads, count, trans=trans, seed=SEED)
    assert np.array_equal(found, (total & np.uint64(0xFFFFFFFF)).astype(np.uint32))


@pytest.mark.parametrize("trans", [False, True])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_chain_of_addresses_goes_round_the_tiles(count: int, trans: bool) -> None:
    """The layout that ldmatrix_latency.cu writes, read by the instruction's rules, leads from tile to tile."""
    memory = [0] * (7 * 256)
    for i in range(7 * 256):
        half, place, tile, matrix = i % 2, i // 2 % 32, i // 256, i // 64 % 4
        row, column = (place % 4 * 2 + half, place // 4) if trans else (place // 4, place % 4 * 2 + half)
        memory[tile * 256 + matrix * 64 + row * 8 + column] = ((tile + 1) % 7 * 512 + place * 16) >> (
            16 * half
        ) & 0xFFFF
    addresses = [lane * 16 for lane in range(32)]
    registers: list[list[int]] = []
    for step in range(1, 10):
        registers = ldmatrix(memory, addresses, count, trans=trans)
        addresses = [held[0] for held in registers]
        assert np.array_equal(matrix_path.chased(step, count), np.array(registers, dtype=np.uint32))


@pytest.mark.parametrize("trans", [False, True])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_round_trips_turn_the_matrices(count: int, trans: bool) -> None:
    registers = mma_host.hashed(np.arange(128), SEED).reshape(4, 32).T.copy()
    for steps in range(12):
        found = matrix_path.turned(steps, count, trans=trans, seed=SEED)
        assert np.array_equal(found[:, :count], registers[:, :count])
        memory = [0] * 256
        for lane in range(32):
            for matrix in range(4):
                for half in range(2):
                    row, column = lane // 4, lane % 4 * 2 + half
                    row, column = (column, row) if trans else (row, column)
                    memory[matrix * 64 + row * 8 + column] = int(registers[lane, matrix]) >> (16 * half) & 0xFFFF
        addresses = [(lane & 24) * 16 + ((lane + 1) & 7) * 16 for lane in range(32)]
        registers = np.array(ldmatrix(memory, addresses, 4, trans=trans), dtype=np.uint32)


def test_a_matrix_transposed_twice_is_itself_and_once_is_not() -> None:
    words = mma_host.hashed(np.arange(64), SEED).reshape(2, 32)
    assert np.array_equal(matrix_path.transposed(matrix_path.transposed(words)), words)
    assert not np.array_equal(matrix_path.transposed(words), words)
    square = halves(words[0])
    turned = halves(matrix_path.transposed(words)[0])
    assert [turned[r * 8 + c] for r in range(8) for c in range(8)] == [
        square[c * 8 + r] for r in range(8) for c in range(8)
    ]


# --- estimators ---------------------------------------------------------------------------------------------


def a_round(rate_of: dict[tuple[int, int], float], name: str = "F16") -> dict[Point, Sample]:
    """Samples in which warps x chains reach the given rates, FMA per cycle of an SM."""
    fma = parse(name).fma
    taken = {}
    for (warps, chains), rate in rate_of.items():
        for turn in (1, 3):
            params = (("TYPE", name), ("ILP", chains), ("WARPS", warps), ("OPERANDS", "random"), ("PASSES", turn))
            point = Point(params=params, grid=2, block=32 * warps, iters=100 * turn)
            cycles = 100 * turn * 64 * warps * fma / rate + 500
            taken[point] = Sample(cycles, cycles, cycles * 1e-9, 0.0, 1e9)
    return taken


def of(found, quantity):
    return [one for one in found if one.quantity == quantity]


def test_the_knee_is_the_fewest_chains_near_the_peak() -> None:
    rates = {(1, 1): 85.0, (4, 1): 340.0, (8, 1): 680.0, (16, 1): 1305.0, (8, 2): 1280.0, (16, 4): 1340.0}
    (found,) = of(Grid(("F16", "S8_M16N8K32")).estimates()(a_round(rates)), "knee")
    assert (found.value, found.unit, dict(found.params)) == (16.0, "MMA/SM", {"TYPE": "F16", "OPERANDS": "random"})
    assert of(Grid(("F16", "S8_M16N8K32")).estimates()(a_round({**rates, (16, 1): 1299.0})), "knee")[0].value == 64.0


def test_a_grid_of_three_points_has_no_knee() -> None:
    assert (
        of(Grid(("F16", "S8_M16N8K32")).estimates()(a_round({(1, 1): 85.0, (4, 4): 1300.0, (16, 4): 1340.0})), "knee")
        == []
    )


@settings(max_examples=30)
@given(st.lists(st.floats(1.0, 2000.0), min_size=4, max_size=12), st.floats(0.5, 0.999))
def test_the_knee_reaches_its_share_and_nothing_smaller_does(rates: list[float], share: float) -> None:
    grid = {(warps, 1): rate for warps, rate in enumerate(rates, start=1)}
    fma = parse("F16").fma
    (found,) = knee(lambda p: p.iters * 64.0 * p.number("WARPS") * fma, unit="MMA/SM", share=share)(a_round(grid))
    reached = [warps for (warps, _), rate in grid.items() if rate >= share * max(rates) * (1 - 1e-9)]
    assert found.value == min(reached) or rates[int(found.value) - 1] == pytest.approx(share * max(rates))


def test_latency_is_that_of_one_warp_with_one_chain() -> None:
    rates = {(1, 1): 2048 / 24.0, (4, 1): 340.0, (16, 4): 1340.0}
    found = Grid(("F16", "S8_M16N8K32")).estimates()(a_round(rates))
    (latency,) = of(found, "latency")
    assert latency.value == pytest.approx(24.0)
    assert latency.params["WARPS"] == latency.params["ILP"] == 1
    assert {one.params["WARPS"] for one in of(found, "throughput")} == {16}
    assert of(found, "throughput")[0].unit == "FLOP/s"
    assert of(Grid(("F16", "S8_M16N8K32")).estimates()(a_round(rates, "S8_M16N8K32")), "throughput")[0].unit == "op/s"


def test_where_leaves_the_other_points_out() -> None:
    seen: list[int] = []

    def estimator(round_):
        seen.append(len(round_))
        return []

    where(lambda p: p["WARPS"] == 1, estimator)(a_round({(1, 1): 1.0, (2, 1): 1.0}))
    assert seen == [2]


def test_long_samples_take_about_half_a_millisecond_a_stretch_and_the_others_less() -> None:
    spec = device.load("h100-sxm")
    params = {"MMA": "S8_M16N8K32", "ILP": 4, "WARPS": 16, "OPERANDS": "random", "PASSES": 1}
    long, short = Grid(("S8_M16N8K32",)), Grid(("F16",))
    cycles = long.passes(params, spec) * 64 * 16 * parse("S8_M16N8K32").fma / 2680.0
    assert 0.8e6 < cycles < 1.2e6
    assert long.passes({**params, "PASSES": 6}, spec) == 6 * long.passes(params, spec)
    assert short.passes(params, spec) < long.passes(params, spec) / 3


def test_the_shared_check_is_that_of_every_grid() -> None:
    assert all(probe(name).check is check for name in MATRIX if name != "mma_latency")


def test_the_accumulators_of_fp64_shapes_are_told_apart() -> None:
    """DMMA is spelt in two ways; eight rows take 2 FP64 accumulators a lane, sixteen take 4."""
    found = {opcode: result_registers(opcode) for opcode in ("DMMA.884", "DMMA.8x8x4", "DMMA.16x8x4", "DMMA.16x8x16")}
    assert found == {"DMMA.884": 4, "DMMA.8x8x4": 4, "DMMA.16x8x4": 8, "DMMA.16x8x16": 8}


def test_the_fullest_point_of_every_instruction_is_measured_with_both_operands() -> None:
    for name in ("mma_float", "mma_integer", "mma_fp8", "mma_sparse"):
        found: dict[object, set[object]] = {}
        for point in points(name):
            full = is_full(dict(point.params))
            found.setdefault(point["MMA"], set()).update({point["OPERANDS"]} if full else set())
        assert all(operands == {"random", "zero"} for operands in found.values()), name
        singles = {point["MMA"] for point in points(name) if point["WARPS"] == point["ILP"] == 1}
        assert singles == set(found)
