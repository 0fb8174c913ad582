"""Element by element: what a map, a copy, a fill or a reduction reads and writes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Elementwise:
    """``read`` and ``written`` in bytes; one operation for each of ``elements`` (0 for a copy or a fill)."""

    elements: int
    read: int
    written: int

    @property
    def flop(self) -> int:
        """One operation an element: a floor, transcendental functions cost more."""
        return self.elements

    @property
    def bytes(self) -> int:
        """Read and written."""
        return self.read + self.written
