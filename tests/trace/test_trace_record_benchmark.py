"""benchmarks/trace_record.py and trace_durations.py: the machinery, with a stand-in for CUPTI and for ncu."""

import json
import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
LAUNCHES, TURNS = 300, 3


def measured(tmp_path, *ways, **variables):
    output = tmp_path / "costs.json"
    options = ["--programs", "fake", "--turns", str(TURNS), "--launches", str(LAUNCHES), "--output", str(output)]
    for way in ways:
        options += ["--ways", way]
    environ = {**os.environ, "PYTHONPATH": str(BENCHMARKS.parent), **variables}
    command = [sys.executable, str(BENCHMARKS / "trace_record.py"), *options]
    subprocess.run(command, env=environ, check=True, capture_output=True, timeout=120)
    return {row["way"]: row for row in json.loads(output.read_text())["fake"]}


def test_each_way_is_timed_in_both_states_and_records_what_it_is_to(fake_cupti, tmp_path):
    rows = measured(tmp_path, "bare", "recorded", "kernels alone", "recorded, always on", "after --seconds")
    assert {way: {state: len(times) for state, times in row["times_s"].items()} for way, row in rows.items()} == {
        "bare": {"off": TURNS, "on": TURNS},
        "recorded": {"off": TURNS, "on": TURNS},
        "kernels alone": {"off": TURNS, "on": TURNS},
        "recorded, always on": {"off": 0, "on": TURNS},
        "after --seconds": {"off": 0, "on": TURNS},
    }
    runs = TURNS + 2  # two more of each state before the first turn
    assert rows["recorded"]["records"] >= 2 * runs * LAUNCHES
    assert rows["recorded"]["records"] > 1.9 * rows["kernels alone"]["records"]
    assert rows["recorded, always on"]["records"] >= 2 * (TURNS + 4) * LAUNCHES
    assert rows["after --seconds"]["records"] < rows["recorded"]["records"]
    assert "over_pause" in rows["recorded"]
    assert "over_bare" in rows["recorded, always on"]
    assert {row["problem"] for row in rows.values()} == {""}


def test_a_process_that_dies_is_left_out_and_told(fake_cupti, tmp_path):
    rows = measured(tmp_path, "bare", "recorded", GPUPROBE_CUPTI="/nonexistent/libcupti.so")
    assert all("ended in its start" in row["problem"] for row in rows.values())
    assert all("OSError" in row["problem"] for row in rows.values())


def test_durations_of_ncu_are_read_in_any_unit():
    program = """
import json, sys, trace_durations as t
lines = ['==PROF== Connected', '"ID","Kernel Name","gpu__time_duration.sum"', '"","","us"', '"0","k","1,234.5"']
recorded = [[("k", 1_000_000)], [("k", 1_234_500)], [("k", 2_000_000)], [("k", 1), ("lost", 1)]]
measured, problem = t.read_ncu(lines)
print(json.dumps([t.compare(recorded, recorded, measured), problem, t.read_ncu(["==ERROR== ERR_NVGPUCTRPERM"])]))
"""
    environ = {**os.environ, "PYTHONPATH": f"{BENCHMARKS}:{BENCHMARKS.parent}"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
    compared, problem, refused = json.loads(done.stdout)
    assert compared == {"k": {"recorder": 1_234_500, "torch.profiler": 1_234_500, "ncu": 1_234_500}}
    assert problem == ""
    assert refused == [[], "==ERROR== ERR_NVGPUCTRPERM"]
