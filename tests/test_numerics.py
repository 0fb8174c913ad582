"""Bit-exact models of matrix instructions: formats, multiply-adds, vectors, fitting, checks, and an H100's results."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpuprobe import device
from gpuprobe.errors import GpuprobeError
from gpuprobe.estimate import Point
from gpuprobe.numerics import (
    HOPPER,
    OPERANDS,
    Fused,
    Model,
    Sequential,
    Vectors,
    designed_vectors,
    findings,
    probing,
    random_vectors,
)
from gpuprobe.numerics.fma import fma
from gpuprobe.numerics.formats import BF16, E4M3, E5M2, F16, F32, TF32, Bits, Format, decode, encode
from gpuprobe.numerics.vectors import COLUMNS, DESIGNED, ROWS
from gpuprobe.operands import mix
from gpuprobe.probe import discover
from gpuprobe.record import Sample

RECORDING = Path(__file__).parent / "numerics" / "h100-sxm.npz"
ALL = [(instruction, kind) for instruction, kinds in HOPPER.items() for kind in kinds]
SEED, TILES = 20251123, 48


def whole(bits: list[int]) -> Bits:
    return np.array(bits, dtype=np.uint64)


# --- formats --------------------------------------------------------------------------------------------------------


def values(bits: Bits, form: Format) -> NDArray[np.float64]:
    numbers = decode(bits, form)
    sizes = np.ldexp(numbers.significand.astype(np.float64), numbers.exponent - form.mantissa_bits)
    return np.where(numbers.nan, np.nan, np.where(numbers.infinite, np.inf, sizes)) * np.where(numbers.negative, -1, 1)


def test_every_f16_is_taken_apart_as_numpy_does() -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    assert np.array_equal(values(bits.astype(np.uint64), F16), bits.view(np.float16).astype(float), equal_nan=True)


@pytest.mark.parametrize(
    ("form", "bits", "value"),
    [
        (E4M3, 0x7E, 448.0),
        (E4M3, 0x08, 2.0**-6),
        (E4M3, 0x01, 2.0**-9),
        (E4M3, 0x78, 256.0),
        (E5M2, 0x7B, 57344.0),
        (E5M2, 0xFC, -math.inf),
        (E5M2, 0x81, -(2.0**-16)),
        (BF16, 0x0001, 2.0**-133),
        (TF32, 0x3FC00 >> 1, 1.5 * 2.0**0),
        (F32, 0x7F7FFFFF, float(np.finfo(np.float32).max)),
    ],
)
def test_small_formats_hold_what_their_definitions_say(form: Format, bits: int, value: float) -> None:
    assert values(whole([bits]), form).tolist() == [value]


def test_e4m3_has_no_infinity_and_one_nan_of_each_sign() -> None:
    every = np.arange(256, dtype=np.uint64)
    numbers = decode(every, E4M3)
    assert np.flatnonzero(numbers.nan).tolist() == [0x7F, 0xFF]
    assert not numbers.infinite.any()


@given(st.integers(-(2**40), 2**40), st.integers(-190, 120))
def test_rounding_to_the_nearest_is_that_of_numpy(total: int, scale: int) -> None:
    with np.errstate(over="ignore", under="ignore"):
        wanted = np.array([math.ldexp(float(total), scale)]).astype(np.float32)  # 41 bits: exact in FP64
    found = encode(np.array([total]), np.array([scale]), F32, "nearest", 23)
    assert int(found[0]) & 0x7FFFFFFF == int(wanted.view(np.uint32)[0]) & 0x7FFFFFFF
    assert total == 0 or int(found[0]) >> 31 == (total < 0)


@given(st.integers(1, 2**40), st.integers(-180, 60), st.sampled_from([23, 13]))
def test_cutting_gives_the_largest_number_that_is_not_larger(total: int, scale: int, kept: int) -> None:
    found = int(encode(np.array([total]), np.array([scale]), F32, "truncate", kept)[0])
    exact = Fraction(total) * Fraction(2) ** scale
    step = 1 << (23 - kept)
    below, above = (Fraction(float(np.array([bits], np.uint32).view(np.float32)[0])) for bits in (found, found + step))
    assert below <= exact
    assert exact < above or (found >> 23) == 0  # among subnormal numbers steps are those of the least one
    assert found % step == 0 or found >> 23 == 0


# --- FP64 multiply-add ----------------------------------------------------------------------------------------------


def exact(a: float, b: float, c: float) -> float:
    total = Fraction(a) * Fraction(b) + Fraction(c)
    try:
        return total.numerator / total.denominator
    except OverflowError:
        return math.inf if total > 0 else -math.inf


doubles = st.floats(allow_nan=False, allow_infinity=False)
near_one = st.floats(0.5, 2.0)


@settings(max_examples=300)
@given(doubles | near_one, doubles | near_one, doubles | near_one)
def test_fma_is_rounded_once(a: float, b: float, c: float) -> None:
    (found,) = fma(np.array([a]), np.array([b]), np.array([c]))
    assert found == exact(a, b, c)


@settings(max_examples=200)
@given(near_one, near_one)
def test_fma_gives_the_error_of_a_product(a: float, b: float) -> None:
    (found,) = fma(np.array([a]), np.array([b]), np.array([-(a * b)]))
    assert found == float(Fraction(a) * Fraction(b) - Fraction(a * b))


def test_fma_with_infinities_and_nan() -> None:
    big, inf = np.finfo(np.float64).max, math.inf
    rows = [(inf, 1.0, 1.0, inf), (inf, 0.0, 1.0, math.nan), (inf, 1.0, -inf, math.nan), (1.0, 1.0, -inf, -inf)]
    rows += [(math.nan, 1.0, 1.0, math.nan), (big, big, -inf, -inf), (big, big, 0.0, inf), (-big, 2.0, big, -big)]
    a, b, c, wanted = (np.array(column) for column in zip(*rows, strict=True))
    assert np.array_equal(fma(a, b, c), wanted, equal_nan=True)


# --- vectors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OPERANDS)
def test_random_vectors_are_what_the_kernel_draws(kind: str) -> None:
    """One element of A and one of B by hand, from numerics.cuh: tile 41 has distribution 1, exponents near one."""
    operands = OPERANDS[kind]
    form, tile, row, column, k = operands.multiplicand, 41, 5, 3, operands.k - 1
    vectors = random_vectors(operands, SEED, 2)
    place = ((tile - DESIGNED) * ROWS + row) * COLUMNS + column
    for side, line, found in (
        (0, tile * ROWS + row, vectors.a[place, k]),
        (1, tile * COLUMNS + column, vectors.b[place, k]),
    ):
        h = mix((((side << 30) + line * operands.k + k) * 0x9E3779B9 + SEED) & 0xFFFFFFFF)
        mantissa = (mix((h + 1) & 0xFFFFFFFF) << 32 | h) & ((1 << form.mantissa_bits) - 1)
        field = form.bias - 1 + (h >> 16 & 0x7FFF) % 3
        assert (
            int(found)
            == (h >> 31) << (form.exponent_bits + form.mantissa_bits) | field << form.mantissa_bits | mantissa
        )


@pytest.mark.parametrize("kind", OPERANDS)
def test_distributions_hold_what_they_are_for(kind: str) -> None:
    operands = OPERANDS[kind]
    vectors = random_vectors(operands, SEED, 8)
    a = decode(vectors.a, operands.multiplicand)
    tile = np.arange(len(vectors.c)) // (ROWS * COLUMNS)
    subnormal = a.significand < 1 << operands.multiplicand.mantissa_bits
    assert subnormal[tile == 4].mean() > 0.2  # a third of exponent fields are zero
    assert not subnormal[tile == 1].any()
    assert (a.nan | a.infinite)[tile == 5].any()
    assert not (a.nan | a.infinite)[tile != 5].any()
    assert (a.significand == 0)[tile == 6].mean() > 0.7
    pairs = vectors.a[tile == 3].reshape(-1, 2)
    sign = np.uint64(1 << (operands.multiplicand.exponent_bits + operands.multiplicand.mantissa_bits))
    assert np.array_equal(pairs[:, 0] ^ sign, pairs[:, 1])


@pytest.mark.parametrize("kind", OPERANDS)
def test_designed_vectors_isolate_one_thing(kind: str) -> None:
    """The first family: X, X shifted, -X, and nothing else; so that the exact sum is the shifted number."""
    operands = OPERANDS[kind]
    vectors = designed_vectors(operands)
    products = values(vectors.a, operands.multiplicand) * values(vectors.b, operands.multiplicand)
    sums = products.sum(axis=1)[:18]
    x = 2.0**operands.top
    assert sums.tolist() == [x * 2.0 ** -(operands.deeper + shift) for shift in range(18)]
    assert (np.count_nonzero(products[:18], axis=1) == 3).all()


# --- models and fitting ---------------------------------------------------------------------------------------------


def groups(k: int, size: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(range(first, first + size)) for first in range(0, k, size))


FAMILY: list[tuple[str, Model]] = [
    *((kind, HOPPER[instruction][kind]) for instruction, kind in ALL),
    ("F16", Fused(groups(16, 8), 24, 23, "truncate")),  # Ampere
    ("F16", Fused(groups(16, 4), 23, 23, "truncate")),  # Volta
    ("TF32", Fused(groups(8, 4), 24, 23, "truncate")),
    ("E4M3", Fused(groups(32, 16), 13, 13, "truncate")),  # Ada
    ("E4M3", Fused(groups(32, 32), 25, 23, "truncate")),  # Blackwell
    ("BF16", Fused(groups(16, 16), 26, 23, "nearest")),
]


@pytest.mark.parametrize(("kind", "model"), FAMILY)
def test_a_model_is_found_again_from_its_results(kind: str, model: Model) -> None:
    operands = OPERANDS[kind]
    assert findings(model.results(designed_vectors(operands), operands), operands).model() == model


def test_results_that_make_no_sense_fit_no_model() -> None:
    with pytest.raises(GpuprobeError, match="no trace"):
        findings(np.zeros(len(designed_vectors(OPERANDS["F16"]).c), dtype=np.uint64), OPERANDS["F16"])


def test_wide_exact_sums_agree_with_numpy() -> None:
    """Where nothing is cut, a model is the exact sum, rounded as it says."""
    operands = OPERANDS["F16"]
    vectors = random_vectors(operands, SEED, 2)  # of the second tile all exponents are near one
    near = slice(ROWS * COLUMNS, None)
    part = Vectors(vectors.a[near], vectors.b[near], np.zeros_like(vectors.c[near]))
    wide = Fused(groups(16, 16), 40, 23, "nearest").results(part, operands)
    sums = (values(part.a, F16) * values(part.b, F16)).sum(axis=1)
    assert np.array_equal(wide.astype(np.uint32).view(np.float32), sums.astype(np.float32))


def one_product(kind: str, a: int, b: int, c: int) -> int:
    operands = OPERANDS[kind]
    row = np.zeros((1, operands.k), dtype=np.uint64)
    first, second = row.copy(), row.copy()
    first[0, 0], second[0, 0] = a, b
    return int(HOPPER["wgmma"][kind].results(Vectors(first, second, whole([c])), operands)[0])


@pytest.mark.parametrize(
    ("kind", "a", "b", "c", "result"),
    [
        ("F16", 0x7C00, 0x0000, 0, 0x7FFFFFFF),  # infinity times zero
        ("F16", 0x7C00, 0x3C00, 0xFF800000, 0x7FFFFFFF),  # infinity minus infinity
        ("F16", 0x7C00, 0xBC00, 0, 0xFF800000),
        ("F16", 0x7E01, 0x3C00, 0, 0x7FFFFFFF),
        ("F16", 0x0001, 0x0001, 0, 0x27800000),  # subnormal operands: 2^-48
        ("F16", 0x8000, 0x3C00, 0x80000000, 0),  # a zero is positive
        ("F16_F16", 0x7BFF, 0x4000, 0, 0x7C00),  # overflow
        ("F16_F16", 0x7E01, 0x3C00, 0, 0x7FFF),
        ("BF16", 0x0080, 0x3F00, 0, 0x00400000),  # a subnormal result
        ("BF16", 0x7F7F, 0x7F7F, 0, 0x7F800000),
        ("E4M3", 0x7F, 0x38, 0, 0x7FFFFFFF),
        ("E4M3", 0x38, 0x38, 0x3F800001, 0x40000000),  # 1 + (1 + 2^-23): 13 bits are kept
    ],
)
def test_special_numbers(kind: str, a: int, b: int, c: int, result: int) -> None:
    assert one_product(kind, a, b, c) == result


def multiply_add(a: int, b: int, c: int) -> int:
    """One FP64 multiply-add; the other three of the row are of zeros."""
    first, second = np.zeros((1, 4), dtype=np.uint64), np.zeros((1, 4), dtype=np.uint64)
    first[0, 3], second[0, 3] = a, b
    return int(HOPPER["mma"]["F64"].results(Vectors(first, second, whole([c])), OPERANDS["F64"])[0])


def test_nan_of_fp64_keep_their_payload() -> None:
    """B's prevails over the sum's and that over A's: then 0 of 51200 measured vectors stray, else 2 to 19."""
    one, infinity, signalling, quiet = 0x3FF << 52, 0x7FF << 52, 0x7FF << 52 | 5, 0xFFF8 << 48 | 6
    assert multiply_add(signalling, one, one) == 0x7FF8 << 48 | 5
    assert multiply_add(signalling, quiet, one) == quiet
    assert multiply_add(signalling, one, quiet) == quiet
    assert multiply_add(one, signalling, quiet) == 0x7FF8 << 48 | 5
    assert multiply_add(infinity, 0, one) == 0xFFF8 << 48
    assert multiply_add(infinity, one, infinity | 1 << 63) == 0xFFF8 << 48


