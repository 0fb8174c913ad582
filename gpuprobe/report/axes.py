"""Scales from values to places in a picture, their ticks, and the frame that draws both axes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gpuprobe.report.svg import WIDTH, line, text

Ticks = Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic scale: ``low`` lies at ``start``, ``high`` at ``stop``."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Place of ``value``."""
        ends = (self.low, self.high, value)
        low, high, at = map(math.log, ends) if self.log else ends
        return self.start + (at - low) / (high - low) * (self.stop - self.start)

    def contains(self, value: float) -> bool:
        """Whether ``value`` lies on the scale."""
        return self.low <= value <= self.high


def nice_step(span: float, most: int = 6) -> float:
    """A step of 1, 2 or 5 times a power of ten that cuts ``span`` into at most ``most`` parts."""
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * 0.999)


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values from ``low`` to ``high``."""
    step = nice_step(high - low, most)
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten from ``low`` to ``high``."""
    return [10.0**power for power in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)]


def log_ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round values on a logarithmic scale, as many of each power of ten as leave room for ``most`` labels in all."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    room = math.log(high / low) / most
    for factors in (range(1, 10), (1, 2, 3, 5, 7), (1, 2, 5), (1, 3)):
        found = [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]
        if all(math.log(above / below) >= room for below, above in itertools.pairwise(found)):
            return found
    return decades(low, high)


@dataclass(frozen=True)
class Frame:
    """The plot area of a picture: margins in picture units, and its axes."""

    width: float = WIDTH
    height: float = 280
    left: float = 50
    right: float = 14
    top: float = 14
    bottom: float = 42

    def x(self, low: float, high: float, *, log: bool = False) -> Scale:
        """A horizontal scale over the plot area."""
        return Scale(low, high, self.left, self.width - self.right, log)

    def y(self, low: float, high: float, *, log: bool = False) -> Scale:
        """A vertical scale over the plot area, upwards."""
        return Scale(low, high, self.height - self.bottom, self.top, log)

    def x_axis(self, scale: Scale, ticks: Ticks, label: str) -> Iterator[Markup]:
        """Ticks and label below the plot."""
        base = self.height - self.bottom
        yield line(self.left, base, self.width - self.right, base, "axis")
        for value, name in ticks:
            yield line(scale(value), base, scale(value), base + 4, "axis")
            yield text(name, scale(value), base + 17, anchor="middle")
        yield text(label, (self.left + self.width - self.right) / 2, self.height - 6, "label", "middle")

    def y_axis(self, scale: Scale, ticks: Ticks, label: str) -> Iterator[Markup]:
        """Grid lines, ticks and a label along the left side."""
        for value, name in ticks:
            yield line(self.left, scale(value), self.width - self.right, scale(value), "grid")
            yield text(name, self.left - 6, scale(value) + 4, anchor="end")
        if label:
            middle = (self.top + self.height - self.bottom) / 2
            yield text(label, 12, middle, "label", "middle", transform=f"rotate(-90 12 {middle:.0f})")
