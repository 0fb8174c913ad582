"""``gpuprobe predict llm`` as a user meets it."""

import csv
import json

import pytest

import gpuprobe
from gpuprobe import cli

BASE = ["predict", "llm"]
LLAMA = ["--model", "llama-3-8b"]


def run(capsys, *args):
    code = cli.main([*BASE, *map(str, args)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_one_prediction_is_a_document(capsys):
    code, out, err = run(capsys, *LLAMA, "--batch", 8, "--json")
    document = json.loads(out)
    assert code == 0 and not err
    assert (document["model"], document["gpu"], document["asked"]["batch"]) == ("llama-3-8b", "h100-sxm", 8)
    assert 0.004 < document["decode"]["time_per_token_s"] < 0.009


def test_several_are_a_list(capsys):
    _, out, _ = run(capsys, *LLAMA, "--gpu", "h100-sxm,a100-sxm-80gb", "--batch", "1,8,64", "--tp", "1,2", "--json")
    listed = json.loads(out)
    assert len(listed) == 12
    assert {(one["gpu"], one["asked"]["tp"]) for one in listed} == {
        (gpu, tp) for gpu in ("h100-sxm", "a100-sxm-80gb") for tp in (1, 2)
    }


@pytest.mark.parametrize("what", ["batch", "context"])
def test_a_sweep_is_a_list(capsys, what):
    code, out, _ = run(capsys, *LLAMA, "--sweep", what, "--json")
    listed = json.loads(out)
    key = {"batch": "batch", "context": "prompt"}[what]
    values = [one["asked"][key] for one in listed]
    assert code == 0 and values == sorted(set(values)) and len(values) > 4


def test_tables_are_for_people(capsys):
    code, out, err = run(capsys, *LLAMA, "--explain")
    assert code == 0 and not err
    assert "bound by" in out and "How it is computed" in out and "not measured" in out
    code, out, _ = run(capsys, *LLAMA, "--gpu", "h100-sxm,l40s")
    assert code == 0 and "tokens/s" in out and "l40s" in out


def test_what_does_not_fit_is_said(capsys):
    _, out, _ = run(capsys, "--model", "llama-3-70b")
    assert "DOES NOT FIT" in out


def test_advice_is_printed_and_is_a_document(capsys):
    code, out, _ = run(capsys, *LLAMA, "--advise", "--slo-ms", 10)
    assert code == 0 and "knee: batch" in out and "sessions/h" in out and "fp8-weights" in out
    _, out, _ = run(capsys, *LLAMA, "--advise", "--card", "fp8-cache", "--json")
    assert [row["card"] for row in json.loads(out)["cards"]] == ["fp8-cache"]
    code, out, _ = run(capsys, *LLAMA, "--advise", "--slo-ms", 1)
    assert code == 0 and "knee: none" in out


def test_formulas_are_in_the_document(capsys):
    _, out, _ = run(capsys, *LLAMA, "--explain", "--json")
    assert {"what", "formula", "inputs", "value", "unit"} == set(json.loads(out)["formulas"][0])


def test_a_table_is_written(capsys, tmp_path):
    path = tmp_path / "x.csv"
    code, _, err = run(capsys, *LLAMA, "--batch", "1,64", "-o", path)
    rows = list(csv.DictReader(path.open()))
    assert code == 0 and str(path) in err
    assert [row["batch"] for row in rows] == ["1", "64"]
    assert float(rows[1]["tokens_per_s"]) > float(rows[0]["tokens_per_s"])


@pytest.mark.parametrize("suffix", [".html", ".md", ".json"])
def test_other_files_are_written(capsys, tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    code, _, _ = run(capsys, *LLAMA, "--advise", "-o", path)
    assert code == 0 and path.stat().st_size > 500


def test_models_are_listed(capsys):
    code, out, _ = run(capsys, "--list-models", "--json")
    listed = {one["name"]: one for one in json.loads(out)}
    assert code == 0 and listed["llama-3-8b"]["parameters"] == 8_030_261_248
    assert "mixtral-8x7b" in run(capsys, "--list-models")[1]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "--list-models"),
        (["--model", "lama-3-8b"], "llama-3-8b"),
        ([*LLAMA, "--gpu", "h100"], "h100-sxm"),
        ([*LLAMA, "--gpu", ""], "0 predictions"),
        ([*LLAMA, "--tp", "3"], "--tp"),
        ([*LLAMA, "--tp", "x"], "whole numbers"),
        ([*LLAMA, "--batch", "1,,2"], "whole numbers"),
        ([*LLAMA, "--batch", "-3"], "batch"),
        ([*LLAMA, "--prompt", "9000"], "prompt"),
        ([*LLAMA, "--prompt", "8000", "--output", "1000"], "8192"),
        ([*LLAMA, "--output", "0"], "output"),
        ([*LLAMA, "--dtype", "int3"], "bf16"),
        ([*LLAMA, "--dtype", "fp8", "--gpu", "a100-sxm-80gb"], "fp8"),
        ([*LLAMA, "--slo-ms", "10"], "--advise"),
        ([*LLAMA, "--card", "fp8-cache"], "--advise"),
        ([*LLAMA, "--advise", "--card", "x"], "no card"),
        ([*LLAMA, "--advise", "--slo-ms", "-1"], "SLO"),
        ([*LLAMA, "--advise", "--batch", "1,2"], "one"),
        ([*LLAMA, "-o", "x.exe"], "suffix"),
        ([*LLAMA, "--set", "host=1"], "host_kernel_s"),
        ([*LLAMA, "--set", "host_kernel_s=fast"], "NAME=NUMBER"),
        ([*LLAMA, "--set", "host_kernel_s=-1"], "positive"),
        ([*LLAMA, "--set", "host_kernel_s"], "NAME=NUMBER"),
        (["--model", "gpt2", "--kernels", "separate"], "fused"),
        (["--model", "llama-3-70b", "--sweep", "batch"], "--tp"),
    ],
)
def test_bad_questions_get_one_line_and_a_remedy(capsys, args, says):
    code, out, err = run(capsys, *args)
    assert code in (2, 3) and not out
    assert says in err and "hint:" in err and "Traceback" not in err


def test_a_number_can_be_given(capsys):
    _, out, _ = run(capsys, *LLAMA, "--mode", "eager", "--set", "host_kernel_s=50e-6", "--json")
    document = json.loads(out)
    assert document["numbers"]["host_kernel_s"]["origin"] == "given"
    assert document["decode"]["time_per_token_s"] == pytest.approx(50e-6 * document["decode"]["kernels"])


def test_the_api_offers_it():
    found = gpuprobe.predict.llm("llama-3-8b", batch=8, prompt=1024)
    assert found.plan.batch == 8 and "predicted" in found._repr_html_()
    with pytest.raises(AttributeError):
        gpuprobe.predict.absent  # noqa: B018
