"""The host models of mma.sync: names, operands and products against the PTX ISA's own formulas."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gpuprobe import resources
from gpuprobe.errors import GpuprobeError
from gpuprobe.families import mma_host
from gpuprobe.mma import parse
from gpuprobe.operands import mix, operand, rounded
from gpuprobe.sass.registers import result_registers

SEED = 987654321
TABLE = (resources.folder("microbench") / "tensor" / "mma.cuh").read_text(encoding="utf-8")
NAMES = re.findall(r"^#define (\w+) \d+, \d+, ", TABLE, re.MULTILINE)


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


def test_the_accumulators_of_fp64_shapes_are_told_apart() -> None:
    """DMMA is spelt in two ways; eight rows take 2 FP64 accumulators a lane, sixteen take 4."""
    found = {opcode: result_registers(opcode) for opcode in ("DMMA.884", "DMMA.8x8x4", "DMMA.16x8x4", "DMMA.16x8x16")}
    assert found == {"DMMA.884": 4, "DMMA.8x8x4": 4, "DMMA.16x8x4": 8, "DMMA.16x8x16": 8}