# --- the probes -----------------------------------------------------------------------------------------------------

PROBES = {probe.name: probe for probe in discover() if probe.name.endswith("_numerics")}


def stored(kind: str, model: Model, seed: int, tiles: int) -> bytes:
    """What a kernel stores whose instruction is ``model``."""
    operands = OPERANDS[kind]
    designed = np.repeat(model.results(designed_vectors(operands), operands), COLUMNS)
    every = np.concatenate([designed, model.results(random_vectors(operands, seed, tiles), operands)])
    return every.astype(np.uint64 if kind == "F64" else np.uint32).tobytes() + np.uint32(seed).tobytes() + bytes(64)


def point_of(kind: str, tiles: int = 8) -> Point:
    return Point((("TYPE", kind),), grid=56, block=128, iters=tiles)


@pytest.mark.parametrize(("instruction", "kind"), ALL)
def test_a_check_passes_what_a_model_gives_and_sees_one_other_bit(instruction: str, kind: str) -> None:
    out = stored(kind, HOPPER[instruction][kind], 99, 8)
    point = point_of(kind)
    assert probing.check(point, 99, out) is None
    assert probing.check(point, 98, out) is not None
    for place in (DESIGNED * ROWS * COLUMNS + 1000, (DESIGNED + 8) * ROWS * COLUMNS - 1, 8):
        damaged = np.frombuffer(out, dtype=np.uint32).copy()
        damaged[place * (2 if kind == "F64" else 1)] ^= np.uint32(1)
        assert probing.check(point, 99, damaged.tobytes()) is not None, place
    assert probing.check(point, 99, bytes(len(out))) is not None


