"""Reader of torch.profiler (Kineto) and Chrome/Perfetto JSON, plain or gzip, in one streaming pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.build import Builder
from gpuprobe.trace.clock import LIMIT_NS
from gpuprobe.trace.json_events import CHUNK, EventStream, Outline
from gpuprobe.trace.kineto_columns import RANGES, Half, KinetoColumns
from gpuprobe.trace.kineto_schema import NUMBER_EVENTS, TEXT_EVENTS, Named, tolerant
from gpuprobe.trace.model import RangeKind, Trace
from gpuprobe.trace.scan.library import scanner_library
from gpuprobe.trace.scan.pieces import NativePieces
from gpuprobe.trace.source import ByteSource

_KEPT = (
    "schemaVersion",
    "traceName",
    "trace_id",
    "displayTimeUnit",
    "cuda_runtime_version",
    "cuda_driver_version",
    "cupti_version",
    "roctracer_version",
    "hip_runtime_version",
    "hip_driver_version",
    "distributedInfo",
)


def read_kineto(path: Path, chunk: int = CHUNK) -> Trace:
    """Read a JSON trace; GpuprobeError where it is none. What had to be left out is in ``Trace.warnings``."""
    with ByteSource(path) as source:
        reader = _Reader(source, chunk)
        try:
            return reader.read(path.name)
        except GpuprobeError as error:
            if source.damage:
                raise GpuprobeError(f"cannot read {path}: {source.damage}", "copy the file again") from error
            raise GpuprobeError(f"cannot read {path} as a trace: {error.message}", error.hint) from error


class _Reader:
    """One pass over a source: number decoding until a time needs its text, text decoding from there on."""

    def __init__(self, source: ByteSource, chunk: int) -> None:
        self._source = source
        self._builder = Builder()
        self._columns = KinetoColumns(self._builder)
        self._as_text = False
        self._odd: list[Any] = []
        self._stream = EventStream(source, self._take, self._take_odd, chunk)
        library = scanner_library(source.likely_size)
        self._native = None if library is None else NativePieces(library, self._columns)

    def read(self, name: str) -> Trace:
        """The whole trace."""
        read = self._stream.read()
        self._flush_odd()
        outline = self._stream.outline
        if read == 0 and outline.damage:
            raise GpuprobeError(outline.damage, "record the trace again")
        pair_halves(self._columns.halves, self._builder)
        keys = _document_keys(outline, self._builder.warnings)
        self._warn(outline, read)
        meta = _meta(keys, self._columns.named)
        meta["source"] = {
            "file": name,
            "format": "kineto" if "deviceProperties" in keys or "schemaVersion" in keys else "chrome",
            "json_bytes": self._source.size,
            "json_sha256": self._source.sha256,
            "events": read,
            "events_by_ph_cat": self._columns.by_ph_cat(),
        }
        return self._builder.finish(meta)

    def _take(self, text: Any) -> int:
        """Decode a JSON array of events into the columns and count them; bad UTF-8 becomes replacement characters."""
        self._flush_odd()
        if self._native is not None and (count := self._native.take(text)) is not None:
            return count
        try:
            return self._take_utf8(text)
        except UnicodeDecodeError:
            return self._take_utf8(bytes(text).decode("utf-8", "replace").encode())

    def _take_utf8(self, text: Any) -> int:
        if not self._as_text:
            events = NUMBER_EVENTS.decode(text)
            if self._columns.add(events, as_text=False):
                return len(events)
            self._as_text = True
        exact = TEXT_EVENTS.decode(text)
        self._columns.add(exact, as_text=True)
        return len(exact)

    def _take_odd(self, text: bytes) -> int:
        """One event from a piece that did not decode; 0 where it is no event at all."""
        array = b"[" + text + b"]"
        try:
            events = TEXT_EVENTS.decode(array)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            events = tolerant(text)
        self._odd += events
        return len(events)

    def _flush_odd(self) -> None:
        events, self._odd = self._odd, []
        if events:
            self._columns.add(events, as_text=True)

    def _warn(self, outline: Outline, read: int) -> None:
        warnings = self._builder.warnings
        if outline.damage:
            warnings.append(f"{outline.damage}: {read} whole events salvaged, the rest is lost")
        if outline.skipped:
            warnings.append(f"{outline.skipped} objects between the events are no events and were left out")
        if self._columns.untimed:
            warnings.append(f"{self._columns.untimed} events without a usable time were left out")


def pair_halves(halves: Sequence[Half], builder: Builder) -> None:
    """Ranges from begin and end events (ph B and E), matched as a stack on each thread; unmatched halves are told."""
    open_halves: dict[tuple[Any, ...], list[Half]] = defaultdict(list)
    rows = []
    unmatched = 0
    for half in sorted(halves, key=lambda item: item.time):
        stack = open_halves[half.lane]
        if half.ph == "B":
            stack.append(half)
        elif stack:
            begin = stack.pop()
            rows.append((begin.time, half.time - begin.time, begin.name, begin.lane, begin.cat))
        else:
            unmatched += 1
    unmatched += sum(map(len, open_halves.values()))
    if unmatched:
        builder.warnings.append(f"{unmatched} begin or end events have no partner and were left out")
    if rows:
        start, dur, names, lanes, categories = zip(*sorted(rows, key=lambda row: row[0]), strict=True)
        columns = {
            "start": start,
            "dur": dur,
            "name": [builder.texts[name] for name in names],
            "lane": [builder.lanes[lane] for lane in lanes],
            "category": [builder.texts[category] for category in categories],
            "kind": [RANGES.get((category or "").lower(), RangeKind.OTHER) for category in categories],
        }
        builder.add("ranges", columns)


def _document_keys(outline: Outline, warnings: list[str]) -> dict[str, Any]:
    """The document's keys beside its events; a part that is no JSON is told and left out."""
    if not outline.is_object:
        return {}
    keys: dict[str, Any] = {}
    for text in (outline.head + b"]}", b'{"traceEvents":[]' + outline.tail if outline.tail else b"{}"):
        try:
            part = msgspec.json.decode(text.decode("utf-8", "replace"))
        except (msgspec.DecodeError, RecursionError):
            warnings.append("what surrounds the events is no JSON and was left out")
        else:
            keys.update(part)
    keys.pop("traceEvents", None)
    return keys


