"""The model of tiled kernels: its core, its file, its rankings, and what goes in and out of it."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from gpuprobe import cli, device, resources
from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.tiling import Tiling, every, sample
from gpuprobe.predict.machine import machine
from gpuprobe.tune import KernelPredictor, data, fitting, model, rank
from gpuprobe.tune.tiled import core, is_valid, shared_bytes
from gpuprobe.tune.triton_hook import TritonPruner

H100 = machine(device.load("h100-sxm"), "bf16")
SWEEPS = sorted((resources.folder("models") / "data" / "h100-sxm").glob("tiles-*.jsonl.gz"))


def times(m: int, n: int, k: int, *tilings: tuple[int, ...], form: str = "triton-matmul") -> list[float]:
    return core(data.work_of(m, n, k, "bf16", form, tilings), H100).time_s.tolist()


# --- the core ---------------------------------------------------------------------------------------------------


def test_no_time_is_less_than_the_peak_allows() -> None:
    tilings = list(every(2))
    parts = core(data.work_of(4096, 4096, 4096, "bf16", "triton-matmul", tilings), H100)
    assert parts.time_s.min() > 2 * 4096**3 / H100.flop_per_s


def test_a_wave_more_takes_longer_and_a_fuller_wave_does_not() -> None:
    one = (128, 128, 64, 8, 8, 3)
    full, fuller, over = (times(128 * a, 128 * b, 4096, one)[0] for a, b in ((10, 10), (11, 12), (17, 16)))
    assert full <= fuller < 1.15 * full  # the L2 has more to give, each SM has as much to do
    assert over > 1.3 * fuller


def test_a_pipeline_hides_latency_until_something_else_bounds() -> None:
    two, three, five = times(64, 4096, 16384, *((64, 32, 64, 8, 4, stages) for stages in (2, 3, 5)))
    assert two > three > five


def test_shared_memory_is_what_triton_takes() -> None:
    """Readings of Triton 3.6 on an H100: stages of A and B; one less on mma.sync; C beside them with TMA."""
    matmul = data.work_of(512, 512, 512, "bf16", "triton-matmul", [(128, 128, 64, 1, 4, 3), (32, 64, 32, 1, 8, 4)])
    assert shared_bytes(matmul).tolist() == [98304, 18432]
    tma = data.work_of(512, 512, 512, "bf16", "triton-persistent", [(128, 128, 64, 1, 4, 3), (256, 128, 64, 1, 8, 4)])
    assert shared_bytes(tma).tolist() == [131072, 262144]
    assert is_valid(tma).tolist() == [True, False]


def test_validity_agrees_with_what_was_launched() -> None:
    """Of the measured configurations none is called impossible, and of those that failed none possible."""
    ran = data.read(SWEEPS)
    assert is_valid(ran.work).all()
    failed = [
        data.work_of(r["m"], r["n"], r["k"], r["dtype"], r["form"], [row[:6]])
        for path in SWEEPS for r in data.records(path, "row") for row in r["rows"] if row[-1]
    ]  # fmt: skip
    assert len(failed) > 100
    assert not any(is_valid(work).any() for work in failed)


def test_what_everybody_asks_for_is_slow_to_come() -> None:
    """On an H100 a tile of 128 rows takes far longer for one row than for 128: all want the same lines."""
    one, many = (times(m, 8192, 4096, (128, 32, 32, 8, 8, 3))[0] for m in (1, 128))
    assert one > 2.5 * many


def test_operands_that_outgrow_the_l2_wait_longer() -> None:
    """A load takes 500 clocks from the L2 and 1,100 from DRAM; two stages wait for each (measured: 498 and 1,143)."""
    per_step = [
        (times(16, 4096, k, (16, 128, 32, 8, 4, 2))[0] - times(16, 4096, k // 2, (16, 128, 32, 8, 4, 2))[0]) / (k / 64)
        for k in (1024, 16384)
    ]
    clocks = [1.83e9 * step for step in per_step]
    assert 400 < clocks[0] < 700 and 900 < clocks[1] < 1300


def test_the_persistent_form_fills_its_pipeline_once() -> None:
    """With one step a tile (17152×640×128 on an H100: 10.9 µs) a pipeline filled anew a tile would take 20 µs."""
    (found,) = times(17152, 640, 128, (256, 64, 128, 1, 4, 2), form="triton-persistent")
    assert found == pytest.approx(10.9e-6, rel=0.35)


# --- the shipped model ------------------------------------------------------------------------------------------


def test_the_shipped_model_ranks_what_it_was_fitted_to() -> None:
    """Far above chance: random order has a correlation of 0 and loses 50 % with five tries; the core: 0.81."""
    ran = data.read(SWEEPS[:1])
    predicted = np.empty(len(ran))
    for form in ("triton-matmul", "triton-persistent"):
        fitted = KernelPredictor.load("h100-sxm", form)
        for dtype in ("bf16", "fp16", "fp8"):
            mask = (ran.dtype == dtype) & (ran.work.form == float(form == "triton-persistent"))
            predicted[mask] = fitted.work_times(ran.work.rows(mask), dtype).time_s
    found = fitting.ranking(ran.time_s, predicted, ran.gemm)
    assert found.gemms == 160
    assert found.spearman > 0.95
    assert found.top5 < 1.01


def test_an_interval_holds_its_value_and_is_wider_where_less_is_known() -> None:
    tilings = sample(40, "bf16", 0)
    known, unknown = (KernelPredictor.load(gpu).times(512, 4096, 4096, tilings) for gpu in ("h100-sxm", "l40s"))
    for found in (known, unknown):
        assert (found.low_s < found.time_s).all() and (found.time_s < found.high_s).all()
    assert np.median(unknown.high_s / unknown.low_s) > 2 * np.median(known.high_s / known.low_s)


def test_a_gpu_of_the_same_architecture_borrows_the_residual_and_says_so() -> None:
    own, borrowed, none = (KernelPredictor.load(gpu) for gpu in ("h100-sxm", "gh200", "l40s"))
    assert (own.in_domain, borrowed.in_domain, none.in_domain) == (True, False, False)
    assert borrowed.model.trained_on == "h100-sxm"
    assert none.model.model_id == "tiles-l40s-analytic"


def test_ranking_leaves_out_what_cannot_be_launched() -> None:
    tilings = [(64, 64, 32, 8, 4, 3), (256, 256, 128, 8, 8, 5), (128, 256, 64, 8, 8, 3)]
    order = rank("h100-sxm", 4096, 4096, 4096, tilings)
    assert order == [2, 0]


# --- judging ----------------------------------------------------------------------------------------------------


def test_a_ranking_is_judged_by_what_its_first_choices_lose() -> None:
    time_s = np.array([1.0, 2.0, 4.0, 8.0, 3.0, 1.0])
    predicted = np.array([2.0, 1.0, 3.0, 4.0, 1.0, 2.0])
    found = fitting.ranking(time_s, predicted, np.array([0, 0, 0, 0, 1, 1]))
    assert found.gemms == 2
    assert found.top1 == pytest.approx((2.0 * 3.0) ** 0.5)
    assert (found.top5, found.worst_top5) == (1.0, 1.0)
    assert found.spearman == pytest.approx((0.8 - 1.0) / 2)


def test_fitting_learns_what_the_core_does_not_know(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fitting, "RECIPE", replace(fitting.RECIPE, trees=30, depth=5, step=0.3))
    monkeypatch.setattr(fitting, "_SPREADS", replace(fitting._SPREADS, trees=5, depth=5))
    gemms = [(512, 1024 + 16 * i, 2048) for i in range(20)]
    works = [data.work_of(*gemm, "bf16", "triton-matmul", sample(30, "bf16", 0)) for gemm in gemms]
    work = data.Work(*(np.concatenate(columns) for columns in zip(*works, strict=True)))
    truth = core(work, H100).time_s * np.where(work.warps == 8, 1.5, 1.0)
    measured = data.Measured(
        work, np.full(len(truth), "bf16"), truth, np.zeros(len(truth)), np.repeat(np.arange(20), 30)
    )
    judged = fitting.cross_validate(measured, "h100-sxm", lambda text: None)
    assert np.median(np.abs(judged.errors)) < 0.02
    path = tmp_path / "tiles.npz"
    model_id = model.write(path, "h100-sxm", fitting.fit(measured, "h100-sxm", judged), judged.band)
    read = model.read(path)
    assert read.model_id == model_id
    assert read.times(work, "bf16").time_s == pytest.approx(truth, rel=0.15)


@pytest.mark.parametrize("harm", ["cut", "other", "band"])
def test_a_damaged_model_is_refused(harm: str, tmp_path: Path) -> None:
    whole = resources.folder("models") / "h100-sxm" / "tiles-gpuprobe.npz"
    path = tmp_path / "tiles.npz"
    if harm == "cut":
        path.write_bytes(whole.read_bytes()[:-200])
    elif harm == "other":
        path.write_bytes(whole.with_name("gemm-gpuprobe.npz").read_bytes())
    else:
        forest = model.read(whole).forest
        assert forest is not None
        model.write(path, "h100-sxm", forest, (0.1, 0.2))
    with pytest.raises(GpuprobeError, match="is no usable model"):
        model.read(path)


# --- in and out -------------------------------------------------------------------------------------------------

HEAD = "m,n,k,dtype,BM,BN,BK,GM,warps,stages"


def predicted(tmp_path: Path, *lines: str) -> tuple[int, list[dict[str, str]]]:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("\n".join([HEAD, *lines]) + "\n")
    code = cli.main(["predict", "kernel", "--gpu", "h100-sxm", "--csv", str(source), "-o", str(target)])
    return code, list(csv.DictReader(target.open())) if target.exists() else []


def test_a_csv_comes_back_with_its_rows_in_order(tmp_path: Path) -> None:
    code, rows = predicted(
        tmp_path,
        "4096,4096,4096,bf16,128,256,64,8,8,3",
        "64,4096,4096,fp8,256,256,128,8,8,5",
        "64,4096,4096,fp8,64,64,128,8,4,4",
    )
    assert code == 0
    assert [row["valid"] for row in rows] == ["true", "false", "true"]
    assert [row["BK"] for row in rows] == ["64", "128", "128"]
    for row in rows:
        assert float(row["us_low"]) < float(row["us"]) < float(row["us_high"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("4096,4096,4096,bf16,128,256,64,8,8", "line 3: 9 cells"),
        ("4096,4096,4096,fp4,128,256,64,8,8,3", "line 3: type 'fp4'"),
        ("4096,4096,4096,bf16,128,-1,64,8,8,3", "line 3: BN = -1"),
        ("4096,4096,4096,bf16,128,x,64,8,8,3", "line 3: BN = 'x'"),
    ],
)
def test_a_bad_line_is_named_and_nothing_written(
    line: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, rows = predicted(tmp_path, "4096,4096,4096,bf16,128,256,64,8,8,3", line)
    assert (code, rows) == (2, [])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0, 1, 1, "bf16", "triton-matmul", [(64, 64, 32, 8, 4, 3)]), "is no GEMM"),
        ((1, 1, 1, "bf16", "cutlass", [(64, 64, 32, 8, 4, 3)]), "unknown kernel"),
        ((1, 1, 1, "fp64", "triton-matmul", [(64, 64, 32, 8, 4, 3)]), "no tiled kernel takes"),
        ((1, 1, 1, "bf16", "triton-matmul", [(64, 64, 32)]), "not rows of bm, bn"),
    ],
)
def test_what_is_no_question_is_refused(arguments: tuple[object, ...], said: str) -> None:
    with pytest.raises(GpuprobeError, match=said):
        data.work_of(*arguments)  # type: ignore[arg-type]


def test_a_file_that_is_no_sweep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"kind": "row", "m": 1}\n')
    with pytest.raises(GpuprobeError, match="is no sweep of kernels"):
        data.read([tmp_path / "x.jsonl"])
    (tmp_path / "y.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(GpuprobeError, match="cannot read"):
        data.read([tmp_path / "y.jsonl.gz"])


# --- Triton's hooks ---------------------------------------------------------------------------------------------


@dataclass
class Config:
    """What triton.Config is to a pruner."""

    kwargs: dict[str, int]
    num_warps: int
    num_stages: int


@dataclass
class Tensor:
    """What a tensor is to a pruner."""

    dtype: str = "torch.bfloat16"


@dataclass
class Call:
    """The named arguments of a launch."""

    named: dict[str, object] = field(
        default_factory=lambda: {"a_ptr": Tensor(), "M": 4096, "N": 4096, "K": 4096, "stride_am": 4096}
    )


def config(tiling: Tiling) -> Config:
    blocks = {"BLOCK_M": tiling.bm, "BLOCK_N": tiling.bn, "BLOCK_K": tiling.bk, "GROUP_M": tiling.gm}
    return Config(blocks, tiling.warps, tiling.stages)


def test_triton_keeps_the_configurations_that_are_predicted_best() -> None:
    tilings = sample(60, "bf16", 5)
    pruner = TritonPruner("h100-sxm", keep=5)
    kept = pruner.early_config_prune([config(one) for one in tilings], Call().named, extra=1)
    order = rank("h100-sxm", 4096, 4096, 4096, tilings)
    assert kept == [config(tilings[index]) for index in order[:5]]


def test_tritons_performance_model_orders_alike() -> None:
    tilings = sample(20, "bf16", 6)
    pruner = TritonPruner("h100-sxm")
    each = [
        pruner.perf_model(
            **Call().named, **(one := config(t)).kwargs, num_warps=one.num_warps, num_stages=one.num_stages
        )
        for t in tilings
    ]
    assert sorted(range(20), key=each.__getitem__)[: len(rank("h100-sxm", 4096, 4096, 4096, tilings))] == rank(
        "h100-sxm", 4096, 4096, 4096, tilings
    )


def test_something_is_always_left_to_measure() -> None:
    huge = config(Tiling(256, 256, 128, 8, 8, 5))
    assert TritonPruner("h100-sxm").early_config_prune([huge], Call().named) == [huge]


def test_other_names_can_be_told_and_missing_ones_are_said() -> None:
    named = {"x": Tensor("torch.float16"), "m": 64, "n": 4096, "k": 4096}
    with pytest.raises(GpuprobeError, match="no argument 'M'"):
        TritonPruner("h100-sxm").early_config_prune([config(Tiling(64, 64, 64, 8, 4, 3))], named)
    pruner = TritonPruner("h100-sxm", sizes=("m", "n", "k"), blocks=("BM", "BN", "BK"), operand="x")
    one = Config({"BM": 64, "BN": 64, "BK": 64}, 4, 3)
    assert pruner.early_config_prune([one], named) == [one]
    with pytest.raises(GpuprobeError, match=r"torch\.int32"):
        pruner.early_config_prune([one], {**named, "x": Tensor("torch.int32")})
