"""The host's twins of device code, bit for bit against pure integers; what the checks of results let through."""

from __future__ import annotations

import itertools
import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe import resources
from gpuprobe.operands import Lap, expect_all, expect_close, floats, mix, operand, rounded, words

u32 = st.integers(0, 2**32 - 1)
M = 2**32


def feistel(x: int, half: int) -> int:
    """As chase.cuh: four rounds, in 32-bit arithmetic."""
    mask = (1 << half) - 1
    left, right = x >> half, x & mask
    for turn in (1, 2, 3, 4):
        left, right = right, left ^ (mix((right + turn * 0x9E3779B9) % M) & mask)
    return (left << half | right) % M


def operand_by_hand(index: int, seed: int) -> Fraction:
    """As probe.cuh: the sum of four bytes of mix(index * golden + seed), less 510, over 128; 0 for seed 0."""
    if seed == 0:
        return Fraction(0)
    bits = mix((index * 0x9E3779B9 + seed) % M)
    return Fraction(sum(bits.to_bytes(4, "little")) - 510, 128)


# --- mixing and laps --------------------------------------------------------------------------------------------


def test_mix_is_lowbias32() -> None:
    """C. Wellons: x ^= x >> 16; x *= 0x7feb352d; x ^= x >> 15; x *= 0x846ca68b; x ^= x >> 16."""

    def reference(x: int) -> int:
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = (x ^ x >> shift) * factor % M
        return x ^ x >> 16

    assert mix(0) == 0
    assert [mix(x) for x in (1, 2, 2**31, M - 1)] == [reference(x) for x in (1, 2, 2**31, M - 1)]
    assert len({mix(x) for x in range(100_000)}) == 100_000


def test_mix_is_used_on_the_device_with_the_same_constants() -> None:
    text = (resources.folder("microbench") / "probe.cuh").read_text()
    body = text[text.index("u32 mix(u32 x)") :].split("}")[0]
    assert [line.strip() for line in body.strip().splitlines()[1:]] == [
        "x ^= x >> 16;",
        "x *= 0x7feb352du;",
        "x ^= x >> 15;",
        "x *= 0x846ca68bu;",
        "x ^= x >> 16;",
        "return x;",
    ]


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 5000))
def test_a_lap_visits_every_line_once(lines: int) -> None:
    lap = Lap(lines)
    assert sorted(lap.place(i) for i in range(lines)) == list(range(lines))


@pytest.mark.parametrize("lines", [1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1024, 4096, 16384])
def test_following_the_pointers_is_one_cycle_through_all_lines(lines: int) -> None:
    lap = Lap(lines)
    successor = {lap.place(i): lap.place(i + 1) for i in range(lines)}
    seen, line = set(), lap.place(0)
    while line not in seen:
        seen.add(line)
        line = successor[line]
    assert (len(seen), line) == (lines, lap.place(0))


@given(st.integers(1, 2**24), st.integers(0, 2**40))
def test_the_lap_is_the_device_functions(lines: int, index: int) -> None:
    half = 1
    while 1 << (2 * half) < lines:
        half += 1
    x = feistel(index % lines, half)
    while x >= lines:
        x = feistel(x, half)
    assert Lap(lines).place(index) == x
    assert Lap(lines).half_bits == half


@given(st.integers(1, 2**24), st.integers(0, 2**33), st.integers(0, 3))
def test_a_lap_begins_again_after_its_last_line(lines: int, index: int, laps: int) -> None:
    assert Lap(lines).place(index + laps * lines) == Lap(lines).place(index)


def test_a_lap_is_no_stride() -> None:
    """What a prefetcher or an open DRAM row could use: a step that comes again and again."""
    lap = Lap(8192)
    places = [lap.place(i) for i in range(8192)]
    steps = [(b - a) % 8192 for a, b in itertools.pairwise(places)]
    assert max(steps.count(step) for step in set(steps)) < 12
    assert sum(abs(b - a) <= 2 for a, b in itertools.pairwise(places)) < 20


# --- operands ---------------------------------------------------------------------------------------------------


@given(st.lists(u32, min_size=1, max_size=20), u32)
def test_operands_are_the_device_functions_bit_for_bit(indices: list[int], seed: int) -> None:
    found = operand(np.array(indices, dtype=np.uint32), seed)
    assert found.dtype == np.float32
    assert [Fraction(float(x)) for x in found] == [operand_by_hand(i, seed) for i in indices]


def test_operands_are_about_standard_normal() -> None:
    sample = operand(np.arange(200_000, dtype=np.uint32), 12345).astype(float)
    assert abs(sample.mean()) < 0.02
    assert sample.std() == pytest.approx(math.sqrt(4 * (256**2 - 1) / 12) / 128, rel=0.02)
    assert 0.6 < (np.abs(sample) < sample.std()).mean() < 0.72
    assert np.abs(sample).max() <= 510 / 128


