"""Register fragments against the PTX ISA's own formulas, element by element."""

from __future__ import annotations

import numpy as np
import pytest

from gpuprobe.families.mma_host import products
from gpuprobe.fragments import mma_m16n8
from gpuprobe.mma import parse
from gpuprobe.operands import operand, rounded

# PTX ISA, mma.m16n8k16 (C or D of f32): groupID = laneid >> 2, threadID_in_group = laneid % 4
#   row = groupID for c0, c1; groupID + 8 for c2, c3     col = threadID_in_group * 2 + (i & 1)
# A: row = groupID for a_i, 0 <= i < 2 || 4 <= i < 6, else groupID + 8
#    col = threadID_in_group * 2 + (i & 1) for i < 4, else + 8
# B: row = threadID_in_group * 2 + (i & 1) for i < 2, else + 8     col = groupID


def test_mma_accumulators_lie_where_the_isa_says() -> None:
    product = np.arange(128, dtype=float).reshape(16, 8)
    found = mma_m16n8(product)
    assert found.shape == (32, 4)
    for lane in range(32):
        group, inside = lane >> 2, lane % 4
        for i in range(4):
            row = group if i < 2 else group + 8
            assert found[lane, i] == product[row, inside * 2 + (i & 1)]
    assert sorted(found.ravel()) == list(range(128))


def registers(lane: int, seed: int, kind: str) -> tuple[list[float], list[float]]:
    """What mma.cuh packs into a lane's registers: a[i] and b[i], low half first."""

    def value(index: int) -> float:
        return float(rounded(operand(np.array([index], dtype=np.uint32), seed), kind)[0])

    group, pair = lane >> 2, (lane & 3) * 2
    a, b = [], []
    for i in range(4):
        row, k = group + (i & 1) * 8, pair + (i >> 1) * 8
        a += [value(row * 16 + k), value(row * 16 + k + 1)]
    for i in range(2):
        k = pair + i * 8
        b += [value(256 + k * 8 + group), value(256 + (k + 1) * 8 + group)]
    return a, b


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_the_product_is_that_of_the_registers_by_the_isa(kind: str) -> None:
    seed = 987654321
    a_matrix, b_matrix = np.full((16, 16), np.nan), np.full((16, 8), np.nan)
    for lane in range(32):
        group, inside = lane >> 2, lane % 4
        a, b = registers(lane, seed, kind)
        for i in range(8):
            row = group if i in (0, 1, 4, 5) else group + 8
            column = inside * 2 + (i & 1) + (0 if i < 4 else 8)
            a_matrix[row, column] = a[i]
        for i in range(4):
            b_matrix[inside * 2 + (i & 1) + (0 if i < 2 else 8), group] = b[i]
    assert not np.isnan(a_matrix).any()
    assert not np.isnan(b_matrix).any()
    assert np.array_equal(products(parse(kind), seed)[0], a_matrix @ b_matrix)


def test_zero_operands_give_a_zero_product() -> None:
    assert not products(parse("F16"), 0)[0].any()
