"""A recording through the measuring method again: the very same numbers, as far as it goes, on a slow machine too."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from recording import (
    ComputingGpu,
    Watching,
    chain_model,
    chain_probe,
    chain_sample,
    gpu_of,
    kernels_of,
    numbers_of,
    plan,
    through_file,
)
from test_measure import computing, is_good, only, result_of, run_of

from gpuprobe.estimate import Estimate, Point
from gpuprobe.gpu.replay import ReplayGpu
from gpuprobe.judge import Result
from gpuprobe.measure import Plan
from gpuprobe.probe import Probe
from gpuprobe.record import Run, Sample, significant


def replayed(run: Run, probe: Probe, settings: Plan) -> Result:
    return result_of(ReplayGpu(through_file(run)), probe, settings, run.run_id)


def test_a_slow_replay_uses_every_sample_all_the_same() -> None:
    live = run_of(result_of(gpu_of(chain_model(23.0, 0.1, 5)), chain_probe(), plan(width=0.0)))
    hurried = replace(plan(width=0.0), stop=replace(plan(width=0.0).stop, max_seconds=1e-9))
    assert only(replayed(live, chain_probe(), hurried)).n == live.measurements[0].n > 11


@pytest.mark.parametrize("noise", [0.0, 1e-4, 0.003, 0.1])
def test_a_replay_gives_the_very_same_numbers(noise: float) -> None:
    probe = chain_probe(axes={"OP": ["A", "B"]})
    live = run_of(result_of(gpu_of(chain_model(23.0, noise, 5)), probe, plan()))
    again = replayed(live, probe, plan())
    assert numbers_of(run_of(again)) == numbers_of(live)
    assert [replace(m, flags=tuple(f for f in m.flags if f != "replayed")) for m in again.measurements] == list(
        live.measurements
    )
    assert all("replayed" in m.flags for m in again.measurements)
    assert {(s.probe, json.dumps(dict(s.params)), len(s)) for s in again.series} == {
        (s.probe, json.dumps(dict(s.params)), len(s)) for s in live.series
    }


def test_a_replay_of_computed_columns_and_odd_digits_gives_the_very_same_numbers() -> None:
    def model(point: Point, index: int) -> Sample:
        return chain_sample(point, 4 + index / 7e5, power_w=300 + index / 3)

    probe = chain_probe(
        reduce=lambda point, out: {"third": 1 / 3 + out[0]},
        check=lambda point, seed, out: None,
        estimate=lambda round_: [Estimate("third", {}, "s", s.values["third"], s) for s in list(round_.values())[:1]],
    )
    live = run_of(result_of(ComputingGpu(model, lambda job: bytes([job.seed % 7])), probe, plan()))
    assert numbers_of(run_of(replayed(live, probe, plan()))) == numbers_of(live)
    assert live.measurements[0].n > 0
    kept = [number for one in live.series for column in one.columns.values() for number in column]
    assert all(number == significant(number) for number in kept)  # nine digits: half the bytes of a file


def test_a_run_that_time_ended_replays_as_far_as_it_went() -> None:
    probe = chain_probe()
    stop = replace(plan().stop, max_seconds=1e-9, relative_width=0.0)
    live = run_of(result_of(gpu_of(chain_model(4.0, 0.1)), probe, Plan("full", stop)))
    assert live.measurements[0].n == 1
    patient = Plan("full", replace(stop, max_seconds=600.0))
    assert numbers_of(run_of(replayed(live, probe, patient))) == numbers_of(live)


def test_a_full_recording_is_replayed_quickly_with_the_quick_points_and_rule() -> None:
    probe = chain_probe(axes={"OP": ["A", "B"]}, quick={"OP": ["B"]})
    live = run_of(result_of(gpu_of(chain_model(4.0, 0.001)), probe, plan(width=0.0, least=31, most=31)))
    quick = replayed(live, probe, plan(width=0.05, least=11, most=31, mode="quick"))
    assert [(m.params["OP"], m.n) for m in quick.measurements] == [("B", 11)]
    full = next(m for m in live.measurements if m.params["OP"] == "B")
    assert quick.measurements[0].samples == full.samples[:11]


def test_a_recording_that_lacks_a_configuration_gives_no_number() -> None:
    live = run_of(result_of(gpu_of(chain_model()), chain_probe(), plan()))
    short = replace(live, series=tuple(s for s in live.series if s.params["CHAIN"] != 64))
    result = replayed(short, chain_probe(), plan())
    assert (result.measurements, result.series) == ((), ())


@pytest.mark.parametrize("when", [0, 4])
def test_what_was_rejected_live_is_rejected_in_a_replay_and_the_rest_is_there(when: int) -> None:
    from gpuprobe import campaign

    probe = chain_probe(axes={"OP": ["A", "B"]}, check=is_good)
    live = run_of(result_of(computing("B", when), probe, plan()))
    again = campaign.replay(through_file(live), [probe], kernels_of([probe]), "full", Watching())
    assert numbers_of(again) == numbers_of(live)
    assert {(json.dumps(dict(r.params)), r.reason) for r in again.rejections} == {
        (json.dumps(dict(r.params)), r.reason) for r in live.rejections
    }