def test_findings_become_estimates() -> None:
    point = point_of("E4M3")
    found = probing.reduce(point, stored("E4M3", HOPPER["wgmma"]["E4M3"], 5, 8))
    sample = replace(Sample(1.0, 1.0, 1.0, 1.0, 1.0), values=dict(found))
    estimates = {estimate.quantity: (estimate.value, estimate.unit) for estimate in probing.estimate({point: sample})}
    assert estimates == {
        "fraction_bits": (13.0, "bit"),
        "addend_bits": (13.0, "bit"),
        "result_bits": (13.0, "bit"),
        "group": (32.0, "product"),
        "exact": (2560.0 + 8 * 512, "vector"),
    }
    assert probing.reduce(point, bytes(4 * (DESIGNED + 8) * ROWS * COLUMNS + 4)) == {}


def test_results_fit_the_output() -> None:
    for probe in PROBES.values():
        for point in probe.points("full", device.load("h100-sxm")):
            words = (DESIGNED + point.iters) * ROWS * COLUMNS * (2 if point["TYPE"] == "F64" else 1) + 1
            assert words <= probe.out_words, (probe.name, point["TYPE"])


def test_published_bits_are_those_of_the_models() -> None:
    named = {"mma_numerics": "mma", "wgmma_numerics": "wgmma"}
    for name, instruction in named.items():
        for published in PROBES[name].published:
            model = HOPPER[instruction][str(published.params["TYPE"])]
            assert isinstance(model, Fused)
            assert model.fraction_bits == published.value


