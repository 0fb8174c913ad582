"""Normalisations over rows, and softmax: every element read and written once, a few operations for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FLOP_PER_ELEMENT: Final[Mapping[str, int]] = {"rms": 4, "layer": 7, "group": 7, "batch": 7, "softmax": 5}
"""rms: square, add, scale, weight; layer: those and subtracting the mean, its sum, and the bias; softmax: subtract the
maximum, exponential, sum, divide, and finding the maximum."""


@dataclass(frozen=True)
class Norm:
    """A normalisation of ``elements`` in rows; ``weights`` are its parameters (scale, bias), read once."""

    kind: str
    elements: int
    weights: int = 0
    element_bytes: int = 2

    @property
    def flop(self) -> int:
        """Operations by FLOP_PER_ELEMENT."""
        return FLOP_PER_ELEMENT[self.kind] * self.elements

    @property
    def bytes(self) -> int:
        """Every element read and written, every parameter read."""
        return (2 * self.elements + self.weights) * self.element_bytes
