"""What --json prints is what docs/reference/json.md says, and every command writes its table where -o asks."""

import json
import re
from pathlib import Path

import click
import pytest

from gpuprobe.cli import COMMANDS, main
from gpuprobe.cli.group import GROUP

ROOT = Path(__file__).resolve().parent.parent
RECORDED = ROOT / "reports" / "h100-sxm"
LLAMA = [str(RECORDED / "llama-1b" / f"llama-1b-decode-b{batch}-c512-eager.gptrace") for batch in (1, 4)]
PROBE = ["--arch", "sm90", "--probe", "ffma_latency"]
CASES = {
    "doctor": [],
    "microbench": PROBE,
    "microbench --list": [],
    "microbench --against published": PROBE,
    "explain": ["ffma_latency"],
    "trace analyze": [LLAMA[0]],
    "trace diff": LLAMA,
    "trace sweep": LLAMA,
    "predict gemm": ["--gpu", "h100-sxm", "-m", "1", "-n", "4096", "-k", "4096"],
    "predict llm": ["--model", "llama-3-8b"],
    "predict llm --advise": ["--model", "llama-3-8b"],
    "tune gemm --predict-only": ["-m", "512", "-n", "512", "-k", "512", "--gpu", "h100-sxm"],
    "roofline": [],
    "profile": ["h100-sxm"],
    "report": [str(RECORDED / "llama-1b" / "sweep.json"), "-o", "page.html"],
    "compare": [str(RECORDED / "aa" / f"quick{number}.json.gz") for number in (1, 2)],
    "workload --list": [],
}
NO_TABLE = {
    "explain": "text", "report": "a page itself", "workload": "a folder of traces", "train": "models",
    "sweep gemm": "rows", "sweep kernel": "a journal", "trace export": "a trace", "trace record": "a trace",
    "trace report": "a page itself", "predict kernel": "a CSV",
}  # fmt: skip
"""Commands whose -o is something else than the table of what they print."""


def documented():
    """Command → (schema, keys) of the table."""
    text = (ROOT / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?) \| (\S+) \| (.+) \|$", text, re.MULTILINE)
    return {name: (schema, keys) for names, schema, keys in rows for name in re.findall(r"`([^`]+)`", names)}


@pytest.mark.parametrize("command", CASES)
def test_json_has_the_documented_keys(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert main([*command.split(), *CASES[command], "--json"]) in (0, 1)
    document = json.loads(capsys.readouterr().out)
    schema, keys = documented()[command]
    first = document[0] if isinstance(document, list) else document
    assert ", ".join(first) == keys or set(first) == set(keys.split(", "))
    assert str(first.get("schema", "list")) == schema


def commands(group=GROUP, path=""):
    for name in COMMANDS if group is GROUP else group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def test_every_command_prints_json_and_writes_tables():
    lacking = []
    for name, command in commands():
        options = {option: one for one in command.params for option in one.opts}
        if "--json" not in options and name not in ("trace export", "trace record", "trace report"):
            lacking.append(f"{name}: --json")
        described = options["-o"].help or "" if "-o" in options else ""
        if name not in NO_TABLE and not all(suffix in described for suffix in (".csv", ".parquet", ".html", ".md")):
            lacking.append(f"{name}: -o {described}")
    assert lacking == []


@pytest.mark.parametrize("command", ["doctor", "predict gemm", "tune gemm --predict-only", "trace sweep", "roofline"])
@pytest.mark.parametrize("suffix", [".csv", ".md", ".json"])
def test_a_table_is_written_beside_what_is_printed(command, suffix, capsys, tmp_path):
    path = tmp_path / f"out{suffix}"
    assert main([*command.split(), *CASES[command], "-o", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) > 2 or suffix == ".json"
    if suffix == ".json":
        assert json.loads(text)["schema"] == 1
