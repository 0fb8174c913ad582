"""GPUs without data: what other chips teach, in whole or in part; power apart from times; tables as if unknown."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from gpuprobe import device
from gpuprobe.errors import GpuprobeError
from gpuprobe.predict import boosting, fitting, fitting_transfer, transfer, unknown
from gpuprobe.predict.boosting import Recipe
from gpuprobe.predict.fitting_transfer import SHARE, Table
from gpuprobe.predict.forest import LEVELS, Forest, summed, with_constant
from gpuprobe.predict.predictor import Predictor
from gpuprobe.predict.zero_shot import ZeroShot

from .synthetic import MACHINE, RECIPE, dataset

SMALL = Recipe(trees=20, depth=4, step=0.3, damping=1.0)


def grown(seed):
    rng = np.random.default_rng(seed)
    columns = [rng.normal(size=300), rng.normal(size=300)]
    return boosting.grow(columns, np.sin(columns[0])[:, None] + seed, SMALL), columns


def test_a_summed_forest_gives_the_weighted_sum():
    (first, columns), (second, _) = grown(0), grown(3)
    both = summed([first, second], [0.25, 2.0])
    assert both.many(columns) == pytest.approx(0.25 * first.many(columns) + 2 * second.many(columns), abs=1e-5)
    row = [column[0] for column in columns]
    assert with_constant(both, -1.5).one(row) == pytest.approx([*both.one(row), -1.5], abs=1e-5)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(fitting_transfer, "_RECIPE", SMALL)


def table(name, factor):
    data = dataset(rows=400)
    return Table(name, "aiconfigurator", replace(data, targets={"hot": data.targets["hot"] * factor}))


def test_devices_of_one_chip_have_one_voice_and_half_of_the_mean_is_believed(small):
    twins = [table("h100-sxm", 4.0), table("h200-sxm", 4.0)]
    alone, three = fitting_transfer.grow(twins), fitting_transfer.grow([*twins, table("l40s", 1.0)])
    once = fitting_transfer.grow([table("l40s", 1.0)])
    columns = [np.full(1, 8.0)] * 60
    assert three.many(columns) == pytest.approx((alone.many(columns) + once.many(columns)) / 2, abs=1e-4)
    assert three.base[0] == pytest.approx((alone.base[0] + once.base[0]) / 2)
    without = fitting_transfer.grow([table("h100-sxm", 1.0), table("h200-sxm", 1.0)])
    assert alone.base[0] - without.base[0] == pytest.approx(SHARE * np.log(4.0))


def test_a_stored_forest_is_the_same_and_a_damaged_one_refused(tmp_path, small):
    made = fitting_transfer.grow([table("l40s", 1.3)])
    path = tmp_path / "transfer.npz"
    first = transfer.write(path, made, ["l40s"])
    assert transfer.write(tmp_path / "again.npz", made, ["l40s"]) == first
    assert transfer.read(path).many([np.ones(5)] * 60) == pytest.approx(made.rounded().many([np.ones(5)] * 60))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(GpuprobeError, match="no usable model"):
        transfer.read(path)


def everywhere(shift):
    """A forest of one output, the same for every GEMM."""
    leaves = np.zeros((1, 2, 1), np.float32)
    return Forest(np.zeros((1, LEVELS), np.int16), np.full((1, LEVELS), np.inf, np.float32), leaves, np.array([shift]))


def test_only_aligned_sixteen_bit_types_take_what_was_learned():
    spec = device.load("l4")
    learned, plain = (Predictor("l4", ZeroShot(spec, everywhere(shift))) for shift in (0.5, 0.0))
    for dtype, n, ratio in (("bf16", 4096, 0.5), ("fp16", 4096, 0.5), ("fp8", 4096, 0.0), ("bf16", 4097, 0.0)):
        times = [predictor.gemm(64, n, 4096, dtype).hot.value for predictor in (learned, plain)]
        assert np.log(times[0] / times[1]) == pytest.approx(ratio, abs=1e-6)
    assert not learned.gemm(64, 4096, 4096).in_domain and "A100" in learned.gemm(64, 4096, 4096).protocol


def test_a_power_changes_nothing_of_the_times():
    data = dataset(rows=600)
    times = fitting._seen(replace(data, targets={"hot": data.targets["hot"]}), MACHINE)
    watts = 300 * np.exp(0.5 * np.sin(7 * np.log(data.n)))
    both = fitting._seen(replace(data, targets={"hot": data.targets["hot"], "power": watts}), MACHINE)
    assert (times.timed, both.timed) == (1, 1)
    alone, joint = (
        fitting._grown(seen, np.zeros_like(seen.targets), RECIPE, None, None).many(seen.columns)
        for seen in (times, both)
    )
    assert joint[:, 0] == pytest.approx(alone[:, 0], abs=1e-6)
    assert (both.targets[:, 1] - joint[:, 1]).var() < 0.9 * both.targets[:, 1].var()


def written(folder, data, made):
    path = folder / made.file
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        rows = zip(data.m, data.n, data.k, data.targets["hot"] * 1e6, strict=True)
        csv.writer(file).writerows([["m", "n", "k", "time_us"], *([int(m), int(n), int(k), t] for m, n, k, t in rows)])


def test_tables_are_judged_as_if_their_gpu_were_unknown(tmp_path, small):
    a100, b200 = unknown.PUBLISHED[0], unknown.NEVER_TRAINED[1]
    for made in (a100, b200):
        written(tmp_path, dataset(rows=400), made)
    found = unknown.tables(tmp_path)
    assert [part.device for part in found] == ["a100-sxm-80gb", "b200"]
    assert [part.device for part in unknown.learned_from(found)] == ["a100-sxm-80gb"]
    rows = list(unknown.judged(found, [], None, lambda text: None))
    assert [(row.device, row.errors is None) for row in rows] == [
        ("a100-sxm-80gb", True), ("b200", False), ("b200", False)
    ]  # fmt: skip
    alone, few = rows[1:]
    assert "device file alone" in alone.group and "16 random rows" in few.group
    assert few.errors[1] < alone.errors[1] and 0 <= few.coverage <= 1 < few.rows
    assert list(unknown.judged(found, ["b200"], "vidur", lambda text: None)) == []
