"""A campaign that is stopped at any moment keeps what it has, and the same command goes on; another one begins anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from recording import (
    ENVIRONMENT,
    ComputingGpu,
    Watching,
    chain_model,
    chain_probe,
    gpu_of,
    h100,
    kernels_of,
    numbers_of,
    through_file,
    unkept,
    verdict,
)

from gpuprobe import campaign, journal
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.gpu.protocol import Job, Outcome
from gpuprobe.gpu.synthetic import SyntheticGpu
from gpuprobe.probe import Probe
from gpuprobe.record import Run
from gpuprobe.run_files import write_run

TESTS = Path(__file__).resolve().parent
NAMES = ("one", "two", "three", "four")
PROBES = [chain_probe(name) for name in NAMES]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPUPROBE_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


class Stopping(SyntheticGpu):
    """A GPU at which an error is raised in the middle of one probe."""

    def __init__(self, probe: str, error: Callable[[], BaseException], **environment: object) -> None:
        super().__init__(h100(), chain_model(4.0, 0.001, 7), replace(ENVIRONMENT, **environment))
        self._probe, self._error = probe, error
        self._left = 15

    def run(self, job: Job) -> Outcome:
        self._left -= job.probe == self._probe
        if self._left == 0 and job.probe == self._probe:
            raise self._error()
        return super().run(job)


def run(
    gpu: SyntheticGpu | None = None,
    probes: list[Probe] | None = None,
    watching: Watching | None = None,
    **options: bool,
) -> Run:
    probes = PROBES if probes is None else probes
    gpu = gpu or gpu_of(chain_model(4.0, 0.001, 7))
    watching = watching or Watching()
    return campaign.run_live(gpu, probes, kernels_of(probes, "quick"), "quick", watching, keep=unkept, **options)


def journals(state: Path) -> list[Path]:
    return sorted((state / "journals").glob("*.jsonl"))


def interrupted_in(name: str, **environment: object) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Stopping(name, KeyboardInterrupt, **environment))


# --- a whole campaign -------------------------------------------------------------------------------------------


def test_a_run_holds_what_its_probes_gave_and_where() -> None:
    watching = Watching()
    done = run(watching=watching)
    assert [m.name for m in done.measurements] == list(NAMES)
    assert {s.probe for s in done.series} == set(NAMES)
    assert (done.source, done.mode, done.device, done.environment) == (
        "synthetic",
        "quick",
        h100(),
        replace(ENVIRONMENT, compiler="nvrtc"),
    )
    assert done.run_id.startswith("h100-sxm-")
    assert (watching.begun, watching.measured, watching.resumed) == (list(NAMES), list(NAMES), [])
    assert done.duration_s is not None and done.duration_s > 0


def test_a_failed_gate_and_a_failed_launch_are_rejections_and_the_rest_is_measured() -> None:
    kernels = kernels_of(PROBES, "quick", verdicts=lambda p, d: verdict("no FFMA" if p.name == "one" else ""))
    gpu = Stopping("three", lambda: GpuprobeError("three failed on the GPU", "report it", Exit.CHECK_FAILED))
    done = campaign.run_live(gpu, PROBES, kernels, "quick", Watching(), keep=unkept)
    assert [m.name for m in done.measurements] == ["two", "four"]
    assert {(r.probe, r.reason.split(" (")[0]) for r in done.rejections} == {
        ("one", "no FFMA"),
        ("three", "three failed on the GPU"),
    }


def test_a_machine_that_lacks_something_ends_the_campaign_and_keeps_what_there_is(state: Path) -> None:
    with pytest.raises(GpuprobeError, match="out of memory"):
        run(Stopping("three", lambda: GpuprobeError("out of memory", "free it", Exit.MACHINE_LACKS)))
    watching = Watching()
    run(watching=watching)
    assert (watching.resumed, watching.measured) == (["one", "two"], ["three", "four"])


def test_other_users_of_the_gpu_are_a_warning() -> None:
    done = run(gpu_of(chain_model(), other_processes=2))
    assert any("2 other processes" in warning for warning in done.warnings)
    assert all("shared_gpu" in m.flags for m in done.measurements)


# --- going on ---------------------------------------------------------------------------------------------------


def test_interrupted_inside_a_probe_it_keeps_the_finished_ones_and_goes_on(state: Path) -> None:
    interrupted_in("three")
    watching = Watching()
    done = run(watching=watching)
    assert (watching.resumed, watching.measured) == (["one", "two"], ["three", "four"])
    assert [m.name for m in done.measurements] == list(NAMES)
    assert any("2 probes were measured by an interrupted process" in warning for warning in done.warnings)
    assert journals(state) == []


def test_going_on_keeps_the_samples_and_the_name_of_the_run(state: Path) -> None:
    interrupted_in("three")
    (path,) = journals(state)
    before = [json.loads(line) for line in path.read_text().splitlines()]
    done = run(gpu_of(chain_model(99.0)))
    assert done.run_id == before[0]["header"]["run_id"]
    assert done.started_at == before[0]["header"]["started_at"]
    by_name = {m.name: m for m in done.measurements}
    assert by_name["two"].samples == tuple(before[2]["measurements"][0]["samples"])
    assert by_name["three"].value == pytest.approx(99.0)
    series = next(s for s in done.series if s.probe == "one" and "repeat" not in s.params)
    assert list(series.columns["cycles"]) == before[1]["series"][0]["columns"]["cycles"]


def test_a_run_that_was_interrupted_replays_to_the_very_same_numbers() -> None:
    interrupted_in("three")
    done = run()
    again = campaign.replay(through_file(done), PROBES, kernels_of(PROBES, "quick"), "quick", Watching())
    assert numbers_of(again) == numbers_of(done)
    assert (again.run_id, again.source, again.device) == (done.run_id, "replay", done.device)


def test_interrupted_in_the_first_probe_nothing_is_lost_because_nothing_is_there() -> None:
    interrupted_in("one")
    watching = Watching()
    run(watching=watching)
    assert watching.resumed == []


def test_fresh_forgets_what_an_interrupted_run_has_measured() -> None:
    interrupted_in("three")
    watching = Watching()
    run(watching=watching, fresh=True)
    assert (watching.resumed, watching.measured) == ([], list(NAMES))


def test_the_journal_lasts_until_the_run_is_kept_and_no_longer(state: Path, tmp_path: Path) -> None:
    def keep(done: Run) -> None:
        assert len(journals(state)) == 1
        write_run(done, tmp_path / "run.json")

    gpu = gpu_of(chain_model())
    campaign.run_live(gpu, PROBES, kernels_of(PROBES, "quick"), "quick", Watching(), keep=keep)
    assert journals(state) == []
    watching = Watching()
    run(gpu, watching=watching)
    assert watching.resumed == []


def test_a_run_that_could_not_be_kept_is_not_measured_again(state: Path) -> None:
    def refuse(done: Run) -> None:
        raise GpuprobeError("no space")

    gpu = gpu_of(chain_model())
    with pytest.raises(GpuprobeError, match="no space"):
        campaign.run_live(gpu, PROBES, kernels_of(PROBES, "quick"), "quick", Watching(), keep=refuse)
    watching = Watching()
    run(gpu, watching=watching)
    assert (watching.resumed, watching.measured) == (list(NAMES), [])


def test_a_journal_of_yesterday_is_not_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_in("three")
    monkeypatch.setattr(campaign, "STALE_S", -1.0)
    watching = Watching()
    run(watching=watching)
    assert (watching.resumed, watching.measured) == ([], list(NAMES))


@pytest.mark.parametrize(
    "changed", [{"driver": "999.1"}, {"gpu_uuid": "1" * 16}, {"packages": {"numpy": "3"}}], ids=lambda c: next(iter(c))
)
def test_another_driver_gpu_or_library_begins_anew(changed: dict[str, object]) -> None:
    interrupted_in("three")
    watching = Watching()
    run(gpu_of(chain_model(), **changed), watching=watching)
    assert watching.resumed == []


def test_what_does_not_matter_to_the_numbers_does_not_begin_anew() -> None:
    interrupted_in("three")
    watching = Watching()
    run(gpu_of(chain_model(), temperature_c=80.0), watching=watching)
    assert watching.resumed == ["one", "two"]


def test_a_changed_probe_begins_anew(tmp_path: Path) -> None:
    interrupted_in("three")
    for suffix in (".py", ".cu"):
        source = PROBES[0].path.with_suffix(suffix).read_text()
        (tmp_path / f"ffma_latency{suffix}").write_text(source + ("// changed\n" if suffix == ".cu" else ""))
    changed = [replace(PROBES[0], path=tmp_path / "ffma_latency.py"), *PROBES[1:]]
    watching = Watching()
    run(probes=changed, watching=watching)
    assert watching.resumed == []


def test_other_probes_and_another_mode_begin_anew() -> None:
    interrupted_in("three")
    for probes, mode in ((PROBES[:3], "quick"), (PROBES, "full")):
        watching = Watching()
        campaign.run_live(  # type: ignore[arg-type]
            gpu_of(chain_model()), probes, kernels_of(probes), mode, watching, keep=unkept
        )
        assert watching.resumed == []


# --- kill -9 ----------------------------------------------------------------------------------------------------


def test_killed_in_the_third_probe_the_same_command_goes_on_from_there(state: Path) -> None:
    command = [sys.executable, str(TESTS / "campaign_process.py")]
    paths = os.pathsep.join((str(TESTS.parent), str(TESTS)))
    settings = {"stdout": subprocess.PIPE, "text": True, "env": {**os.environ, "PYTHONPATH": paths}}
    with subprocess.Popen([*command, "three"], **settings) as first:  # type: ignore[call-overload]
        assert first.stdout.readline() == "hanging\n"
        first.send_signal(signal.SIGKILL)
    assert first.returncode == -signal.SIGKILL
    (path,) = journals(state)
    with path.open("ab") as file:  # and the kill came in the middle of a line
        file.write(b'{"probe":"three","measurem')
    again = subprocess.run([*command, "none"], **settings, check=True)  # type: ignore[call-overload]
    shown = json.loads(again.stdout)
    assert (shown["resumed"], shown["measured"]) == (["one", "two"], ["three", "four"])
    assert [m["name"] for m in shown["measurements"]] == list(NAMES)
    assert all(len(m["samples"]) >= 11 for m in shown["measurements"])


# --- places and neighbours --------------------------------------------------------------------------------------


def test_a_state_folder_that_cannot_be_written_is_exit_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GPUPROBE_STATE", str(tmp_path / "file" / "state"))
    with pytest.raises(GpuprobeError, match="cannot keep a journal") as caught:
        run()
    assert caught.value.exit_code is Exit.MACHINE_LACKS
    assert "GPUPROBE_STATE" in caught.value.hint


def test_a_disk_that_fills_up_ends_the_campaign_and_what_was_kept_is_taken_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    synced: list[int] = []

    def fsync(handle: int) -> None:
        synced.append(handle)
        if len(synced) == 4:  # the header, one, two; not three
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal.os, "fsync", fsync)
    with pytest.raises(GpuprobeError, match="No space left on device"):
        run()
    monkeypatch.setattr(journal.os, "fsync", lambda handle: None)
    watching = Watching()
    run(watching=watching)
    assert watching.resumed[:2] == ["one", "two"]
    assert watching.resumed + watching.measured == list(NAMES)


def test_two_campaigns_of_one_gpu_do_not_run_at_once(state: Path) -> None:
    lock = state / f"gpu-{journal.digest(ENVIRONMENT.gpu_uuid)}.lock"
    with journal.exclusive(lock, "x"), pytest.raises(GpuprobeError, match="is measuring NVIDIA H100"):
        run()
    run()


# --- replay -----------------------------------------------------------------------------------------------------


def test_a_replay_gives_only_the_probes_asked_for_that_it_holds() -> None:
    done = through_file(run(probes=PROBES[:3]))
    watching = Watching()
    again = campaign.replay(done, PROBES[1:], kernels_of(PROBES, "quick"), "quick", watching)
    assert [m.name for m in again.measurements] == ["two", "three"]
    assert {s.probe for s in again.series} == {"two", "three"}
    assert watching.begun == ["two", "three"]
    assert all("replayed" in m.flags for m in again.measurements)


def test_a_replay_of_a_replay_is_the_same() -> None:
    done = through_file(run())
    once = campaign.replay(done, PROBES, kernels_of(PROBES, "quick"), "quick", Watching())
    twice = campaign.replay(through_file(once), PROBES, kernels_of(PROBES, "quick"), "quick", Watching())
    assert twice == once


def test_what_a_live_run_computed_is_not_checked_again_in_a_replay() -> None:
    probe = chain_probe(check=lambda point, seed, out: None if out == b"good" else "bad")
    gpu = ComputingGpu(chain_model(), lambda job: b"good")
    done = campaign.run_live(gpu, [probe], kernels_of([probe], "quick"), "quick", Watching(), keep=unkept)
    again = campaign.replay(through_file(done), [probe], kernels_of([probe], "quick"), "quick", Watching())
    assert (numbers_of(again), again.rejections) == (numbers_of(done), ())


def test_a_run_is_kept_where_its_name_says(state: Path) -> None:
    assert campaign.default_path(run()).parent == state / "runs"