def test_operands_of_two_seeds_are_unrelated_and_of_seed_zero_zero() -> None:
    index = np.arange(10_000, dtype=np.uint32)
    assert abs(np.corrcoef(operand(index, 1), operand(index, 2))[0, 1]) < 0.05
    assert not operand(index, 0).any()
    assert not np.array_equal(operand(index, 1), operand(index, 3))


# --- rounding ---------------------------------------------------------------------------------------------------


def nearest(value: Fraction, bits: int, least_exponent: int) -> Fraction:
    """``value`` rounded to ``bits`` significant bits, ties to even; spacing no finer than 2**least_exponent."""
    if value == 0:
        return value
    exponent = math.floor(math.log2(abs(value)))
    exponent += (abs(value) >= Fraction(2) ** (exponent + 1)) - (abs(value) < Fraction(2) ** exponent)
    ulp = Fraction(2) ** max(exponent - bits + 1, least_exponent)
    return round(value / ulp) * ulp  # round() of a Fraction is to even


@given(st.floats(-1000.0, 1000.0, width=32))
def test_f16_and_bf16_are_rounded_to_nearest_even(value: float) -> None:
    single = np.array([value], dtype=np.float32)
    assert Fraction(float(rounded(single, "BF16")[0])) == nearest(Fraction(value), 8, -133)
    assert Fraction(float(rounded(single, "F16")[0])) == nearest(Fraction(value), 11, -24)


@pytest.mark.parametrize(
    ("value", "bf16", "f16"),
    [
        (1 + 2**-8, 1.0, 1 + 2**-8),  # a tie, to the even neighbour below
        (1 + 3 * 2**-8, 1 + 2**-6, 1 + 3 * 2**-8),  # a tie, to the even neighbour above
        (1 + 2**-8 + 2**-20, 1 + 2**-7, 1 + 2**-8),  # just above the tie
        (1 + 2**-11, 1.0, 1.0),
        (-(1 + 3 * 2**-11), -1.0, -(1 + 2**-9)),
        (510 / 128, 3.984375, 3.984375),
        (0.0, 0.0, 0.0),
    ],
)
def test_ties_go_to_even(value: float, bf16: float, f16: float) -> None:
    single = np.array([value], dtype=np.float32)
    assert (rounded(single, "BF16")[0], rounded(single, "F16")[0]) == (bf16, f16)


def test_every_operand_is_near_its_rounding() -> None:
    exact = operand(np.arange(100_000, dtype=np.uint32), 7)
    assert np.array_equal(rounded(exact, "F16"), exact.astype(float))  # 10 bits at most: exact in f16
    assert np.abs(rounded(exact, "BF16") - exact).max() <= 2.0**-7


# --- the checks -------------------------------------------------------------------------------------------------


def test_bytes_are_read_as_words_and_floats() -> None:
    assert words(struct.pack("<2I", 1, M - 1)).tolist() == [1, M - 1]
    assert floats(struct.pack("<2f", 1.5, -2.0)).tolist() == [1.5, -2.0]


@pytest.mark.parametrize("wrong", [0, 3, 31])
def test_one_wrong_word_is_found_and_named(wrong: int) -> None:
    found = np.full(32, 7, dtype=np.uint32)
    assert expect_all(found, 7) is None
    found[wrong] = 9
    assert expect_all(found, 7) == f"the kernel computed 0x9 where the host computes 0x7 (word {wrong})"


def test_poison_is_never_what_was_expected() -> None:
    assert expect_all(words(b"\xa5" * 128), 32 * 1024) is not None


def test_close_is_within_a_share_of_the_largest() -> None:
    wanted = np.array([[100.0, -3.0], [0.0, 50.0]])
    assert expect_close((wanted + 1.9).astype(np.float32), wanted, 0.02) is None
    off = wanted.astype(np.float32)
    off[0, 1] += 2.5
    assert expect_close(off, wanted, 0.02) == "the kernel computed -0.5 where the host computes -3"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e30])
def test_what_is_not_a_number_is_never_close(bad: float, scale: float) -> None:
    wanted = np.full(4, scale)
    found = wanted.astype(np.float32)
    found[2] = bad
    assert expect_close(found, wanted, 0.02) is not None


def test_zero_operands_must_give_zeros() -> None:
    assert expect_close(np.zeros(4, dtype=np.float32), np.zeros(4), 0.02) is None
    assert expect_close(np.full(4, 1e-30, dtype=np.float32), np.zeros(4), 0.02) is not None
