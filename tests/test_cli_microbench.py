"""``gpuprobe microbench`` from the outside: what it prints, where, and what it says when it cannot."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from recording import ENVIRONMENT, chain_sample, h100

from gpuprobe import arch
from gpuprobe import device as catalogue
from gpuprobe.cli import main
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.estimate import Point
from gpuprobe.gpu import nvml, real
from gpuprobe.gpu.protocol import Job, Outcome
from gpuprobe.gpu.synthetic import SyntheticGpu
from gpuprobe.measure import PLANS
from gpuprobe.probe import discover
from gpuprobe.record import SCHEMA, Run, Sample
from gpuprobe.run_files import read_run, to_document

Told = Callable[..., tuple[int, str, str]]
PROBES = ("--probe", "ffma_latency", "--probe", "iadd3_latency")
MEASUREMENT_KEYS = {
    "name", "quantity", "params", "unit", "value", "low", "high", "n", "sm_clock_hz", "power_w", "flags", "published"
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No GPU, also where there is one; state in a folder of its own."""

    def devices() -> tuple[nvml.Device, ...]:
        raise GpuprobeError("no NVIDIA driver here", "install one", Exit.MACHINE_LACKS)

    monkeypatch.setattr(nvml, "devices", devices)
    monkeypatch.setenv("GPUPROBE_STATE", str(tmp_path / "state"))


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Told:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["microbench", *map(str, arguments)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


class FakeGpu(SyntheticGpu):
    """Stands for the real GPU: an H100 whose chains take four cycles a link. ``broken`` probes raise."""

    broken: dict[str, BaseException] = {}  # noqa: RUF012
    opened: list[int] = []  # noqa: RUF012
    spec = h100()

    def __init__(self, index: int = 0) -> None:
        def model(point: Point, count: int) -> Sample:
            return chain_sample(point, 4.0 + 1e-5 * (count % 5))

        super().__init__(self.spec, model, ENVIRONMENT)
        self.opened.append(index)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def run(self, job: Job) -> Outcome:
        if job.probe in self.broken:
            raise self.broken[job.probe]
        return super().run(job)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeGpu]]:
    """A GPU after all."""
    monkeypatch.setattr(nvml, "devices", lambda: (nvml.Device(0, "NVIDIA H100 80GB HBM3", "GPU-0", "sm_90"),))
    monkeypatch.setattr(real, "RealGpu", FakeGpu)
    monkeypatch.setattr(real, "cupy_module", lambda: None)
    FakeGpu.broken, FakeGpu.opened, FakeGpu.spec = {}, [], h100()
    yield FakeGpu
    FakeGpu.broken = {}


def refused(told: tuple[int, str, str], code: Exit) -> str:
    """One line on stderr that says what and why, a hint below it, nothing on stdout."""
    returned, out, err = told
    assert (returned, out) == (code, "")
    message, hint = err.splitlines()
    assert message.startswith("gpuprobe: error: ")
    assert hint.startswith("  hint: ")
    return f"{message} {hint}"


# --- the list ---------------------------------------------------------------------------------------------------


def test_the_list_names_every_probe(tell: Told) -> None:
    code, out, err = tell("--list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:]] == [f"{p.group}/{p.name}" for p in discover()]


def test_the_list_as_json_has_the_agreed_shape(tell: Told) -> None:
    code, out, _ = tell("--list", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["name"] for row in rows] == [probe.name for probe in discover()]
    assert all(set(row) >= {"name", "quantity", "unit", "archs", "group", "summary"} for row in rows)
    assert all(isinstance(value, str) and value for row in rows for value in row.values())


def test_the_list_may_be_narrowed(tell: Told) -> None:
    names = {row["name"] for row in json.loads(tell("--list", "--json", "--arch", "sm80")[1])}
    assert names == {probe.name for probe in discover() if probe.runs_on(arch.parse("sm_80"))}
    assert "mma_rate" in names and "wgmma_rate" not in names
    assert [r["name"] for r in json.loads(tell("--list", "--json", "--probe", "system/null*")[1])] == [
        "null_graph",
        "null_kernel",
    ]


# --- wrong use --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--arch", "sm_999"], "sm_999"),
        (["--arch", "volta-ish"], "volta-ish"),
        (["--probe", "nonsense"], "no probe matches 'nonsense'"),
        (["--arch", "sm80", "--probe", "wgmma_rate"], "none of these probes exists on sm_80"),
        (["--arch", "sm80", "--probe", "wgmma_rate", "--build-only"], "none of these probes exists on sm_80"),
        (["--live", "--build-only"], "exclude each other"),
        (["--live", "--replay", "x.json"], "exclude each other"),
        (["--replay", "missing.json"], "cannot read missing.json: No such file"),
        (["-o", "run.txt"], "unknown suffix"),
        (["-o", "run"], "unknown suffix"),
    ],
)
def test_wrong_use_is_one_line_with_a_remedy_and_exit_2(tell: Told, arguments: list[str], part: str) -> None:
    assert part in refused(tell(*arguments), Exit.WRONG_USE)


