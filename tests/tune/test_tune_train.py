"""Training from the files of a sweep alone: a device that has none yet, and launches that something held up."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from gpuprobe import cli, device, resources
from gpuprobe.ops.tiling import INPUT_BYTES, sample
from gpuprobe.predict.boosting import Recipe
from gpuprobe.predict.machine import machine
from gpuprobe.sweep.tiles import COLUMNS
from gpuprobe.tune import KernelPredictor, data, fitting
from gpuprobe.tune.data import work_of
from gpuprobe.tune.tiled import core, is_valid

TURNS = (("triton-matmul", "bf16"), ("triton-persistent", "bf16"), ("triton-matmul", "fp8"))


def sweep(gpu: str, gemms: int, configs: int) -> bytes:
    """A journal as ``sweep kernel`` writes it: 1.2 times the core, with noise; one launch held up a GEMM."""
    draw = np.random.default_rng(3)
    lines = [{"kind": "session", "schema": 1, "campaign": {}, "device": gpu}]
    for index in range(gemms):
        form, dtype = TURNS[index % len(TURNS)]
        m, n, k = (int(16 * draw.integers(1, 200)) for _ in range(3))
        tilings = sample(configs, dtype, index)
        work = work_of(m, n, k, dtype, form, tilings)
        times = core(work, machine(device.load(gpu), dtype)).time_s * 1.2 * np.exp(0.02 * draw.standard_normal(configs))
        times[0] *= 40
        rows = [
            [*tiling, time * 1e6, 0.02 if place else 0.0, 64, 0, 0, "" if valid else "out of resource"]
            for place, (tiling, time, valid) in enumerate(zip(tilings, times.tolist(), is_valid(work), strict=True))
        ]
        row = {"kind": "row", "index": index, "form": form, "m": m, "n": n, "k": k, "dtype": dtype, "seconds": 1.0}
        lines.append({**row, "columns": list(COLUMNS), "rows": rows})
    return gzip.compress("\n".join(map(json.dumps, lines)).encode())


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models with the sweep of an H200 and nothing else."""
    folder = tmp_path / "models" / "data" / "h200-sxm"
    folder.mkdir(parents=True)
    (folder / "tiles-1.jsonl.gz").write_bytes(sweep("h200-sxm", 15, 40))
    found = resources.folder
    monkeypatch.setattr(resources, "folder", lambda name: tmp_path / "models" if name == "models" else found(name))
    monkeypatch.setattr(fitting, "RECIPE", Recipe(trees=20, depth=4, step=0.2))
    monkeypatch.setattr(fitting, "_SPREADS", Recipe(trees=10, depth=4, step=0.2))
    return tmp_path / "models"


def test_a_sweep_of_another_device_is_all_that_training_needs(models: Path) -> None:
    assert not KernelPredictor.load("h200-sxm").in_domain
    assert cli.main(["train", "h200-sxm", "--source", "gpuprobe"]) == 0
    predictor = KernelPredictor.load("h200-sxm")
    assert predictor.in_domain and predictor.model.trained_on == "h200-sxm"
    card = json.loads((models / "h200-sxm" / "card.json").read_text())["kernels"]
    assert card["model_id"] == predictor.model.model_id
    assert card["rows_disturbed"] == len(held_up(models))
    assert {(row["kernel"], row["dtype"]) for row in card["classes"]} == set(TURNS)
    times = predictor.times(512, 4096, 4096, sample(20, "bf16", 0)).time_s
    bare = core(
        work_of(512, 4096, 4096, "bf16", TURNS[0][0], sample(20, "bf16", 0)), machine(device.load("h200-sxm"), "bf16")
    )
    assert np.median(times / bare.time_s) == pytest.approx(1.2, rel=0.05)


def held_up(models: Path) -> np.ndarray:
    measured = data.read(sorted((models / "data" / "h200-sxm").glob("*.gz")))
    return np.flatnonzero(measured.spread == 0)


def test_only_single_launches_that_take_far_too_long_are_left_out(models: Path) -> None:
    measured = data.read(sorted((models / "data" / "h200-sxm").glob("*.gz")))
    kept = fitting.undisturbed(measured, "h200-sxm")
    assert len(measured) - len(kept) == len(held_up(models)) > 5
    assert (kept.spread > 0).all()


def test_every_type_of_the_tests_is_one_that_kernels_take() -> None:
    assert {dtype for _, dtype in TURNS} <= set(INPUT_BYTES)
