"""Runs as files: what is written is read back, what is damaged is refused in one line, nothing is half written."""

from __future__ import annotations

import errno
import gzip
import json
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recording import ENVIRONMENT, chain_sample, h100

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.estimate import Point
from gpuprobe.files import encode, unpacked, write_atomically
from gpuprobe.record import (
    SCHEMA,
    DeviceSpec,
    Environment,
    Measurement,
    Number,
    Rejection,
    Run,
    Sample,
    Series,
    significant,
)
from gpuprobe.run_files import from_document, read_run, to_document, write_run

ROOT = Path(__file__).resolve().parent.parent

texts = st.text(max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
params = st.dictionaries(texts, st.one_of(st.integers(-(2**53), 2**53), numbers, texts), max_size=3)
positive = st.floats(1e-20, 1e20)
measurements = st.builds(
    lambda interval, **others: Measurement(low=interval[0], value=interval[1], high=interval[2], **others),
    st.tuples(positive, positive, positive).map(sorted),
    name=texts,
    quantity=texts,
    params=params,
    unit=texts,
    samples=st.lists(numbers, max_size=4).map(tuple),
    sm_clock_hz=st.none() | numbers,
    power_w=st.none() | numbers,
    limit=st.none() | numbers,
    flags=st.lists(texts, max_size=2).map(tuple),
)
samples = st.builds(
    Sample, *[numbers] * 5, at_s=numbers, values=st.dictionaries(st.text("abc", min_size=1), numbers, max_size=2)
)
series = st.builds(Series.of, texts, params, texts, texts, st.lists(samples, max_size=4))
devices = st.builds(
    DeviceSpec,
    *[texts] * 4,
    st.dictionaries(texts, st.builds(Number, numbers, st.sampled_from(["driver", "measured"]), texts), max_size=2),
    st.lists(texts, max_size=2).map(tuple),
)
environments = st.builds(
    Environment,
    driver=texts,
    packages=st.dictionaries(texts, texts, max_size=2),
    power_limit_w=st.none() | numbers,
    mig=st.none() | st.booleans(),
    other_processes=st.none() | st.integers(0, 99),
)
runs = st.builds(
    Run,
    run_id=texts,
    started_at=texts,
    source=st.sampled_from(["live", "replay", "synthetic"]),
    mode=st.sampled_from(["quick", "full"]),
    device=devices,
    environment=environments,
    measurements=st.lists(measurements, max_size=2).map(tuple),
    series=st.lists(series, max_size=2).map(tuple),
    rejections=st.lists(st.builds(Rejection, texts, params, texts), max_size=2).map(tuple),
    warnings=st.lists(texts, max_size=2).map(tuple),
    duration_s=st.none() | numbers,
)


def a_run() -> Run:
    point = Point((("CHAIN", 32), ("TYPE", "F16"), ("SCALE", 0.5)))
    rows = [chain_sample(point, values={"api_s": 1e-6}) for _ in range(3)]
    measurement = Measurement("m", "latency", {"TYPE": "F16"}, "cycle", (4.0, 4.1), 4.05, 4.0, 4.1, 1.7e9, 300.0, 8.0)
    return Run(
        "id",
        "2026-01-01T00:00:00+00:00",
        "live",
        "quick",
        h100(),
        ENVIRONMENT,
        (measurement,),
        (Series.of("m", dict(point.params), "key", "native", rows),),
        (Rejection("n", {"CHAIN": 32}, "why"),),
        ("a warning",),
        1.5,
    )


def document() -> dict[str, Any]:
    return json.loads(encode(to_document(a_run()), compress=False))


# --- there and back ---------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(runs)
def test_any_run_comes_back_from_json_as_it_was(run: Run) -> None:
    assert from_document(json.loads(encode(to_document(run), compress=False))) == run


@pytest.mark.parametrize("name", ["run.json", "run.json.gz", "new/folder/run.json.gz"])
def test_a_file_gives_back_the_run_and_is_small_where_its_name_says_so(tmp_path: Path, name: str) -> None:
    run = a_run()
    write_run(run, tmp_path / name)
    assert read_run(tmp_path / name) == run
    assert (tmp_path / name).read_bytes().startswith(b"\x1f\x8b") == name.endswith(".gz")
    assert [path.name for path in (tmp_path / name).parent.iterdir()] == [Path(name).name]


def test_equal_runs_are_equal_files(tmp_path: Path) -> None:
    write_run(a_run(), tmp_path / "a.json.gz")
    write_run(a_run(), tmp_path / "b.json.gz")
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()


@settings(deadline=None)
@given(st.lists(samples, max_size=5))
def test_samples_come_back_from_their_columns(rows: list[Sample]) -> None:
    again = Series.of("p", {}, "k", "native", rows).samples()
    names = {name for row in rows for name in row.values if any(r.values.get(name) for r in rows)}
    expected = [replace(row, values={name: row.values.get(name, 0.0) for name in names}) for row in rows]
    kept = bool(rows) and any(Series.of("p", {}, "k", "native", rows).columns)
    assert list(again) == (expected if kept else [])


@given(numbers)
def test_rounding_for_files_keeps_nine_digits_and_is_final(value: float) -> None:
    assert significant(significant(value)) == significant(value)
    assert math.isclose(significant(value), value, rel_tol=5.001e-9, abs_tol=1e-320)


def test_the_document_counts_samples_and_names_its_schema_first() -> None:
    shown = to_document(a_run())
    assert next(iter(shown)) == "schema"
    assert shown["measurements"][0]["n"] == 2


def test_keys_that_a_later_version_added_are_left_out() -> None:
    changed = document()
    later = (changed, changed["device"], changed["environment"], changed["measurements"][0], changed["series"][0])
    for part in (*later, changed["rejections"][0], next(iter(changed["device"]["numbers"].values()))):
        part["added_later"] = 1
    assert from_document(changed) == a_run()


# --- damaged files ----------------------------------------------------------------------------------------------


def one_line(error: GpuprobeError) -> bool:
    return bool(error.message and error.hint) and "\n" not in error.message + error.hint


def refused(path: Path) -> GpuprobeError:
    with pytest.raises(GpuprobeError) as caught:
        read_run(path)
    assert one_line(caught.value)
    assert str(path) in caught.value.message
    return caught.value


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"run{suffix}"
    write_run(a_run(), path)
    whole = path.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 97)):
        path.write_bytes(whole[:length])
        assert "damaged" in refused(path).message


