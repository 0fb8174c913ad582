"""The vectors that the numerics probes multiply: host twin of ``microbench/tensor/numerics.cuh``, bit for bit.

A tile is 64 rows of A by 8 columns of B, K long. The first ``DESIGNED`` tiles hold one designed vector a row (B is all
ones), the others random operands of the distribution ``tile % 8``: any finite bits, exponents near one, exponents 17
wide, cancelling pairs, subnormal numbers, infinities and NaN among others, mostly zeros, large addends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gpuprobe.numerics.formats import BF16, E4M3, E5M2, F16, F32, F64, TF32, Bits, Format

ROWS, COLUMNS, DESIGNED, FAMILIES, SHIFTS, PLACES = 64, 8, 40, 16, 32, 32
Words = NDArray[np.uint32]


@dataclass(frozen=True)
class Operands:
    """Formats and length of an instruction's dot product: A and B, the addend and the result, products along k."""

    multiplicand: Format
    addend: Format
    k: int

    @property
    def wide(self) -> int:
        """B of e4m3, too narrow for numbers that are lost beside each other, widens their distance by 2^wide twice."""
        return 0 if not self.multiplicand.finite_only else 6 if self.addend == F32 else 4

    @property
    def top(self) -> int:
        """Exponent of the large number X of designed vectors."""
        return 8 + self.wide if self.multiplicand.finite_only else 12

    @property
    def deeper(self) -> int:
        """The first shift below X."""
        return 30 if self.multiplicand == F64 else 2 * self.wide

    @property
    def lost(self) -> int:
        """A shift at which nothing is left of a number beside X."""
        return 58 if self.multiplicand == F64 else 16 + 2 * self.wide if self.multiplicand.finite_only else 28

    @property
    def slots(self) -> tuple[int, int, int, int]:
        """Where along k the places of a family are: large numbers at the first and third, small ones at the others."""
        return (0, 1, 4, 5) if self.k == 32 else (0, 1, 2, 3)


OPERANDS: Mapping[str, Operands] = {
    "F16": Operands(F16, F32, 16),
    "F16_F16": Operands(F16, F16, 16),
    "BF16": Operands(BF16, F32, 16),
    "TF32": Operands(TF32, F32, 8),
    "E4M3": Operands(E4M3, F32, 32),
    "E4M3_F16": Operands(E4M3, F16, 32),
    "E5M2": Operands(E5M2, F32, 32),
    "F64": Operands(F64, F64, 4),
}


@dataclass(frozen=True)
class Vectors:
    """Dot products as bits: ``a`` and ``b`` (vectors x k), ``c`` (vectors)."""

    a: Bits
    b: Bits
    c: Bits


def mixed(x: Words) -> Words:
    """``operands.mix`` of every word."""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def _draw(index: Words, seed: int) -> Words:
    return mixed(index * np.uint32(0x9E3779B9) + np.uint32(seed))


def _mantissa(h: Words, bits: int) -> Bits:
    high = mixed(h + np.uint32(1)).astype(np.uint64) << np.uint64(32)
    return (high | h.astype(np.uint64)) & np.uint64((1 << bits) - 1)


def _encoded(sign: Words, field: NDArray[np.int64], mantissa: Bits, form: Format) -> Bits:
    place = np.uint64(form.exponent_bits + form.mantissa_bits)
    exponent = field.astype(np.uint64) << np.uint64(form.mantissa_bits)
    return sign.astype(np.uint64) << place | exponent | mantissa


def _special(which: Words, sign: Words, form: Format) -> Bits:
    """0 infinity (or NaN where there is none), 1 NaN, 2 zero, 3 the largest finite number, 4 the smallest positive."""
    every = (1 << form.mantissa_bits) - 1
    ones = form.ones << form.mantissa_bits
    nan = ones | (every if form.finite_only else every >> 1 | 1)
    infinity = ones | every if form.finite_only else ones
    largest = ones | (every - 1) if form.finite_only else (form.ones - 1) << form.mantissa_bits | every
    table = np.array([infinity, nan, 0, largest, 1], dtype=np.uint64)
    place = np.uint64(form.exponent_bits + form.mantissa_bits)
    return table[np.minimum(which, np.uint32(4))] | sign.astype(np.uint64) << place