# --- what an H100 computed ------------------------------------------------------------------------------------------


@cache
def recording() -> Mapping[str, NDArray[np.generic]]:
    with np.load(RECORDING) as file:
        return {name: file[name] for name in file.files}


def test_the_recording_is_small() -> None:
    assert RECORDING.stat().st_size <= 300_000


@pytest.mark.parametrize(("instruction", "kind"), ALL)
def test_an_h100_gives_every_bit_of_the_model(instruction: str, kind: str) -> None:
    """24576 random vectors a type by digest, of which 4096 bit by bit, and the 2560 designed ones."""
    operands, model, name = OPERANDS[kind], HOPPER[instruction][kind], f"{instruction}_{kind}"
    designed = recording()[f"{name}_designed"].astype(np.uint64)
    assert np.array_equal(model.results(designed_vectors(operands), operands), designed)
    assert findings(designed, operands).model() == model
    results = model.results(random_vectors(operands, SEED, TILES), operands)
    assert len(results) >= 10_000
    first = recording()[f"{name}_random"].astype(np.uint64)
    assert np.array_equal(results[: len(first)], first)
    width = {"F64": np.uint64}.get(kind, np.uint16 if kind.endswith("_F16") else np.uint32)
    digest = hashlib.sha256(results.astype(width).tobytes()).digest()
    assert digest == recording()[f"{name}_digest"].tobytes()


def test_a_model_with_a_bit_less_is_found_out() -> None:
    operands = OPERANDS["E4M3"]
    first = recording()["wgmma_E4M3_random"].astype(np.uint64)
    vectors = random_vectors(operands, SEED, len(first) // (ROWS * COLUMNS))
    for fraction_bits in (12, 14):
        other = Fused(groups(32, 32), fraction_bits, 13, "truncate").results(vectors, operands)
        assert np.count_nonzero(other != first) > 100


def test_sequential_is_no_fused_sum() -> None:
    operands = OPERANDS["F64"]
    assert isinstance(HOPPER["mma"]["F64"], Sequential)
    assert findings(recording()["mma_F64_designed"].astype(np.uint64), operands).places == ((0,), (1,), (2,), (3,))
