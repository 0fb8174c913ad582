"""What -o writes: the table as CSV, Markdown, HTML and Parquet, escaped, whole or not at all."""

import csv
import io
import sys

import pytest

from gpuprobe.cli import main
from gpuprobe.cli.output import check_output, write_output
from gpuprobe.errors import GpuprobeError

COLUMNS = ("name", "value", "note")
ROWS = [("void f<int|float>()", "1.5", "a\nb"), ("<script>", "2", "")]


def written(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    write_output(path, {"schema": 1}, COLUMNS, ROWS)
    return path


def test_csv(tmp_path):
    rows = list(csv.reader(io.StringIO(written(tmp_path, ".csv").read_text(encoding="utf-8"))))
    assert rows == [list(COLUMNS), *map(list, ROWS)]


def test_markdown_keeps_a_row_a_line_and_escapes_bars(tmp_path):
    lines = written(tmp_path, ".md").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["| name | value | note |", "| --- | --- | --- |"]
    assert lines[2] == r"| void f<int\|float>() | 1.5 | a b |" and len(lines) == 4


def test_html_escapes_cells_and_gives_headings_a_scope(tmp_path):
    text = written(tmp_path, ".html").read_text(encoding="utf-8")
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert text.count("<th scope=col>") == 3 and text.count("<tr>") == 3


def test_parquet_holds_numbers_as_numbers(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(written(tmp_path, ".parquet"))
    assert table.column_names == list(COLUMNS)
    assert table["value"].to_pylist() == [1.5, 2.0]
    assert table["name"].to_pylist() == [row[0] for row in ROWS]


def test_parquet_without_pyarrow_is_an_error_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(GpuprobeError, match="pip install"):
        written(tmp_path, ".parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_an_unknown_suffix_names_those_there_are(tmp_path):
    with pytest.raises(GpuprobeError, match=r"\.parquet"):
        check_output(tmp_path / "out.xlsx")


@pytest.mark.parametrize("suffix", [".csv", ".md", ".html", ".parquet"])
def test_a_command_writes_every_format(tmp_path, suffix, capsys):
    path = tmp_path / f"profile{suffix}"
    assert main(["profile", "a100-sxm-80gb", "-o", str(path)]) == 0, capsys.readouterr().err
    assert path.stat().st_size > 500
