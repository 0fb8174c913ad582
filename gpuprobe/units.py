"""A value with its unit as text for people: one form for the command line, reports and notebooks."""

from __future__ import annotations

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))
_SMALL_ENERGY = (1e-12, "p")
_SCALED = ("s", "B", "FLOP", "FMA", "op", "J", "W", "Hz")


def quantity(value: float, unit: str) -> str:
    """A value to four digits with its unit, by SI prefix where the unit is SI: ``3.012 TB/s``, ``4.021 cycle``."""
    head, *divisors = unit.split("/")
    if head not in _SCALED or "cycle" in divisors or value == 0:
        return f"{value:.4g} {unit}"
    prefixes = (*_PREFIXES, _SMALL_ENERGY) if head == "J" else _PREFIXES
    scale, prefix = next((row for row in prefixes if abs(value) >= row[0] * 0.99995), prefixes[-1])
    return f"{value / scale:.4g} {prefix}{unit}"