def test_a_compressed_file_with_a_wrong_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.json.gz"
    write_run(a_run(), path)
    whole = path.read_bytes()
    for place in range(10, len(whole), max(1, len(whole) // 97)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        refused(path)


def test_a_file_that_unpacks_to_more_than_any_run_is_refused_before_it_fills_memory() -> None:
    bomb = gzip.compress(bytes(1 << 20))
    assert unpacked(bomb, 1 << 20) == bytes(1 << 20)
    with pytest.raises(ValueError, match="more than 0 MiB"):
        unpacked(bomb, (1 << 20) - 1)
    with pytest.raises(ValueError, match="more than 1 MiB"):
        unpacked(bomb + bomb, 1 << 20)


def test_members_of_a_gzip_file_follow_each_other() -> None:
    assert unpacked(gzip.compress(b"one ") + gzip.compress(b"two") + bytes(3)) == b"one two"
    assert unpacked(b"plain") == b"plain"


@pytest.mark.parametrize(
    "text",
    [b"", b"null", b"[]", b"3", b'"run"', b"{}", b'{"schema": "1"}', b'{"schema": 1}', b"\xff\xfe\x00", b"[" * 100_000],
)
def test_what_is_no_run_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(text)
    assert refused(path).exit_code is Exit.WRONG_USE


def test_a_later_schema_asks_for_an_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**document(), "schema": SCHEMA + 1}))
    error = refused(path)
    assert f"schema {SCHEMA + 1}" in error.message
    assert "upgrade" in error.hint


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.json").message
    assert "directory" in refused(tmp_path).message


def test_the_output_of_json_is_told_from_a_run_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    shown = document()
    del shown["series"], shown["measurements"][0]["samples"]
    path.write_text(json.dumps(shown))
    assert "--json" in refused(path).message


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "-Infinity", "1e999", "true", "null", '"4"', "1" + "0" * 400])
@pytest.mark.parametrize("place", ["value", "samples", "columns", "number"])
def test_no_number_that_is_none_gets_in(tmp_path: Path, bad: str, place: str) -> None:
    changed = document()
    if place == "value":
        changed["measurements"][0]["value"] = "BAD"
    elif place == "samples":
        changed["measurements"][0]["samples"][1] = "BAD"
    elif place == "columns":
        changed["series"][0]["columns"]["cycles"][1] = "BAD"
    else:
        next(iter(changed["device"]["numbers"].values()))["value"] = "BAD"
    path = tmp_path / "run.json"
    path.write_text(json.dumps(changed).replace('"BAD"', bad))
    assert "damaged" in refused(path).message


