"""Spool files of a program's processes → one Trace: exact integer nanoseconds, one clock, correlations made unique."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.build import Builder
from gpuprobe.trace.model import I64, CallKind, GpuKind, RangeKind, Trace
from gpuprobe.trace.record.borders import kept_of
from gpuprobe.trace.record.devices import DeviceLabels
from gpuprobe.trace.record.observed import cut_out, windows_of, without_outside
from gpuprobe.trace.record.power import QUANTITIES, PowerLog
from gpuprobe.trace.record.spool import Records, Spool
from gpuprobe.trace.record.summary import Loss, describe
from gpuprobe.trace.record.texts import call_name, copy_name, overhead_name, set_name, sync_name
from gpuprobe.trace.record.torch_ranges import Described
from gpuprobe.trace.record.torch_ranges import describe as describe_range

_NO_STREAM = 0xFFFFFFFF
_NO_EVENT = 2**64 - 1
_INSTANT, _START, _END = 1, 2, 4
_PROCESS_SHIFT = 40
_LATEST = 2**62
"""ns: a later time (146 years after the clock's zero) is a damaged file's."""


def decode(spools: Sequence[Spool], power: Sequence[PowerLog] = ()) -> Trace:
    """The Trace of all processes in ``spools`` and the power samples of the GPUs they used."""
    builder, labels = Builder(), DeviceLabels(spools, power)
    base = _earliest(spools)
    losses = [_Process(builder, spool, labels, base, number).add() for number, spool in enumerate(_ordered(spools))]
    _samples(builder, power, labels, spools, base)
    meta, warnings = describe(_ordered(spools), losses, labels, base)
    builder.warnings += warnings
    trace, windows = builder.finish(meta), windows_of(spools, base)
    if windows is None:
        return without_outside(trace, spools, base)
    return cut_out(trace, windows, _cupti_version(spools))


def _cupti_version(spools: Sequence[Spool]) -> int:
    versions = [spool.info.get("cupti_version", "") for spool in spools]
    return max((int(version) for version in versions if version.isdigit()), default=0)


def _ordered(spools: Sequence[Spool]) -> list[Spool]:
    """Processes in the order of their start."""
    return sorted(spools, key=lambda spool: (spool["stats"]["realtime_ns"][:1].tolist(), spool.pid))


def _earliest(spools: Sequence[Spool]) -> int:
    """The first time in any record, ns; 0 where there is none."""
    tables = [
        (spool[name], "start") for spool in spools for name in ("kernels", "memory", "runtime", "driver", "syncs")
    ]
    tables += [(spool["markers"], "time") for spool in spools]
    columns = [table[column] for table, column in tables]
    first = [times.min() for column in columns if len(times := column[(column > 0) & (column < _LATEST)])]
    return int(min(first, default=0))


class _Process:
    """One process's records on their way into the Builder."""

    def __init__(self, builder: Builder, spool: Spool, labels: DeviceLabels, base: int, number: int) -> None:
        self._builder, self._spool, self._labels, self._base = builder, spool, labels, base
        self._shift = number << _PROCESS_SHIFT
        self._device_of = _device_of_context(spool)
        self._external = _Lookup(spool["externals"]["correlation"], spool["externals"]["id"])

    def add(self) -> Loss:
        """Append everything; what could not be used is counted."""
        spool, kept = self._spool, kept_of(self._spool)
        kernels, bad_kernels = _timed(kept.kernels)
        memory, bad_memory = _timed(kept.memory)
        self._kernels(kernels)
        self._memory(memory)
        self._calls(_timed(kept.runtime)[0], CallKind.RUNTIME)
        self._calls(_timed(kept.driver)[0], CallKind.DRIVER)
        self._syncs(_timed(spool["syncs"])[0])
        self._overheads(_timed(spool["overheads"])[0])
        counts = (kept.cut, kept.without_call, kept.without_work, kept.captured, kept.misnumbered)
        return Loss(len(kernels) + len(memory), bad_kernels + bad_memory, self._markers(), *counts)

    def _kernels(self, rows: Records) -> None:
        shape = np.column_stack(
            [rows["grid"], rows["block"], rows["registers"], rows["static_shared"] + rows["dynamic_shared"]]
        )
        texts = self._builder.texts
        config = _each_distinct(shape.astype(np.int64), lambda row: texts[_config(row)])
        self._gpu(rows, self._names(rows["name"]), np.full(len(rows), int(GpuKind.KERNEL)), config=config)

    def _memory(self, rows: Records) -> None:
        parts = np.column_stack([rows[name] for name in ("is_set", "copy_kind", "source", "target")])
        names = _each_distinct(
            parts, lambda row: self._builder.texts[set_name(row[3]) if row[0] else copy_name(*row[1:])]
        )
        kind = np.where(rows["is_set"] == 1, int(GpuKind.MEMSET), int(GpuKind.MEMCPY))
        self._gpu(rows, names, kind, bytes=rows["bytes"].astype(np.int64))

    def _gpu(self, rows: Records, names: I64, kind: NDArray[Any], **extra: I64) -> None:
        columns = {
            **self._times(rows),
            "name": names,
            "kind": kind,
            "lane": self._gpu_lanes(rows["device"], rows["stream"]),
            "correlation": self._correlation(rows["correlation"]),
            "external": self._external.of(rows["correlation"]),
            "bytes": np.full(len(rows), -1),
            "graph": rows["graph"],
            "node": rows["node"].astype(np.int64),
        }
        self._builder.add("gpu", {**columns, **extra})

    def _calls(self, rows: Records, kind: CallKind) -> None:
        columns = {
            **self._times(rows),
            "name": self._names(rows["name"], call_name),
            "kind": np.full(len(rows), int(kind)),
            "lane": self._host_lanes(rows["thread"]),
            "correlation": self._correlation(rows["correlation"]),
            "external": self._external.of(rows["correlation"]),
        }
        self._builder.add("calls", columns)

    def _syncs(self, rows: Records) -> None:
        recorded = self._spool["events"]
        stream = np.where(rows["stream"] == _NO_STREAM, -1, rows["stream"].astype(np.int64))
        of_event = rows["event_record"] != _NO_EVENT
        awaited = _Lookup(recorded["record"], np.arange(len(recorded)), missing=-1).of(rows["event_record"])
        known = of_event & (awaited >= 0)
        columns = {
            **self._times(rows),
            "name": _each_distinct(rows["type"][:, None], lambda row: self._builder.texts[sync_name(row[0])]),
            "lane": self._gpu_lanes(_Lookup(*self._device_of).of(rows["context"]), stream),
            "correlation": self._correlation(rows["correlation"]),
            "wait_stream": _where(known, recorded["stream"], awaited, -1),
            "wait_correlation": self._correlation(_where(known, recorded["correlation"], awaited, 0)),
        }
        self._builder.add("syncs", columns)

    def _overheads(self, rows: Records) -> None:
        names = _each_distinct(rows["kind"][:, None], lambda row: self._builder.texts[overhead_name(row[0])])
        self._ranges(self._times(rows), names, rows["thread"], RangeKind.OVERHEAD, "overhead")

    def _markers(self) -> int:
        """Ranges of start and end markers, points of instant ones; the number of ranges that lack their other half."""
        markers = self._spool["markers"]
        markers = markers[markers["time"] < _LATEST]
        starts, ends = markers[markers["flags"] & _START != 0], markers[markers["flags"] & _END != 0]
        end_of = _Lookup(ends["id"], np.arange(len(ends)), missing=-1).of(starts["id"])
        whole = end_of >= 0
        points = markers[markers["flags"] & _INSTANT != 0]
        rows = np.concatenate([starts[whole], points])
        until = np.concatenate([ends["time"][end_of[whole]], points["time"]])
        columns = {"start": rows["time"].astype(np.int64) - self._base, "dur": _span(rows["time"], until)}
        self._named_ranges(columns, rows)
        return len(starts) + len(ends) - 2 * int(whole.sum())

    def _named_ranges(self, times: dict[str, I64], rows: Records) -> None:
        """NVTX ranges: torch's operators with their shapes, and annotations."""
        texts, category = self._builder.texts, {RangeKind.OPERATOR: "cpu_op", RangeKind.ANNOTATION: "user_annotation"}
        known = {
            number: describe_range(self._spool.names.get(number, "")) for number in np.unique(rows["name"]).tolist()
        }

        def column(value: Callable[[Described], int]) -> I64:
            return _each_distinct(rows["name"][:, None], lambda row: value(known[row[0]]))

        columns = {
            **times,
            "name": column(lambda found: texts[found.name]),
            "kind": column(lambda found: int(found.kind)),
            "lane": self._host_lanes(rows["thread"]),
            "category": column(lambda found: texts[category[found.kind]]),
            "args": column(lambda found: texts[found.args]),
        }
        self._builder.add("ranges", columns)

    def _ranges(self, times: dict[str, I64], names: I64, threads: NDArray[Any], kind: RangeKind, category: str) -> None:
        count = len(names)
        columns = {
            **times,
            "name": names,
            "kind": np.full(count, int(kind)),
            "lane": self._host_lanes(threads),
            "category": np.full(count, self._builder.texts[category]),
        }
        self._builder.add("ranges", columns)

    def _times(self, rows: Records) -> dict[str, I64]:
        return {"start": rows["start"].astype(np.int64) - self._base, "dur": _span(rows["start"], rows["end"])}

    def _names(self, identifiers: NDArray[Any], shown: Callable[[str], str] = str) -> I64:
        names, texts = self._spool.names, self._builder.texts
        return _each_distinct(identifiers[:, None], lambda row: texts[shown(names.get(row[0], ""))])

    def _correlation(self, correlation: NDArray[Any]) -> I64:
        """Unique over processes: the first process keeps its own numbers."""
        return np.where(correlation == 0, 0, correlation.astype(np.int64) + self._shift)

    def _host_lanes(self, threads: NDArray[Any]) -> I64:
        lanes, pid = self._builder.lanes, self._spool.pid
        return _each_distinct(threads[:, None], lambda row: lanes[pid, row[0] or pid])

    def _gpu_lanes(self, device: NDArray[Any], stream: NDArray[Any]) -> I64:
        lanes, spool, labels = self._builder.lanes, self._spool, self._labels
        keys = np.column_stack([device.astype(np.int64), stream.astype(np.int64)])

        def lane(key: list[int]) -> int:
            where = labels.device(spool, key[0])
            return lanes[spool.pid, key[1], where, labels.stream(spool, where, key[1])]

        return _each_distinct(keys, lane)


class _Lookup:
    """A map from numbers to numbers, asked for whole columns; of a key given twice the last value counts."""

    def __init__(self, keys: NDArray[Any], values: NDArray[Any], missing: int = 0) -> None:
        order = np.argsort(keys, kind="stable")
        keys, values = keys[order], values[order]
        last = np.append(keys[1:] != keys[:-1], True)[: len(keys)]
        self._keys, self._values, self._missing = keys[last], values[last].astype(np.int64), missing

    def of(self, keys: NDArray[Any]) -> I64:
        """The value of each key, ``missing`` where it has none."""
        if len(self._keys) == 0:
            return np.full(len(keys), self._missing, np.int64)
        found = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[found] == keys, self._values[found], self._missing)


