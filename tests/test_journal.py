"""A journal survives whatever ends the process: torn lines, another campaign's file, a full disk, a second process."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.journal import Journal, digest, exclusive, state_dir
from gpuprobe.judge import Result
from gpuprobe.record import Measurement, Rejection, Sample, Series

ROOT = Path(__file__).resolve().parent.parent
IDENTITY = {"gpu": "0", "probes": {"a": "1"}, "plan": (1, 2)}
HEADER = {"run_id": "run-1", "started_at": "2026-01-01"}


def result(name: str) -> Result:
    samples = [Sample(4.0 + i, 5.0, 1e-6, 2e-6, 1.7e9, values={"api_s": 1.0}) for i in range(3)]
    measurement = Measurement(name, "latency", {"CHAIN": 32}, "cycle", (4.0, 5.0), 4.5, 4.0, 5.0, 1e9, flags=("drift",))
    rejection = Rejection(name, {"OP": "é"}, "line one\nline two")
    return Result(name, (measurement,), (Series.of(name, {"CHAIN": 32}, "k", "native", samples),), (rejection,))


def filled(path: Path, names: str = "abc") -> bytes:
    journal = Journal(path, IDENTITY)
    journal.start(HEADER)
    for name in names:
        journal.add(result(name))
    journal.close(remove=False)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journals" / "one.jsonl"


@pytest.fixture
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of journals need not reach the disk."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


# --- going on ---------------------------------------------------------------------------------------------------


def test_finished_probes_come_back_as_they_were(path: Path) -> None:
    filled(path)
    journal = Journal(path, IDENTITY)
    assert journal.finished == {name: result(name) for name in "abc"}
    assert journal.header == HEADER


def test_going_on_keeps_the_first_header_and_appends(path: Path) -> None:
    filled(path, "a")
    journal = Journal(path, IDENTITY)
    journal.start({"run_id": "run-2"})
    journal.add(result("b"))
    journal.close(remove=False)
    again = Journal(path, IDENTITY)
    assert (again.header, list(again.finished)) == (HEADER, ["a", "b"])


def test_what_is_added_is_on_disk_before_anything_else_happens(path: Path) -> None:
    journal = Journal(path, IDENTITY)
    journal.start(HEADER)
    journal.add(result("a"))
    assert len(path.read_bytes().splitlines()) == 2
    assert list(Journal(path, IDENTITY).finished) == ["a"]


def test_torn_at_every_byte_of_the_last_line_it_keeps_the_lines_before(path: Path, no_sync: None) -> None:
    whole = filled(path, "ab")
    start = whole[:-1].rindex(b"\n") + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        journal = Journal(path, IDENTITY)
        assert list(journal.finished) == ["a"]
        journal.add(result("c"))
        journal.close(remove=False)
        again = Journal(path, IDENTITY)
        again.close(remove=False)
        assert list(again.finished) == ["a", "c"]


def test_torn_at_every_byte_of_the_header_it_begins_anew(path: Path, no_sync: None) -> None:
    whole = filled(path, "")
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        journal = Journal(path, IDENTITY)
        assert (journal.header, journal.finished) == ({}, {})
        journal.start({"run_id": "new"})
        journal.add(result("a"))
        journal.close(remove=False)
        again = Journal(path, IDENTITY)
        again.close(remove=False)
        assert (again.header, list(again.finished)) == ({"run_id": "new"}, ["a"])


@pytest.mark.parametrize("line", [b"3", b"[]", b"null", b'"x"', b"{}", b'{"probe": "b"}', b"\xff\x00", b'{"probe":'])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_damaged_line_ends_what_is_taken_over(path: Path, line: bytes, place: int) -> None:
    lines = filled(path, "ab").splitlines()
    path.write_bytes(b"\n".join([*lines[:place], line, *lines[place + 1 :]]) + b"\n")
    journal = Journal(path, IDENTITY)
    assert list(journal.finished) == ["a"][: max(place - 1, 0)]
    assert bool(journal.header) is (place > 0)


@pytest.mark.parametrize("changed", [{"gpu": "1"}, {"probes": {"a": "2"}}, {"plan": [1, 3]}, {"more": 1}])
def test_another_campaign_begins_anew(path: Path, changed: dict[str, object]) -> None:
    filled(path)
    journal = Journal(path, {**IDENTITY, **changed})
    assert (journal.header, journal.finished) == ({}, {})
    journal.start({"run_id": "other"})
    journal.close(remove=False)
    assert Journal(path, IDENTITY).finished == {}


def test_a_finished_campaign_leaves_no_journal(path: Path) -> None:
    journal = Journal(path, IDENTITY)
    journal.start(HEADER)
    journal.close(remove=True)
    assert not path.exists()


# --- places that cannot be written ------------------------------------------------------------------------------


def lacks(caught: pytest.ExceptionInfo[GpuprobeError], path: Path) -> str:
    assert caught.value.exit_code is Exit.MACHINE_LACKS
    assert "GPUPROBE_STATE" in caught.value.hint
    assert str(path) in caught.value.message
    return caught.value.message


def test_a_full_disk_is_one_line_with_the_remedy(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/full")
    journal = Journal(path, IDENTITY)
    with pytest.raises(GpuprobeError) as caught:
        journal.start(HEADER)
    assert "No space left on device" in lacks(caught, path)


def test_a_folder_that_cannot_be_made_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "journals" / "one.jsonl"
    with pytest.raises(GpuprobeError) as caught:
        Journal(path, IDENTITY)
    lacks(caught, path)


def test_a_lock_that_cannot_be_made_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "gpu.lock"
    with pytest.raises(GpuprobeError) as caught, exclusive(path, "the GPU"):
        pytest.fail("locked where no file can be")
    lacks(caught, path)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"GPUPROBE_STATE": "/a/b", "XDG_STATE_HOME": "/c"}, "/a/b"),
        ({"XDG_STATE_HOME": "/c"}, "/c/gpuprobe"),
        ({"HOME": "/h"}, "/h/.local/state/gpuprobe"),
        ({"XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/gpuprobe"),
    ],
)
def test_where_state_is_kept(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str) -> None:
    for name in ("GPUPROBE_STATE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert state_dir() == Path(folder)


def test_without_a_home_directory_the_variable_to_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user has no entry in /etc/passwd."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("GPUPROBE_STATE", "XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(GpuprobeError) as caught:
        state_dir()
    assert "GPUPROBE_STATE" in caught.value.hint and caught.value.exit_code is Exit.MACHINE_LACKS


def test_a_folder_that_cannot_lock_is_an_error_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on some network file systems."""

    def refuse(file: object, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(GpuprobeError) as caught, exclusive(tmp_path / "gpu.lock", "the GPU"):
        pytest.fail("measuring without a lock")
    lacks(caught, tmp_path / "gpu.lock")
    assert "No locks available" in caught.value.message


# --- one at a time ----------------------------------------------------------------------------------------------

HOLD = """
from pathlib import Path
import sys
from gpuprobe.journal import exclusive
with exclusive(Path({path!r}), "x"):
    sys.stdout.write("held\\n")
    sys.stdout.flush()
    sys.stdin.read()
"""


def test_a_second_campaign_on_one_gpu_is_told_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "gpu.lock"
    code = HOLD.format(path=str(path))
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(GpuprobeError) as caught, exclusive(path, "NVIDIA H100"):
            pytest.fail("two processes hold one lock")
        assert caught.value.message == f"another gpuprobe (pid {other.pid}) is measuring NVIDIA H100"
        assert (caught.value.exit_code, "--device" in caught.value.hint) == (Exit.MACHINE_LACKS, True)
        other.kill()
    with exclusive(path, "NVIDIA H100"):
        assert path.read_text() == str(os.getpid())


def test_the_lock_is_let_go_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), exclusive(tmp_path / "gpu.lock", "x"):
        raise KeyboardInterrupt
    with exclusive(tmp_path / "gpu.lock", "x"):
        pass


def test_digests_tell_texts_apart() -> None:
    assert digest("a") == digest("a") != digest("b")
    assert len(digest("a")) == 16
