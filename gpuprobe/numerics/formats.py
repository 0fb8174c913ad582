"""Binary floating-point formats of tensor cores as bit patterns: taken apart, and put together again from integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Rounding = Literal["truncate", "nearest"]


@dataclass(frozen=True)
class Format:
    """Sign, ``exponent_bits`` and ``mantissa_bits``; ``finite_only``: no infinity, only all ones are NaN (e4m3)."""

    exponent_bits: int
    mantissa_bits: int
    finite_only: bool = False

    @property
    def bias(self) -> int:
        """What is added to the exponent."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def ones(self) -> int:
        """The exponent field of infinities and NaN."""
        return (1 << self.exponent_bits) - 1

    @property
    def top_field(self) -> int:
        """The exponent field of the largest finite numbers."""
        return self.ones if self.finite_only else self.ones - 1

    @property
    def nan(self) -> int:
        """The NaN that tensor cores give: every bit but the sign."""
        return (1 << (self.exponent_bits + self.mantissa_bits)) - 1

    @property
    def infinity(self) -> int:
        """Positive infinity."""
        return self.ones << self.mantissa_bits


F16, BF16, TF32, F32, F64 = Format(5, 10), Format(8, 7), Format(8, 10), Format(8, 23), Format(11, 52)
E4M3, E5M2 = Format(4, 3, finite_only=True), Format(5, 2)


@dataclass(frozen=True)
class Numbers:
    """Numbers taken apart: (-1)^negative x significand x 2^(exponent - mantissa bits of the format)."""

    negative: Flags
    significand: Integers
    exponent: Integers
    infinite: Flags
    nan: Flags


def decode(bits: Bits, form: Format) -> Numbers:
    """The numbers of ``bits``; subnormal ones have the least exponent and no leading one."""
    mantissa = (bits & np.uint64((1 << form.mantissa_bits) - 1)).astype(np.int64)
    field = (bits >> np.uint64(form.mantissa_bits) & np.uint64(form.ones)).astype(np.int64)
    negative = (bits >> np.uint64(form.exponent_bits + form.mantissa_bits) & np.uint64(1)).astype(bool)
    whole = field == form.ones
    if form.finite_only:
        nan, infinite = whole & (mantissa == (1 << form.mantissa_bits) - 1), np.zeros_like(whole)
    else:
        nan, infinite = whole & (mantissa != 0), whole & (mantissa == 0)
    significand = np.where(field > 0, mantissa | (1 << form.mantissa_bits), mantissa)
    return Numbers(negative, significand, np.maximum(field, 1) - form.bias, infinite, nan)


def bit_length(magnitude: Integers) -> Integers:
    """Bits of each non-negative integer below 2^53; 0 for 0."""
    _, exponent = np.frexp(magnitude.astype(np.float64))
    return exponent.astype(np.int64)


def encode(total: Integers, scale: Integers, form: Format, rounding: Rounding, kept_bits: int) -> Bits:
    """Bits in ``form`` of total x 2^scale with ``kept_bits`` of fraction (at most the format's).

    Underflow is gradual; numbers beyond the largest become infinite under ``nearest`` and ``truncate`` alike.
    """
    magnitude = np.abs(total)
    leading = bit_length(magnitude) - 1 + scale
    least = 1 - form.bias - form.mantissa_bits
    unit = np.maximum(leading - kept_bits, least)
    shift = unit - scale
    kept = _shifted(magnitude, shift, rounding)
    base = np.maximum(leading - form.mantissa_bits, least)
    kept = kept << np.maximum(unit - base, 0)
    bits = ((base + form.mantissa_bits + form.bias - 1) << form.mantissa_bits) + kept
    bits = np.where(magnitude == 0, 0, np.minimum(bits, form.infinity))
    sign = (total < 0).astype(np.int64) << (form.exponent_bits + form.mantissa_bits)
    encoded: Bits = (bits | sign).astype(np.uint64)
    return encoded


def _shifted(magnitude: Integers, shift: Integers, rounding: Rounding) -> Integers:
    """magnitude / 2^shift, cut or rounded to the nearest even integer; exact where shift is negative."""
    right = np.clip(shift, 0, 62)
    kept = magnitude >> right
    if rounding == "nearest":
        rest = magnitude - (kept << right)
        half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), np.int64(1) << np.int64(62))
        kept = kept + ((rest > half) | ((rest == half) & (kept & 1 == 1)))
    return kept << np.clip(-shift, 0, 62)