def random_elements(side: int, line: Words, k: Words, kind: Words, seed: int, operands: Operands) -> Bits:
    """Elements of A (side 0) or B (side 1): ``line`` is the row or column over all tiles, ``kind`` the distribution."""
    form = operands.multiplicand
    index = np.uint32(side << 30) + line * np.uint32(operands.k) + k
    h = _draw(np.where(kind == 3, index & ~np.uint32(1), index).astype(np.uint32), seed)
    sign, pick = h >> np.uint32(31), h >> np.uint32(16) & np.uint32(0x7FFF)
    mantissa = _mantissa(h, form.mantissa_bits)
    chosen = pick.astype(np.int64)
    field = form.bias - 1 + chosen % 3
    field = np.where(kind == 0, chosen % (form.top_field + 1), field)
    field = np.where((kind == 2) | (kind == 6), form.bias - 8 + chosen % 17, field)
    if side == 0:
        sign = np.where(kind == 3, sign ^ (k & np.uint32(1)), sign).astype(np.uint32)
        field = np.where(kind == 4, chosen % 3, field)
    else:
        mantissa = np.where(kind == 3, mantissa ^ (k & pick & np.uint32(1)).astype(np.uint64), mantissa)
        field = np.where(kind == 4, form.bias - 2 + chosen % 5, field)
    field = np.clip(field, 0, form.top_field)
    if form.finite_only:
        mantissa = np.where((field == form.ones) & (mantissa == 7), np.uint64(6), mantissa)
    bits = _encoded(sign, field, mantissa, form)
    other = mixed(h + np.uint32(2))
    which = other % np.uint32(256)
    bits = np.where((kind == 5) & (which < 5), _special(which, sign, form), bits)
    empty = (kind == 6) & (other % np.uint32(4) != 0)
    zero = sign.astype(np.uint64) << np.uint64(form.exponent_bits + form.mantissa_bits)
    return np.where(empty, zero, bits).astype(np.uint64)


def random_addends(line: Words, column: Words, kind: Words, seed: int, operands: Operands) -> Bits:
    """The addend of row ``line`` (over all tiles) and ``column`` (of the tile)."""
    form = operands.addend
    h = _draw(np.uint32(2 << 30) + line * np.uint32(COLUMNS) + column, seed)
    sign, pick, other = h >> np.uint32(31), h >> np.uint32(16) & np.uint32(0x7FFF), mixed(h + np.uint32(2))
    chosen = pick.astype(np.int64)
    anywhere = np.where(h & np.uint32(1) == 1, -40 + chosen % 80, chosen % (1 << form.exponent_bits) - form.bias)
    exponent = np.choose(
        kind.astype(np.int64),
        [
            anywhere,
            -3 + chosen % 8,
            -16 + chosen % 33,
            -(chosen % 24),
            1 - operands.multiplicand.bias + chosen % 8 - 4,
            -3 + chosen % 8,
            -16 + chosen % 33,
            chosen % 30,
        ],
    )
    field = np.clip(exponent + form.bias, 0, form.ones - 1)
    bits = _encoded(sign, field, _mantissa(h, form.mantissa_bits), form)
    which = other % np.uint32(64)
    bits = np.where((kind == 5) & (which < 5), _special(which, sign, form), bits)
    zero = sign.astype(np.uint64) << np.uint64(form.exponent_bits + form.mantissa_bits)
    return np.where((kind == 6) & (other % np.uint32(2) != 0), zero, bits).astype(np.uint64)


def random_vectors(operands: Operands, seed: int, tiles: int) -> Vectors:
    """The vectors of ``tiles`` random tiles in the order of ``out``: tile, row, column."""
    with np.errstate(over="ignore"):
        tile: Words = np.arange(DESIGNED, DESIGNED + tiles, dtype=np.uint32)
        k: Words = np.arange(operands.k, dtype=np.uint32)
        row: Words = np.arange(ROWS, dtype=np.uint32)
        column: Words = np.arange(COLUMNS, dtype=np.uint32)
        rows = tile[:, None] * np.uint32(ROWS) + row
        columns = tile[:, None] * np.uint32(COLUMNS) + column
        kind = (tile % np.uint32(8))[:, None, None]
        a = random_elements(0, rows[:, :, None], k, kind, seed, operands)
        b = random_elements(1, columns[:, :, None], k, kind, seed, operands)
        c = random_addends(rows[:, :, None], column, kind, seed, operands)
    shape = (tiles, ROWS, COLUMNS, operands.k)
    return Vectors(
        np.broadcast_to(a[:, :, None, :], shape).reshape(-1, operands.k),
        np.broadcast_to(b[:, None, :, :], shape).reshape(-1, operands.k),
        np.broadcast_to(c, shape[:3]).reshape(-1),
    )


