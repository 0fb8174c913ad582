"""Questions about configurations, a JSON line each; and the C++ client of docs/examples, compiled and run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpuprobe.tune import KernelPredictor, rank
from gpuprobe.tune.batch import answers

ROOT = Path(__file__).parents[2]
CONFIGS = [[128, 256, 64, 8, 8, 3], [64, 64, 32, 8, 4, 3], [256, 256, 128, 8, 8, 5]]
QUESTION = {"m": 4096, "n": 4096, "k": 4096, "configs": CONFIGS}


def asked(*questions: Any) -> list[dict[str, Any]]:
    lines = [question if isinstance(question, str) else json.dumps(question) for question in questions]
    return list(answers(KernelPredictor.load("h100-sxm"), lines, "bf16"))


def test_an_answer_holds_a_column_of_each_and_the_place_of_the_best() -> None:
    (found,) = asked(QUESTION | {"id": "x"})
    assert (found["id"], found["valid"], found["in_domain"]) == ("x", [True, True, False], True)
    assert found["best"] == rank("h100-sxm", 4096, 4096, 4096, CONFIGS)[0]
    for low, us, high in zip(found["us_low"], found["us"], found["us_high"], strict=True):
        assert low < us < high


def test_the_type_can_be_asked_for_and_none_may_fit() -> None:
    bf16, fp8 = asked(QUESTION, QUESTION | {"dtype": "fp8"})
    assert fp8["us"][0] < bf16["us"][0]
    (none,) = asked(QUESTION | {"configs": CONFIGS[2:]})
    assert none["best"] is None


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("nonsense", "not JSON"),
        ([1], "not an object"),
        ({"m": 1, "n": 1, "k": 1}, "not an object with m, n, k and configs"),
        (QUESTION | {"m": 0}, "m, n, k = 0"),
        (QUESTION | {"m": "4096"}, "m, n, k = 4096"),
        (QUESTION | {"configs": []}, "no list of lists"),
        (QUESTION | {"configs": [[64, 64, 32]]}, "is no tiling"),
        (QUESTION | {"dtype": "fp64"}, "no tiled kernel takes 'fp64'"),
    ],
)
def test_a_bad_line_is_answered_and_the_next_one_too(question: Any, said: str) -> None:
    bad, good = asked(question, QUESTION)
    assert said in bad["error"]
    assert (bad["line"], good["best"]) == (1, 0)


def test_the_command_answers_a_stream(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from gpuprobe import cli

    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(QUESTION) + "\n\n{}\n"))
    assert cli.main(["predict", "kernel", "--gpu", "h100-sxm", "--jsonl"]) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["best"], second["line"]) == (0, 3)
    assert cli.main(["predict", "kernel", "--gpu", "h100-sxm"]) == 2
    assert "--jsonl" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_the_cpp_client_asks_and_understands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, client = tmp_path / "gpuprobe", tmp_path / "client"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m gpuprobe "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("GPUPROBE", str(program))
    source = ROOT / "docs" / "examples" / "jsonl_client.cpp"
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["g++", *flags, str(source), "-o", str(client)], check=True)
    done = subprocess.run(
        [client, "h100-sxm", "4096", "4096", "4096", "bf16"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    library, kernel = done.stdout.splitlines()
    assert 100 < float(library.split()[1]) < 400
    assert kernel == "measure first [128, 256, 64, 8, 8, 3]"
    failed = subprocess.run(
        [client, "h100-sxm", "0", "4096", "4096", "bf16"], capture_output=True, text=True, check=False
    )
    assert (failed.returncode, '"error"' in failed.stderr) == (1, True)
