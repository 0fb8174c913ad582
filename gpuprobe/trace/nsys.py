"""Reader of Nsight Systems exports (``nsys export --type sqlite``), schemas 2 and 3.

Tables are lazy: one exists only where something was recorded. Times are integer nanoseconds from the session's start. A
global id holds the process in bits 24-47 and the thread in bits 0-23; a correlation is unique only within its process.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.build import Builder
from gpuprobe.trace.clock import LIMIT_NS
from gpuprobe.trace.model import I64, CallKind, GpuKind, RangeKind, Trace
from gpuprobe.trace.sqlite_tables import Database

KERNEL, MEMCPY, MEMSET = (f"CUPTI_ACTIVITY_KIND_{kind}" for kind in ("KERNEL", "MEMCPY", "MEMSET"))
CALLS, SYNC, GRAPH = (f"CUPTI_ACTIVITY_KIND_{kind}" for kind in ("RUNTIME", "SYNCHRONIZATION", "GRAPH_TRACE"))
NVTX, STRINGS = "NVTX_EVENTS", "StringIds"

_COMMON = {"start": 0, "end": 0, "deviceId": 0, "streamId": -1, "correlationId": 0, "globalPid": 0}
_COPIES = ("Unknown", "HtoD", "DtoH", "HtoA", "AtoH", "AtoA", "AtoD", "DtoA", "DtoD", "HtoH", "PtoP")
_MEMORY = ("Pageable", "Pinned", "Device", "Array", "Managed", "Device", "Managed")
_SYNCS = ("Unknown Sync", "Event Sync", "Stream Wait Event", "Stream Sync", "Context Sync")
_VERSION = re.compile(r"(_ptsz|_ptds)?(_v\d+)?$")
_RANGE_TYPES = (59, 60)  # NvtxPushPopRange, NvtxStartEndRange

Columns = Mapping[str, I64]


def read_nsys(path: Path) -> Trace:
    """Read an nsys SQLite export; GpuprobeError where it is none."""
    with Database(path) as database:
        if not database.tables & {KERNEL, CALLS, NVTX, "TARGET_INFO_GPU", "TARGET_INFO_SESSION_START_TIME"}:
            raise GpuprobeError(
                f"cannot read {path} as a trace: an SQLite file without Nsight Systems' tables",
                "export it with: nsys export --type sqlite FILE.nsys-rep",
            )
        return _Reader(database).read(path)


class _Reader:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._builder = Builder()
        self._processes: dict[int, int] = {}
        self._text_ids: dict[int, int] = {}
        self._counts: dict[str, int] = {}

    def read(self, path: Path) -> Trace:
        """The whole export."""
        keys = self._database.columns(STRINGS, {"id": -1})["id"].tolist()
        values = [str(value) for (value,) in self._database.rows(STRINGS, "value")]
        self._text_ids = {key: self._builder.texts[text] for key, text in zip(keys, values, strict=True)}
        self._kernels()
        self._copies(MEMCPY, GpuKind.MEMCPY, {"copyKind": 0, "srcKind": 0, "dstKind": 0}, _copy_name, "gpu_memcpy")
        self._copies(MEMSET, GpuKind.MEMSET, {"memKind": 2}, _set_name, "gpu_memset")
        self._graphs()
        self._calls()
        self._syncs()
        self._ranges()
        source = {
            "file": path.name,
            "format": "nsys",
            "events": sum(self._counts.values()),
            "events_by_ph_cat": {f"X/{cat}": count for cat, count in self._counts.items() if count},
        }
        return self._builder.finish({"source": source, "vendor": "nvidia", **self._session()})

    def _kernels(self) -> None:
        shape = dict.fromkeys(("gridX", "gridY", "gridZ", "blockX", "blockY", "blockZ", "registersPerThread"), 0)
        shared = {"staticSharedMemory": 0, "dynamicSharedMemory": 0}
        names = {"demangledName": -1, "shortName": -1}
        rows = self._database.columns(KERNEL, {**_COMMON, **names, **shape, **shared, "graphNodeId": 0})
        named = np.where(rows["demangledName"] >= 0, rows["demangledName"], rows["shortName"])
        launch = np.stack([rows[key] for key in (*shape, *shared)], axis=1)
        config = self._each_distinct(launch, lambda row: self._builder.texts[_config(row)])
        self._gpu(rows, GpuKind.KERNEL, self._strings(named), "kernel", config=config)

    def _copies(
        self, table: str, kind: GpuKind, extra: Mapping[str, int], name: Callable[[list[int]], str], cat: str
    ) -> None:
        rows = self._database.columns(table, {**_COMMON, "bytes": -1, "graphNodeId": 0, **extra})
        parts = np.stack([rows[key] for key in extra], axis=1)
        names = self._each_distinct(parts, lambda row: self._builder.texts[name(row)])
        self._gpu(rows, kind, names, cat)

    def _graphs(self) -> None:
        """Graph launches recorded as a whole count as one kernel each, so that their time is not called idle."""
        rows = self._database.columns(GRAPH, {**_COMMON, "graphId": 0})
        if len(rows["start"]):
            name = self._builder.texts["[CUDA graph, kernels not recorded]"]
            self._gpu(rows, GpuKind.KERNEL, np.full(len(rows["start"]), name), "kernel")
            self._builder.warnings.append(
                f"{len(rows['start'])} graph launches are recorded as a whole; "
                "record with nsys profile --cuda-graph-trace=node to see their kernels"
            )

    def _gpu(self, rows: Columns, kind: GpuKind, names: NDArray[Any], cat: str, **extra: Any) -> None:
        count = len(rows["start"])
        self._counts[cat] = self._counts.get(cat, 0) + count
        if not count:
            return
        process = _process(rows["globalPid"])
        keys = np.stack([process, rows["deviceId"], rows["streamId"]], axis=1)
        lanes = self._builder.lanes
        columns = {
            **self._times(rows),
            "name": names,
            "kind": np.full(count, int(kind)),
            "lane": self._each_distinct(keys, lambda key: lanes[key[0], key[2], key[1], key[2]]),
            "correlation": self._correlation(rows["correlationId"], process),
            "bytes": rows.get("bytes", np.full(count, -1)),
            "graph": rows.get("graphId", np.zeros(count)),
            "node": rows.get("graphNodeId", np.zeros(count)),
            **extra,
        }
        self._builder.add("gpu", columns)

    def _calls(self) -> None:
        rows = self._database.columns(CALLS, {"start": 0, "end": 0, "globalTid": 0, "correlationId": 0, "nameId": -1})
        plain = {key: _VERSION.sub("", self._builder.texts.in_order[text]) for key, text in self._text_ids.items()}
        texts = self._builder.texts
        names = self._each_distinct(rows["nameId"][:, None], lambda key: texts[plain.get(key[0], "")])
        driver = np.array([_is_driver(text) for text in texts.in_order])[names]
        kind = np.where(driver, CallKind.DRIVER, CallKind.RUNTIME)
        for cat, which in (("cuda_runtime", CallKind.RUNTIME), ("cuda_driver", CallKind.DRIVER)):
            self._counts[cat] = int((kind == which).sum())
        if len(kind):
            columns = {**self._host(rows), "name": names, "kind": kind}
            columns["correlation"] = self._correlation(rows["correlationId"], _process(rows["globalTid"]))
            self._builder.add("calls", columns)

    def _syncs(self) -> None:
        rows = self._database.columns(SYNC, {**_COMMON, "syncType": 0})
        self._counts["cuda_sync"] = len(rows["start"])
        if not len(rows["start"]):
            return
        process = _process(rows["globalPid"])
        stream = np.where(rows["streamId"] == 0xFFFFFFFF, -1, rows["streamId"])
        keys = np.stack([process, rows["deviceId"], stream], axis=1)
        lanes, texts = self._builder.lanes, self._builder.texts
        columns = {
            **self._times(rows),
            "name": self._each_distinct(rows["syncType"][:, None], lambda key: texts[_at(_SYNCS, key[0])]),
            "lane": self._each_distinct(keys, lambda key: lanes[key[0], key[2], key[1], key[2]]),
            "correlation": self._correlation(rows["correlationId"], process),
            "wait_stream": np.full(len(stream), -1),
        }
        self._builder.add("syncs", columns)

    def _ranges(self) -> None:
        rows = self._database.columns(NVTX, {"start": 0, "end": -1, "eventType": 0, "textId": -1, "globalTid": 0})
        texts, registered = self._builder.texts, self._text_ids
        written = [text for (text,) in self._database.rows(NVTX, "text")]
        names = [
            texts[text] if isinstance(text, str) and text else registered.get(key, 0)
            for text, key in zip(written, rows["textId"].tolist(), strict=True)
        ]
        whole = np.isin(rows["eventType"], _RANGE_TYPES) & (rows["end"] >= rows["start"])
        self._counts["user_annotation"] = int(whole.sum())
        columns = {name: values[whole] for name, values in self._host(rows).items()}
        columns["name"] = np.array(names, np.int64)[whole]
        columns["kind"] = np.full(int(whole.sum()), int(RangeKind.ANNOTATION))
        columns["category"] = np.full(int(whole.sum()), texts["user_annotation"])
        self._builder.add("ranges", columns)

    def _host(self, rows: Columns) -> dict[str, Any]:
        lanes = self._builder.lanes
        return {
            **self._times(rows),
            "lane": self._each_distinct(rows["globalTid"][:, None], lambda key: lanes[_host_lane(key[0])]),
        }

    def _times(self, rows: Columns) -> dict[str, I64]:
        """Start and duration, ns; an event that never ended lasts 0."""
        for name in ("start", "end"):
            if len(rows[name]) and max(-int(rows[name].min()), int(rows[name].max())) > LIMIT_NS:
                raise self._database.damaged(f"a {name} is no time")
        return {"start": rows["start"], "dur": np.maximum(rows["end"] - rows["start"], 0)}

    def _correlation(self, correlation: I64, process: I64) -> I64:
        """Correlations made unique over processes: the first process keeps its own."""
        number = self._each_distinct(
            process[:, None], lambda key: self._processes.setdefault(key[0], len(self._processes))
        )
        return np.where(correlation == 0, 0, correlation + (number.astype(np.int64) << 40))

    def _strings(self, keys: I64) -> NDArray[np.int64]:
        return self._each_distinct(keys[:, None], lambda key: self._text_ids.get(key[0], 0))

    def _each_distinct(self, keys: NDArray[Any], function: Callable[[list[int]], int]) -> NDArray[np.int64]:
        """``function`` of each row of keys, called once for each distinct row."""
        if len(keys) == 0:
            return np.zeros(0, np.int64)
        distinct, which = np.unique(keys, axis=0, return_inverse=True)
        return np.array([function(row) for row in distinct.tolist()], np.int64)[which.reshape(-1)]

    def _session(self) -> dict[str, Any]:
        names = ("id", "name", "smCount", "totalMemory", "memoryBandwidth", "computeMajor", "computeMinor", "uuid")
        rows = self._database.rows("TARGET_INFO_GPU", *names)
        known = [[value if isinstance(value, (int, str)) else None for value in row] for row in rows]
        devices = [dict(zip(names, row, strict=True)) for row in known]
        session: dict[str, Any] = {"devices": devices}
        started = self._database.rows("TARGET_INFO_SESSION_START_TIME", "utcEpochNs")
        if started and isinstance(started[0][0], int):
            session["base_ns"] = started[0][0]
        return session


def _process(global_id: I64) -> I64:
    return (global_id >> 24) & 0xFFFFFF


def _host_lane(global_id: int) -> tuple[int, int]:
    return (global_id >> 24) & 0xFFFFFF, global_id & 0xFFFFFF


def _at(names: tuple[str, ...], index: int) -> str:
    return names[index] if 0 <= index < len(names) else names[0]


def _copy_name(row: list[int]) -> str:
    return f"Memcpy {_at(_COPIES, row[0])} ({_at(_MEMORY, row[1])} -> {_at(_MEMORY, row[2])})"


def _set_name(row: list[int]) -> str:
    return f"Memset ({_at(_MEMORY, row[0])})"


def _config(row: list[int]) -> str:
    grid, block, (registers, static, dynamic) = row[:3], row[3:6], row[6:]
    return f'{{"grid":{grid},"block":{block},"registers":{registers},"shared":{static + dynamic}}}'


def _is_driver(name: str) -> bool:
    return name.startswith("cu") and not name.startswith("cuda")