# One number of a designed vector: sign (0: none), shift below X, whether it is one and a half times as large.
Part = tuple[int, int, int]


def _families(shift: int) -> tuple[dict[int, Part], ...]:
    """The designed vectors with numbers ``shift`` below X: parts by place, -1 the addend. See numerics.cuh."""
    x, minus, small, below = (1, 0, 0), (-1, 0, 0), (1, shift, 0), (-1, shift, 0)
    up, down, less, lower = (1, shift, 1), (-1, shift, 1), (1, shift + 1, 0), (-1, shift + 1, 0)
    return (
        {0: x, 1: small, 2: minus},
        {0: x, 1: up, 2: minus},
        {0: x, 1: down, 2: minus},
        {-1: minus, 0: x, 1: small},
        {-1: small, 0: x, 2: minus},
        {-1: up, 0: x, 2: minus},
        {-1: down, 0: x, 2: minus},
        {0: x, 1: small},
        {0: minus, 1: below},
        {0: x, 1: small, 3: less},
        {0: minus, 1: below, 3: lower},
        {0: x, 1: small, 2: x},
        {-1: x, 0: x, 1: small, 3: less},
        {-1: x, 1: up},
        {-1: x, 1: below},
        {-1: x, 1: small, 3: less},
    )


def _power(part: Part, top: int, form: Format) -> int:
    """Bits of a part: 2^top shifted; below the normal numbers what is left of it."""
    sign, shift, half = part
    exponent = top - shift
    field = exponent + form.bias
    if field >= 1:
        bits = field << form.mantissa_bits | half << (form.mantissa_bits - 1)
    else:
        cut = 1 - field
        bits = 0 if cut > form.mantissa_bits + 1 else ((2 + half) << form.mantissa_bits >> 1) >> cut
    return bits | (sign < 0) << (form.exponent_bits + form.mantissa_bits)


def _table(operands: Operands, *, paired: bool) -> list[dict[int, Part]]:
    """X at p, -X in the addend (or beside p), and a number that is lost beside X at l: for each p and l, by k."""
    rows: list[dict[int, Part]] = []
    for p in range(PLACES):
        for place in range(PLACES):
            other = p ^ 1 if paired else -1
            beside = (paired or operands.multiplicand.finite_only) and p ^ 1 == place
            if max(p, place) >= operands.k or p == place or beside:
                rows.append({})
            else:
                rows.append({place: (1, operands.lost, 0), p: (1, 0, 0), other: (-1, 0, 0)})
    return rows


def _b_exponents(operands: Operands) -> NDArray[np.int64]:
    """Exponents of B by designed vector and k."""
    k = np.arange(operands.k)
    p = np.tile(np.repeat(np.arange(PLACES), PLACES), 2)
    families = np.tile((k != 1) & (k != 5), (FAMILIES * SHIFTS, 1))
    large = np.concatenate([families, k // 2 == p[:, None] // 2])
    return np.where(large, operands.wide, -operands.wide)


@cache
def designed_vectors(operands: Operands) -> Vectors:
    """The designed vectors, one for each row of the designed tiles: families by shift, then two tables of places."""
    families = [_families(operands.deeper + shift)[family] for family in range(FAMILIES) for shift in range(SHIFTS)]
    slots = dict(zip((-1, 0, 1, 2, 3), (-1, *operands.slots), strict=True))
    rows = [{slots[place]: part for place, part in family.items()} for family in families]
    rows += _table(operands, paired=False) + _table(operands, paired=True)
    form, exponents = operands.multiplicand, _b_exponents(operands)
    a = np.zeros((len(rows), operands.k), dtype=np.uint64)
    c = np.zeros(len(rows), dtype=np.uint64)
    for row, vector in enumerate(rows):
        for k, part in vector.items():
            if k < 0:
                c[row] = _power(part, operands.top, operands.addend)
            else:
                a[row, k] = _power(part, operands.top - int(exponents[row, k]), form)
    b = (exponents + form.bias).astype(np.uint64) << np.uint64(form.mantissa_bits)
    return Vectors(a, b, c)
