"""Numbers, units and parameters as text for people; the same forms as on the command line."""

from __future__ import annotations

import math

from gpuprobe import units
from gpuprobe.record import Measurement, Params

__all__ = [
    "cut",
    "half_width",
    "label",
    "params",
    "printable",
    "quantity",
    "scaled",
    "seconds",
    "share",
    "size",
    "span",
]

_SIZES = ((30, "GiB"), (20, "MiB"), (10, "KiB"))
NONE = "–"


def quantity(value: float, unit: str) -> str:
    """A value with its unit as everywhere, in the plural where people say one: ``4.021 cycles``."""
    number, _, rest = units.quantity(value, unit).partition(" ")
    number = f"{float(number):.0f}" if "e+" in number else number
    return f"{number} {rest}{'s' if unit == 'cycle' else ''}"


def span(low: float, high: float, unit: str) -> str:
    """An interval with its unit said once where both ends have the same: ``3.131 to 3.143 TB/s``."""
    (first, _, first_unit), (last, _, last_unit) = (quantity(end, unit).partition(" ") for end in (low, high))
    if (first, first_unit) == (last, last_unit):
        return f"{last} {last_unit}"
    return (
        f"{first} to {last} {last_unit}" if first_unit == last_unit else f"{first} {first_unit} to {last} {last_unit}"
    )


def scaled(most: float, unit: str) -> tuple[float, str]:
    """What a value is divided by to be a number in the unit, prefix included, in which ``most`` is written."""
    number, _, rest = quantity(most, unit).partition(" ")
    return 10.0 ** round(math.log10(most / float(number))) if float(number) else 1.0, rest


def seconds(value_ns: float | None) -> str:
    """A time given in nanoseconds, as ``12.3 µs``; a dash for None."""
    return NONE if value_ns is None else quantity(value_ns * 1e-9, "s")


def share(value: float | None) -> str:
    """A fraction as a percentage with one decimal; a dash for None."""
    return NONE if value is None else f"{value:.1%}"


def size(value: int) -> str:
    """Bytes by the largest binary unit that fits exactly: ``16 MiB``; the plain number where none does."""
    for shift, unit in _SIZES:
        if value >= 1 << shift and value % (1 << shift) == 0:
            return f"{value >> shift} {unit}"
    return str(value)


def params(values: Params) -> str:
    """Parameters in one line; sizes in binary units."""
    return " ".join(
        f"{name}={size(value) if name == 'BYTES' and isinstance(value, int) else value}"
        for name, value in values.items()
    )


def label(name: str, quantity_name: str, settings: Params, width: int = 42) -> str:
    """A row in a few words: probe, quantity (unless the probe is named after it), parameters; words without a name."""
    words = " ".join(value if isinstance(value, str) else params({axis: value}) for axis, value in settings.items())
    head = name if name.endswith(f"_{quantity_name}") and quantity_name == "latency" else f"{name} {quantity_name}"
    return cut(f"{head} {words}".strip(), width)


def half_width(row: Measurement) -> float:
    """The wider side of the interval, relative to the value."""
    return max(row.high - row.value, row.value - row.low) / row.value if row.value else 0.0


def printable(text: str) -> str:
    """``text`` with control, direction and half surrogate characters as '?'."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)


def cut(text: str, width: int) -> str:
    """Printable ``text`` in at most ``width`` characters."""
    shown = printable(text)
    return shown if len(shown) <= width else shown[: width - 1] + "…"
