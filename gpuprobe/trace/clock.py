"""Microseconds as text or numbers → integer nanoseconds, exactly as decimal arithmetic gives them.

A double can not hold an epoch in microseconds with nanosecond digits (19 digits; its steps there are 250 ns), so
numbers are taken only where their distance to the next half nanosecond proves the rounding; everything else goes by
its text. Rounding below a nanosecond is half to even, as Decimal's.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.model import I64

Mask = NDArray[np.bool_]
LIMIT_NS = 1 << 61
"""Times beyond this (73 years) are no times; differences and sums of two must fit 64 bits."""
_LIMIT_US = LIMIT_NS // 1000
_DIGITS_THAT_FIT = 16
_COMMA, _DOT, _MINUS, _ZERO = (ord(c) for c in ",.-0")


def exact_ns(values: Sequence[Any]) -> I64 | None:
    """Nanoseconds of microseconds as int or float; None where only their text can tell, or one is no number."""
    if not len(values):
        return np.zeros(0, np.int64)
    try:
        us = np.array(values)
    except (OverflowError, ValueError):
        return None
    if us.dtype == np.int64:
        fits = us.max() <= _LIMIT_US and us.min() >= -_LIMIT_US
        return us * np.int64(1000) if fits else None
    return _float_ns(us) if us.dtype == np.float64 else None


def _float_ns(us: NDArray[np.float64]) -> I64 | None:
    """Nanoseconds of doubles, None where one of them is too large or too near to a half nanosecond."""
    largest = float(np.abs(us).max())
    if not largest < 2.0**42:
        return None
    whole = np.floor(us)
    fraction = (us - whole) * 1000.0
    nearest = np.rint(fraction)
    residual = float(np.abs(fraction - nearest).max())
    text_error = 500.0 * float(np.spacing(largest)) + 1e-9
    if residual + text_error >= 0.5:
        return None
    return whole.astype(np.int64) * 1000 + nearest.astype(np.int64)


def text_ns(raws: Sequence[Any]) -> tuple[I64, Mask]:
    """Nanoseconds of JSON texts (``123.456``, ``"123.4"``, ``1e3``) in microseconds, and which of them are numbers."""
    joined = b",".join(raws)
    chars = np.frombuffer(joined, np.uint8)
    ends = np.append(np.flatnonzero(chars == _COMMA), len(chars))
    if len(ends) != len(raws):
        return _one_by_one(raws)
    starts = np.append(0, ends[:-1] + 1)
    ns, plain = _plain_decimals(chars, starts, ends)
    valid = plain.copy()
    for row in np.flatnonzero(~plain).tolist():
        ns[row], valid[row] = _one(bytes(raws[row]))
    return ns, valid


def _plain_decimals(chars: NDArray[np.uint8], starts: I64, ends: I64) -> tuple[I64, Mask]:
    """Nanoseconds where the text is [-]digits[.digits] of at most 16 + 18 digits, and a mask of those rows."""
    if len(chars) == 0:
        return np.zeros(len(starts), np.int64), np.zeros(len(starts), bool)
    negative = chars[np.minimum(starts, len(chars) - 1)] == _MINUS
    negative &= ends > starts
    first = starts + negative
    dots = _dot_of(chars, starts, ends)
    whole_digits, fraction_digits = dots - first, ends - dots - 1
    plain = (whole_digits >= 1) & (whole_digits <= _DIGITS_THAT_FIT) & (fraction_digits != 0) & (fraction_digits <= 18)
    whole = np.zeros(len(starts), np.int64)
    for back in range(int(min(whole_digits.max(initial=0), _DIGITS_THAT_FIT)), 0, -1):
        used = whole_digits >= back
        digit = _digit(chars, np.where(used, dots - back, 0))
        plain &= ~used | (digit <= 9)
        whole = np.where(used, whole * 10 + digit, whole)
    plain &= whole <= _LIMIT_US
    ns, rest, more = whole, np.zeros(len(starts), np.int64), np.zeros(len(starts), bool)
    for place in range(1, max(3, int(min(fraction_digits.max(initial=0), 18))) + 1):
        used = fraction_digits >= place
        digit = np.where(used, _digit(chars, np.where(used, dots + place, 0)), 0)
        plain &= digit <= 9
        if place <= 3:
            ns = ns * 10 + digit
        elif place == 4:
            rest = digit
        else:
            more |= digit > 0
    ns = ns + ((rest > 5) | ((rest == 5) & (more | (ns % 2 == 1))))
    return np.where(negative, -ns, ns), plain


def _dot_of(chars: NDArray[np.uint8], starts: I64, ends: I64) -> I64:
    """Position of the first dot of each text, its end where there is none."""
    dots = np.append(np.flatnonzero(chars == _DOT), len(chars))
    found: I64 = np.minimum(dots[np.searchsorted(dots, starts)], ends)
    return found


def _digit(chars: NDArray[np.uint8], positions: I64) -> I64:
    """Value of the digit at each position; more than 9 where it is no digit."""
    return (chars[positions] - np.uint8(_ZERO)).astype(np.int64)


def _one_by_one(raws: Sequence[Any]) -> tuple[I64, Mask]:
    pairs = [_one(bytes(raw)) for raw in raws]
    return np.array([ns for ns, _ in pairs], np.int64), np.array([good for _, good in pairs], bool)


def _one(text: bytes) -> tuple[int, bool]:
    """One text by Decimal: (nanoseconds, whether it is a number within the limits)."""
    try:
        value = Decimal(text.decode("ascii").strip('" \t\r\n'))
        if not value.is_finite() or (value and value.adjusted() > _DIGITS_THAT_FIT) or abs(value) > _LIMIT_US:
            return 0, False  # what overflows Decimal's own exponents raises in arithmetic, so its size is asked first
        return int((value * 1000).to_integral_value()), True
    except (InvalidOperation, UnicodeDecodeError):
        return 0, False
