"""``gpuprobe report``: what it writes, prints and refuses."""

import json

import pytest
from click.testing import CliRunner
from report_inputs import QUICK, hostile_trace

from gpuprobe.cli.report import command
from gpuprobe.errors import GpuprobeError


def run(*arguments):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=True)
    if isinstance(result.exception, GpuprobeError):
        raise result.exception
    return result


def test_a_run_becomes_a_page(tmp_path):
    page = tmp_path / "new folder" / "report.html"
    result = run(QUICK, "-o", page)
    assert result.exit_code == 0 and "kB" in result.output
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and text.rstrip().endswith("</html>")
    assert f"gpuprobe report {QUICK} -o" in text


def test_json_says_what_was_written(tmp_path):
    page = tmp_path / "report.html"
    document = json.loads(run(QUICK, hostile_trace(tmp_path), "-o", page, "--json").stdout)
    assert document["schema"] == 1 and document["file"] == str(page) and document["bytes"] == page.stat().st_size
    assert len(document["inputs"]) == 2


@pytest.mark.parametrize("name", ["report.pdf", "report", "report.json"])
def test_other_suffixes_are_refused_before_any_work(tmp_path, name):
    with pytest.raises(GpuprobeError, match="unknown suffix"):
        run(tmp_path / "missing.json", "-o", tmp_path / name)


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "x.html").mkdir()
    with pytest.raises(GpuprobeError, match="it is a folder"):
        run(QUICK, "-o", tmp_path / "x.html")


def test_a_missing_file_is_named_and_nothing_is_written(tmp_path):
    with pytest.raises(GpuprobeError, match=r"missing\.json"):
        run(tmp_path / "missing.json", "-o", tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_no_file_is_wrong_use(tmp_path):
    assert run("-o", tmp_path / "r.html").exit_code == 2
