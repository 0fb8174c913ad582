"""The public API: names are lazy and typed, what is read is told apart by content, results show themselves."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import gpuprobe
from gpuprobe import GpuprobeError, api, tabular
from gpuprobe.profile import DeviceProfile
from gpuprobe.record import Run
from gpuprobe.run_files import write_run
from gpuprobe.trace.model import Trace

ROOT = Path(__file__).resolve().parent.parent
PROBES = ("ffma_latency", "l2_near_far")


@pytest.fixture(scope="module")
def run():
    return gpuprobe.microbench(*PROBES, replay=gpuprobe.recording())


@pytest.fixture(scope="module")
def trace_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "trace.json"
    args = {"correlation": 1, "External id": 1}
    common = {"ph": "X", "ts": 10, "dur": 5}
    call = {**common, "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 1, "tid": 1, "args": args}
    gpu = {"device": 0, "stream": 7, "correlation": 1}
    kernel = {**common, "ts": 20, "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7, "args": gpu}
    path.write_text(json.dumps({"schemaVersion": 1, "traceEvents": [call, kernel]}))
    return path


def test_every_public_name_loads_and_is_declared_for_type_checkers():
    declared = {
        name.asname
        for statement in ast.walk(ast.parse(Path(gpuprobe.__file__).read_text(encoding="utf-8")))
        if isinstance(statement, ast.ImportFrom)
        for name in statement.names
        if name.asname
    }
    assert declared == set(gpuprobe.__all__) - {"__version__"}
    for name in gpuprobe.__all__:
        assert getattr(gpuprobe, name) is not None
    assert set(dir(gpuprobe)) == set(gpuprobe.__all__)


def test_every_public_name_says_what_it_is():
    assert not [name for name in declared_names() if not (getattr(gpuprobe, name).__doc__ or "").strip()]


def declared_names():
    return [name for name in gpuprobe.__all__ if name != "__version__"]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'benchmark'"):
        gpuprobe.benchmark  # noqa: B018 - the look-up is what is tested


def test_names_can_be_imported_after_the_modules_below_were():
    """``compare`` stays a function, whatever was imported before: no module may bear the name of a function."""
    code = "import gpuprobe.comparison, gpuprobe.cli.compare; from gpuprobe import compare; compare.__code__"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    modules = {path.stem for path in (ROOT / "gpuprobe").iterdir()}
    assert not modules & (set(gpuprobe.__all__) - set(gpuprobe._NAMESPACES))


def test_replaying_gives_the_probes_asked_for(run):
    assert run.source == "replay"
    assert {row.name for row in run.measurements} <= set(PROBES)
    latency = next(row for row in run.measurements if row.name == "ffma_latency")
    assert latency.value == pytest.approx(4.0, abs=0.1)


def test_without_a_gpu_the_shipped_recording_is_replayed(monkeypatch):
    monkeypatch.setattr(api, "_has_gpu", lambda: False)
    told = []
    found = gpuprobe.microbench("ffma_latency", progress=told.append)
    assert found.source == "replay" and found.device.name == "h100-sxm"
    assert told == ["1/1 ffma_latency"]


def test_probes_that_a_recording_lacks_are_named(tmp_path, run):
    write_run(run, tmp_path / "run.json")
    with pytest.raises(GpuprobeError, match="holds none of these probes"):
        gpuprobe.microbench("dfma_latency", replay=tmp_path / "run.json")


def test_measuring_and_replaying_exclude_each_other():
    with pytest.raises(GpuprobeError, match="not both"):
        gpuprobe.microbench(gpu=0, replay="run.json")


def test_load_tells_runs_traces_and_profiles_apart(tmp_path, run, trace_file):
    from gpuprobe.profile import write

    write_run(run, tmp_path / "a.json.gz")
    write(gpuprobe.load_profile(run), tmp_path / "b.json")
    assert isinstance(gpuprobe.load(tmp_path / "a.json.gz"), Run)
    assert isinstance(gpuprobe.load(tmp_path / "b.json"), DeviceProfile)
    assert isinstance(gpuprobe.load(trace_file), Trace)
    with pytest.raises(GpuprobeError, match="cannot read"):
        gpuprobe.load(tmp_path / "absent.json")


def test_a_profile_written_is_the_profile_loaded(tmp_path):
    from gpuprobe.profile import write

    profile = gpuprobe.load_profile("a100-sxm-80gb")
    write(profile, tmp_path / "profile.json")
    assert gpuprobe.load(tmp_path / "profile.json") == profile


def test_a_run_beside_itself_is_the_same(run):
    compared = gpuprobe.compare(run, run)
    assert {str(row.verdict) for row in compared.rows} <= {"SAME", "UNCLEAR"}
    assert "<table>" in compared._repr_html_()


def test_frames_hold_every_row(run):
    pytest.importorskip("pandas")
    frame = run.to_frame()
    assert list(frame["value"]) == [row.value for row in run.measurements]
    assert len(gpuprobe.compare(run, run).to_frame()) >= len(run.measurements)
    profile = gpuprobe.load_profile(run).to_frame()
    assert {"section", "what", "value", "origin"} <= set(profile.columns)


def test_a_missing_pandas_is_an_error_with_the_command_that_helps(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(GpuprobeError, match=r"pip install 'gpuprobe\[notebooks\]'"):
        tabular.frame([{"a": 1}])


def test_html_is_escaped_and_bounded():
    text = tabular.html("<b>", ("a",), [("<script>",)] * (tabular.SHOWN + 2))
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert text.count("<tr>") == tabular.SHOWN + 1 and "2 further rows" in text


def test_an_analysis_shows_its_tables(trace_file):
    found = gpuprobe.analyze(trace_file)
    assert found["schema"] == 1 and "<table>" in found._repr_html_()
    pytest.importorskip("pandas")
    assert len(found.to_frame("kernels")) >= 1
    with pytest.raises(GpuprobeError, match="no table 'nothing'"):
        found.to_frame("nothing")


def test_a_roofline_is_a_picture_with_gemms_on_it():
    drawn = gpuprobe.draw_roofline("h100-sxm", gemms=[(4096, 4096, 4096)])
    assert drawn.svg.startswith("<svg") and "4096×4096×4096" in drawn.svg
    assert 0.3 < drawn.placed[0].share < 1.1
    assert drawn.document()["gpu"] == "h100-sxm"


def test_predictions_by_name():
    assert gpuprobe.predict.gemm(4096, 4096, 4096) == gpuprobe.Predictor.load("h100-sxm").gemm(4096, 4096, 4096)
    order = gpuprobe.rank("h100-sxm", 4096, 4096, 4096, [(128, 128, 64, 8, 4, 3), (16, 16, 16, 1, 1, 1)])
    assert order[0] == 0


def test_a_report_is_written(tmp_path, run):
    write_run(run, tmp_path / "run.json.gz")
    page = gpuprobe.write_report(tmp_path / "page.html", tmp_path / "run.json.gz")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_an_unknown_recording_names_those_there_are():
    with pytest.raises(GpuprobeError, match="h100-sxm"):
        gpuprobe.recording("gtx-480")
