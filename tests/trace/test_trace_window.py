"""A part of a trace: steps by number, phases by name."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from synthetic_traces import host, launch_pairs, trace_of, write_json

from gpuprobe.cli.trace import command
from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.model import SampleTable, make
from gpuprobe.trace.read import read_trace
from gpuprobe.trace.record.window import parse_window, part


def test_a_step_inside_a_step_is_not_counted(tmp_path):
    times = [(0, 100), (10, 20), (200, 300), (280, 300), (400, 500)]
    names = ["ProfilerStep#1", "Optimizer.step#SGD.step", "ProfilerStep#2", "Optimizer.step#SGD.step", "step"]
    events = [
        host(name, start, end - start, "user_annotation") for name, (start, end) in zip(names, times, strict=True)
    ]
    trace = trace_of(
        tmp_path, [*events, *launch_pairs(("a", 50, 2, 60, 5), ("b", 250, 2, 260, 5), ("c", 450, 2, 460, 5))]
    )
    for steps, kernels in {"0:1": ["a"], "1:2": ["b"], "1:3": ["b", "c"], "2:": ["c"]}.items():
        part_of_it = part(trace, parse_window(None, steps))
        assert [part_of_it.texts[name] for name in part_of_it.gpu.name] == kernels
    assert len(part(trace, parse_window("(?i)step", None)).gpu.start) == 3


def test_work_between_kept_ranges_is_told_and_takes_the_power_samples_with_it(tmp_path):
    events = [host("phase", start, 100, "user_annotation") for start in (0, 1000)]
    work = {
        at: launch_pairs(("a", at, 2, at + 10, 5), ("b", 50, 2, 60, 5), ("c", 1050, 2, 1060, 5)) for at in (500, 1500)
    }
    for at, launches in work.items():
        whole = trace_of(tmp_path, [*events, *launches])
        samples = {"start": [0, 500_000], "value": [1.0, 2.0], "name": [0, 0], "lane": [0, 0]}
        whole = replace(whole, samples=make(SampleTable, {name: np.array(of) for name, of in samples.items()}))
        kept = part(whole, parse_window("phase", None))
        assert kept.gpu.start.tolist() == [60_000, 1_060_000]
        told = ["1 GPU events ran among those that are kept" in warning for warning in kept.warnings]
        assert (told, len(kept.samples.start)) == (([True], 0) if at == 500 else ([], 2))


def test_a_part_that_does_not_exist_is_an_error_that_names_what_does(tmp_path):
    trace = trace_of(tmp_path, [host("decode", 0, 100, "user_annotation"), *launch_pairs(("a", 50, 2, 60, 5))])
    with pytest.raises(GpuprobeError, match="matches --phase prefill") as error:
        part(trace, parse_window("prefill", None))
    assert "'decode' (1)" in error.value.hint
    with pytest.raises(GpuprobeError, match="a step from number 3 on"):
        part(trace, parse_window(None, "3:"))


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_commands_take_a_part_of_a_trace(tmp_path):
    steps = [host(f"ProfilerStep#{number}", 1000 * number, 900, "user_annotation") for number in range(4)]
    work = launch_pairs(*[(f"k{number}", 1000 * number + 10, 2, 1000 * number + 20, 5) for number in range(4)])
    path = write_json(tmp_path / "run.json", [*steps, *work])
    found = json.loads(run("analyze", path, "--steps", "1:3", "--json").stdout)
    assert [row["name"] for row in found["kernels"]] == ["k1", "k2"]
    assert len(found["exact"]["steps"]) == 2
    several = json.loads(run("analyze", path, path, "--batch", "1,2", "--phase", "#3", "--json").stdout)
    assert [[row["name"] for row in part["kernels"]] for part in several["files"]] == [["k3"], ["k3"]]
    changes = json.loads(run("diff", path, path, "--steps", ":1", "--json").stdout)
    assert [row["name"] for row in changes["kernels"]] == ["k0"]
    assert run("export", path, "--steps", "3:", "-o", tmp_path / "part.gptrace").exit_code == 0
    assert read_trace(tmp_path / "part.gptrace").gpu.dur.tolist() == [5000]
    refused = run("analyze", path, "--steps", "4:")
    assert "'ProfilerStep#0' (1)" in refused.exception.hint
