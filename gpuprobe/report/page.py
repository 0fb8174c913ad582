"""The page: sections are templates, found in their folder in the order of their names; empty ones are left out."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gpuprobe import __version__
from gpuprobe.record import Run
from gpuprobe.report import run_tables
from gpuprobe.report.comparison import ComparisonView
from gpuprobe.report.figures import (
    bars,
    campaign,
    curves,
    forest,
    heatmap,
    hierarchy,
    histogram,
    l2_map,
    ladder,
    rates,
    staircase,
)
from gpuprobe.report.format import cut, printable, quantity, seconds, share, span
from gpuprobe.report.models import Models, ModelsView
from gpuprobe.report.run_view import RunView
from gpuprobe.report.sources import Source
from gpuprobe.report.sweeps import Sweeps, SweepsView
from gpuprobe.report.tables import body

TEMPLATES = Path(__file__).resolve().parent / "templates"
LIMIT_BYTES = 1_000_000
"""What a page may weigh: it is mailed, attached and committed."""


@dataclass(frozen=True)
class Section:
    """A part of the page with its own entry in the table of contents."""

    id: str
    title: str
    body: Markup


def render(sources: Sequence[Source], command: str) -> str:
    """One HTML page about ``sources``: the first run in full (less the table of all measurements where other runs are
    compared with it: their tables hold its values), other runs beside it, then every trace, batch sweeps, models.

    Runs are compared with the first one given. ``command`` is what regenerates the page. Equal input gives equal text.
    """
    environment = _environment()
    sections = list(_sections(environment, sources))
    script = _asset("script.js")
    return environment.get_template("page.html.j2").render(
        title=_title(sources),
        sections=sections,
        sources=sources,
        command=command,
        version=__version__,
        of_runs=any(isinstance(source.content, Run) for source in sources),
        style=Markup(_asset("style.css")),  # noqa: S704 - the project's own file
        script=Markup(script),  # noqa: S704 - the project's own file
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(quantity=quantity, share=share, seconds=seconds, cut=cut)
    environment.globals |= {"span": span, "body": body}
    modules = (
        bars, campaign, curves, forest, heatmap, hierarchy, histogram, l2_map, ladder, rates, staircase
    )  # fmt: skip
    environment.globals.update({module.__name__.rpartition(".")[2]: module for module in modules})
    environment.globals["tables"] = run_tables
    return environment


def _shown(value: Any) -> Any:
    """What a template prints: text of files without characters that cannot be seen; markup is our own."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _title(sources: Sequence[Source]) -> str:
    first, *others = (
        cut(one.content.device.product if isinstance(one.content, Run) else one.content.title, 80) for one in sources
    )
    others = [other for other in others if other != f"{first}, evaluated"]  # a card and its evaluation: one subject
    if len(others) == 1 and others[0] != first and isinstance(sources[1].content, Run):
        return f"{first} and {others[0]}"
    return first + (f" and {len(others)} more" if others else "")


def _sections(environment: Environment, sources: Sequence[Source]) -> Iterator[Section]:
    runs = [source.content for source in sources if isinstance(source.content, Run)]
    traces = [source.content for source in sources if not isinstance(source.content, Run | Models | Sweeps)]
    sweeps = [source.content for source in sources if isinstance(source.content, Sweeps)]
    models = [source.content for source in sources if isinstance(source.content, Models)]
    if runs:
        yield from _of_runs(environment, runs)
    if traces:
        from gpuprobe.report.trace_view import TraceView  # noqa: PLC0415 - a run needs none of the trace analyses

        for number, trace in enumerate(traces, 1):
            yield from _of_folder(
                environment, "trace", f"-t{number}", {"view": TraceView(trace, number, alone=len(traces) == 1)}
            )
    for number, swept in enumerate(sweeps, 1):
        yield from _of_folder(environment, "sweeps", f"-s{number}", {"view": SweepsView(swept, number)})
    for number, one in enumerate(models, 1):
        yield from _of_folder(environment, "models", f"-m{number}", {"view": ModelsView(one, number)})


def _of_runs(environment: Environment, runs: Sequence[Run]) -> Iterator[Section]:
    """The first run's summary, what differs in the others, then the rest of the first."""
    first, *rest = _of_folder(environment, "run", "", {"view": RunView(runs[0]), "compared": len(runs) > 1})
    yield first
    for number, run in enumerate(runs[1:], 1):
        yield from _of_folder(environment, "comparison", f"-{number}", {"view": ComparisonView(runs[0], run, number)})
    yield from rest


def _of_folder(environment: Environment, folder: str, suffix: str, context: Mapping[str, Any]) -> Iterator[Section]:
    """Each template of a folder as a section: ``title`` is what it sets, its id the file's name without the number."""
    for path in sorted((TEMPLATES / folder).glob("*.html.j2")):
        module = environment.get_template(f"{folder}/{path.name}").make_module(dict(context))
        body = Markup(str(module).strip())  # noqa: S704 - rendered with autoescape just above
        if body:
            name = path.name.removesuffix(".html.j2").partition("_")[2]
            yield Section(f"{name}{suffix}", str(getattr(module, "title")), body)  # noqa: B009 - set by the template
