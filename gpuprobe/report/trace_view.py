"""A Trace as its sections see it: the analysis document as pictures and tables. All text in it is untrusted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from gpuprobe.report import operator_tables
from gpuprobe.report.figures.bars import WIDE, Bar, bars
from gpuprobe.report.figures.flame import flame
from gpuprobe.report.figures.operators import operators
from gpuprobe.report.figures.stacked import stacked
from gpuprobe.report.figures.timeline import timeline
from gpuprobe.report.format import NONE, cut, quantity, seconds, share
from gpuprobe.report.svg import Picture
from gpuprobe.report.tables import Cell, Cells, Table, plain
from gpuprobe.trace.analyze import analyze
from gpuprobe.trace.flame import flame as flame_tree
from gpuprobe.trace.launches import join_launches
from gpuprobe.trace.model import Trace

MOST_ROWS = 150
MOST_BARS = 12
TOP_KERNELS = 10
NAME = 180
"""Characters of a name in a table; templates of C++ libraries run to thousands."""

_CLOCK_BEGINS_NS = 10**18
"""Times of the system's clock are larger (2001); a trace may count from anywhere."""

_NOISE = re.compile(r"^void |\(anonymous namespace\)::|\b(?:at|native|c10|cuda|internal|detail)::|\bat::native::")
_WORK = {"compute": "s1", "communication": "s2", "memory": "s3"}
_PARTS = (
    ("compute_ns", "computing", "s1"),
    ("exposed_communication_ns", "exposed communication", "s2"),
    ("exposed_memory_ns", "exposed memory work", "s3"),
    ("idle_ns", "idle", "s0"),
)
_CAUSES = (
    ("host", "host was late", "s4"),
    ("host_sync", "host was waiting", "s2"),
    ("launch", "launch itself", "s1"),
    ("dependency", "waited for another stream", "s3"),
    ("graph", "inside a graph", "s5"),
    ("scheduling", "launched in time, started late", "s6"),
    ("unknown", "launch not in the file", "s0"),
)
_WORDS = {
    "gpu_busy_share": "GPU busy",
    "launches_that_found_the_stream_idle": "launches that found their stream idle",
    "idle_share_caused_by_the_host": "idle because of the host",
    "queueing_share_of_tklqt": "queueing in launch-to-start time",
}


