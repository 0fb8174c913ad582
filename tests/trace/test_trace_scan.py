"""The native scanner against Python's reading: the same bytes of an own file for whatever the text is."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_traces import Event, call, event_lists, host, kernel, write_json

from gpuprobe.errors import GpuprobeError
from gpuprobe.native.part import Part, find_compiler
from gpuprobe.trace.kineto import read_kineto
from gpuprobe.trace.scan import library, pieces
from gpuprobe.trace.store import encode_trace

REFERENCE = sorted((Path(__file__).parents[2].parent / "shared" / "reference" / "traces").glob("*.json.gz"))
pytestmark = pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler here")
IN_TMP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)


@pytest.fixture(scope="module")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ctypes.CDLL]:
    """The scanner, built for these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPUPROBE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("GPUPROBE_SCANNER", raising=False)
        built = library.scanner_library(library.WORTH_BUILDING)
        assert built is not None
        yield built


class Counted(pieces.NativePieces):
    """Counts the pieces that the scanner took and refused."""

    taken = refused = 0

    def take(self, text: Any) -> int | None:
        found = super().take(text)
        Counted.taken, Counted.refused = Counted.taken + (found is not None), Counted.refused + (found is None)
        return found


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    Counted.taken = Counted.refused = 0
    monkeypatch.setattr("gpuprobe.trace.kineto.NativePieces", Counted)
    return Counted


def outcome(path: Path, chunk: int) -> bytes | str:
    """The trace as bytes of an own file, or the message of the error."""
    try:
        return encode_trace(read_kineto(path, chunk))
    except GpuprobeError as error:
        return error.message


def both(path: Path, chunk: int = 1 << 20) -> tuple[bytes | str, bytes | str]:
    """What the scanner and what Python alone reads."""
    native = outcome(path, chunk)
    os.environ["GPUPROBE_SCANNER"] = "off"
    try:
        return native, outcome(path, chunk)
    finally:
        del os.environ["GPUPROBE_SCANNER"]


NESTED = {"a": [1, {"b": [None, True, "]}"]}], "c": {}}
PLENTY: list[Event] = [
    host("aten::mm", 10, 30, **{"External id": 5, "Input Dims": [[2, 3], []], "Input type": ["float"], "x": NESTED}),
    call("cudaLaunchKernel", 12.5, 2, 9),
    kernel('k "1" \\ \u00e9 \U0001f600 <b>', 20.001, 3.5, 9, **{"grid": [1, 2, 3], "block": [32, 1, 1], "bytes": 4}),
    kernel("ncclDevKernel", 30, 1, 9, **{"In msg nelems": 7, "dtype": "Float", "Group size": 2, "graph node id": 3}),
    kernel("Memcpy", -1.0005, 0.0015, 10, stream=None, cat="gpu_memcpy"),
    host("Stream Wait Event", 40, 1, "cuda_sync", wait_on_stream=7, wait_on_cuda_event_record_corr_id=9),
    host("frame", 1, 2, "python_function", **{"Python id": 1}),
    {"ph": "X", "name": None, "cat": None, "pid": "Spans", "tid": "PyTorch", "ts": 1712195495527376, "dur": 0},
    {"ph": "X", "name": "", "ts": 5},
    {"ph": "s", "id": 9, "cat": "ac2g", "name": "ac2g", "pid": 1, "tid": 1, "ts": 20.0},
    {"ph": "f", "id": 9, "cat": "ac2g", "name": "ac2g", "pid": 1, "tid": 1, "ts": 20.5, "bp": "e"},
    {"ph": "i", "name": "mark", "ts": 1, "s": "g"},
    {"ph": "M", "name": "process_name", "pid": 0, "tid": 0, "ts": 0, "args": {"name": "GPU 0"}},
    {"ph": "C", "name": "GPU 0", "pid": 0, "ts": 5, "args": {"power_w": 312.5, "x": "no"}},
    {"ph": "B", "cat": "cpu_op", "name": "outer", "pid": 1, "tid": 2, "ts": 7},
    {"ph": "E", "cat": "cpu_op", "pid": 1, "tid": 2, "ts": 9},
]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("chunk", [300, 2000, 1 << 20])
def test_the_same_bytes(
    tmp_path: Path, scanner: ctypes.CDLL, counted: type[Counted], indent: int | None, chunk: int
) -> None:
    native, python = both(write_json(tmp_path / "t.json", PLENTY * 3, indent, deviceProperties=[{"id": 0}]), chunk)
    assert native == python
    assert counted.taken and not counted.refused


@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.name.split(".")[0])
def test_the_same_bytes_of_real_traces(path: Path, scanner: ctypes.CDLL, counted: type[Counted]) -> None:
    native, python = both(path)
    assert native == python
    assert counted.taken > counted.refused


