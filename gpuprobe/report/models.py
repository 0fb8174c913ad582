"""Model cards and evaluations as a report sees them: errors on what the models had not seen, by region."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gpuprobe.errors import GpuprobeError
from gpuprobe.report.figures.bars import Bar, bars
from gpuprobe.report.figures.scatter import Point, ratios, scatter
from gpuprobe.report.svg import Picture
from gpuprobe.report.tables import Cell, Cells, Table, plain

_FACTS = ("model_id", "protocol", "judged", "licence")
_UNITS = {"power": "W"}
"""Of targets that are no times."""
_BESIDE = ("noise floor", "roofline", "random forest")
"""Rows that stand beside the model's own: how far repeats differ, and simpler models."""

MOST_PICTURES = 10
"""Pictures of errors by region; their table holds all."""
_HINT = "pass a card.json of models/, or what gpuprobe evaluate --json prints"


@dataclass(frozen=True)
class Models:
    """A model card (``models``, ``kernels``), or an evaluation (``errors``, ``points``), as its JSON document."""

    title: str
    document: Mapping[str, Any]


def read_models(path: Path) -> Models:
    """The card or evaluation in a file; GpuprobeError where it is neither."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if "errors" in document:
            devices = sorted({str(row["device"]) for row in document["errors"]})
            return Models(f"Models of {', '.join(devices)}, evaluated", document)
        return Models(f"Models of {document['device']}", {"models": {}, **document})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GpuprobeError(f"cannot read {path} as a model card: {error}", _HINT) from error


class ModelsView:
    """What the sections of models show; a document that lacks a field is a GpuprobeError."""

    def __init__(self, models: Models, number: int) -> None:
        self.number = number
        self.title = models.title
        self._document = models.document

    def cards(self) -> Table | None:
        """Facts of every model, a row each; None where the document is an evaluation."""
        found = {str(source): card for source, card in self._document.get("models", {}).items()}
        found |= {"tiled kernels": self._document["kernels"]} if self._document.get("kernels") else {}
        rows: list[Cells] = [(source, *(str(card.get(name, "–")) for name in _FACTS)) for source, card in found.items()]
        columns = [("source", False), *((name.replace("_", " "), False) for name in _FACTS)]
        return plain(f"cards-m{self.number}", "The models", columns, rows) if rows else None

    @cached_property
    def errors(self) -> list[_Error]:
        """Errors by region, of the card's classes or of the evaluation's rows."""
        try:
            return list(_card_errors(self._document)) or list(_evaluated(self._document))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise GpuprobeError(f"{self.title}: damaged: {type(error).__name__}: {error}", _HINT) from error

    def pictures(self) -> tuple[list[Picture], int]:
        """Median errors with their 90th percentile, for each source and target; how many of these have no picture."""
        groups: dict[str, list[_Error]] = {}
        for row in self.errors:
            groups.setdefault(row.group, []).append(row)
        drawn = [_picture(group, rows) for group, rows in list(groups.items())[:MOST_PICTURES]]
        return drawn, len(groups) - len(drawn)

    def table(self) -> Table | None:
        """Every error with rows, coverage and width of the intervals."""
        if not self.errors:
            return None
        columns = [("of", False), ("region", False), ("rows", True), ("median", True), ("mean", True), ("90th", True)]
        columns += [("in the 90 % interval", True), ("median width", True)]
        rows: list[Cells] = [
            (
                row.group,
                row.region,
                Cell(str(row.rows), row.rows),
                *(Cell(f"{error:.1f}%", error) for error in row.percent),
                *(Cell("–" if share is None else f"{share:.1%}", share) for share in (row.coverage, row.width)),
            )
            for row in self.errors
        ]
        return plain(f"errors-m{self.number}", "Absolute errors on what the models had not seen", columns, rows)

    @cached_property
    def _points(self) -> dict[tuple[str, str], dict[str, list[Point]]]:
        """The held-out points of an evaluation by model and target, and there by class."""
        groups: dict[tuple[str, str], dict[str, list[Point]]] = {}
        for row in self._document.get("points", ()):
            point = Point(float(row["measured"]), float(row["predicted"]), str(row["bound"]))
            key = (f"{row['device']} {row['source']}", str(row["target"]))
            groups.setdefault(key, {}).setdefault(str(row["of"]), []).append(point)
        return groups

    def scatters(self) -> list[Picture]:
        """Predicted over measured for the held-out points, two pictures for each model and target."""
        return [
            draw(f"{model}, {target}", [point for part in classes.values() for point in part], _UNITS.get(target, "s"))
            for (model, target), classes in self._points.items()
            for draw in (scatter, ratios)
        ]

    def scatters_of_classes(self) -> list[Picture]:
        """The errors of the same points, a picture for each class."""
        return [
            ratios(f"{model}, {target}, {class_}", points, _UNITS.get(target, "s"))
            for (model, target), classes in self._points.items()
            if len(classes) > 1
            for class_, points in classes.items()
        ]


@dataclass(frozen=True)
class _Error:
    """Absolute errors in % (median, mean, 90th percentile) over the rows of a region."""

    group: str
    region: str
    rows: int
    percent: tuple[float, float, float]
    coverage: float | None
    width: float | None


_OPEN = re.compile(r"(\d+) to inf µs")
_SETTLED = ("sustained", "power", "clock", "energy")
"""Targets that are judged on a class's sustained rows, where it has some."""


def _card_errors(document: Mapping[str, Any]) -> Iterator[_Error]:
    for source, card in document.get("models", {}).items():
        for part in card["classes"]:
            region = f"{part['dtype']}, {('aligned', 'ragged', 'n ragged')[part['ragged']]} sizes"
            for target, found in part["errors"].items():
                median, mean, high = map(float, found["ape_percent"])
                coverage, width = found.get("interval_coverage"), found.get("interval_median_width")
                rows = part.get("sustained_rows", part["rows"]) if target in _SETTLED else part["rows"]
                yield _Error(f"{source}, {target}", region, rows, (median, mean, high), coverage, width)
    for part in document.get("kernels", {}).get("classes", ()):
        median, mean, high = map(float, part["ape_percent"])
        yield _Error(
            "tiled kernels", f"{part['kernel']} {part['dtype']}", part["rows"], (median, mean, high), None, None
        )


def _evaluated(document: Mapping[str, Any]) -> Iterator[_Error]:
    for row in document.get("errors", ()):
        if row["errors"] is not None:
            median, mean, high = map(float, row["errors"])
            of, _, region = str(row["group"]).partition(": ")
            group = f"{row['device']} {row['source']} {of}, {row['target']}"
            region = _OPEN.sub(r"over \1 µs", region) or "all"
            yield _Error(group, region, row["rows"], (median, mean, high), row["coverage"], row["width"])


def _picture(group: str, rows: list[_Error]) -> Picture:
    drawn = [
        Bar(row.region, f"median {row.percent[0]:.1f}%, 90th percentile {row.percent[2]:.1f}%", row.percent[0],
            row.percent[0], row.percent[2], "s0" if row.region.startswith(_BESIDE) else "s1")
        for row in rows
    ]  # fmt: skip
    said = "; ".join(f"{bar.label}: {bar.note}" for bar in drawn)
    return bars(f"{group}: error of held-out rows", said, drawn)
