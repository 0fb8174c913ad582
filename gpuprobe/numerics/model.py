"""Bit-exact models of how a matrix instruction computes one element of D = A x B + C.

Tensor cores add the exact products of a group at once, in fixed point: every term is shifted to the largest exponent
among them, what falls below ``fraction_bits`` is cut off, the rest is added exactly and rounded once. FP64 goes by
fused multiply-adds, one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gpuprobe.numerics.fma import fma
from gpuprobe.numerics.formats import F32, Bits, Flags, Format, Integers, Numbers, Rounding, decode, encode
from gpuprobe.numerics.vectors import Operands, Vectors

Places = tuple[tuple[int, ...], ...]

_NOTHING = -(1 << 20)  # exponent of a zero: below every other


class Model(Protocol):
    """A way to compute dot products."""

    def results(self, vectors: Vectors, operands: Operands) -> Bits:
        """Bits of D for each vector, in the addend's format."""
        ...


@dataclass(frozen=True)
class Fused:
    """The products at the ``places`` along k are added to the addend, a group in one step, one group after another.

    ``fraction_bits`` are kept below the largest exponent when terms are aligned (exponents of products are the sums of
    those of their factors), ``result_bits`` of fraction in the result of a step, which is ``rounding``. ``separate``:
    the products of the whole row are summed from zero, and an FP32 addition to the nearest brings in the addend, as
    where another instruction does so.
    """

    places: Places
    fraction_bits: int
    result_bits: int
    rounding: Rounding
    separate: bool = False

    def results(self, vectors: Vectors, operands: Operands) -> Bits:
        """Bits of D for each vector, in the addend's format."""
        a, b = decode(vectors.a, operands.multiplicand), decode(vectors.b, operands.multiplicand)
        total = np.zeros_like(vectors.c) if self.separate else vectors.c
        for group in self.places:
            total = self._step(_columns(a, group), _columns(b, group), total, operands)
        return _sum_f32(total, vectors.c) if self.separate else total

    def _step(self, a: Numbers, b: Numbers, c_bits: Bits, operands: Operands) -> Bits:
        form = operands.addend
        c = decode(c_bits, form)
        negative = np.concatenate([a.negative ^ b.negative, c.negative[:, None]], axis=1)
        significand = np.concatenate([a.significand * b.significand, c.significand[:, None]], axis=1)
        exponent = np.concatenate([a.exponent + b.exponent, c.exponent[:, None]], axis=1)
        point = np.full(significand.shape[1], 2 * operands.multiplicand.mantissa_bits, dtype=np.int64)
        point[-1] = form.mantissa_bits
        largest = np.where(significand > 0, exponent, _NOTHING).max(axis=1)
        terms = _aligned(significand, point + largest[:, None] - exponent - self.fraction_bits)
        total = np.where(negative, -terms, terms).sum(axis=1)
        bits = encode(total, largest - self.fraction_bits, form, self.rounding, self.result_bits)  # zero is positive
        return _special(bits, a, b, c, form)


def _columns(numbers: Numbers, group: Sequence[int]) -> Numbers:
    chosen = list(group)
    return Numbers(
        numbers.negative[:, chosen],
        numbers.significand[:, chosen],
        numbers.exponent[:, chosen],
        numbers.infinite[:, chosen],
        numbers.nan[:, chosen],
    )


def _aligned(significand: Integers, right: Integers) -> Integers:
    """significand / 2^right, cut towards zero."""
    shifted: Integers = significand >> np.clip(right, 0, 62) << np.clip(-right, 0, 40)
    return shifted


def _special(bits: Bits, a: Numbers, b: Numbers, c: Numbers, form: Format) -> Bits:
    """Infinity and NaN in place of what the fixed-point sum gave."""
    infinite = a.infinite | b.infinite
    nothing = (a.significand == 0) | (b.significand == 0)
    nan = (a.nan | b.nan | (infinite & nothing)).any(axis=1) | c.nan
    up = _any(infinite & ~(a.negative ^ b.negative)) | (c.infinite & ~c.negative)
    down = _any(infinite & (a.negative ^ b.negative)) | (c.infinite & c.negative)
    sign = 1 << (form.exponent_bits + form.mantissa_bits)
    bits = np.where(up, np.uint64(form.infinity), bits)
    bits = np.where(down, np.uint64(form.infinity | sign), bits)
    return np.where(nan | (up & down), np.uint64(form.nan), bits)


def _any(flags: Flags) -> Flags:
    found: Flags = np.asarray(flags.any(axis=1))
    return found


def _sum_f32(left: Bits, right: Bits) -> Bits:
    """FADD: the sum to the nearest, with the NaN that the FP32 pipe gives."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = _as_f32(left) + _as_f32(right)
    bits = total.view(np.uint32).astype(np.uint64)
    return np.where(np.isnan(total), np.uint64(F32.nan), bits)


def _as_f32(bits: Bits) -> NDArray[np.float32]:
    return bits.astype(np.uint32).view(np.float32)


_F64_QUIET, _F64_INVALID = np.uint64(1 << 51), np.uint64(0xFFF8 << 48)


@dataclass(frozen=True)
class Sequential:
    """Fused multiply-adds to the nearest along k, one after another, the addend first (FP64).

    A NaN among the operands comes out with its sign and payload, quiet: B's before the sum's before A's. An invalid
    operation gives the negative one.
    """

    def results(self, vectors: Vectors, operands: Operands) -> Bits:
        """Bits of D for each vector."""
        total = vectors.c
        for k in range(operands.k):
            total = _fma_bits(vectors.a[:, k], vectors.b[:, k], total)
        return total


def _fma_bits(a: Bits, b: Bits, c: Bits) -> Bits:
    factors = [np.ascontiguousarray(bits).view(np.float64) for bits in (a, b, c)]
    result = fma(*factors)
    bits = np.where(np.isnan(result), _F64_INVALID, result.view(np.uint64))
    for operand, value in zip((a, c, b), (factors[0], factors[2], factors[1]), strict=True):  # the last one prevails
        bits = np.where(np.isnan(value), operand | _F64_QUIET, bits)
    return bits
