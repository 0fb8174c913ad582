"""The exact block of nasty random files against a slow oracle that knows what each event truly says."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nasty_traces import Said, nasty_trace

from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.analyze import analyze
from gpuprobe.trace.exact import exact
from gpuprobe.trace.kineto import read_kineto
from gpuprobe.trace.launches import join_launches
from gpuprobe.trace.store import read_gptrace, write_trace

GPU = ("kernel", "gpu_memcpy", "gpu_memset", "memcpy", "memset")
CALLS = ("cuda_runtime", "cuda_driver", "runtime")
Span = tuple[int, int]


def kind(event: Said) -> str:
    return (event.cat or "").lower()


def cells(spans: Iterable[Span], *others: Iterable[Span]) -> int:
    """Length of the times that every one of the sets covers, cell by cell between all borders."""
    sets = [list(spans), *map(list, others)]
    borders = sorted({time for some in sets for span in some for time in span})
    return sum(
        high - low
        for low, high in pairwise(borders)
        if all(any(start <= low and high <= end for start, end in some) for some in sets)
    )


def work(event: Said) -> str:
    name = event.name or ""
    if kind(event) != "kernel":
        return "memory"
    marks = name[:4] == "nccl" or name.count("ncclKernel") or name.count("ncclDevKernel")
    return "communication" if marks else "compute"


def label(event: Said, key: str) -> str:
    return str((event.args or {}).get(key, event.pid if key == "device" else event.tid))


class Oracle:
    """Every quantity the long way, from the definitions."""

    def __init__(self, events: list[Said]) -> None:
        self.events = events
        complete = [event for event in events if event.ph == "X"]
        self.complete = complete
        self.gpu = [event for event in complete if kind(event) in GPU]
        self.kernels = [event for event in self.gpu if kind(event) == "kernel"]
        self.calls = [event for event in complete if kind(event) in CALLS]
        self.launches = [(event, self.launch(event)) for event in self.gpu]

    def launch(self, event: Said) -> Said | None:
        """The call of the event's correlation that starts last; of several at once the last in the file."""
        correlation = (event.args or {}).get("correlation", 0)
        mates = [call for call in self.calls if correlation and (call.args or {})["correlation"] == correlation]
        return max(enumerate(mates), key=lambda pair: (pair[1].start, pair[0]))[1] if mates else None

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = {"steps": self.steps(), "gpu": self.totals(), "devices": {}, "streams": {}}
        for device in {label(event, "device") for event in self.gpu}:
            found["devices"][device] = self.device([event for event in self.gpu if label(event, "device") == device])
        keys = {(label(event, "device"), label(event, "stream")) for event in self.gpu}
        for device, stream in keys:
            rows = [
                pair
                for pair in self.launches
                if (label(pair[0], "device"), label(pair[0], "stream")) == (device, stream)
            ]
            found["streams"][f"{device}/{stream}"] = self.stream(rows)
        return {**found, **self.names(), **self.launched(), **self.latency()}

    def steps(self) -> list[dict[str, Any]]:
        rows = [
            (event.start, event.end, event.name)
            for event in self.complete
            if (event.name or "").startswith("ProfilerStep") and event.cat != "gpu_user_annotation"
        ]
        return [{"name": name, "dur_ns": end - start} for start, end, name in sorted(rows)]

    def totals(self) -> dict[str, int]:
        totals = {"events": len(self.gpu), "kernels": len(self.kernels)}
        if self.gpu:
            totals["span_ns"] = max(event.end for event in self.gpu) - min(event.start for event in self.gpu)
            totals["dur_sum_ns"] = sum(event.dur for event in self.gpu)
        return totals

    def device(self, events: list[Said]) -> dict[str, Any]:
        parts: dict[str, list[Span]] = {"compute": [], "communication": [], "memory": []}
        for event in events:
            parts[work(event)].append((event.start, event.end))
        span = max(event.end for event in events) - min(event.start for event in events)
        busy = cells((event.start, event.end) for event in events)
        both, communication = cells(parts["compute"], parts["communication"]), cells(parts["communication"])
        return {
            "span_ns": span,
            "busy_ns": busy,
            "idle_ns": span - busy,
            "union_ns": {name: cells(spans) for name, spans in parts.items()},
            "count": {name: len(spans) for name, spans in parts.items()},
            "comp_comm_overlap_ns": both,
            "comp_comm_overlap_pct_of_comm": round(100 * both / communication, 4) if communication else None,
        }

    def names(self) -> dict[str, Any]:
        groups: dict[str, list[int]] = defaultdict(list)
        for event in self.gpu:
            groups[event.name or ""].append(event.dur)
        rows = [
            {"name": name, "count": len(durs), "sum_ns": sum(durs), "min_ns": min(durs), "max_ns": max(durs)}
            for name, durs in groups.items()
        ]
        return {"names": {"distinct": len(rows), "top_by_sum": sorted(rows, key=lambda r: (-r["sum_ns"], r["name"]))}}

    def launched(self) -> dict[str, Any]:
        pairs = [(event, call) for event, call in self.launches if call]
        graph = [(event, call) for event, call in pairs if "GraphLaunch" in (call.name or "")]
        waits = [(event.start - call.start, (event, call) in graph) for event, call in pairs if kind(event) == "kernel"]
        delays = [event.start - call.end for event, call in pairs]
        return {
            "launch": {
                "launched": len(pairs),
                "orphans": len(self.gpu) - len(pairs),
                "graph_launched": len(graph),
                "by_api": dict(Counter(call.name for _, call in pairs)),
                "graph_launch_calls_with_gpu_events": len({(event.args or {})["correlation"] for event, _ in graph}),
            },
            "tklqt": {
                "n": len(waits),
                "raw_ns": sum(wait for wait, _ in waits),
                "clamped_ns": sum(wait for wait, _ in waits if wait > 0),
                "negative": sum(wait < 0 for wait, _ in waits),
                "n_no_graph": sum(not by_graph for _, by_graph in waits),
                "raw_ns_no_graph": sum(wait for wait, by_graph in waits if not by_graph),
            },
            "launch_delay": {
                "n": len(delays),
                "clamped_sum_ns": sum(delay for delay in delays if delay > 0),
                "over_100us": sum(delay > 100_000 for delay in delays),
            },
        }

    def latency(self) -> dict[str, Any]:
        """IL from the first operators that begin when no earlier outermost one of their thread runs any more."""
        if not self.kernels:
            return {}
        total, end = sum(event.dur for event in self.kernels), max(event.end for event in self.kernels)
        found: dict[str, Any] = {"akd_ns": total / len(self.kernels)}
        reach: dict[Any, int] = {}
        tops = []
        operators = [event for event in self.complete if event.cat == "cpu_op"]
        for operator in sorted(operators, key=lambda event: (event.start, -event.end)):
            thread = (operator.pid, operator.tid)
            if operator.start >= reach.get(thread, -1):
                reach[thread] = operator.end
                tops.append(operator)
        aten = [top for top in tops if (top.name or "")[:6] == "aten::"]
        for key, chosen in (("il", tops), ("il_aten_first", aten)):
            if chosen:
                found[f"{key}_ns"] = end - min(top.start for top in chosen)
                found[f"gpu_idle_skip_{key}_ns"] = found[f"{key}_ns"] - total
        return found

    def stream(self, rows: list[tuple[Said, Said | None]]) -> dict[str, Any]:
        gaps = {"host_wait": 0, "short": 0, "other": 0, "unlaunched": 0}
        ordered = sorted(rows, key=lambda row: (row[0].start, row[0].end, row[1].start if row[1] else 0))
        for index, (event, call) in enumerate(ordered[1:], 1):
            before = max(earlier.end for earlier, _ in ordered[:index])
            gap = event.start - before
            if gap > 0:
                late = call is not None and call.start > before
                short = "short" if gap < 30_000 else "other"
                gaps["unlaunched" if call is None else "host_wait" if late else short] += gap
        known = [(call.start, event.start) for event, call in rows if call]
        moments = sorted({time for pair in known for time in pair})
        # At one moment launches count before starts: the deepest is with all of its launches and none of its starts.
        depth = [sum(a <= now for a, _ in known) - sum(b < now for _, b in known) for now in moments]
        return {
            "events": len(rows),
            "busy_ns": cells((event.start, event.end) for event, _ in rows),
            "gap_ns": gaps,
            "queue_depth_max": max([0, *depth]),
        }


