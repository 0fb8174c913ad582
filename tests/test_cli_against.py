"""``microbench --against published``: ours beside theirs with tolerance and reason, and the exit code it asks for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from recording import h100

from gpuprobe import recordings, resources
from gpuprobe.cli import against, microbench
from gpuprobe.cli.compare import command as compare
from gpuprobe.cli.microbench import command
from gpuprobe.errors import Exit
from gpuprobe.run_files import read_run, write_run

RECORDED = resources.folder("reports") / "h100-sxm" / recordings.FILE
PROBES = ("ffma_latency", "shared_latency", "null_graph", "null_kernel")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recording of a few probes: a file that is read in no time."""
    run = read_run(RECORDED)
    measurements = tuple(m for m in run.measurements if m.name in PROBES)
    small = replace(run, measurements=measurements, series=tuple(s for s in run.series if s.probe in PROBES))
    path = tmp_path_factory.mktemp("recorded") / "few.json.gz"
    write_run(small, path)
    return path


@pytest.fixture
def run(file: Path) -> Callable[..., Result]:
    """``microbench`` with more options on that recording."""

    def invoked(*options: str) -> Result:
        return CliRunner().invoke(command, ["--replay", str(file), *options], standalone_mode=False)

    return invoked


@pytest.fixture(autouse=True)
def no_building(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaying needs no compiler: today's kernels are not built here."""
    monkeypatch.setattr(microbench, "_build", lambda *_: {})


def test_the_table_has_ours_theirs_tolerance_verdict_and_reason(run: Callable[..., Result]) -> None:
    result = run("--against", "published")
    lines = result.stdout.splitlines()
    head = next(line for line in lines if line.startswith("name "))
    assert all(column in head for column in against.COLUMNS)
    row = next(line for line in lines if line.startswith("shared_latency") and "INDEX" in line)
    assert "29.0" in row and "±3%" in row and "WITHIN" in row and "tolerance 3%" in row
    assert "WITHIN" in result.stderr


def test_the_document_is_that_of_compare(run: Callable[..., Result], file: Path) -> None:
    mine = json.loads(run("--against", "published", "--json").stdout)
    other = CliRunner().invoke(compare, [str(file), "published", "--json"], standalone_mode=False)
    theirs = json.loads(other.stdout)
    names = {row["name"] for row in mine["rows"]}
    assert names and mine["rows"] == [row for row in theirs["rows"] if row["name"] in names]


def test_a_table_written_is_the_one_shown_and_a_run_written_is_the_run(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    assert run("--against", "published", "-o", str(tmp_path / "t.csv")).return_value is Exit.DONE
    head, *rows = (tmp_path / "t.csv").read_text().splitlines()
    assert head.split(",")[:5] == list(against.COLUMNS)[:5] and any("WITHIN" in row for row in rows)
    run("--against", "published", "-o", str(tmp_path / "r.json.gz"))
    assert read_run(tmp_path / "r.json.gz").measurements


def test_fail_on_outside_decides_the_exit_code(run: Callable[..., Result]) -> None:
    verdicts = {row["verdict"] for row in json.loads(run("--against", "published", "--json").stdout)["rows"]}
    expected = Exit.CHECK_FAILED if "OUTSIDE" in verdicts else Exit.DONE
    assert run("--against", "published", "--fail-on", "outside").return_value is expected
    assert run("--against", "published").return_value is Exit.DONE


@pytest.mark.parametrize(
    "options",
    [("--fail-on", "outside"), ("--against", "published", "--list"), ("--against", "published", "--build-only")],
)
def test_wrong_use_is_refused(options: tuple[str, ...]) -> None:
    result = CliRunner().invoke(command, list(options), standalone_mode=False)
    assert type(result.exception).__name__ == "UsageError"


def test_a_run_without_common_values_says_so(file: Path) -> None:
    recording = replace(read_run(file), measurements=(), device=replace(h100(), chip="other", name="other"))
    assert against.rows_of(recording)[2] == []
    assert against.count([]) == "no common rows"


def test_the_page_of_all_recordings_is_not_stale() -> None:
    script = Path(__file__).parents[1] / "docs" / "published.py"
    result = subprocess.run([sys.executable, script, "--check"], check=False)
    assert result.returncode == 0, "write it again with: python docs/published.py"
