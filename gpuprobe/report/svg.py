"""SVG elements as escaped markup, and a Picture: what figure functions return. Colours are CSS classes (style.css)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup, escape

from gpuprobe.report.format import printable

WIDTH = 440
"""Width of a normal picture in its own units: on a phone it is drawn at 0.8, on a desk at 1.2 times its size."""


@dataclass(frozen=True)
class Picture:
    """One picture: its SVG, a caption, a legend of (CSS class, label), and whether it spans the page."""

    svg: Markup
    caption: str
    legend: tuple[tuple[str, str], ...] = ()
    wide: bool = False


def number(value: float) -> str:
    """A coordinate to a tenth."""
    return f"{value:.1f}".removesuffix(".0")


def element(name: str, *children: str | Markup, **attributes: str | float) -> Markup:
    """An element; ``class_`` is class and ``stroke_width`` is stroke-width. Text and attributes are escaped."""
    inside = "".join(map(escape, children))
    written = "".join(f' {_name(key)}="{_written(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{written}>{inside}</{name}>")  # noqa: S704 - every part was escaped just now


@cache
def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _written(value: str | float) -> str:
    return escape(printable(value)) if isinstance(value, str) else number(value)


def picture(
    title: str,
    description: str,
    height: float,
    children: Iterable[Markup],
    *,
    width: float = WIDTH,
    caption: str = "",
    legend: Sequence[tuple[str, str]] = (),
) -> Picture:
    """A Picture whose SVG carries ``title`` and ``description`` for those who cannot see it."""
    body = Markup("").join(children)
    title, description = printable(title), printable(description)
    content = f"{title}{description}{body}".encode()
    mark = f"p{zlib.crc32(content):08x}"
    svg = Markup(
        '<svg role="img" aria-labelledby="{0}t {0}d" viewBox="0 0 {1} {2}">'
        '<title id="{0}t">{3}</title><desc id="{0}d">{4}</desc>{5}</svg>'
    ).format(mark, number(width), number(height), title, description, body)
    return Picture(svg, caption or title, tuple(legend), wide=width > WIDTH)


def text(
    content: str, x: float, y: float, class_: str = "", anchor: str = "start", **attributes: str | float
) -> Markup:
    """A text; ``anchor`` is start, middle or end."""
    extra: dict[str, str | float] = {"class_": class_} if class_ else {}
    if anchor != "start":
        extra["text_anchor"] = anchor
    return element("text", escape(printable(content)), x=x, y=y, **extra, **attributes)


def rect(x: float, y: float, width: float, height: float, class_: str, tip: str = "") -> Markup:
    """A rectangle with a tooltip."""
    return element("rect", _tip(tip), class_=class_, x=x, y=y, width=max(width, 0.0), height=max(height, 0.0))


def circle(x: float, y: float, radius: float, class_: str, tip: str = "") -> Markup:
    """A circle with a tooltip."""
    return element("circle", _tip(tip), class_=class_, cx=x, cy=y, r=radius)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("path", class_=class_, d=f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}")


def polyline(points: Iterable[tuple[float, float]], class_: str) -> Markup:
    """A line through points."""
    return element("path", class_=class_, d="M" + "L".join(f"{number(x)} {number(y)}" for x, y in points))


def dots(points: Iterable[tuple[float, float]], class_: str) -> Markup:
    """Many points of one kind as one path: each a line of no length, drawn by its round ends."""
    return element("path", class_=class_, d="".join(f"M{number(x)} {number(y)}h0" for x, y in points))


def area(upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]], class_: str) -> Markup:
    """The area between two lines over the same places."""
    outline = [*upper, *reversed(lower)]
    return element("path", class_=class_, d="M" + "L".join(f"{number(x)} {number(y)}" for x, y in outline) + "z")


def diamond(x: float, y: float, radius: float, class_: str, tip: str = "") -> Markup:
    """A diamond with a tooltip."""
    r = number(radius)
    path = f"M{number(x)} {number(y - radius)}l{r} {r}l-{r} {r}l-{r} -{r}z"
    return element("path", _tip(tip), class_=class_, d=path)


def _tip(tip: str) -> Markup:
    return element("title", escape(printable(tip))) if tip else Markup("")
