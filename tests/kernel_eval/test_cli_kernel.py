"""``gpuprobe kernel eval`` from the outside: exit codes, the table, the document."""

import json
from pathlib import Path

import pytest

from gpuprobe.cli import main
from gpuprobe.kernel_eval.document import COLUMNS

HERE = Path(__file__).parent / "numpy_candidates"
QUICK = ["--backend", "numpy", "--rounds", "0", "--requests", "0", "--call-limit", "20"]


def evaluate(*names: str, options: list[str] | None = None) -> int:
    files = [str(HERE / f"{name}.py") for name in names]
    return main(["kernel", "eval", *files, "--reference", str(HERE / "task.py"), *(options or QUICK)])


def test_a_correct_candidate_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("honest") == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split("  ")[0] == COLUMNS[0] and "correct" in out


def test_a_cheat_exits_1_and_the_document_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate("honest", "cached", options=[*QUICK, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert [row["verdict"] for row in document["evaluations"]] == ["correct", "cheats"]
    assert [found["name"] for found in document["evaluations"][1]["findings"]] == ["cached-output"]
    assert document["tolerances"]["relative"]["float32"] == 1e-4
    assert document["fast_p"]["0"] == 0.0  # nothing was timed


def test_times_and_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    timed = ["--backend", "numpy", "--rounds", "3", "--requests", "4", "-o", str(tmp_path / "result.json")]
    assert evaluate("honest", options=timed) == 0
    (row,) = json.loads((tmp_path / "result.json").read_text())["evaluations"]
    for times in row["times"].values():
        assert len(times["windows_s"]) >= 3 and times["calls"] >= 4
        assert times["speedup"]["low"] <= times["speedup"]["ratio"] <= times["speedup"]["high"]
    assert set(row["server"]) == {"empty", "reference", "candidate"}
    assert row["reference_is_own"] is False
    assert capsys.readouterr().out


def test_a_machine_without_what_it_takes_exits_3(capsys: pytest.CaptureFixture[str]) -> None:
    without_torch_or_gpu = ["--device", "cuda:99", "--rounds", "0"]
    assert evaluate("honest", options=without_torch_or_gpu) == 3
    assert "--backend numpy" in capsys.readouterr().err


def test_help_names_the_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernel", "eval", "--help"]) == 0
    assert "--memory-limit" in capsys.readouterr().out
