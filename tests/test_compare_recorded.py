"""``compare`` on real repeats: runs of one GPU that nothing changed between, and a 2 % change put into them.

What is tested, over every pair of the recorded repeats and with the settings of ``gpuprobe compare``:

- false verdicts: at most 1 % of all rows (as measured, and their twins in the other domain) are FASTER or SLOWER.
- power: one side's values, intervals and samples are multiplied by 1.02 and by 1 / 1.02. A row counts where its noise
  allows the change to be found at all: the standard deviation of its ratio, which the width of the unchanged pair's
  interval states (samples and declared noise between runs together), is at most log(1.02) / (z + 1.645), the most at
  which 95 % of normal ratios 2 % from 1 have an interval that excludes 1. Of these, as measured, at least 95 % are
  found, with the right sign; and they must be QUIET_ENOUGH of all rows, or the comparison is good for nothing.
- repeats: of states of four runs each, simulated from each recorded run with the noise that its samples show and its
  probes declare, at most 1 % of rows are called different where nothing changed. Where 2 % did, of the rows as measured
  and without asking for the sign, at least 95 % are found of those whose probe declares less than 1 % from run to run
  (QUIET), and less than half of those for which it declares 2 % and more (LOUD: places in L2, the host; four repeats
  cannot resolve them, and if they do, too much is declared). FOUND is what that comes to over all rows.
- repeatability: over all pairs, 90 % of the quantities differ by less than 1 %.

The noise that probes declare was taken from earlier repeats of other cards; that of l2_map from the H100's.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import NormalDist, fmean

import pytest

from gpuprobe.cli.compare import CONFIDENCE
from gpuprobe.comparison import Comparison, Row, Verdict, compare
from gpuprobe.domains import orientation
from gpuprobe.floors import declared
from gpuprobe.record import Measurement, Run
from gpuprobe.run_files import read_run

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = sorted((ROOT / "reports").glob("*/aa"))
CHANGE = 1.02
DIFFERENT = {Verdict.FASTER, Verdict.SLOWER, Verdict.DIFFERENT}
QUIET, LOUD = 0.01, 0.02
QUIET_ENOUGH = 0.45
"""Of the H100's rows a sixth are the map of L2 over its SMs, of which one pair of runs says nothing to 2 %."""
FOUND = {"h100-sxm": 0.91, "h200-sxm": 0.91}
"""Share of all rows in which four repeats a side find 2 %, of 69 probes."""

Runs = tuple[Run, ...]


@cache
def read(folder: Path) -> Runs:
    found = tuple(read_run(path) for path in sorted(folder.glob("*.json.gz")))
    assert len(found) >= 2, f"{folder} holds {len(found)} runs: at least two are needed"
    return found


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.parent.name)
def runs(request: pytest.FixtureRequest) -> Runs:
    return read(request.param)


def pairs(runs: Runs) -> Iterator[tuple[Run, Run]]:
    return itertools.combinations(runs, 2)


def compared(a: Run, b: Run) -> Comparison:
    return compare(a, b, confidence=CONFIDENCE, floors=declared(a))


def scaled(run: Run, factor: float) -> Run:
    def changed(m: Measurement) -> Measurement:
        samples = tuple(sample * factor for sample in m.samples)
        return replace(m, value=m.value * factor, low=m.low * factor, high=m.high * factor, samples=samples)

    return replace(run, measurements=tuple(changed(m) for m in run.measurements))


def named(row: Row) -> str:
    return f"{row.name} {row.quantity} {dict(row.params)} {row.domain}: {row.ratio:.4f} [{row.low:.4f}, {row.high:.4f}]"


def named_like(row: Row | Measurement) -> tuple[object, ...]:
    """What a measurement and the row that compares it have in common."""
    return row.name, row.quantity, *sorted(row.params.items())


def listed(lines: list[str]) -> str:
    return "\n".join(["", *sorted(lines)])


def test_an_h100_was_measured_repeatedly() -> None:
    assert "h100-sxm" in {folder.parent.name for folder in FOLDERS}


def test_the_repeats_are_of_one_card_and_hold_the_same_quantities(runs: Runs) -> None:
    assert len({(run.device.name, run.environment.gpu_uuid, run.environment.driver) for run in runs}) == 1
    refused = {rejection.probe for run in runs for rejection in run.rejections}
    assert len({frozenset((m.key, m.unit) for m in run.measurements if m.name not in refused) for run in runs}) == 1
    assert len({run.run_id for run in runs}) == len(runs)