def _device_of_context(spool: Spool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Contexts and their devices, from the context records and from the work that ran in them."""
    tables = [spool["contexts"], spool["kernels"], spool["memory"]]
    return tuple(np.concatenate([table[name] for table in tables]) for name in ("context", "device"))  # type: ignore[return-value]


def _timed(rows: Records) -> tuple[Records, int]:
    """The rows whose times are known, and how many are not: work that had not ended at the last flush."""
    good = (rows["start"] > 0) & (rows["end"] >= rows["start"]) & (rows["end"] < _LATEST)
    return rows[good], int((~good).sum())


def _span(start: NDArray[Any], end: NDArray[Any]) -> I64:
    return np.maximum(end.astype(np.int64) - start.astype(np.int64), 0)


def _where(known: NDArray[np.bool_], column: NDArray[Any], rows: I64, otherwise: int) -> I64:
    if len(column) == 0:
        return np.full(len(rows), otherwise, np.int64)
    return np.where(known, column.astype(np.int64)[rows], otherwise)


def _each_distinct(keys: NDArray[Any], function: Callable[[list[int]], int]) -> I64:
    """``function`` of each row of keys, called once for each distinct row."""
    if len(keys) == 0:
        return np.zeros(0, np.int64)
    _, first, which = np.unique(_one_number(keys), return_index=True, return_inverse=True)
    which = which.reshape(-1)
    if not np.array_equal(keys[first][which], keys):  # two rows of one hash: as good as never, but wrong
        _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return np.array([function(row) for row in keys[first].tolist()], np.int64)[which.reshape(-1)]


def _one_number(keys: NDArray[Any]) -> NDArray[np.uint64]:
    """A hash of each row: sorting one column is twenty times faster than sorting rows."""
    hashed = np.zeros(len(keys), np.uint64)
    for column in keys.T:
        hashed = (hashed ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        hashed ^= hashed >> np.uint64(29)
    return hashed


def _config(row: list[int]) -> str:
    return f'{{"grid":{row[:3]},"block":{row[3:6]},"registers":{row[6]},"shared":{row[7]}}}'


def _samples(
    builder: Builder, power: Sequence[PowerLog], labels: DeviceLabels, spools: Sequence[Spool], base: int
) -> None:
    """Power samples of the GPUs that were used, at the middle of each poll, on the records' clock."""
    offset = clock_offset_ns(spools)
    for log in power:
        label = labels.of_uuid(log.uuid)
        if label is None:
            continue
        lane = builder.lanes["nvml", log.index, label, None]
        for quantity in QUANTITIES:
            points = [
                (round((reading.begin_s + reading.end_s) * 5e8) + offset - base, value)
                for reading in log.readings
                if (value := getattr(reading, quantity)) is not None
            ]
            columns = {
                "start": [time for time, _ in points],
                "value": [value for _, value in points],
                "name": [builder.texts[quantity]] * len(points),
                "lane": [lane] * len(points),
            }
            builder.add("samples", columns)


def clock_offset_ns(spools: Sequence[Spool]) -> int:
    """What to add to Unix time to get the records' time, ns: 0 on Linux, where CUPTI uses that clock itself."""
    stats = [spool["stats"] for spool in spools if len(spool["stats"])]
    if not stats:
        return 0
    offsets = np.concatenate(
        [table["cupti_ns"].astype(np.int64) - table["realtime_ns"].astype(np.int64) for table in stats]
    )
    offset = int(np.median(offsets))
    return offset if abs(offset) > 1_000_000 else 0
