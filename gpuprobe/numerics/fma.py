"""FP64 fused multiply-add for arrays, correctly rounded: by error-free transformations, or with whole numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_SAFE = 300
"""Numbers whose exponents lie within this have products, errors and sums that neither overflow nor underflow."""


def fma(a: Doubles, b: Doubles, c: Doubles) -> Doubles:
    """a x b + c, rounded once to nearest even; subnormal numbers, infinities and NaN as IEEE 754 has them."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        result = _transformed(a, b, c)
        plain = ~(np.isfinite(a) & np.isfinite(b) & np.isfinite(c))
        finite_product = np.isfinite(a) & np.isfinite(b)  # though it may overflow where it is rounded by itself
        result = np.where(plain, np.where(finite_product, c, a * b + c), result)
    risky = ~plain & ~(_moderate(a) & _moderate(b) & _moderate(c))
    for index in np.flatnonzero(risky):
        result[index] = _exact(float(a[index]), float(b[index]), float(c[index]))
    return result


def _moderate(x: Doubles) -> NDArray[np.bool_]:
    _, exponent = np.frexp(np.nan_to_num(x))
    moderate: NDArray[np.bool_] = (np.abs(exponent) < _SAFE) | (x == 0)
    return moderate


def _transformed(a: Doubles, b: Doubles, c: Doubles) -> Doubles:
    """Boldo and Melquiond 2008 (IEEE TC 57:462): the last addition is of two terms, the second rounded to odd."""
    high, low = _two_product(a, b)
    middle, below = _two_sum(c, low)
    top, rest = _two_sum(high, middle)
    total = top + _odd_sum(rest, below)
    exact_zero = (high + c == 0) & (low == 0)  # the sign of a zero is that of the plain sum
    return np.where(exact_zero, high + c, total)


def _two_sum(a: Doubles, b: Doubles) -> tuple[Doubles, Doubles]:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _two_product(a: Doubles, b: Doubles) -> tuple[Doubles, Doubles]:
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _halves(x: Doubles) -> tuple[Doubles, Doubles]:
    scaled = x * 134217729.0
    high = scaled - (scaled - x)
    return high, x - high


def _odd_sum(a: Doubles, b: Doubles) -> Doubles:
    """a + b rounded to odd: where inexact, the neighbour with an odd mantissa."""
    total, error = _two_sum(a, b)
    bits = total.view(np.int64)
    even = (bits & 1) == 0
    away = (error > 0) == (total > 0)
    moved = np.where(away, bits + 1, bits - 1).view(np.float64)
    return np.where((error != 0) & even, moved, total)


def _exact(a: float, b: float, c: float) -> float:
    """One multiply-add of finite numbers with whole numbers; infinity where it overflows."""
    (a_top, a_bottom), (b_top, b_bottom), (c_top, c_bottom) = (x.as_integer_ratio() for x in (a, b, c))
    top = a_top * b_top * c_bottom + c_top * a_bottom * b_bottom
    if top == 0:
        return a * b + c if a == 0 or b == 0 else 0.0
    try:
        return top / (a_bottom * b_bottom * c_bottom)  # correctly rounded, below the normal numbers too
    except OverflowError:
        return math.inf if top > 0 else -math.inf