def test_at_most_one_row_in_a_hundred_is_called_different_where_nothing_changed(runs: Runs) -> None:
    rows = [row for a, b in pairs(runs) for row in compared(a, b).rows]
    false = [f"{named(row)} {row.verdict}" for row in rows if row.verdict in DIFFERENT]
    assert len(false) <= 0.01 * len(rows), f"{len(false)} of {len(rows)} rows:{listed(false)}"


def test_nine_in_ten_quantities_repeat_within_one_percent(runs: Runs) -> None:
    rows = [row for a, b in pairs(runs) for row in compared(a, b).rows if row.domain == "native"]
    apart = [named(row) for row in rows if not 1 / 1.01 < row.ratio < 1.01]
    assert len(apart) <= 0.1 * len(rows), f"{len(apart)} of {len(rows)} rows:{listed(apart)}"


def allows(row: Row) -> bool:
    """Whether the noise of a row leaves a change of 2 % to be found in 95 % of cases."""
    normal = NormalDist()
    z = normal.inv_cdf(0.5 + CONFIDENCE / 2)
    deviation = math.log(row.high / row.low) / (2 * z)
    return deviation <= math.log(CHANGE) / (z + normal.inv_cdf(0.95))


def repeat(run: Run, rng: random.Random, run_id: str, factor: float = 1.0) -> Run:
    """Another run of the same state: each value moved by the noise of its samples and by that declared between runs."""
    floors = declared(run)

    def moved(m: Measurement) -> Measurement:
        of_samples = math.log(m.high / m.low) / 2 / NormalDist().inv_cdf(0.975)
        shift = factor * math.exp(rng.gauss(0.0, math.hypot(of_samples, floors[m.key, m.unit])))
        flags = tuple(flag for flag in m.flags if flag != "drift")  # of the check as it was before it had company
        return replace(m, value=m.value * shift, low=m.low * shift, high=m.high * shift, flags=flags)

    return replace(run, run_id=run_id, measurements=tuple(moved(m) for m in run.measurements if m.low > 0))


def test_four_repeats_a_side_find_two_percent_in_95_percent_of_the_rows_that_are_quiet(runs: Runs) -> None:
    rng, false, unchanged = random.Random(0), 0, 0
    found: list[tuple[float, bool]] = []
    for run, factor, _ in itertools.product(runs, (CHANGE, 1 / CHANGE), range(2)):
        before, same, after = (
            [repeat(run, rng, f"{side}{i}", scale) for i in range(4)]
            for side, scale in (("a", 1.0), ("b", 1.0), ("c", factor))
        )
        floors = declared(run)
        noise = {named_like(m): floors[m.key, m.unit] for m in run.measurements}
        for row in compare(before, same, confidence=CONFIDENCE, floors=floors).rows:
            false, unchanged = false + (row.verdict in DIFFERENT), unchanged + 1
        for row in compare(before, after, confidence=CONFIDENCE, floors=floors).rows:
            if row.domain == "native":
                found.append((noise[named_like(row)], row.verdict in DIFFERENT))
    assert false <= 0.01 * unchanged
    assert fmean(hit for declared_noise, hit in found if declared_noise < QUIET) >= 0.95
    assert fmean(hit for declared_noise, hit in found if declared_noise >= LOUD) < 0.5
    assert round(fmean(hit for _, hit in found), 2) == FOUND[runs[0].device.name]


def test_the_documents_state_what_four_repeats_find() -> None:
    shares = " and ".join(f"{100 * share:.0f} %" for share in FOUND.values())
    text = " ".join((ROOT / "docs" / "measuring.md").read_text(encoding="utf-8").split())
    assert f"four runs a side find {shares} of changes of 2 %" in text


@pytest.mark.parametrize("factor", [CHANGE, 1 / CHANGE], ids=["more", "less"])
def test_a_change_of_two_percent_is_found_where_the_noise_allows_it(runs: Runs, factor: float) -> None:
    everything, judged, missed = 0, 0, []
    for a, b in itertools.permutations(runs, 2):
        for before, after in zip(compared(a, b).rows, compared(a, scaled(b, factor)).rows, strict=True):
            if before.domain != "native":
                continue
            everything += 1
            if not allows(before):
                continue
            judged += 1
            way = orientation(after.unit)
            found = Verdict.DIFFERENT if way == 0 else Verdict.FASTER if (factor > 1) == (way > 0) else Verdict.SLOWER
            if after.verdict is not found:
                missed.append(f"{named(after)} {after.verdict}")
    assert judged >= QUIET_ENOUGH * everything, f"only {judged} of {everything} rows are quiet enough"
    assert len(missed) <= 0.05 * judged, f"{len(missed)} of {judged} rows:{listed(missed)}"
