"""Inputs of the report's tests: the recorded run, hostile traces, and pages parsed."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from gpuprobe.record import Run
from gpuprobe.report.page import render
from gpuprobe.report.sources import Source, read
from gpuprobe.run_files import read_run

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "reports" / "h100-sxm" / "run.json.gz"
QUICK = RECORDED.parent / "aa" / "quick1.json.gz"
HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "void f<float, 128>(int) & 'g' {{ 7*7 }} {% raw %}",
    "</svg></title><svg onload=document.title='owned'>",
    "name\x00with\u202econtrol\ud800characters",
)
VOID = {"meta", "link", "input", "br", "img"}


@cache
def recorded() -> Run:
    return read_run(RECORDED)


def source(run: Run) -> Source:
    return Source(Path("run.json"), "0" * 64, run)


@cache
def recorded_page() -> str:
    return render([read(RECORDED)], "gpuprobe report run.json.gz")


@cache
def small() -> Run:
    """Some of the run's probes: pages of it are made fast, and its table holds whole grids, folded."""
    names = ("dram_bandwidth", "wgmma_rate", "mma_rate", "ffma_latency")
    kept = tuple(row for row in recorded().measurements if row.name in names)
    return replace(recorded(), measurements=kept, series=tuple(one for one in recorded().series if one.probe in names))


@cache
def small_page() -> str:
    return render([source(small())], "gpuprobe report run.json.gz")


def hostile_trace(folder: Path) -> Path:
    """A Kineto file in which every string is an attack."""
    events = []
    for number, name in enumerate(HOSTILE, 1):
        launch = {"correlation": number}
        events += [
            {"ph": "X", "cat": "cuda_runtime", "name": f"cudaLaunch{name}", "pid": 1, "tid": 2, "ts": 10 * number,
             "dur": 2, "args": launch},
            {"ph": "X", "cat": "kernel", "name": name, "pid": 0, "tid": 7, "ts": 10 * number + 4, "dur": 5,
             "args": {"device": 0, "stream": f"7{name}", **launch}},
            {"ph": "X", "cat": "user_annotation", "name": f"ProfilerStep#{name}", "pid": 1, "tid": 2,
             "ts": 10 * number, "dur": 9, "args": {}},
            {"ph": "X", "cat": "user_annotation", "name": name, "pid": 1, "tid": 2, "ts": 10 * number, "dur": 9,
             "args": {}},
        ]  # fmt: skip
    path = folder / "<b onclick=evil>&.json"
    devices = [{"id": 0, "name": HOSTILE[0]}]
    path.write_text(json.dumps({"schemaVersion": 1, "deviceProperties": devices, "traceEvents": events}))
    return path


class Page(HTMLParser):
    """Tags with their attributes, the text of each element kind, and whether all is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.unbalanced: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.unbalanced += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.unbalanced.append(tag)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]
