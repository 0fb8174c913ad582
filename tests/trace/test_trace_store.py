"""The own file: exact, small, and safe to read whatever its bytes."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_traces import Event, call, event_lists, kernel, trace_of

from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.analyze import analyze
from gpuprobe.trace.chrome import write_chrome
from gpuprobe.trace.columns import decode_column, encode_column, encode_data_column
from gpuprobe.trace.meta import TYPES, checked
from gpuprobe.trace.model import TABLES, Trace, columns_of, make
from gpuprobe.trace.ranks import summarise
from gpuprobe.trace.store import MAGIC, encode_trace, read_gptrace, write_trace

IN_TMP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


def equal(a: Trace, b: Trace) -> bool:
    columns = all(
        np.array_equal(getattr(getattr(a, name), column), getattr(getattr(b, name), column))
        for name, table in TABLES.items()
        for column in columns_of(table)
    )
    return columns and (a.texts, a.lanes, a.warnings, dict(a.meta)) == (b.texts, b.lanes, b.warnings, dict(b.meta))


@given(st.lists(st.one_of(st.integers(-5, 5), st.integers(-(2**62), 2**62), st.integers(0, 70000)), max_size=40))
def test_columns_of_integers(values: list[int]) -> None:
    column = np.array(values, np.int64)
    for encode in (encode_column, encode_data_column):
        about, data = encode(column)
        assert json.loads(json.dumps(about)) == about
        assert decode_column(about, memoryview(data)).tolist() == values


@given(st.lists(st.floats(allow_nan=False), max_size=20))
def test_columns_of_doubles(values: list[float]) -> None:
    about, data = encode_column(np.array(values, np.float64))
    assert decode_column(about, memoryview(data)).tolist() == values


@IN_TMP
@given(event_lists())
def test_what_is_written_is_read(tmp_path: Path, events: list[Event]) -> None:
    trace = trace_of(tmp_path, events)
    path = tmp_path / "t.gptrace"
    write_trace(trace, path)
    assert equal(read_gptrace(path), trace)


def busy_trace(tmp_path: Path) -> Trace:
    """A thousand kernels with random times, as hard to pack as real ones."""
    random = np.random.default_rng(1)
    starts = np.cumsum(random.integers(1, 40_000, 1000)) / 1000
    events = []
    for index, start in enumerate(starts.tolist()):
        dur = random.integers(900, 90_000) / 1000
        name = f"void some::kernel<{index % 50}>(float*, int)"
        events.append(kernel(name, start, dur, index + 1, grid=[index % 7, 1, 1], block=[128, 1, 1]))
        events.append(call("cudaLaunchKernel", start - random.integers(4000, 9000) / 1000, 3.5, index + 1))
    return trace_of(tmp_path, events)


def test_a_kernel_takes_less_than_24_bytes(tmp_path: Path) -> None:
    trace = busy_trace(tmp_path)
    size = sum(encode_column(getattr(trace.gpu, column))[0]["bytes"] for column in columns_of(TABLES["gpu"]))
    assert size < 24 * len(trace.gpu.start)
    assert len(encode_trace(trace)) < 45 * len(trace.gpu.start)  # with its launch call, names and header


def test_equal_traces_are_equal_files(tmp_path: Path) -> None:
    assert encode_trace(busy_trace(tmp_path)) == encode_trace(busy_trace(tmp_path))


def refused_or_read(path: Path) -> None:
    try:
        read_gptrace(path)
    except GpuprobeError as error:
        assert "\n" not in error.message


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    data = encode_trace(trace_of(tmp_path, [kernel("a", 1, 2, 3), kernel("b", 10, 2, 4)]))
    path = tmp_path / "t.gptrace"
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        with pytest.raises(GpuprobeError):
            read_gptrace(path)


@IN_TMP
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=5))
def test_flipped_bytes_are_refused_or_read(tmp_path: Path, flips: list[tuple[int, int]]) -> None:
    data = bytearray(encode_trace(trace_of(tmp_path, [kernel("a", 1, 2, 3), kernel("b", 10, 2, 4)])))
    for position, value in flips:
        data[position % len(data)] = value
    path = tmp_path / "t.gptrace"
    path.write_bytes(data)
    refused_or_read(path)


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)


@IN_TMP
@given(st.data())
def test_any_header_is_refused_or_read(tmp_path: Path, data: st.DataObject) -> None:
    raw = encode_trace(trace_of(tmp_path, [kernel("a", 1, 2, 3), kernel("b", 10, 2, 4)]))
    (length,) = struct.unpack("<I", raw[8:12])
    header: Any = json.loads(raw[12 : 12 + length])
    place = header
    for _ in range(data.draw(st.integers(1, 4))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place))) if isinstance(place, list) else []
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or data.draw(st.booleans()):
            place[key] = data.draw(JUNK)
            break
        place = place[key]
    text = json.dumps(header).encode()
    path = tmp_path / "t.gptrace"
    path.write_bytes(MAGIC + struct.pack("<I", len(text)) + text + raw[12 + length :])
    refused_or_read(path)


def test_a_small_file_can_not_promise_many_rows(tmp_path: Path) -> None:
    raw = encode_trace(trace_of(tmp_path, [kernel("a", 1, 2, 3), kernel("b", 10, 2, 4)]))
    (length,) = struct.unpack("<I", raw[8:12])
    header = json.loads(raw[12 : 12 + length])
    for about in header["tables"]["gpu"].values():
        about["rows"] = 10**9
    text = json.dumps(header).encode()
    path = tmp_path / "t.gptrace"
    path.write_bytes(MAGIC + struct.pack("<I", len(text)) + text + raw[12 + length :])
    with pytest.raises(GpuprobeError, match="promises more"):
        read_gptrace(path)


def test_a_later_schema_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.gptrace"
    path.write_bytes(encode_trace(Trace()).replace(b'"schema":1', b'"schema":9'))
    with pytest.raises(GpuprobeError, match="newer"):
        read_gptrace(path)


def test_columns_must_agree_in_length() -> None:
    with pytest.raises(ValueError, match="differ"):
        make(TABLES["samples"], {"start": [1, 2], "value": [1.0]})


ODD = [None, -1, 1e308, "x", [], {}, [1, None], {"a": {}}, True, 10**30, [[]], [{}], {"name": 5}]


@given(key=st.sampled_from(sorted(TYPES)), value=st.sampled_from(ODD))
@IN_TMP
def test_odd_meta_data_is_left_out_and_the_rest_analysed(tmp_path: Path, key: str, value: Any) -> None:
    good = {"source": {"file": "a"}, "workload": {"phase": "decode", "tokens_per_step": 4}, "devices": [{"name": "b"}]}
    trace = trace_of(tmp_path, [kernel("a", 10, 2, 1), call("cudaLaunchKernel", 1, 2, 1)])
    path = tmp_path / "odd.gptrace"
    write_trace(replace(trace, meta={**good, key: value}), path)
    read = read_gptrace(path)
    assert (key in read.meta) != any(f"'{key}' is damaged" in warning for warning in read.warnings)
    assert analyze(read)["exact"]["gpu"]["events"] == 1
    assert summarise(read).label
    write_chrome(read, tmp_path / "odd.json")


def test_good_meta_data_is_kept() -> None:
    meta = {"base_ns": 1, "rank": 0, "run": {"command": ["a"], "wall_seconds": 2}, "anything": [None]}
    assert checked(meta) == (meta, [])
    kept, warnings = checked({"rank": "0", "vendor": "amd"})
    assert kept == {"vendor": "amd"}
    assert warnings == ["the file's 'rank' is damaged and left out: Expected `int`, got `str`"]
