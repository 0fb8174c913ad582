"""Files that are none of what a command reads: one line, a remedy and an exit code, never a traceback."""

import json
import random
from pathlib import Path

import pytest

from gpuprobe.cli import main

ROOT = Path(__file__).resolve().parent.parent
RUN = str(ROOT / "reports" / "h100-sxm" / "aa" / "quick1.json.gz")
TRACE = str(ROOT / "reports" / "h100-sxm" / "llama-1b-prefill-decode-b4-c512.gptrace")
GEMM = ["-m", "1", "-n", "64", "-k", "64"]
BAD = {
    "missing.json": None,
    "folder": "",
    "empty.json": b"",
    "binary.json": random.Random(7).randbytes(4000),
    "text.json": b"hello\n",
    "object.json": b'{"a": 1}',
    "cut.json.gz": Path(RUN).read_bytes()[:3000],
    "cut.gptrace": Path(TRACE).read_bytes()[:5000],
    "run.json": b'{"schema": 1, "run_id": "x"}',
    "sweep.json": b'{"sweeps": [1]}',
    "card.json": b'{"model_id": 3}',
    "errors.json": b'{"errors": [{}]}',
    "trace.json": b'{"traceEvents": 3}',
    "profile.json": b'{"peaks": 3}',
}
COMMANDS = {
    "report": ["report", "FILE", "-o", "page.html"],
    "compare, first": ["compare", "FILE", RUN],
    "compare, second": ["compare", RUN, "FILE"],
    "compare with published": ["compare", "FILE", "published"],
    "profile": ["profile", "FILE"],
    "roofline": ["roofline", "--gpu", "FILE"],
    "replay": ["microbench", "--replay", "FILE"],
    "trace analyze": ["trace", "analyze", "FILE"],
    "trace diff": ["trace", "diff", "FILE", TRACE],
    "trace export": ["trace", "export", "FILE", "-o", "out.json"],
    "trace report": ["trace", "report", "FILE", "-o", "page.html"],
    "trace sweep": ["trace", "sweep", "FILE", TRACE],
    "predict gemm": ["predict", "gemm", *GEMM, "--gpu", "FILE"],
    "predict gemm, table": ["predict", "gemm", "--csv", "FILE"],
    "predict kernel": ["predict", "kernel", "--gpu", "h100-sxm", "--csv", "FILE", "-o", "out.csv"],
    "predict llm": ["predict", "llm", "--model", "FILE"],
    "kernel eval": ["kernel", "eval", "FILE", "--reference", "FILE"],
}
TABLES = {
    "doctor": ["doctor"],
    "compare": ["compare", RUN, RUN],
    "profile": ["profile", "h100-sxm"],
    "roofline": ["roofline"],
    "report": ["report", RUN],
    "trace analyze": ["trace", "analyze", TRACE],
    "predict gemm": ["predict", "gemm", *GEMM, "--gpu", "h100-sxm"],
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name, content in BAD.items():
        if content == "":
            Path(name).mkdir()
        elif content is not None:
            Path(name).write_bytes(content)


def said(arguments, capsys):
    """Exit code and the lines on stderr that are neither progress nor notes."""
    code = main(arguments)
    lines = capsys.readouterr().err.splitlines()
    return code, [line for line in lines if line.startswith(("gpuprobe: error: ", "  hint: "))]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_cannot_be_read_is_one_line_with_a_remedy(command, capsys):
    for name in BAD:
        code, lines = said([name if word == "FILE" else word for word in COMMANDS[command]], capsys)
        assert code in (2, 3) and len(lines) == 2, (name, code, lines)
        assert max(map(len, lines)) < 420, name
        assert not Path("page.html").exists() and not Path("out.csv").exists(), name


@pytest.mark.parametrize("command", TABLES)
def test_where_nothing_can_be_written_it_says_so(command, capsys):
    suffix = "html" if command == "report" else "json"
    for path in (f"empty.json/out.{suffix}", "folder", "out.exe", "out"):
        code, lines = said([*TABLES[command], "-o", path], capsys)
        assert code in (2, 3) and len(lines) == 2 and path.partition("/")[0] in lines[0], (path, lines)


@pytest.mark.parametrize("command", TABLES)
def test_an_unknown_option_is_named(command, capsys):
    code, lines = said([*TABLES[command], "--nonsense"], capsys)
    assert code == 2 and "--nonsense" in lines[0] and "--help" in lines[1]


@pytest.mark.parametrize("group", ["trace", "predict", "tune", "kernel", "sweep"])
def test_a_group_alone_prints_its_help_as_it_is_laid_out(group, capsys):
    assert main([group]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"Usage: gpuprobe {group}") and max(map(len, said.splitlines())) <= 100


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_an_unknown_source_is_named_before_data_are_read(command, capsys):
    code, lines = said([command, "--source", "nobody"], capsys)
    assert code == 2 and "'nobody'" in lines[0] and "aiconfigurator" in lines[0]


def test_an_empty_name_of_a_probe_does_not_list_them_all(capsys):
    code, lines = said(["explain", ""], capsys)
    assert code == 2 and "close" not in lines[0]
    assert "; close: " in said(["explain", "mma_flaot*"], capsys)[1][0]


def test_a_file_that_is_right_is_read(capsys):
    assert main(["report", RUN, "-o", "page.html", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == Path("page.html").stat().st_size
