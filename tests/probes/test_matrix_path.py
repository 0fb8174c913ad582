"""The host models of ldmatrix, stmatrix and movmatrix against the rules of the PTX ISA."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from gpuprobe.families import matrix_path, mma_host

SEED = 987654321


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
