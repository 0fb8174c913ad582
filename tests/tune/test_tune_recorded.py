"""The shipped models against the sweeps recorded on their GPUs: prediction, ranking, tuning and hooks without a GPU."""

from __future__ import annotations

import copy
import csv
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gpuprobe import cli, device, resources
from gpuprobe.gpu import tuning_bench
from gpuprobe.gpu.triton_timer import Problem, Timed
from gpuprobe.ops.tiling import FORMS, INPUT_BYTES, Tiling, sample
from gpuprobe.tune import KernelPredictor, data, fitting, model, rank
from gpuprobe.tune.inductor_hook import InductorPruner
from gpuprobe.tune.kernel_tuner_hook import GemmPrior
from gpuprobe.tune.tiled import core
from gpuprobe.tune.triton_hook import TritonPruner

GPUS = ("h100-sxm", "h200-sxm")
GEMMS = {"h100-sxm": 348, "h200-sxm": 187}
PRODUCTS = {"h100-sxm": "NVIDIA H100 80GB HBM3", "h200-sxm": "NVIDIA H200"}


@pytest.fixture(scope="module", params=GPUS)
def gpu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def swept(gpu: str) -> data.Measured:
    every = data.read(sorted((resources.folder("models") / "data" / gpu).glob("tiles-*.jsonl.gz")))
    return fitting.undisturbed(every, gpu)


def predicted(gpu: str, swept: data.Measured) -> np.ndarray:
    """Times by the model of ``gpu``."""
    found = np.empty(len(swept))
    for dtype in INPUT_BYTES:
        mask = swept.dtype == dtype
        found[mask] = KernelPredictor.load(gpu).work_times(swept.work.rows(mask), dtype).time_s
    return found


def gemms(swept: data.Measured, form: int, dtype: str, count: int) -> Iterator[tuple[tuple[int, int, int], Any]]:
    """Sizes of the first GEMMs of a form and type, and their measured configurations with times in s."""
    kind = (swept.work.form == form) & (swept.dtype == dtype)
    for gemm in np.unique(swept.gemm[kind])[:count]:
        rows = swept.rows(swept.gemm == gemm)
        table = np.column_stack(rows.work[5:]).astype(int).tolist()
        m, n, k = (int(column[0]) for column in rows.work[:3])
        yield (m, n, k), {Tiling(*tiling): time for tiling, time in zip(table, rows.time_s.tolist(), strict=True)}


def test_a_model_ranks_the_sweep_of_its_own_gpu(gpu: str, swept: data.Measured) -> None:
    found = fitting.ranking(swept.time_s, predicted(gpu, swept), swept.gemm)
    assert found.gemms == GEMMS[gpu]
    assert found.spearman > 0.98 and found.top1 < 1.03 and found.top5 < 1.005


def test_a_model_ranks_the_sweep_of_the_other_gpu_it_never_saw(gpu: str, swept: data.Measured) -> None:
    other = GPUS[1 - GPUS.index(gpu)]
    found = fitting.ranking(swept.time_s, predicted(other, swept), swept.gemm)
    assert found.spearman > 0.96 and found.top1 < 1.05 and found.top5 < 1.01


def test_its_card_states_errors_of_gemms_it_had_not_seen(gpu: str, swept: data.Measured) -> None:
    card = json.loads((resources.folder("models") / gpu / "card.json").read_text())["kernels"]
    assert card["model_id"] == KernelPredictor.load(gpu).model.model_id
    assert 0.88 < card["interval_coverage"] < 0.92
    assert sum(row["gemms"] for row in card["classes"]) == GEMMS[gpu]
    assert sum(row["rows"] for row in card["classes"]) == len(swept)
    for row in card["classes"]:
        assert row["spearman"] > 0.9 and row["top5"] < 1.02 and row["worst_top5"] < 1.15, row


def test_costs_in_clocks_hold_on_a_gpu_whose_data_sheet_states_another_clock(gpu: str, swept: data.Measured) -> None:
    """The H200's states 1980 MHz beside the peak that the same chip has at 1830; its bare core would be 7 % fast."""
    machine = model._machine(gpu, "bf16")
    assert machine.clock_hz == pytest.approx(1.83e9, rel=1e-3)
    bf16 = swept.rows(swept.dtype == "bf16")
    assert np.median(bf16.time_s / core(bf16.work, machine).time_s) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("name", device.names())
def test_no_gpu_is_given_more_clocks_than_its_data_sheet(name: str) -> None:
    spec = device.load(name)
    assert 0.8 * spec["boost_clock_hz"] < model._machine(name, "bf16").clock_hz <= spec["boost_clock_hz"]


# --- commands ---------------------------------------------------------------------------------------------------


