"""Reading JSON traces: every layout, every damage, no crash."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_traces import call, event_lists, host, kernel, trace_of, write_json

from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.kineto import read_kineto
from gpuprobe.trace.model import TABLES, Trace, columns_of
from gpuprobe.trace.read import read_trace

IN_TMP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)

EVENTS = [
    host("aten::mm", 10, 30, **{"External id": 5, "Input Dims": [[2, 3], [3, 4]], "Input type": ["float", "float"]}),
    call("cudaLaunchKernel", 12.5, 4, 1),
    kernel(
        'tricky "}, {" \\ [name]', 20.125, 3.5, 1, grid=[1, 2, 3], block=[32, 1, 1], nested=[{"a": {}}, {"b": [{}]}]
    ),
    {"ph": "f", "id": 1, "pid": 0, "tid": 7, "ts": 20.125, "cat": "ac2g", "name": "ac2g", "bp": "e"},
    kernel("last", 40, 1, 2, stream=9),
]


def content(trace: Trace) -> dict[str, Any]:
    """Every column with ids resolved, for readers may number texts and lanes differently."""
    found = {}
    for name, table in TABLES.items():
        for column in columns_of(table):
            values = getattr(getattr(trace, name), column).tolist()
            if column in ("name", "category"):
                values = [trace.texts[value] for value in values]
            elif column in ("args", "config", "detail"):
                values = [json.loads(trace.texts[value] or "0") for value in values]
            elif column == "lane":
                values = [trace.lanes[value] for value in values]
            found[f"{name}.{column}"] = values
    return found


def same(a: Trace, b: Trace) -> bool:
    return content(a) == content(b)


def layouts() -> dict[str, bytes]:
    """The same events in every layout that a writer may choose."""
    document: dict[str, Any] = {"schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "X"}]}
    after = {**document, "traceEvents": EVENTS, "traceName": "]}", "list": [{"x": [1]}, {"y": {}}]}
    compact = json.dumps({**document, "traceEvents": EVENTS}, separators=(",", ":")).encode()
    return {
        "compact": compact,
        "spaced": json.dumps({**document, "traceEvents": EVENTS}).encode(),
        "indented": json.dumps({**document, "traceEvents": EVENTS}, indent=2).encode(),
        "tabs": json.dumps({**document, "traceEvents": EVENTS}, indent="\t").replace("\n", "\r\n").encode(),
        "wide": json.dumps({**document, "traceEvents": EVENTS}, indent=70).encode(),
        "keys after": json.dumps(after).encode(),
        "decoy key": json.dumps({"a": {"traceEvents": [1]}, "b": "traceEvents", **after}).encode(),
        "bare list": json.dumps(EVENTS, indent=1).encode(),
        "byte order mark": b"\xef\xbb\xbf" + compact,
    }


@pytest.mark.parametrize("layout", layouts())
@pytest.mark.parametrize("chunk", [64, 100, 333, 1 << 20])
def test_layouts_and_chunks_read_the_same(tmp_path: Path, layout: str, chunk: int) -> None:
    path = tmp_path / "t.json"
    path.write_bytes(layouts()[layout])
    trace = read_kineto(path, chunk)
    expected = trace_of(tmp_path, EVENTS)
    assert same(trace, expected)
    assert trace.warnings == ()
    assert trace.meta["source"]["events"] == len(EVENTS)
    assert trace.texts[trace.gpu.name[0]] == EVENTS[2]["name"]
    assert json.loads(trace.texts[trace.ranges.args[0]])["dims"] == [[2, 3], [3, 4]]
    assert json.loads(trace.texts[trace.gpu.config[0]])["grid"] == [1, 2, 3]


def test_gzip_reads_the_same_in_members(tmp_path: Path) -> None:
    raw = layouts()["indented"]
    path = tmp_path / "t.json.gz"
    path.write_bytes(gzip.compress(raw[:200]) + gzip.compress(raw[200:]) + b"\0" * 20)
    assert same(read_trace(path), trace_of(tmp_path, EVENTS))


def test_every_truncation_salvages_the_whole_events(tmp_path: Path) -> None:
    raw = layouts()["compact"]
    ends = [
        raw.index(text) + len(text) for text in (json.dumps(event, separators=(",", ":")).encode() for event in EVENTS)
    ]
    path = tmp_path / "t.json"
    for cut in range(raw.index(b"[", raw.index(b"traceEvents")) + 1, len(raw) - 1):
        path.write_bytes(raw[:cut])
        whole = sum(end <= cut for end in ends)
        if whole == 0:
            with pytest.raises(GpuprobeError):
                read_kineto(path, 128)
            continue
        trace = read_kineto(path, 128)
        assert trace.meta["source"]["events"] == whole
        if cut <= ends[-1]:
            assert f"{whole} whole events salvaged" in trace.warnings[0]


def test_truncated_gzip_salvages(tmp_path: Path) -> None:
    events = [kernel(f"k{index}", index * 10, 5, index) for index in range(2000)]
    path = write_json(tmp_path / "t.json.gz", events)
    path.write_bytes(path.read_bytes()[:-2000])
    trace = read_trace(path)
    assert 100 < len(trace.gpu.start) < 2000
    assert "gzip stream truncated" in trace.warnings[0] and "salvaged" in trace.warnings[0]


def test_odd_events_do_not_lose_their_neighbours(tmp_path: Path) -> None:
    text = (
        json.dumps({"traceEvents": EVENTS})
        .replace('"dur": 3.5', '"dur": 3.5, "x": NaN')
        .replace("aten::mm", "aten::\\ud800mm\x01")
    )
    path = tmp_path / "t.json"
    path.write_bytes(text.encode().replace(b"last", b"la\xffst"))
    trace = read_kineto(path)
    assert trace.meta["source"]["events"] == len(EVENTS)
    assert trace.gpu.dur.tolist() == [3500, 1000]
    assert trace.texts[trace.gpu.name[1]] == "la�st"
    json.dumps(trace.texts).encode()


def test_wrong_types_count_as_absent(tmp_path: Path) -> None:
    events = [
        kernel("a", "10.5", "2", 1),
        {**kernel("b", 20, 5, 2), "args": {"correlation": "3", "device": [1], "stream": 1.5}},
        {**kernel("c", 30, 5), "args": None, "tid": {"x": 1}},
        {"ph": "X", "cat": "kernel", "name": "no time", "dur": 3},
        7,
    ]
    trace = trace_of(tmp_path, events)
    assert trace.gpu.start.tolist() == [10500, 20000, 30000]
    assert trace.gpu.correlation.tolist() == [1, 3, 0]
    assert any("1 events without a usable time" in warning for warning in trace.warnings)


@pytest.mark.parametrize(("written", "read"), [("13248", 13248), ("x", -1), (7, 7), (str(1 << 63), -1)])
def test_amd_writes_bytes_as_text(tmp_path: Path, written: Any, read: int) -> None:
    assert trace_of(tmp_path, [kernel("Memcpy", 1, 2, cat="gpu_memcpy", bytes=written)]).gpu.bytes.tolist() == [read]


def test_begin_and_end_events_become_ranges(tmp_path: Path) -> None:
    half = {"cat": "cpu_op", "pid": 1, "tid": 2}
    events = [
        {**half, "ph": "B", "name": "outer", "ts": 1712195495527376.234},
        {**half, "ph": "B", "name": "inner", "ts": 1712195495527380.001},
        {**half, "ph": "E", "ts": 1712195495527390},
        {**half, "ph": "E", "ts": 1712195495527400.5},
        {**half, "ph": "E", "ts": 1712195495527500},
    ]
    text = (
        json.dumps({"traceEvents": events})
        .replace("1712195495527376.2", "1712195495527376.234")
        .replace(".23434", ".234")
    )
    path = tmp_path / "t.json"
    path.write_text(text)
    trace = read_kineto(path)
    assert [trace.texts[name] for name in trace.ranges.name] == ["outer", "inner"]
    assert trace.ranges.dur[1] in (9999, 10000)
    assert trace.warnings == ("1 begin or end events have no partner and were left out",)


def test_counters_become_samples(tmp_path: Path) -> None:
    events = [
        *EVENTS,
        {"ph": "C", "name": "GPU 0", "pid": 0, "ts": 5, "args": {"power_w": 312.5, "clock": 1980, "x": "no"}},
    ]
    trace = trace_of(tmp_path, events)
    assert [trace.texts[name] for name in trace.samples.name] == ["GPU 0 power_w", "GPU 0 clock"]
    assert trace.samples.value.tolist() == [312.5, 1980.0]


def test_switch_from_numbers_to_text_keeps_every_nanosecond(tmp_path: Path) -> None:
    early = [kernel("a", 100 + index, 1.5, index) for index in range(50)]
    late = '{"ph":"X","cat":"kernel","name":"b","ts":1712195495527376.234,"dur":0.001,"args":{}}'
    text = json.dumps({"traceEvents": early})[:-2] + "," + late + "]}"
    path = tmp_path / "t.json"
    path.write_text(text)
    for chunk in (256, 1 << 20):
        trace = read_kineto(path, chunk)
        assert trace.gpu.start.tolist() == [*(100_000 + 1000 * index for index in range(50)), 1712195495527376234]
        assert trace.gpu.dur[-1] == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"hello", "not JSON"),
        (b"{}", "traceEvents"),
        (b'{"traceEvents": 3}', "traceEvents"),
        (b'{"traceEvents": [', "ends in the middle"),
        (b"[" * 100_000, ""),
        (b'{"a":' * 100_000, "traceEvents"),
        (gzip.compress(b"x"), "not JSON"),
        (b"\x1f\x8b\x08broken", "gzip"),
        (b"GPTRACE\n", "truncated"),
        (b"SQLite format 3\0" + b"x" * 100, "SQLite"),
    ],
)
def test_bad_files_give_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "bad"
    path.write_bytes(content)
    with pytest.raises(GpuprobeError) as caught:
        read_trace(path)
    assert says in caught.value.message and "\n" not in caught.value.message


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(GpuprobeError):
            read_trace(path)


@IN_TMP
@given(
    st.binary(max_size=300),
    st.sampled_from(
        [b"", b"[", b'{"traceEvents":[', b'[{"ph":"X","ts":1,', b"\x1f\x8b", b"GPTRACE\n", b"SQLite format 3\0"]
    ),
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes, prefix: bytes) -> None:
    path = tmp_path / "fuzz"
    path.write_bytes(prefix + content)
    try:
        read_trace(path)
    except GpuprobeError as error:
        assert str(error)


@IN_TMP
@given(event_lists(), st.data())
def test_mutated_json_is_read_or_refused(tmp_path: Path, events: list[dict[str, Any]], data: st.DataObject) -> None:
    raw = bytearray(json.dumps({"traceEvents": events}).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.sampled_from(b'{}[]",:\\0129e.-nN \xff\x00'))
    path = tmp_path / "fuzz.json"
    path.write_bytes(raw)
    for chunk in (97, 1 << 20):
        try:
            trace = read_kineto(path, chunk)
        except GpuprobeError:
            continue
        assert trace.meta["source"]["events"] <= len(events) + 4