class TraceView:
    """A trace and its analysis; ``number`` keeps the ids of several traces in one page apart, ``of`` their headings."""

    def __init__(self, trace: Trace, number: int, *, alone: bool = True) -> None:
        self.trace, self.number = trace, number
        self.of = "" if alone else f" of {cut(trace.title, 30)}"
        self.document: dict[str, Any] = analyze(trace)

    @property
    def title(self) -> str:
        """The file's name."""
        return cut(self.trace.title, 120)

    @property
    def devices(self) -> list[str]:
        """Names of the recorder's devices, each once."""
        return list(dict.fromkeys(cut(str(name), 60) for name in self.document["devices"]))

    @property
    def warnings(self) -> list[str]:
        """What a reader of the numbers should know."""
        return [cut(warning, 300) for warning in self.document["warnings"]]

    def evidence(self) -> list[tuple[str, str]]:
        """The shares behind the verdict."""
        rows = {key: value for key, value in self.document["verdict"].items() if key != "bound"}
        return [(_WORDS.get(key, key.replace("_", " ")), share(value)) for key, value in rows.items()]

    @property
    def bound(self) -> str:
        """What limits the run, in a word."""
        bound = str(self.document["verdict"]["bound"])
        return bound.upper() if bound in ("cpu", "gpu") else bound

    def breakdown(self) -> Picture:
        """Where the time of each device, stream and step goes."""
        found = self.document["breakdown"]
        rows = [(f"device {name}", values) for name, values in found["devices"].items()]
        rows += [(f"stream {name}", values) for name, values in found["streams"].items()]
        rows += [(step["name"], step) for step in found["steps"]]
        return stacked("Where the time goes", rows[: 2 * MOST_BARS], _PARTS)

    def idle(self) -> Picture:
        """Causes of idle time of each device."""
        rows = [(f"device {name}", values["causes_ns"]) for name, values in self.document["idle"].items()]
        return stacked("Why devices were idle", rows[:MOST_BARS], _CAUSES)

    def top_kernels(self) -> Picture:
        """The names with the most time."""
        rows = [
            Bar(
                f"{seconds(row['sum_ns'])} · {share(row['share'])} · {cut(short(row['name']), 96)}",
                "",
                row["sum_ns"],
                row["sum_ns"],
                row["sum_ns"],
                _WORK[row["work"]],
                tip=cut(row["name"], NAME),
            )
            for row in self.document["kernels"][:TOP_KERNELS]
        ]
        said = "; ".join(bar.label for bar in rows)
        return bars("Names with the most GPU time", said, rows, width=WIDE)

    def timeline(self) -> Picture:
        """Streams and host calls over time."""
        return timeline(self.trace)

    def kernels(self) -> Table:
        """Kernels, copies and sets by name."""
        keys = ("sum_ns", "min_ns", "median_ns", "p95_ns", "max_ns")
        columns = [("name", False), ("work", False), ("count", True), ("share", True)]
        columns += [(key.removesuffix("_ns"), True) for key in keys]
        rows: list[Cells] = [
            (
                cut(row["name"], NAME),
                row["work"],
                Cell(str(row["count"]), row["count"]),
                Cell(share(row["share"]), row["share"]),
                *(_time(row[key]) for key in keys),
            )
            for row in self.document["kernels"][:MOST_ROWS]
        ]
        left = len(self.document["kernels"]) - len(rows)
        more = f" (the first {len(rows)}; {left} more: gpuprobe trace export -o kernels.csv)" if left else ""
        return plain(self._id("kernels"), f"GPU work by name{more}", columns, rows)

    def launches(self) -> Table:
        """Launch calls by API: how long the call takes, and how long until the work begins."""
        keys = ("call_sum_ns", "call_median_ns", "call_p95_ns", "delay_median_ns", "delay_p95_ns")
        columns = [("API", False), ("calls", True), ("GPU events", True)]
        columns += [(key.removesuffix("_ns").replace("_", " "), True) for key in keys]
        rows: list[Cells] = [
            (
                cut(row["api"], NAME),
                Cell(str(row["calls"]), row["calls"]),
                Cell(str(row["gpu_events"]), row["gpu_events"]),
                *(_time(row[key]) for key in keys),
            )
            for row in self.document["launches"]["by_api"][:MOST_ROWS]
        ]
        return plain(self._id("launches"), "Launch calls by API", columns, rows)

    def queues(self) -> Table:
        """Queues of the streams."""
        columns = [("stream", False), ("launched", True), ("deepest", True), ("mean depth", True), ("waiting", True)]
        rows = [
            (
                cut(name, 60),
                Cell(str(row["launched"]), row["launched"]),
                Cell(str(row["depth_max"]), row["depth_max"]),
                Cell(f"{row['depth_mean']:.3g}", row["depth_mean"]),
                Cell(share(row["waiting_share"]), row["waiting_share"]),
            )
            for name, row in list(self.document["queue"].items())[:MOST_ROWS]
        ]
        return plain(self._id("queues"), "Queues: work launched and not yet started", columns, rows)

    def tklqt(self) -> Table:
        """Launch-to-start time, split into the launch floor and queueing."""
        names = {"all": "every kernel", "no_graph": "without graphs", "graph_once": "a graph launch counted once"}
        columns = [("kernels counted", False), ("n", True), ("sum", True), ("floor", True), ("queueing", True)]
        columns.append(("median", True))
        rows: list[Cells] = [
            (
                names[key],
                Cell(str(row["n"]), row["n"]),
                *(_time(row[part]) for part in ("clamped_ns", "floor_ns", "queueing_ns", "median_ns")),
            )
            for key, row in self.document["skip"]["tklqt"].items()
        ]
        return plain(self._id("tklqt"), "Launch-to-start time (TKLQT)", columns, rows)

    def idle_causes(self) -> Table:
        """Idle time by cause, device by device."""
        columns = [("cause", False), ("device", False), ("time", True), ("of the idle time", True)]
        rows = [
            (
                words,
                cut(name, 60),
                _time(device["causes_ns"][key]),
                _share_cell(device["causes_ns"][key], device["idle_ns"]),
            )
            for name, device in self.document["idle"].items()
            for key, words, _ in _CAUSES
            if device["causes_ns"][key]
        ]
        return plain(self._id("idle"), "Idle time by cause", columns, rows[:MOST_ROWS])

    def critical_path(self) -> Table:
        """What the end of the run waited for."""
        path = self.document["critical_path"]
        columns = [("bound by", False), ("time", True), ("of the window", True)]
        rows = [
            (bound.replace("_", " "), _time(time), _share_cell(time, path["window_ns"]))
            for bound, time in path["bound_ns"].items()
            if time
        ]
        return plain(self._id("path"), f"Critical path over {seconds(path['window_ns'])}", columns, rows)

    def phases(self) -> Table | None:
        """Annotated ranges and what the GPU did meanwhile; None without any."""
        columns: Sequence[tuple[str, bool]] = [
            ("range", False),
            ("count", True),
            ("time", True),
            *((name, True) for _, name, _ in _PARTS),
        ]
        rows: list[Cells] = [
            (
                cut(row["name"], NAME),
                Cell(str(row["count"]), row["count"]),
                _time(row["window_ns"]),
                *(_time(row[key]) for key, _, _ in _PARTS),
            )
            for row in self.document["breakdown"]["phases"]
        ]
        return plain(self._id("phases"), "Annotated ranges", columns, rows) if rows else None

    def chains(self) -> Table | None:
        """Kernels that always follow each other; None without any."""
        columns = [("kernels", False), ("length", True), ("occurrences", True), ("launches saved", True)]
        rows = [
            (
                cut(" → ".join(cut(name, 60) for name in row["kernels"]), 3 * NAME),
                Cell(str(row["length"]), row["length"]),
                Cell(str(row["occurrences"]), row["occurrences"]),
                Cell(str(row["launches_saved"]), row["launches_saved"]),
            )
            for row in self.document["fusion"]["chains"][:TOP_KERNELS]
        ]
        return plain(self._id("chains"), "Chains of kernels that could be one launch", columns, rows) if rows else None

    def copies(self) -> Table | None:
        """Copies and sets; None without any."""
        columns = [("name", False), ("count", True), ("bytes", True), ("time", True), ("bandwidth", True)]
        rows = [
            (
                cut(row["name"], NAME),
                Cell(str(row["count"]), row["count"]),
                Cell(quantity(row["bytes"], "B"), row["bytes"]),
                _time(row["sum_ns"]),
                _rate(row["bandwidth_bytes_per_s"]),
            )
            for row in self.document["copies"][:MOST_ROWS]
        ]
        return plain(self._id("copies"), "Copies and sets", columns, rows) if rows else None

    def flame(self) -> Picture | None:
        """Who asked for the GPU's time; None where no range is in the file."""
        if not len(self.trace.ranges.start):
            return None
        return flame(flame_tree(self.trace, join_launches(self.trace)))

    def operators(self) -> Table | None:
        """Operators against the limits; None without shapes."""
        return operator_tables.operators(self.document["roofline"], self._id("operators"))

    def operator_roofline(self) -> Picture | None:
        """Operators under the roofline."""
        return operators(self.document["roofline"])

    def limits(self) -> list[tuple[str, str]]:
        """The limits used and their origin."""
        return operator_tables.origins(self.document["roofline"])

    def energy(self) -> list[tuple[Picture, Table, Table | None]]:
        """Energy of every device that has enough ticks."""
        return operator_tables.energy(self.document["energy"], self._id("energy"))

    def provenance(self) -> list[tuple[str, str]]:
        """Where the trace comes from."""
        source = self.trace.meta.get("source", {})
        rows = [("format", source.get("format", "")), ("SHA-256 of the JSON", source.get("json_sha256", ""))]
        rows += [(key, self.document.get(key, "")) for key in ("rank", "world_size", "vendor")]
        keys = ("cuda_driver_version", "cuda_runtime_version", "cupti_version")
        rows += [(key.replace("_", " "), self.trace.meta.get(key, "")) for key in keys]
        rows += _recording(self.trace.meta)
        return [
            ("devices", ", ".join(self.devices)),
            *((key, cut(str(value), 160)) for key, value in rows if value != ""),
        ]

    @cached_property
    def counts(self) -> str:
        """How much there is in the trace, in words."""
        gpu = self.document["exact"]["gpu"]
        return f"{gpu['events']} GPU events, {gpu['kernels']} of them kernels, over {seconds(gpu['span_ns'])}"

    def _id(self, name: str) -> str:
        return f"{name}-{self.number}"


def _recording(meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    """When, how and of which command the trace was recorded, where the file says so."""
    rows = []
    if isinstance(base_ns := meta.get("base_ns"), int) and base_ns > _CLOCK_BEGINS_NS:
        rows.append(("began at", datetime.fromtimestamp(base_ns // 10**9, UTC).isoformat()))
    command, versions = meta.get("run", {}).get("command"), meta.get("recorder", {}).get("cupti")
    rows += [("command", shlex.join(map(str, command)))] if command else []
    return rows + ([("CUPTI", ", ".join(map(str, versions)))] if versions else [])


def short(name: str) -> str:
    """A kernel's name without what all names of a library share: return type, namespaces of PyTorch and the like."""
    return _NOISE.sub("", name)


def _time(value_ns: float | None) -> Cell:
    return Cell(seconds(value_ns), value_ns)


def _rate(value: float | None) -> Cell:
    return Cell(NONE if value is None else quantity(value, "B/s"), value)


def _share_cell(part: float, whole: float) -> Cell:
    value = part / whole if whole else None
    return Cell(share(value), value)
