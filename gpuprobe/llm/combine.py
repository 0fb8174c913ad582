"""How intervals add up: errors of one kind of kernel are partly the same everywhere, those of different kinds less so.

All calls of an operation are the same kernel on the same shape: their errors are one. Between operations a part COMMON
of the variance is shared (the GPU at hand is fast or slow, a library's version, a clock), the rest is independent:
half-width² = COMMON·(Σ d)² + (1 - COMMON)·Σ d², for the lower and the upper side apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gpuprobe.predict import Interval

COMMON: Final = 0.5


def total(parts: Iterable[tuple[Interval, float]]) -> Interval:
    """The sum of (interval, calls); an empty one is 0."""
    listed = list(parts)
    value = sum(one.value * calls for one, calls in listed)
    down = _side([(one.value - one.low) * calls for one, calls in listed])
    up = _side([(one.high - one.value) * calls for one, calls in listed])
    return Interval(value, max(value - down, 0.0), value + up)


def _side(widths: list[float]) -> float:
    together, apart = sum(widths) ** 2, sum(width * width for width in widths)
    return float((COMMON * together + (1.0 - COMMON) * apart) ** 0.5)


def scaled(one: Interval, factor: float) -> Interval:
    """The interval times a number that is known exactly."""
    return Interval(one.value * factor, one.low * factor, one.high * factor)


def inverse(one: Interval, amount: float) -> Interval:
    """A rate: an exactly known amount over a time."""
    return Interval(amount / one.value, amount / one.high, amount / one.low if one.low > 0 else float("inf"))


def longer(a: Interval, b: Interval) -> Interval:
    """The longer of two times that run side by side."""
    return Interval(max(a.value, b.value), max(a.low, b.low), max(a.high, b.high))
