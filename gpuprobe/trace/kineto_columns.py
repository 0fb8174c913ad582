"""Decoded Kineto events → columns: one sweep over a piece for each column, nothing kept of the events themselves.

Written for speed where it is called a million times: plain comprehensions over attributes, one dictionary look-up each.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.build import Builder
from gpuprobe.trace.clock import exact_ns, text_ns
from gpuprobe.trace.kineto_schema import Begin, Complete, CompleteText, Counter, End, Named, Unread, tag_of, whole_of
from gpuprobe.trace.model import I64, CallKind, GpuKind, RangeKind

GPU = {
    "kernel": GpuKind.KERNEL,
    "gpu_memcpy": GpuKind.MEMCPY,
    "memcpy": GpuKind.MEMCPY,
    "gpu_memset": GpuKind.MEMSET,
    "memset": GpuKind.MEMSET,
}
CALLS = {"cuda_runtime": CallKind.RUNTIME, "runtime": CallKind.RUNTIME, "cuda_driver": CallKind.DRIVER}
RANGES = {
    "cpu_op": RangeKind.OPERATOR,
    "user_annotation": RangeKind.ANNOTATION,
    "python_function": RangeKind.PYTHON,
    "gpu_user_annotation": RangeKind.GPU_ANNOTATION,
    "overhead": RangeKind.OVERHEAD,
}
UNTIMED = -(1 << 63)
"""The duration of an event whose start is no number."""
_CLASS_AND_CATEGORY = attrgetter("__class__", "cat")
_KEPT_APART = (Begin, End, Counter, Named)
_SEPARATOR = b"\0"  # raw JSON holds no control character


class _Categories(dict[str | None, int]):
    """The category of a complete event → a code, and for each code where it goes, its kind and its count."""

    def __init__(self, builder: Builder) -> None:
        super().__init__()
        self._builder = builder
        self.targets: list[str] = []
        self.kinds: list[int] = []
        self.texts: list[int] = []
        self.counts: list[int] = []

    def __missing__(self, cat: str | None) -> int:
        self[cat] = code = len(self.targets)
        target, kind = route(cat)
        self.targets.append(target)
        self.kinds.append(kind)
        self.texts.append(self._builder.texts[cat])
        self.counts.append(0)
        return code


def route(cat: str | None) -> tuple[str, int]:
    """Where complete events of a category go and their kind; frames and the like have no arguments to read."""
    lower = (cat or "").lower()
    if lower in GPU:
        return "gpu", int(GPU[lower])
    if lower in CALLS:
        return "calls", int(CALLS[lower])
    if lower == "cuda_sync":
        return "syncs", 0
    kind = RANGES.get(lower, RangeKind.OTHER)
    return "operators" if kind in (RangeKind.OPERATOR, RangeKind.ANNOTATION) else "ranges", int(kind)


class _JsonTexts(dict[bytes, int]):
    """Raw JSON values, joined, → text id of one JSON object of them."""

    def __init__(self, builder: Builder, *keys: str) -> None:
        super().__init__()
        self._builder, self._keys = builder, keys

    def __missing__(self, joined: bytes) -> int:
        raws = joined.decode("utf-8", "replace").split("\0")
        pairs = [f'"{key}":{raw}' for key, raw in zip(self._keys, raws, strict=True) if raw]
        self[joined] = identifier = self._builder.texts["{" + ",".join(pairs) + "}"]
        return identifier


class Half(NamedTuple):
    """A begin (ph B) or end (ph E) event on its thread."""

    time: int
    ph: str
    name: str | None
    lane: tuple[Any, ...]
    cat: str | None


class KinetoColumns:
    """Takes lists of events and appends them to a Builder; counts every (ph, cat) and events without a usable time."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.counts: Tally[tuple[str | None, str | None]] = Tally()
        self.untimed = 0
        self.named: list[Named] = []
        self.halves: list[Half] = []
        self.categories = _Categories(builder)
        self.config = _JsonTexts(builder, "grid", "block", "registers", "shared")
        self.shapes = _JsonTexts(builder, "dims", "types", "strides", "values")
        self.detail = _JsonTexts(builder, "collective", "in_elements", "out_elements", "dtype", "group_size", "group")
        self._fill: dict[str, Callable[[list[Any]], dict[str, Any]]] = {
            "gpu": self._gpu,
            "calls": self._calls,
            "operators": self._operators,
            "ranges": self._ranges,
            "syncs": self._syncs,
        }
        self._targets = list(self._fill)

    def add(self, events: list[Any], *, as_text: bool) -> bool:
        """Append a piece. False, and nothing appended, where the times are numbers that do not tell the nanosecond."""
        complete = CompleteText if as_text else Complete
        timed = [event for event in events if type(event) is complete]
        times = self._times(timed, as_text=as_text)
        if times is None:
            return False
        if timed:
            self._distribute(timed, *times)
        if len(timed) < len(events):
            self._apart([event for event in events if type(event) is not complete])
        return True

    def by_ph_cat(self) -> dict[str, int]:
        """Events by phase and category as ``X/kernel``, most frequent first."""
        categories = zip(self.categories, self.categories.counts, strict=True)
        counts: Tally[str] = Tally({f"X/{cat}": count for cat, count in categories})
        for (ph, cat), count in self.counts.items():
            counts[f"{ph}/{cat}"] += count
        return dict(counts.most_common())

    def _times(self, events: list[Any], *, as_text: bool) -> tuple[I64, I64] | None:
        """Starts and durations, UNTIMED for the duration of an event without a usable start."""
        starts, durations = [event.ts for event in events], [event.dur for event in events]
        if not as_text:
            start, dur = exact_ns(starts), exact_ns(durations)
            return None if start is None or dur is None else (start, dur)
        start, good_start = text_ns(starts)
        dur, good_dur = text_ns(durations)
        return start, np.where(good_start, np.where(good_dur, dur, 0), UNTIMED)

    def by_target(self, codes: NDArray[Any]) -> Iterator[tuple[str, NDArray[np.intp]]]:
        """Count complete events by the codes of their categories; (target, rows) for each target that has some."""
        categories = self.categories
        for code, count in enumerate(np.bincount(codes).tolist()):
            categories.counts[code] += count
        target_of = np.array([self._targets.index(target) for target in categories.targets])[codes]
        for index, target in enumerate(self._targets):
            rows = np.flatnonzero(target_of == index)
            if len(rows):
                yield target, rows

    def of_category(self, target: str, codes: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The columns of a target that follow from the category alone."""
        columns = {} if target == "syncs" else {"kind": np.array(self.categories.kinds)[codes]}
        if target in ("operators", "ranges"):
            columns["category"] = np.array(self.categories.texts)[codes]
        return columns

    def append(self, target: str, columns: Mapping[str, Any]) -> None:
        """Rows of a target to its table."""
        self.builder.add("ranges" if target == "operators" else target, columns)

    def _distribute(self, events: list[Any], start: I64, dur: I64) -> None:
        """Complete events to their tables, each in the order of the file."""
        codes = np.fromiter(map(self.categories.__getitem__, map(attrgetter("cat"), events)), np.intp, len(events))
        timed = dur != UNTIMED
        self.untimed += int((~timed).sum())
        texts = self.builder.texts
        for target, all_rows in self.by_target(codes):
            rows = all_rows[timed[all_rows]]
            if not len(rows):
                continue
            chosen = [events[row] for row in rows.tolist()]
            columns = {"start": start[rows], "dur": dur[rows], "name": [texts[event.name] for event in chosen]}
            columns |= self.of_category(target, codes[rows])
            self.append(target, columns | self._fill[target](chosen))

    def _gpu(self, events: list[Any]) -> dict[str, Any]:
        lanes, args = self.builder.lanes, [event.args for event in events]
        return {
            "lane": [lanes[event.pid, event.tid, event.args.device, event.args.stream] for event in events],
            "correlation": [a.correlation for a in args],
            "external": [a.external for a in args],
            "config": _texts(self.config, [(a.grid, a.block, a.registers, a.shared) if a.grid else None for a in args]),
            "detail": _texts(self.detail, [_collective(a) if a.in_elements else None for a in args]),
            "bytes": [a.bytes if type(a.bytes) is int else _bytes(a.bytes) for a in args],
            "graph": [a.graph for a in args],
            "node": [a.node for a in args],
        }

    def _calls(self, events: list[Any]) -> dict[str, Any]:
        args = [event.args for event in events]
        return {
            "lane": self._lanes(events),
            "correlation": [a.correlation for a in args],
            "external": [a.external for a in args],
        }

    def _operators(self, events: list[Any]) -> dict[str, Any]:
        args = [event.args for event in events]
        shapes = [(a.dims, a.types, a.strides, a.values) if a.dims else None for a in args]
        return {
            **self._ranges(events),
            "external": [a.external for a in args],
            "args": _texts(self.shapes, shapes),
        }

    def _ranges(self, events: list[Any]) -> dict[str, Any]:
        return {"lane": self._lanes(events)}

    def _syncs(self, events: list[Any]) -> dict[str, Any]:
        lanes, args = self.builder.lanes, [event.args for event in events]
        return {
            "lane": [lanes[event.pid, event.tid, event.args.device, event.args.stream] for event in events],
            "correlation": [a.correlation for a in args],
            "wait_stream": [a.wait_stream for a in args],
            "wait_correlation": [a.wait_correlation for a in args],
        }

    def _lanes(self, events: list[Any]) -> list[int]:
        lanes = self.builder.lanes
        return [lanes[event.pid, event.tid] for event in events]

    def _apart(self, events: list[Any]) -> None:
        """Everything that is no complete event: counted, and the few kinds that matter kept."""
        tally = Tally(map(_CLASS_AND_CATEGORY, events))
        if any(kind is Unread for kind, _ in tally):  # its events carry their phase themselves
            self.counts.update((event.ph, event.cat) for event in events if type(event) is Unread)
        self.count_apart({(tag_of(kind), cat): count for (kind, cat), count in tally.items() if kind is not Unread})
        if any(kind in _KEPT_APART for kind, _ in tally):
            self.keep_apart(events)

    def count_apart(self, counts: Mapping[tuple[str | None, str | None], int]) -> None:
        """Count events that are not complete, by phase and category."""
        self.counts.update(counts)

    def keep_apart(self, events: Sequence[Any]) -> None:
        """Keep what matters of events that are not complete."""
        for kinds, keep in (((Begin, End), self._halves), ((Counter,), self._samples), ((Named,), self._name)):
            if chosen := [event for event in events if type(event) in kinds]:
                keep(chosen)

    def _name(self, events: Sequence[Any]) -> None:
        self.named += events

    def _halves(self, events: Sequence[Any]) -> None:
        times, good = text_ns([event.ts for event in events])
        self.untimed += int((~good).sum())
        self.halves += [
            Half(time, tag_of(type(event)), event.name, (event.pid, event.tid), event.cat)
            for time, event, timed in zip(times.tolist(), events, good.tolist(), strict=True)
            if timed
        ]

    def _samples(self, events: Sequence[Any]) -> None:
        times, good = text_ns([event.ts for event in events])
        self.untimed += int((~good).sum())
        texts, lanes = self.builder.texts, self.builder.lanes
        rows = [
            (time, texts[f"{event.name} {key}"], lanes[event.pid, event.tid], float(value))
            for time, event, timed in zip(times.tolist(), events, good.tolist(), strict=True)
            if timed and isinstance(event.args, dict)
            for key, value in event.args.items()
            if isinstance(value, (int, float)) and abs(value) < 1e300
        ]
        if rows:
            columns = zip(*rows, strict=True)
            self.builder.add("samples", dict(zip(("start", "name", "lane", "value"), columns, strict=True)))


def _bytes(text: str) -> int:
    """Bytes that AMD's traces write as text; -1 where it is no number."""
    number = whole_of(text)
    return -1 if number is None else number


def _collective(args: Any) -> tuple[Any, ...]:
    return args.collective, args.in_elements, args.out_elements, args.dtype, args.group_size, args.group


def _texts(texts: _JsonTexts, raws: list[tuple[Any, ...] | None]) -> list[int]:
    return [0 if parts is None else texts[_SEPARATOR.join(parts)] for parts in raws]