ODD = (
    *("null", "true", "-0", "1.5", "1e3", '"x"', '"12"', '"\\ud800"', '"\\q"', '"\x01"', '"\udcff"', "[]", "{}", "01"),
    *("1.", "NaN", "12345678901234567890", "123456789012345678", "0.0005", "-1.0015", "2305843009213693.9", "[" * 70),
    *("1712195495527376.2345", '"\\u00e9"', '"', "[1,]", '{"a":1,}', '{"a" 1}', "[1 2]", "tru", "-", "1e", "+1"),
)
KEYS = ("ph", "cat", "name", "pid", "tid", "ts", "dur", "args", "correlation", "device", "bytes", "grid", "Input Dims")


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_value_anywhere_reads_the_same(tmp_path: Path, scanner: ctypes.CDLL, odd: str) -> None:
    path = tmp_path / "odd.json"
    for key in KEYS:
        event = json.dumps(PLENTY[2])
        for text in (event[:-1] + f', "{key}": {odd}}}', event[:-2] + f', "{key}": {odd}}}}}'):
            parts = [json.dumps(PLENTY[0]), text, json.dumps(PLENTY[1])]
            path.write_bytes(f'{{"traceEvents": [{", ".join(parts)}]}}'.encode("utf-8", "surrogateescape"))
            native, python = both(path)
            assert native == python, text


@IN_TMP
@given(event_lists(), st.data())
def test_mutated_traces_read_the_same(
    tmp_path: Path, scanner: ctypes.CDLL, events: list[Event], data: st.DataObject
) -> None:
    raw = bytearray(json.dumps({"traceEvents": [*events, *PLENTY]}).encode())
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 1))] = data.draw(st.sampled_from(MARKS))
    path = tmp_path / "fuzz.json"
    path.write_bytes(raw)
    native, python = both(path, data.draw(st.sampled_from((97, 1000, 1 << 20))))
    assert native == python


MARKS = [bytes([mark]) for mark in b'{}[]",:\\0129e.-nN \n\xff\x00'] + [b"", b"\\u00e9", b"null", b'"a": 1, ']


def test_no_byte_outside_the_piece_is_touched(tmp_path: Path, scanner: ctypes.CDLL) -> None:
    """Every truncation, and every byte replaced, under the address and undefined-behaviour sanitizers."""
    program = tmp_path / "scan_pieces"
    source = Path(__file__).parent / "native" / "scan_pieces.cpp"
    include = f"-I{Path(library.__file__).parent}"
    sanitize = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-std=c++17", "-O1", "-g")
    compiler = find_compiler()
    assert compiler is not None
    built = subprocess.run(
        [compiler, *sanitize, include, str(source), "-o", str(program)], capture_output=True, check=False
    )
    if built.returncode:
        pytest.skip("the compiler has no sanitizers")
    text = json.dumps(PLENTY).encode()
    texts = [text, *(text[:size] for size in range(0, len(text), 3))]
    texts += [
        text[:place] + mark + text[place + 1 :] for place in range(0, len(text), 7) for mark in (b'"', b"\\", b"{")
    ]
    texts += [
        b"[" * 100_000,
        b'[{"ph":"X","ts":1,"x":' + b"[" * 100_000,
        b"",
        b"[",
        b"[{",
        b'[{"',
        b"[]",
        b"[" + b"{},",
    ]
    paths = []
    for index, piece in enumerate(texts):
        paths.append(tmp_path / f"{index}.json")
        paths[-1].write_bytes(piece)
    done = subprocess.run([program, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 1 <= int(done.stdout.splitlines()[-1]) < len(texts)


def test_half_a_surrogate_pair_leaves_the_rest_to_python(
    tmp_path: Path, scanner: ctypes.CDLL, counted: type[Counted]
) -> None:
    events = [kernel(f"k{index}", index * 10, 5, index) for index in range(60)]
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"traceEvents": events}).replace("k30", "k\\ud800"))
    native, python = both(path, 1000)
    assert native == python
    assert counted.taken and counted.refused


def test_more_events_than_there_is_room_for(
    tmp_path: Path, scanner: ctypes.CDLL, counted: type[Counted], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, events in (
        ("ROWS", [kernel("k", 1, 1)] * 20),
        ("TALLIES", [{"ph": "s", "cat": f"c{index}"} for index in range(20)]),
        ("SPANS", [{"ph": "M", "name": "n"}] * 20),
    ):
        monkeypatch.setattr(pieces, name, 5)
        native, python = both(write_json(tmp_path / "t.json", events))
        assert native == python
        assert counted.refused
        counted.refused = 0
        monkeypatch.undo()
        monkeypatch.setattr("gpuprobe.trace.kineto.NativePieces", Counted)


def test_nothing_is_built_for_a_small_file_nor_where_it_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUPROBE_CACHE", str(tmp_path / "cache"))
    assert library.scanner_library(1000) is None
    monkeypatch.setenv("GPUPROBE_SCANNER", "off")
    assert library.scanner_library(1 << 40) is None
    assert not (tmp_path / "cache").exists()


def test_without_a_compiler_python_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUPROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert library.scanner_library(1 << 40) is None
    with pytest.raises(GpuprobeError, match="no C\\+\\+ compiler"):
        library.SCANNER.build(tmp_path / "scanner.so")


def test_a_compiler_that_fails_and_a_library_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUPROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", "/bin/false")
    assert library.scanner_library(1 << 40) is None
    with pytest.raises(GpuprobeError, match="does not compile"):
        library.SCANNER.build(tmp_path / "scanner.so")
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    monkeypatch.setattr(Part, "packaged", broken)
    assert library.scanner_library(1) is None