def _meta(keys: Mapping[str, Any], named: Sequence[Named]) -> dict[str, Any]:
    """What the analyses and the display use of a document's keys and of its metadata events (ph M)."""
    meta: dict[str, Any] = {key: keys[key] for key in _KEPT if key in keys}
    devices = keys.get("deviceProperties")
    items = [item for item in devices if isinstance(item, dict)] if isinstance(devices, list) else []
    meta["devices"] = [item for item in items if isinstance(item.get("name", ""), str)]
    distributed = keys.get("distributedInfo")
    if isinstance(distributed, dict):
        meta.update({key: distributed[key] for key in ("rank", "world_size") if isinstance(distributed.get(key), int)})
    base = keys.get("baseTimeNanoseconds")
    if isinstance(base, int) and abs(base) < LIMIT_NS:
        meta["base_ns"] = base
    meta["vendor"] = (
        "amd" if any(key.startswith(("roc", "hip")) for key in keys) else "nvidia" if devices else "unknown"
    )
    meta["processes"], meta["threads"] = {}, {}
    for event in named:
        label = event.args.get("name", event.args.get("labels")) if isinstance(event.args, dict) else None
        if event.name in ("process_name", "process_labels") and label:
            meta["processes"].setdefault(str(event.pid), str(label))
        elif event.name == "thread_name" and label:
            meta["threads"].setdefault(f"{event.pid}/{event.tid}", str(label))
    return meta
