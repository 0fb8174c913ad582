"""benchmarks/trace_record.py and trace_durations.py: the machinery, with a stand-in for CUPTI and for ncu."""

import json
import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ROUNDS, PAIRS, LAUNCHES = 3, 2, 500


def measured(tmp_path, program, *ways, **variables):
    output = tmp_path / "costs.json"
    options = ["--programs", program, "--rounds", str(ROUNDS), "--pairs", str(PAIRS), "--output", str(output)]
    for way in ways:
        options += ["--ways", way]
    environ = {**os.environ, "PYTHONPATH": str(BENCHMARKS.parent), **variables}
    command = [sys.executable, str(BENCHMARKS / "trace_record.py"), *options]
    subprocess.run(command, env=environ, check=True, capture_output=True, timeout=120)
    return {row["way"]: row for row in json.loads(output.read_text())[program]}


def test_each_way_is_timed_in_pairs_and_records_what_it_is_to(fake_cupti, tmp_path):
    rows = measured(tmp_path, "fake", "bare", "recorded", "kernels alone")
    assert {row["problem"] for row in rows.values()} == {""}
    for row in rows.values():
        assert [turn["round"] for turn in row["turns"]] == list(range(ROUNDS))
        assert row["pairs"] == ROUNDS * PAIRS == sum(len(turn["pairs_s"]) for turn in row["turns"])
        low, high = row["over_pause"][1:]
        assert low <= row["over_pause"][0] <= high
    runs = (ROUNDS * PAIRS + 1) * (LAUNCHES + 10)  # a pair before the first turn
    assert rows["recorded"]["kernels"] == rows["kernels alone"]["kernels"] == runs
    assert rows["kernels alone"]["calls"] == 0
    assert rows["recorded"]["calls"] >= runs  # the stand-in's calls end later than they return
    assert "kernels" not in rows["bare"]


def test_whole_programs_are_compared_with_the_bare_ones_of_their_round(fake_cupti, tmp_path):
    rows = measured(tmp_path, "fakeloop", "bare", "bare again", "recorded")
    assert rows["recorded"]["kernels"] == (ROUNDS + 1) * (LAUNCHES + 10)
    pieces = {way: [turn["pairs_s"][0][1] for turn in row["turns"]] for way, row in rows.items()}
    bare = [sum(both) / 2 for both in zip(pieces["bare"], pieces["bare again"], strict=True)]
    ratios = sorted(time / other for time, other in zip(pieces["recorded"], bare, strict=True))
    assert abs(rows["recorded"]["over_bare"][0] - (ratios[1] - 1)) < 1e-9
    assert "over_pause" not in rows["recorded"]


def test_a_process_that_dies_is_left_out_and_told(fake_cupti, tmp_path):
    rows = measured(tmp_path, "fake", "bare", "recorded", GPUPROBE_CUPTI="/nonexistent/libcupti.so")
    assert all("ended in its start" in row["problem"] for row in rows.values())
    assert all("OSError" in row["problem"] for row in rows.values())


def asked(program):
    """What a program that imports trace_durations as t prints, from JSON."""
    environ = {**os.environ, "PYTHONPATH": f"{BENCHMARKS}:{BENCHMARKS.parent}"}
    command = [sys.executable, "-c", f"import json, trace_durations as t\n{program}"]
    done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_durations_of_ncu_are_read_in_any_unit():
    head = ["==PROF== Connected", '"ID","Kernel Name","gpu__time_duration.sum","gpc__cycles_elapsed.avg.per_second"']
    rows = ['"","","us","Ghz"', '"0","k","1,234.5","1.98"']
    lines = [*head, *rows]
    assert asked(f"print(json.dumps(t.read_ncu({lines})))") == [[["k", 1_234_500, 1.98e9]], ""]
    lines = ['"Kernel Name","gpu__time_duration.sum"', '"","ns"', '"range","4,336"']
    assert asked(f"print(json.dumps(t.read_ncu({lines})))") == [[["range", 4336, None]], ""]
    refused = "==ERROR== ERR_NVGPUCTRPERM"
    assert asked(f"print(json.dumps(t.read_ncu(['{refused}'])))") == [[], refused]


def test_ncu_is_compared_with_kernels_alone_and_its_ranges_lose_their_constant():
    rows, ranges = asked(
        """
turn = [("k", 1000)] * t.REPEATS + [("k", 2000)] * t.REPEATS
slow = [("k", 3000)] * len(turn)
measured = [("k", 5000, 1.9e9)] * len(turn)
ranged = [("range", 7000 + 900 * count, None) for count in t.RANGES]
print(json.dumps([t.compare([turn, slow, turn, turn[:3]], [turn], measured), t.of_ranges(ranged * 2)]))
"""
    )
    assert ranges == [900, 900]
    row, alone = rows
    assert (row["style"], row["recorder"], row["torch.profiler"]) == ("in a row", 1000, 1000)
    assert (alone["style"], alone["recorder"], alone["ncu"], alone["ncu_hz"]) == ("alone", 2000, 5000, 1.9e9)
    assert "ncu" not in row
