import json

import pytest

from gpuprobe import device
from gpuprobe.cli import main
from gpuprobe.record import Environment, Measurement, Run
from gpuprobe.run_files import write_run


def measurement(name, value, unit="cycle", **params):
    samples = tuple(value * (1 + 1e-5 * step) for step in range(-10, 11))
    return Measurement(name, "latency", params, unit, samples, value, samples[0], samples[-1], sm_clock_hz=1.98e9)


def run_file(folder, name, rows, driver="580.1"):
    run = Run(
        run_id=name,
        started_at="2026-01-01T00:00:00Z",
        source="synthetic",
        mode="quick",
        device=device.load("h100-sxm"),
        environment=Environment(driver=driver),
        measurements=tuple(rows),
    )
    path = folder / f"{name}.json.gz"
    write_run(run, path)
    return str(path)


@pytest.fixture
def a(tmp_path):
    return run_file(tmp_path, "a", [measurement("ffma_latency", 4.0), measurement("only_here", 1.0)])


def test_a_change_is_shown_with_its_ratio_and_interval(a, tmp_path, capsys):
    b = run_file(tmp_path, "b", [measurement("ffma_latency", 4.4)], driver="590.2")
    assert main(["compare", a, b, "--domain", "native"]) == 0
    captured = capsys.readouterr()
    (row,) = captured.out.splitlines()[1:]
    assert row.split()[:6] == ["ffma_latency", "latency", "4", "cycles", "4.4", "cycles"]
    assert "1.1000" in row
    assert row.split()[-1] == "SLOWER"
    assert "differs: driver: 580.1 in a, 590.2 in b" in captured.err
    assert "only in a: 1 (only_here)" in captured.err
    assert "1 SLOWER" in captured.err


def test_folders_of_repeats_are_compared_as_states(tmp_path, capsys):
    for state, value in (("before", 4.0), ("after", 4.4)):
        for number in range(3):
            (tmp_path / state).mkdir(exist_ok=True)
            run_file(tmp_path / state, f"{state}{number}", [measurement("ffma_latency", value)])
    before, after = str(tmp_path / "before"), str(tmp_path / "after")
    assert main(["compare", before, after, "--fail-on", "slower", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["runs"]["a"] == ["before0", "before1", "before2"] and document["b"] == "after0 + after1 + after2"
    assert main(["compare", before, "published"]) == 2
    assert "holds 3 runs" in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    assert main(["compare", before, str(tmp_path / "none")]) == 2
    assert "no run files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "fail_on", "code"),
    [(4.4, "slower", 1), (4.4, "changed", 1), (3.6, "slower", 0), (3.6, "changed", 1), (4.0, "changed", 0)],
)
def test_fail_on_decides_the_exit_code(a, tmp_path, value, fail_on, code):
    b = run_file(tmp_path, "b", [measurement("ffma_latency", value)])
    assert main(["compare", a, b]) == 0
    assert main(["compare", a, b, "--fail-on", fail_on]) == code


def test_fail_on_asks_for_more_certainty_the_more_rows_there_are(tmp_path, capsys):
    few = run_file(tmp_path, "few", [measurement("x", 1.0, i=0)])
    many = run_file(tmp_path, "many", [measurement("x", 1.0, i=i) for i in range(50)])
    confidences = []
    for path in (few, many):
        assert main(["compare", path, path, "--fail-on", "slower", "--json"]) == 0
        confidences.append(json.loads(capsys.readouterr().out)["confidence"])
    assert confidences == [pytest.approx(0.99), pytest.approx(1 - 0.01 / 50)]


@pytest.mark.parametrize(
    ("domain", "units"),
    [("native", {"cycle"}), ("cycle", {"cycle"}), ("time", {"s"}), ("both", {"cycle", "s"})],
)
def test_the_domain_chooses_the_rows(a, domain, units, capsys):
    assert main(["compare", a, a, "--domain", domain, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["unit"] for row in rows} == units
    assert {row["verdict"] for row in rows} == {"SAME"}


def test_the_document_has_the_keys_promised(a, capsys):
    assert main(["compare", a, a, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {"schema", "a", "b", "rows", "environment_diff"} <= set(document)
    assert {"name", "params", "ratio", "low", "high", "verdict"} <= set(document["rows"][0])


def test_a_run_against_the_published_values(tmp_path, capsys):
    near = run_file(tmp_path, "near", [measurement("ffma_latency", 4.05)])
    far = run_file(tmp_path, "far", [measurement("ffma_latency", 6.0)])
    assert main(["compare", near, "published", "--fail-on", "outside"]) == 0
    text = capsys.readouterr().out
    assert "WITHIN" in text
    assert "h100-sxm" in text
    assert main(["compare", far, "published", "--fail-on", "outside", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["b"] == "published"
    assert document["rows"][0]["verdict"] == "OUTSIDE"
    assert document["rows"][0]["source"]


def test_the_result_goes_to_a_file_by_suffix(a, tmp_path):
    assert main(["compare", a, a, "-o", str(tmp_path / "c.csv")]) == 0
    assert main(["compare", a, a, "-o", str(tmp_path / "c.json")]) == 0
    assert (tmp_path / "c.csv").read_text().startswith("name,quantity,parameters,a,b,ratio,")
    assert json.loads((tmp_path / "c.json").read_text())["a"] == "a"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{a}", "{missing}"], "cannot read"),
        (["{a}", "{damaged}"], "damaged"),
        (["{a}", "{a}", "--min-effect", "2"], "least effect"),
        (["{a}", "{a}", "--fail-on", "outside"], "published values only"),
        (["{a}", "published", "--fail-on", "slower"], "published values only"),
        (["{a}", "{a}", "-o", "x.xml"], "unknown suffix"),
        (["{a}"], "Missing argument 'B'"),
    ],
)
def test_bad_input_is_one_line_with_exit_2(a, tmp_path, capsys, arguments, says):
    (tmp_path / "damaged.json").write_text('{"schema": 1')
    names = {"a": a, "missing": tmp_path / "none.json", "damaged": tmp_path / "damaged.json"}
    assert main(["compare", *(argument.format(**names) for argument in arguments)]) == 2
    captured = capsys.readouterr()
    first, second = captured.err.splitlines()
    assert says in first
    assert second.startswith("  hint: ")
    assert captured.out == ""
