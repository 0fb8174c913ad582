"""The page about coverage is what the probes say, and the probes name rows that exist."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gpuprobe.coverage import ELSEWHERE, LEFT_OUT, ROWS, covered, covering, page, unknown
from gpuprobe.probe import discover

PAGE = Path(__file__).parents[1] / "docs" / "coverage.md"
LEAST = 44


def test_the_page_is_not_stale() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(discover()), "write it again with: python docs/coverage.py"


def test_enough_rows_are_automated() -> None:
    missing = [
        f"{row}. {ROWS[row]}" for row, names in covering(discover()).items() if not names and row not in ELSEWHERE
    ]
    assert covered(discover()) >= LEAST, f"not automated: {missing}"


def test_probes_name_rows_of_the_catalogue() -> None:
    assert sorted(ROWS) == list(range(1, 50))
    assert unknown(discover()) == []
    wrong = replace(discover()[0], covers=(50,))
    assert unknown([wrong]) == [wrong.name]


def test_what_a_row_leaves_out_is_on_the_page() -> None:
    assert set(LEFT_OUT) <= set(ROWS)
    text = page(discover())
    assert all(f"| {row} | {what} |" in text for row, what in LEFT_OUT.items())


def test_every_probe_covers_a_row() -> None:
    assert [probe.name for probe in discover() if not probe.covers] == []


def test_a_probe_taken_away_changes_page_and_count() -> None:
    probes = discover()
    fewer = [probe for probe in probes if 48 not in probe.covers]
    assert covered(fewer) < covered(probes)
    assert page(fewer) != page(probes)