@pytest.mark.parametrize("key", ["schema", "measurements", "series", "rejections", "warnings"])
def test_a_file_that_lacks_a_part_is_refused(tmp_path: Path, key: str) -> None:
    changed = document()
    del changed[key]
    path = tmp_path / "run.json"
    path.write_text(json.dumps(changed))
    assert refused(path).exit_code is Exit.WRONG_USE


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_is_read_as_its_document_is(tmp_path: Path, data: st.DataObject) -> None:
    """The quick way through a file and the careful one through its document give the same run or refuse alike."""
    changed = deepcopy(document())
    part: Any = changed
    place = data.draw(st.sampled_from(PLACES))
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = data.draw(st.sampled_from([part[place[-1]], None, True, 3, -1.5, 1e31, "live", [], [1], {}]))
    path = tmp_path / "run.json"
    path.write_text(json.dumps(changed))
    try:
        expected = from_document(changed)
    except GpuprobeError:
        refused(path)
    else:
        assert read_run(path) == expected


def test_columns_of_different_length_are_refused() -> None:
    changed = document()
    changed["series"][0]["columns"]["cycles"].append(1.0)
    with pytest.raises(GpuprobeError, match="differ in length"):
        from_document(changed)


def places(part: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a document."""
    inner = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


PLACES = list(places(document()))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PLACES), st.sampled_from([None, True, 3, -1.5, "text", [], [1], {}, {"a": None}]))
def test_a_value_of_another_type_is_refused_or_harmless(place: tuple[Any, ...], value: Any) -> None:
    changed = deepcopy(document())
    part: Any = changed
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    try:
        run = from_document(changed)
    except GpuprobeError as error:
        assert one_line(error)
        return
    assert from_document(json.loads(encode(to_document(run), compress=False))) == run
    assert all(m.key and m.n >= 0 for m in run.measurements)
    assert all(len(one.samples()) == len(one) for one in run.series)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(PLACES))
def test_a_missing_key_is_refused_or_harmless(place: tuple[Any, ...]) -> None:
    changed = deepcopy(document())
    part: Any = changed
    for key in place[:-1]:
        part = part[key]
    del part[place[-1]]
    try:
        run = from_document(changed)
    except GpuprobeError as error:
        assert one_line(error)
        return
    assert from_document(json.loads(encode(to_document(run), compress=False))) == run


# --- writing ----------------------------------------------------------------------------------------------------


def failing(code: int) -> Any:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize(("step", "code"), [("fsync", errno.ENOSPC), ("fsync", errno.EIO), ("fdopen", errno.EMFILE)])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, failing(code))
    with pytest.raises(GpuprobeError) as caught:
        write_atomically(path, b"new")
    assert os.strerror(code) in caught.value.message
    assert caught.value.exit_code is Exit.MACHINE_LACKS
    assert one_line(caught.value)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"run.json": b"old"}


def test_a_disk_that_fills_up_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    """A real short write: the system lets this process write 64 KiB to a file and no more."""
    path = tmp_path / "run.json"
    path.write_bytes(b"old")
    code = (
        "from pathlib import Path; from gpuprobe.files import write_atomically; "
        f"write_atomically(Path({str(path)!r}), b'x' * 10**6)"
    )

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))

    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip().splitlines()[-1].startswith(f"gpuprobe.errors.GpuprobeError: cannot write {path}")
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"run.json": b"old"}


def test_a_path_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GpuprobeError, match=r"cannot write .*run\.json: ") as caught:
        write_run(a_run(), tmp_path / "file" / "run.json")
    assert caught.value.exit_code is Exit.MACHINE_LACKS


def test_a_write_that_is_interrupted_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b"old")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"run.json": b"old"}


def test_what_is_not_finite_is_never_written(tmp_path: Path) -> None:
    wrong = replace(a_run(), duration_s=math.nan)
    with pytest.raises((GpuprobeError, ValueError)):
        write_run(wrong, tmp_path / "run.json")
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_a_device_does_not_state_is_asked_for_by_name() -> None:
    with pytest.raises(GpuprobeError, match="states no 'flux'"):
        h100()["flux"]
    assert h100().get("flux") is None
    extended = h100().with_numbers({"flux": Number(1.0, "measured", "here")})
    assert (extended["flux"], extended["sm_count"]) == (1.0, h100()["sm_count"])
