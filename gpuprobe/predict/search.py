"""A coordinate search over named numbers: factors up and down, coarse to fine, as long as a loss falls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

_FACTORS: Final = (1.3, 1.1, 1.03)
_LEAST_GAIN: Final = 1e-5


def searched(start: Mapping[str, float], loss: Callable[[dict[str, float]], float]) -> dict[str, float]:
    """The numbers, all above 0, set to what makes the loss least."""
    numbers = dict(start)
    best = loss(numbers)
    for factor in _FACTORS:
        moved = True
        while moved:
            moved = False
            for name in start:
                for scale in (factor, 1 / factor):
                    candidate = {**numbers, name: numbers[name] * scale}
                    if (value := loss(candidate)) < best - _LEAST_GAIN:
                        numbers, best, moved = candidate, value, True
    return numbers
