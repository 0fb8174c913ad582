from __future__ import annotations

import csv
import gzip
import json
import signal
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest

from gpuprobe.cli import sweep
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.sweep.export import export, read_rows, suffix
from gpuprobe.sweep.rows import COLUMNS

from .fake_timer import FakeTimer


def call(*arguments: str) -> int:
    return sweep.command.main(["gemm", *arguments], standalone_mode=False)


@pytest.fixture
def timer(monkeypatch: pytest.MonkeyPatch) -> FakeTimer:
    fake = FakeTimer()

    @contextmanager
    def give(_: int) -> Iterator[FakeTimer]:
        yield fake

    monkeypatch.setattr(sweep, "_timer", give)
    return fake


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.csv"])
def test_rows_are_written_by_suffix(timer: FakeTimer, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert call("--count", "7", "-o", str(path)) == Exit.DONE
    if name.endswith(".csv"):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == list(COLUMNS)
    else:
        rows = read_rows(path)
        text = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
        assert json.loads(text.splitlines()[0])["kind"] == "session"
    assert len(rows) == 14


def test_json_is_one_document_and_the_same_command_goes_on(
    timer: FakeTimer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.jsonl"
    call("--count", "3", "-o", str(path), "--json")
    capsys.readouterr()
    call("--count", "5", "-o", str(path), "--json")
    summary = json.loads(capsys.readouterr().out)
    assert (summary["earlier"], summary["timed"], summary["rows"], summary["interrupted"]) == (3, 2, 10, False)


def test_ctrl_c_keeps_what_was_measured(timer: FakeTimer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, time_it = tmp_path / "x.jsonl", timer.time

    def interrupted(*arguments: object) -> object:
        if len(timer.asked) == 4:
            signal.raise_signal(signal.SIGINT)
        return time_it(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(timer, "time", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert call("--count", "50", "-o", str(path)) == Exit.INTERRUPTED
    assert signal.getsignal(signal.SIGINT) is before
    rows = read_rows(path)
    assert len(rows) == 10  # the GEMM in flight is finished
    assert all(row["kernel"] for row in rows)


def test_an_empty_session_writes_out_what_the_journal_has(timer: FakeTimer, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    call("--count", "3", "-o", str(path))
    path.unlink()
    call("--count", "0", "-o", str(path))
    assert len(read_rows(path)) == 6


def test_listed_shapes(timer: FakeTimer, tmp_path: Path) -> None:
    shapes = tmp_path / "s.csv"
    shapes.write_text("m,n,k\n64,64,64\n1,1000,24\n")
    path = tmp_path / "x.jsonl"
    call("--shapes", str(shapes), "--dtype", "bf16,fp8", "--regime", "hot", "-o", str(path))
    rows = read_rows(path)
    assert [(row["m"], row["dtype"], bool(row["error"])) for row in rows] == [
        (64, "bf16", False), (64, "fp8", False), (1, "bf16", False), (1, "fp8", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dtype", "bf16,fp4"], "fp4"),
        (["--layout", "tt"], "tt"),
        (["--regime", ""], "comma list"),
        (["--count", "-1"], "-1"),
    ],
)
def test_wrong_use_is_told(timer: FakeTimer, arguments: list[str], message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        call(*arguments)


def test_a_type_without_the_layout_is_an_error(timer: FakeTimer, tmp_path: Path) -> None:
    with pytest.raises(GpuprobeError, match="fp8 cannot be had in layout nn"):
        call("--dtype", "fp8", "--layout", "nn", "--count", "3", "-o", str(tmp_path / "x.csv"))


def test_an_unknown_suffix_fails_before_any_work(timer: FakeTimer, tmp_path: Path) -> None:
    with pytest.raises(GpuprobeError, match="unknown suffix"):
        call("-o", str(tmp_path / "x.xls"))
    assert timer.asked == []


def test_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "x.jsonl"
    with pytest.raises(GpuprobeError, match="PyTorch is not installed") as caught:
        call("-o", str(path))
    assert caught.value.exit_code == Exit.MACHINE_LACKS
    assert "pip install torch" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = types.ModuleType("torch")
    torch.cuda = types.SimpleNamespace(is_available=lambda: False)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(GpuprobeError, match="no CUDA GPU") as caught:
        call("-o", str(tmp_path / "x.jsonl"))
    assert caught.value.exit_code == Exit.MACHINE_LACKS


def test_parquet_without_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(GpuprobeError, match="needs pyarrow") as caught:
        suffix(Path("x.parquet"))
    assert caught.value.exit_code == Exit.MACHINE_LACKS


def test_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    journal = [{"kind": "session", "session": 0, "device": "fake"}]
    row = {"kind": "row", "m": 1, "n": 2, "k": 3, "dtype": "bf16", "layout": "tn", "time_us": 1.5, "error": ""}
    assert export(tmp_path / "x.parquet", [*journal, row]) == 1
    table = parquet.read_table(tmp_path / "x.parquet")
    assert table.to_pylist()[0]["time_us"] == 1.5
    assert json.loads(table.schema.metadata[b"sessions"]) == journal
