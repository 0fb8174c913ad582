"""``gpuprobe predict gemm``, ``train`` and ``evaluate`` as a user meets them."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gpuprobe import cli
from gpuprobe.predict import Predictor
from gpuprobe.predict.calibrate import calibrated
from gpuprobe.predict.predictor import COLUMNS

ROOT = Path(__file__).resolve().parents[2]
GEMM = ["predict", "gemm", "--gpu", "h100-sxm"]


@pytest.fixture(autouse=True)
def commands(monkeypatch):
    for name in ("predict", "train", "evaluate"):
        monkeypatch.setitem(cli.COMMANDS, name, (f"gpuprobe.cli.{name}", ""))


def run(capsys, *args):
    code = cli.main([*GEMM, *map(str, args)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_json_has_the_shape_that_is_documented(capsys):
    code, out, err = run(capsys, "-m", 4096, "-n", 4096, "-k", 4096, "--dtype", "bf16", "--json")
    document = json.loads(out)
    assert code == 0 and not err
    assert document.keys() >= {
        "m",
        "n",
        "k",
        "dtype",
        "layout",
        "gpu",
        "hot",
        "cold",
        "sustained",
        "bound",
        "in_domain",
        "model_id",
    }
    assert document["hot"].keys() == {"time_s", "time_s_low", "time_s_high"}
    assert document["sustained"].keys() >= {"time_s", "power_w", "energy_j", "sm_clock_hz"}
    assert document["hot"]["time_s_low"] < document["hot"]["time_s"] < document["hot"]["time_s_high"]


def test_the_table_says_model_and_domain(capsys):
    code, out, _ = run(capsys, "-m", 1, "-n", 4096, "-k", 4096)
    assert code == 0 and "inside the model's data" in out and "gemm-h100-sxm-gpuprobe" in out


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["-m", 1, "-n", 1],
        ["-m", 1, "-n", 1, "-k", 1, "--jsonl"],
        ["--csv", "x.csv"],
        ["--csv", "none.csv", "-o", "y.csv"],
        ["--csv", "none.csv", "-o", "y.parquet"],
        ["-m", 0, "-n", 1, "-k", 1],
        ["-m", "nan", "-n", 1, "-k", 1],
        ["-m", 1, "-n", 1, "-k", 1, "--dtype", "bf17"],
        ["--jsonl", "-o", "x.csv"],
        ["-m", 1, "-n", 1, "-k", 1, "--calibrate", "none.csv"],
    ],
)
def test_wrong_use_is_one_line_and_a_hint(capsys, args, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *args)
    assert code == 2 and not out
    assert err.startswith("gpuprobe: error: ") and "hint: " in err and "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_csv_keeps_rows_and_columns_and_adds_the_predictions(capsys, tmp_path):
    path, output = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_text(
        "layer,m,n,k,dtype,layout\nq,1,4096,4096,bf16,tn\nx,9,4095,33,bf16,nn\nv,64,1024,1024,fp32,nn\nq2,1,4096,4096,bf16,tn\n"
    )
    code, _, _ = run(capsys, "--csv", path, "-o", output)
    rows = list(csv.DictReader(output.open()))
    assert code == 0 and [row["layer"] for row in rows] == ["q", "x", "v", "q2"]
    assert list(rows[0])[6:] == list(COLUMNS)
    assert rows[0]["hot_us"] == rows[3]["hot_us"]
    assert [row["in_domain"] for row in rows] == ["true", "true", "false", "true"]
    single = Predictor.load("h100-sxm").gemm(64, 1024, 1024, "fp32", "nn")  # timed in tn alone
    assert float(rows[2]["cold_us_high"]) == pytest.approx(single.cold.high * 1e6, rel=1e-4)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1,2,x,bf16,tn", "k = 'x'"),
        ("1,-2,3,bf16,tn", "n = -2"),
        ("1,2,nan,bf16,tn", "k = 'nan'"),
        ("1,2", "2 cells"),
        ("1,2,3,bf17,tn", "bf17"),
        ("1,2,3,bf16,zz", "zz"),
        ("99999999999999999999,2,3,bf16,tn", "out of range"),
    ],
)
def test_one_bad_line_is_named_and_nothing_is_lost(capsys, tmp_path, line, words):
    path, output = tmp_path / "in.csv", tmp_path / "out.csv"
    output.write_text("kept")
    path.write_text("m,n,k,dtype,layout\n" + "1,64,64,bf16,tn\n" * 3000 + line + "\n" + "1,64,64,bf16,tn\n" * 10)
    code, _, err = run(capsys, "--csv", path, "-o", output)
    assert code == 2 and "line 3002" in err and words in err
    assert output.read_text() == "kept" and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "content", [b"", b"a,b\n1,2\n", b"m,n,k,hot_us\n1,1,1,1\n", b"m,n,k\n\xff\xfe,1,1\n", b'm,n,k\n"1,1,1\n']
)
def test_files_that_are_no_queries_are_refused(capsys, tmp_path, content):
    (tmp_path / "in.csv").write_bytes(content)
    code, _, err = run(capsys, "--csv", tmp_path / "in.csv", "-o", tmp_path / "out.csv")
    assert code == 2 and "hint" in err and not (tmp_path / "out.csv").exists()


def test_jsonl_answers_every_line_also_the_bad_ones(capsys, monkeypatch):
    lines = ['{"m": 1, "n": 64, "k": 64, "id": 7}', "nonsense", '{"m": 1, "n": -4, "k": 64, "id": "x"}', '{"m": 1}', "",
             '{"m": true, "n": 1, "k": 1}', '{"m": 1, "n": 64, "k": 64, "dtype": 3}',
             '{"m": NaN, "n": 1, "k": 1}']  # fmt: skip
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    code, out, _ = run(capsys, "--jsonl")
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 1 and len(answers) == 7
    assert answers[0]["id"] == 7 and answers[0]["hot"]["time_s"] > 0
    assert answers[1]["line"] == 2 and all("error" in answer for answer in answers[1:])
    assert answers[2]["id"] == "x" and "n = -4" in answers[2]["error"]


def test_jsonl_flushes_each_answer():
    code = (
        "from gpuprobe import cli; cli.COMMANDS['predict'] = ('gpuprobe.cli.predict', ''); "
        f"raise SystemExit(cli.main({[*GEMM, '--jsonl']!r}))"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        for m in (1, 2):
            process.stdin.write(json.dumps({"m": m, "n": 64, "k": 64}) + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["m"] == m
        process.stdin.close()
        assert process.wait(30) == 0


def test_a_few_rows_correct_an_unknown_gpu_and_narrow_nothing_blindly(tmp_path):
    predictor = Predictor.load("l4")
    rows = [(m, n, k) for m in (1, 64, 2048) for n in (1024, 8192) for k in (1024, 4096)]
    path = tmp_path / "rows.csv"
    times = [1.7e6 * predictor.gemm(*row).hot.value for row in rows]
    path.write_text(
        "m,n,k,dtype,layout,time_us\n"
        + "".join(f"{m},{n},{k},bf16,tn,{t}\n" for (m, n, k), t in zip(rows, times, strict=True))
    )
    corrected = calibrated(predictor, path)
    before, after = (model.gemm(300, 2048, 2048) for model in (predictor, corrected))
    assert after.hot.value / before.hot.value == pytest.approx(1.7, rel=0.06)
    assert corrected.gemm_many([[300, 2048, 2048]])["hot_us"][0] == pytest.approx(after.hot.value * 1e6, rel=1e-5)
    assert not after.in_domain and after.model_id.endswith("+12") and "12 measured rows" in after.protocol
    assert corrected.gemm(300, 2048, 2048, "fp32") == predictor.gemm(300, 2048, 2048, "fp32")


@pytest.mark.parametrize(
    "row", ["1,2,3,bf16,tn,-1", "1,2,3,bf16,tn,nan", "1,2,3,bf16,tn,", "1,2,3,bf99,tn,5", "0,2,3,bf16,tn,5"]
)
def test_calibration_rows_that_are_none_are_named(capsys, tmp_path, row):
    (tmp_path / "rows.csv").write_text(f"m,n,k,dtype,layout,time_us\n8,8,8,bf16,tn,3\n{row}\n")
    code, _, err = run(capsys, "-m", 1, "-n", 1, "-k", 1, "--calibrate", tmp_path / "rows.csv")
    assert code == 2 and "line 3" in err


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_training_without_data_says_so(capsys, name):
    assert cli.main([name, "l4"]) == 2
    assert "there is no data" in capsys.readouterr().err


def test_inference_loads_no_training_library():
    code = (
        "import sys; from gpuprobe.predict import Predictor; Predictor.load('h100-sxm').gemm(1, 64, 64); "
        "heavy = {'sklearn', 'pandas', 'scipy', 'pyarrow', 'lightgbm', 'torch', 'cupy'}; "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
