"""Writer of Chrome/Perfetto JSON in Kineto's words, which Perfetto, chrome://tracing and torch tools open.

Times are written as decimal microseconds with three digits, so that reading the file back gives the same nanoseconds.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.trace.launches import join_launches
from gpuprobe.trace.model import AnyTable, CallKind, GpuKind, Trace, columns_of

_GPU = {GpuKind.KERNEL: "kernel", GpuKind.MEMCPY: "gpu_memcpy", GpuKind.MEMSET: "gpu_memset"}
_CALL = {CallKind.RUNTIME: "cuda_runtime", CallKind.DRIVER: "cuda_driver"}
_RANGE = ("cpu_op", "user_annotation", "python_function", "gpu_user_annotation", "overhead", "other")
_WORDS = {
    "registers": "registers per thread",
    "shared": "shared memory",
    "dims": "Input Dims",
    "types": "Input type",
    "strides": "Input Strides",
    "values": "Concrete Inputs",
    "collective": "Collective name",
    "in_elements": "In msg nelems",
    "out_elements": "Out msg nelems",
    "group_size": "Group size",
    "group": "Process Group Name",
}
_EVENTS_AT_A_TIME = 20_000


def write_chrome(trace: Trace, path: Path) -> None:
    """Write ``path`` (gzip for ``.gz``), whole or not at all, without holding the text in memory."""
    handle, name = -1, ""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
                    packed.writelines(_document(trace))
            else:
                file.writelines(_document(trace))
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        raise GpuprobeError(
            f"cannot write {path}: {error.strerror or error}", "choose another path with -o", Exit.MACHINE_LACKS
        ) from error
    finally:
        if name:
            Path(name).unlink(missing_ok=True)


def _document(trace: Trace) -> Iterator[bytes]:
    head: dict[str, Any] = {
        "schemaVersion": 1,
        "displayTimeUnit": "ns",
        "deviceProperties": trace.meta.get("devices", []),
    }
    if "base_ns" in trace.meta:
        head["baseTimeNanoseconds"] = trace.meta["base_ns"]
    if "rank" in trace.meta:
        head["distributedInfo"] = {key: trace.meta[key] for key in ("rank", "world_size") if key in trace.meta}
    if trace.meta.get("vendor") == "amd":
        head["roctracer_version"] = trace.meta.get("roctracer_version", 0)
    yield msgspec.json.encode(head)[:-1] + b',"traceEvents":[\n'
    first = True
    for piece in _pieces(_events(trace)):
        yield (b"" if first else b",\n") + b",\n".join(piece)
        first = False
    yield b"\n]}\n"


def _pieces(events: Iterable[bytes]) -> Iterator[list[bytes]]:
    piece: list[bytes] = []
    for event in events:
        piece.append(event)
        if len(piece) == _EVENTS_AT_A_TIME:
            yield piece
            piece = []
    if piece:
        yield piece


def _events(trace: Trace) -> Iterator[bytes]:
    encode = msgspec.json.encode
    names = [encode(text) for text in trace.texts]
    lanes = [b'"pid":%b,"tid":%b' % (encode(lane.pid), encode(lane.tid)) for lane in trace.lanes]
    return chain(_names(trace), _gpu(trace, names, lanes), _host(trace, names, lanes), _arrows(trace, lanes))


def _names(trace: Trace) -> Iterator[bytes]:
    """Names of processes and threads (ph M)."""
    for lane in dict.fromkeys(lane[:2] for lane in trace.lanes):
        pid, tid = lane
        for kind, label in (
            ("process_name", trace.meta.get("processes", {}).get(str(pid))),
            ("thread_name", trace.meta.get("threads", {}).get(f"{pid}/{tid}")),
        ):
            if label:
                event = {"ph": "M", "name": kind, "pid": pid, "tid": tid, "ts": 0, "args": {"name": label}}
                yield msgspec.json.encode(event)


def _gpu(trace: Trace, names: list[bytes], lanes: list[bytes]) -> Iterator[bytes]:
    for row in _rows(trace.gpu):
        lane = trace.lanes[row["lane"]]
        args: dict[str, Any] = {"correlation": row["correlation"], "External id": row["external"]}
        args |= {} if lane.device is None else {"device": lane.device}
        args |= {} if lane.stream is None else {"stream": lane.stream}
        args |= {"bytes": row["bytes"]} if row["bytes"] >= 0 else {}
        args |= {"graph id": row["graph"], "graph node id": row["node"]} if row["graph"] or row["node"] else {}
        args |= _kept(trace, row["config"]) | _kept(trace, row["detail"])
        yield _complete(_GPU[GpuKind(row["kind"])].encode(), row, names, lanes, args)
    for row in _rows(trace.syncs):
        lane = trace.lanes[row["lane"]]
        args = {"correlation": row["correlation"], "device": lane.device, "stream": lane.stream}
        args |= {"wait_on_stream": row["wait_stream"], "wait_on_cuda_event_record_corr_id": row["wait_correlation"]}
        yield _complete(b"cuda_sync", row, names, lanes, args)


def _host(trace: Trace, names: list[bytes], lanes: list[bytes]) -> Iterator[bytes]:
    for row in _rows(trace.calls):
        args = {"correlation": row["correlation"], "External id": row["external"]}
        yield _complete(_CALL[CallKind(row["kind"])].encode(), row, names, lanes, args)
    for row in _rows(trace.ranges):
        args = ({"External id": row["external"]} if row["external"] else {}) | _kept(trace, row["args"])
        category = names[row["category"]][1:-1] or _RANGE[row["kind"]].encode()
        yield _complete(category, row, names, lanes, args)
    for row in _rows(trace.samples):
        parts = (names[row["name"]], lanes[row["lane"]], _us(row["start"]), msgspec.json.encode(row["value"]))
        yield b'{"ph":"C","name":%b,%b,"ts":%b,"args":{"value":%b}}' % parts


def _arrows(trace: Trace, lanes: list[bytes]) -> Iterator[bytes]:
    """Flow arrows from launch calls to GPU events."""
    launches = join_launches(trace)
    begun: set[int] = set()
    call_start, call_lane = trace.calls.start.tolist(), trace.calls.lane.tolist()
    columns = (launches.call, trace.gpu.correlation, trace.gpu.start, trace.gpu.lane)
    for call, correlation, start, lane in zip(*(column.tolist() for column in columns), strict=True):
        if call < 0:
            continue
        if call not in begun:
            begun.add(call)
            yield _arrow(b'"s"', correlation, lanes[call_lane[call]], call_start[call])
        yield _arrow(b'"f","bp":"e"', correlation, lanes[lane], start)


def _arrow(ph: bytes, correlation: int, lane: bytes, time: int) -> bytes:
    return b'{"ph":%b,"id":%d,%b,"ts":%b,"cat":"ac2g","name":"ac2g"}' % (ph, correlation, lane, _us(time))


def _complete(
    cat: bytes, row: Mapping[str, Any], names: list[bytes], lanes: list[bytes], args: dict[str, Any]
) -> bytes:
    return b'{"ph":"X","cat":"%b","name":%b,%b,"ts":%b,"dur":%b,"args":%b}' % (
        cat,
        names[row["name"]],
        lanes[row["lane"]],
        _us(row["start"]),
        _us(row["dur"]),
        msgspec.json.encode(args),
    )


def _kept(trace: Trace, text: int) -> dict[str, Any]:
    """A small JSON object of the Trace, its keys in Kineto's words; nothing where it is no object."""
    if not text:
        return {}
    try:
        document = msgspec.json.decode(trace.texts[text])
    except msgspec.DecodeError:
        return {}
    return {str(_WORDS.get(key, key)): value for key, value in document.items()} if isinstance(document, dict) else {}


def _rows(table: AnyTable) -> Iterator[dict[str, Any]]:
    names = list(columns_of(type(table)))
    for values in zip(*(getattr(table, name).tolist() for name in names), strict=True):
        yield dict(zip(names, values, strict=True))


def _us(ns: int) -> bytes:
    """Nanoseconds as microseconds with three decimals."""
    sign = b"-" if ns < 0 else b""
    return b"%b%d.%03d" % (sign, abs(ns) // 1000, abs(ns) % 1000)