def test_predict_kernel_answers_a_csv(gpu: str, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("m,n,k,dtype,BM,BN,BK,GM,warps,stages\n4096,4096,4096,bf16,128,256,64,8,8,3\n")
    for kernel in FORMS:
        arguments = ["predict", "kernel", "--gpu", gpu, "--kernel", kernel, "--csv", str(source), "-o", str(target)]
        assert cli.main(arguments) == 0
        (row,) = csv.DictReader(target.open())
        assert float(row["us_low"]) < float(row["us"]) < float(row["us_high"])
        assert 170 < float(row["us"]) < 280  # 1.4e11 FLOP at 490 to 810 TFLOP/s


def test_tune_gemm_ranks_without_a_gpu(gpu: str, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["-m", "16", "-n", "4096", "-k", "11008"]
    assert cli.main(["tune", "gemm", *sizes, "--gpu", gpu, "--predict-only", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["in_domain"] and found["model_id"].startswith(f"tiles-{gpu}-")
    times = [one["predicted_s"] for one in found["ranking"]]
    assert times == sorted(times)


def test_tune_gemm_finds_in_the_recording_what_measuring_everything_found(
    gpu: str,
    swept: data.Measured,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Six GEMMs with a bench that gives back what was recorded: few measured, at most 1 % lost (geometric mean)."""
    monkeypatch.setenv("GPUPROBE_STATE", str(tmp_path / "state"))
    recorded: dict[Tiling, float] = {}
    asked: list[Tiling] = []

    def bench(index: int) -> Any:
        def time(problem: Problem, tiling: Tiling) -> Timed:
            asked.append(tiling)
            return Timed(tiling, recorded[tiling], (recorded[tiling],) * 2)

        return SimpleNamespace(product=PRODUCTS[gpu], uuid="GPU-1", driver="580.1", triton="3.6.0", time=time)

    monkeypatch.setattr(tuning_bench, "TuningBench", bench)
    losses, measured, configurations = [], [], []
    for form, dtype in ((0, "bf16"), (1, "bf16"), (0, "fp8")):
        for (m, n, k), times in gemms(swept, form, dtype, 2):
            recorded.clear()
            recorded.update(times)
            asked.clear()
            space = tmp_path / "space.csv"
            lines = ["BM,BN,BK,GM,warps,stages", *(",".join(map(str, one)) for one in times)]
            space.write_text("\n".join(lines) + "\n")
            arguments = ["-m", m, "-n", n, "-k", k, "--dtype", dtype, "--kernel", FORMS[form], "--configs", space]
            assert cli.main(["tune", "gemm", *map(str, arguments), "--json"]) == 0
            found = json.loads(capsys.readouterr().out)
            assert found["gpu"] == gpu and len(found["measured"]) == len(set(asked))
            losses.append(np.log(found["best"]["measured_s"] / min(times.values())))
            measured.append(len(set(asked)))
            configurations.append(found["configurations"])
    assert np.exp(np.mean(losses)) < 1.01
    assert np.mean(measured) < np.mean(configurations) / 15


# --- hooks ------------------------------------------------------------------------------------------------------

TILINGS = sample(30, "bf16", 4)
NAMES = ("BLOCK_M", "BLOCK_N", "BLOCK_K", "GROUP_M", "num_warps", "num_stages")


def test_the_hook_of_triton_keeps_the_first_of_the_ranking(gpu: str) -> None:
    configs = [
        SimpleNamespace(kwargs=dict(zip(NAMES[:4], one[:4], strict=True)), num_warps=one.warps, num_stages=one.stages)
        for one in TILINGS
    ]
    named = {"a_ptr": SimpleNamespace(dtype="torch.bfloat16"), "M": 64, "N": 8192, "K": 4096}
    kept = TritonPruner(gpu, keep=3).early_config_prune(configs, named)
    assert kept == [configs[index] for index in rank(gpu, 64, 8192, 4096, TILINGS)[:3]]


def test_the_prior_of_kernel_tuner_orders_alike(gpu: str) -> None:
    configs = [dict(zip(NAMES, one, strict=True)) for one in TILINGS]
    prior = GemmPrior(gpu, 64, 8192, 4096)
    possible = [index for index, config in enumerate(configs) if prior.restriction(config)]
    assert sorted(possible, key=prior(configs).time_s.__getitem__) == rank(gpu, 64, 8192, 4096, TILINGS)


def test_hooks_are_copied_and_pickled_after_use() -> None:
    """Kernel Tuner copies a restriction deeply; a forest in use holds pointers to native memory, which stay behind."""
    prior, many = GemmPrior("h100-sxm", 64, 8192, 4096), sample(600, "bf16", 4)
    configs = [dict(zip(NAMES, one, strict=True)) for one in many]
    times = prior(configs).time_s
    for copied in (copy.deepcopy(prior), pickle.loads(pickle.dumps(prior)), copy.deepcopy(prior.restriction).__self__):
        assert copied == prior
        assert (copied(configs).time_s == times).all()
    for hook in (TritonPruner("h100-sxm"), InductorPruner("h100-sxm")):
        known = (hook._predictor,) if isinstance(hook, TritonPruner) else tuple(hook._predictors.values())
        assert all(len(one.times(64, 64, 64, many).time_s) == len(many) for one in known)
        assert pickle.loads(pickle.dumps(hook)) == copy.deepcopy(hook) == hook


def test_the_filter_of_inductor_keeps_the_first_of_the_ranking(gpu: str) -> None:
    nodes = [
        SimpleNamespace(get_size=lambda size=size: size, get_dtype=lambda: "torch.bfloat16")
        for size in ([64, 4096], [4096, 8192])
    ]
    choices = [
        SimpleNamespace(
            name=f"triton_mm_{index}", layout=SimpleNamespace(size=[64, 8192]), input_nodes=nodes,
            log_info={
                "tile_shape": str((one.bm, one.bk, one.bn)), "GROUP_M": one.gm, "num_warps": one.warps,
                "num_stages": one.stages,
            },
        )
        for index, one in enumerate(TILINGS)
    ]  # fmt: skip
    kept = InductorPruner(gpu, keep=3)(choices)
    assert kept == [choices[index] for index in sorted(rank(gpu, 64, 8192, 4096, TILINGS)[:3])]