def test_an_output_that_cannot_be_written_fails_before_any_work(tell: Told, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = refused(tell("--arch", "sm80", "-o", tmp_path / "file" / "run.json"), Exit.MACHINE_LACKS)
    assert "cannot write" in message
    assert "-o" in message
    refused(tell("--arch", "sm80", "-o", tmp_path / "folder.json" / ".." / ".."), Exit.WRONG_USE)


def test_live_without_a_gpu_is_exit_3_with_a_hint(tell: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no NVIDIA driver here" in refused(tell("--live"), Exit.MACHINE_LACKS)
    monkeypatch.setattr(nvml, "devices", tuple)
    assert "gpuprobe doctor" in refused(tell("--live"), Exit.MACHINE_LACKS)


# --- without a GPU ----------------------------------------------------------------------------------------------


def test_without_gpu_and_recording_published_values_are_shown_and_called_so(tell: Told) -> None:
    code, out, err = tell("--arch", "sm80", "--probe", "ffma_latency", "--probe", "shared_latency")
    first, header, *rows = out.splitlines()
    assert code == 0
    assert first.startswith("Not measured by this project: published values for sm_80 (no NVIDIA driver here")
    assert "source" in header
    assert any("shared_latency" in row and "23 cycle" in row and "arXiv:2206.02874" in row for row in rows)
    assert all("a100" in row or "a30" in row for row in rows)
    assert "SASS gate: 9 passed, 0 rejected" in err


def test_published_values_as_json(tell: Told) -> None:
    code, out, err = tell("--arch", "sm89", "--json", "--probe", "mma_*", "--quick")
    shown = json.loads(out)
    assert code == 0
    assert (shown["schema"], shown["source"], shown["arch"], shown["measurements"]) == (
        SCHEMA, "published", "sm_89", []
    )  # fmt: skip
    assert shown["published"]
    assert all(catalogue.load(row["device"]).architecture == "sm_89" for row in shown["published"])
    assert all(row["source"] and row["value"] > 0 and row["unit"] for row in shown["published"])
    assert all(kernel["ok"] for kernel in shown["kernels"])
    assert err.startswith("Not measured by this project")


def test_build_only_shows_the_gates_word_on_every_kernel(tell: Told, tmp_path: Path) -> None:
    path = tmp_path / "kernels.json"
    code, out, err = tell("--build-only", "--arch", "sm86", *PROBES, "-o", path)
    assert code == 0
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [
        [name, f"CHAIN={n}", "passed"] for name in ("ffma_latency", "iadd3_latency") for n in (32, 64, 96)
    ]
    assert "SASS gate: 6 passed, 0 rejected" in err
    written = json.loads(path.read_text())
    assert json.loads(tell("--build-only", "--arch", "sm86", *PROBES, "--json")[1]) == written
    assert (written["target"], written["kernels"][0]["opcodes"]["FFMA"]) == ("sm_86", 32)


def test_a_rejected_kernel_is_exit_1(tell: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpuprobe import probe
    from gpuprobe.gate import Expect

    wrong = replace(probe.select(["ffma_latency"])[0], expect=lambda p: Expect(counts={"FFMA": 1}))
    monkeypatch.setattr(probe, "discover", lambda: (wrong,))
    code, out, _ = tell("--build-only", "--arch", "sm80")
    assert code == Exit.CHECK_FAILED
    assert out.count("rejected") == 3
    assert "32 FFMA instead of 1" in out


# --- with a GPU -------------------------------------------------------------------------------------------------


def test_a_live_run_is_shown_kept_and_written(tell: Told, gpu: type[FakeGpu], tmp_path: Path) -> None:
    path = tmp_path / "run.json.gz"
    code, out, err = tell(*PROBES, "-o", path)
    first, header, *rows = out.splitlines()
    assert code == 0
    assert first == f"Measuring {h100().product}, driver 580.1, quick: 2 probes"
    assert all(word in header for word in ("value", "95 %", "clock", "power", "published"))
    assert [row.split()[:3] for row in rows] == [[n, "latency", "4"] for n in ("ffma_latency", "iadd3_latency")]
    assert "4.07 cycle" in rows[0]
    assert "1755 MHz" in rows[0]
    assert "300 W" in rows[0]
    run = read_run(path)
    assert (run.source, run.mode, len(run.measurements)) == ("synthetic", "quick", 2)
    (kept,) = (tmp_path / "state" / "runs").iterdir()
    assert read_run(kept) == run
    assert str(kept) in err
    assert list((tmp_path / "state" / "journals").iterdir()) == []


def test_the_run_as_json_has_the_agreed_shape(tell: Told, gpu: type[FakeGpu]) -> None:
    code, out, err = tell(*PROBES, "--json", "--live", "--full")
    shown = json.loads(out)
    assert code == 0
    assert set(shown) >= {
        "schema", "run_id", "started_at", "source", "device", "environment", "measurements", "warnings"
    }  # fmt: skip
    assert shown["schema"] == SCHEMA
    assert all(set(row) >= MEASUREMENT_KEYS for row in shown["measurements"])
    assert shown["measurements"][0]["published"]["source"]
    assert shown["measurements"][0]["n"] >= 31
    assert "series" not in shown
    assert "Measuring " in err
    assert "Measuring " not in out


def test_a_table_may_be_written_as_csv(tell: Told, gpu: type[FakeGpu], tmp_path: Path) -> None:
    tell(*PROBES, "-o", tmp_path / "run.csv")
    rows = list(csv.DictReader((tmp_path / "run.csv").open()))
    assert [row["name"] for row in rows] == ["ffma_latency", "iadd3_latency"]
    assert float(rows[0]["low"]) <= float(rows[0]["value"]) <= float(rows[0]["high"])


def test_interrupted_it_is_exit_130_and_the_same_command_goes_on(tell: Told, gpu: type[FakeGpu]) -> None:
    gpu.broken = {"iadd3_latency": KeyboardInterrupt()}
    code, _, err = tell(*PROBES)
    assert (code, "interrupted" in err) == (Exit.INTERRUPTED, True)
    gpu.broken = {}
    code, out, err = tell(*PROBES)
    assert code == 0
    assert "ffma_latency: measured before the interruption" in err
    assert "iadd3_latency: measured" not in err
    assert len(out.splitlines()) == 4
    assert "measured before" not in tell(*PROBES)[2]


def test_a_probe_that_fails_is_exit_1_and_says_why_and_the_rest_is_there(tell: Told, gpu: type[FakeGpu]) -> None:
    gpu.broken = {"iadd3_latency": GpuprobeError("illegal address", "report it", Exit.CHECK_FAILED)}
    code, out, err = tell(*PROBES)
    assert code == Exit.CHECK_FAILED
    assert "ffma_latency" in out
    assert "iadd3_latency" not in out
    assert "no result: iadd3_latency: illegal address" in err


def test_another_gpu_is_named_with_device(tell: Told, gpu: type[FakeGpu]) -> None:
    tell("--probe", "ffma_latency", "--device", 3)
    assert gpu.opened == [3]


def test_a_gpu_of_another_architecture_is_not_measured_under_a_wrong_name(tell: Told, gpu: type[FakeGpu]) -> None:
    code, out, _ = tell("--arch", "sm80", "--probe", "ffma_latency")
    assert code == 0
    assert out.splitlines()[0].startswith("Not measured by this project")
    assert "(sm_90), not sm_80" in out.splitlines()[0]
    message = refused(tell("--arch", "sm80", "--probe", "ffma_latency", "--live"), Exit.MACHINE_LACKS)
    assert "--arch sm_90" in message


# --- replay -----------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(tell: Told, gpu: type[FakeGpu], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recording of the fake GPU, which is gone afterwards."""
    path = tmp_path / "recorded.json.gz"
    assert tell(*PROBES, "--full", "-o", path)[0] == 0
    monkeypatch.setattr(nvml, "devices", tuple)
    return path


def numbers(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple(row[key] for key in ("name", "value", "low", "high", "n")) for row in document["measurements"]]


def test_a_replay_gives_the_same_numbers_and_says_what_it_is(tell: Told, recorded: Path) -> None:
    code, out, err = tell("--replay", recorded, "--json")
    shown = json.loads(out)
    run = read_run(recorded)
    assert code == 0
    assert numbers(shown) == numbers(to_document(run))
    assert (shown["source"], shown["run_id"]) == ("replay", run.run_id)
    assert all("replayed" in row["flags"] for row in shown["measurements"])
    first = err.splitlines()[0]
    assert first.startswith(
        f"Replaying the recording of {run.device.product}, driver 580.1, taken {run.started_at[:10]}"
    )
    assert tell("--replay", recorded)[1].splitlines()[0] == first


def test_a_replay_of_one_probe_and_in_quick_mode(tell: Told, recorded: Path) -> None:
    shown = json.loads(tell("--replay", recorded, "--json", "--quick", "--probe", "ffma_latency")[1])
    (row,) = shown["measurements"]
    (full,) = (m for m in read_run(recorded).measurements if m.name == "ffma_latency")
    assert row["name"] == "ffma_latency"
    assert PLANS["quick"].stop.min_samples <= row["n"] < full.n


def test_a_replay_that_holds_none_of_the_probes_says_so(tell: Told, recorded: Path) -> None:
    message = refused(tell("--replay", recorded, "--probe", "mma_rate"), Exit.WRONG_USE)
    assert "holds none of these probes: mma_rate" in message


def test_a_recording_of_another_architecture_is_refused(tell: Told, recorded: Path) -> None:
    message = refused(tell("--replay", recorded, "--arch", "sm80"), Exit.WRONG_USE)
    assert "(sm_90), not of sm_80" in message
    assert f"--arch sm_90 --replay {recorded}" in message


def test_damaged_and_later_recordings_are_refused(tell: Told, recorded: Path, tmp_path: Path) -> None:
    whole = recorded.read_bytes()
    path = tmp_path / "bad.json.gz"
    for part in (whole[: len(whole) // 2], whole[:200] + b"\0\0\0\0" + whole[204:], b"", b"{}"):
        path.write_bytes(part)
        assert str(path) in refused(tell("--replay", path), Exit.WRONG_USE)
    later = tmp_path / "later.json"
    later.write_text(json.dumps({**to_document(read_run(recorded)), "schema": SCHEMA + 1}))
    assert "upgrade" in refused(tell("--replay", later), Exit.WRONG_USE)


def test_the_shipped_recording_is_replayed_where_there_is_no_gpu(
    tell: Told, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpuprobe import recordings

    monkeypatch.setattr(recordings, "shipped", lambda architecture: recorded if architecture.name == "sm_90" else None)
    code, out, _ = tell("--arch", "sm90", *PROBES)
    assert code == 0
    assert out.splitlines()[0].startswith("Replaying the recording of ")
    assert out.splitlines()[0].endswith("(no GPU here)")


def test_shipped_recordings_are_found_by_architecture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from gpuprobe import arch, recordings, resources

    monkeypatch.setattr(resources, "folder", lambda name: tmp_path)
    assert recordings.shipped(arch.parse("sm_90")) is None
    path = tmp_path / "h100-sxm" / recordings.FILE
    path.parent.mkdir()
    path.write_bytes(b"")
    assert recordings.shipped(arch.parse("sm_90")) == path
    assert recordings.shipped(arch.parse("sm_80")) is None


def test_rows_that_only_search_are_shown_with_all(tell: Told, gpu: type[FakeGpu], tmp_path: Path) -> None:
    from gpuprobe.cli import run_view
    from gpuprobe.probe import select
    from gpuprobe.record import Measurement

    (probe,) = select(["mma_rate"])
    rows = [
        Measurement(
            "mma_rate", "rate", {"TYPE": "F16", "ILP": ilp, "WARPS": 4, "OPERANDS": "random"},
            "FMA/cycle/SM", (float(ilp),), float(ilp), float(ilp), float(ilp),
        )
        for ilp in (1, 4, 2)
    ]  # fmt: skip
    assert [row.value for row in run_view.best(rows, {"mma_rate": probe})] == [4.0]
    run = Run("id", "2026", "live", "quick", h100(), ENVIRONMENT, tuple(rows))
    shown = run_view.document(run, [probe])
    assert len(shown["measurements"]) == 3
    assert shown["measurements"][0]["published"]["device"] == "h100-sxm"