def counted(events: list[Said]) -> dict[str, int]:
    return dict(Counter(f"{event.ph}/{event.cat}" for event in events))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(st.integers(0, 1 << 40))
def test_exact_equals_what_the_events_say(tmp_path: Path, seed: int) -> None:
    text, events = nasty_trace(Random(seed))
    path = tmp_path / "nasty.json"
    path.write_text(text)
    trace = read_kineto(path, 300 if seed % 2 else 1 << 20)
    document = exact(trace, join_launches(trace), 100)
    source = document.pop("trace")
    assert document == Oracle(events).document()
    assert (source["events"], source["events_by_ph_cat"]) == (len(events), counted(events))
    assert trace.warnings == ()
    write_trace(trace, tmp_path / "nasty.gptrace")
    again = read_gptrace(tmp_path / "nasty.gptrace")
    assert exact(again, join_launches(again), 100) == {"trace": source, **document}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.integers(0, 1 << 40))
def test_every_analysis_of_it_is_json_whose_parts_sum(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "nasty.json"
    path.write_text(nasty_trace(Random(seed))[0])
    try:
        document = analyze(read_kineto(path))
    except GpuprobeError as error:
        assert "no GPU events" in error.message
        return
    json.dumps(document, allow_nan=False)
    for idle in document["idle"].values():
        assert sum(idle["causes_ns"].values()) == idle["idle_ns"]
    assert sum(document["critical_path"]["bound_ns"].values()) == document["critical_path"]["window_ns"]
