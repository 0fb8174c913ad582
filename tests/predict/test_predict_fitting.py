"""Fitting: splits by whole (n,k), errors near the noise that was put in, intervals that hold, the same bits again."""

import csv
import sys
from dataclasses import replace

import numpy as np
import pytest

from gpuprobe.errors import GpuprobeError
from gpuprobe.predict import artefact, evaluate, fitting, intervals
from gpuprobe.predict.dataset import read_published
from gpuprobe.predict.errors_of import summary
from gpuprobe.predict.train import Class, Job

from .synthetic import MACHINE, RECIPE, dataset, fitted

FEW_TREES = replace(RECIPE, trees=12, depth=4, step=0.4)


def test_no_n_and_k_pair_is_in_two_folds():
    data = dataset()
    fold = data.folds(4)
    pairs = {}
    for n, k, index in zip(data.n, data.k, fold, strict=True):
        assert pairs.setdefault((n, k), index) == index
    assert len(set(fold.tolist())) == 4


def test_held_out_errors_come_near_the_noise():
    _, held_out = fitted()
    median, mean, p90 = summary(held_out.errors[:, 0])
    assert median < 5 and mean < 7 and p90 < 14
    assert median > 1  # 2 % noise: less would mean that a row was seen


def test_intervals_hold_nine_of_ten_rows_they_were_not_set_by():
    rng = np.random.default_rng(0)
    spreads = np.exp(rng.normal(size=20_000) * 0.5)
    errors = spreads * rng.normal(size=20_000)
    regimes = rng.integers(0, 4, 20_000)
    band = intervals.bands(errors[:10_000], spreads[:10_000], regimes[:10_000])
    inside, width = intervals.covered(errors[10_000:] * 1, spreads[10_000:], regimes[10_000:], band)
    assert 0.88 < inside < 0.92 and width > 0


def test_a_regime_with_few_rows_takes_the_band_of_all():
    band = intervals.bands(np.linspace(-1, 1, 1000), np.ones(1000), np.zeros(1000, int))
    assert band[0] == band[4]


def test_of_few_rows_a_band_of_its_own_takes_more():
    ratios, regimes = (
        np.concatenate([np.linspace(-1, 1, 1000), np.linspace(-3, 3, 150)]),
        np.repeat([0, 1], [1000, 150]),
    )
    of_few = intervals.bands(ratios, np.ones(1150), regimes)
    assert of_few[1] == of_few[4] != of_few[0]
    of_many = intervals.bands(np.tile(ratios, 10), np.ones(11_500), np.tile(regimes, 10))
    assert of_many[1] != of_many[4]


@pytest.mark.parametrize("bad", [[[[0.1, 0.2]] * 5], [[[-0.1, float("nan")]] * 5], [[[-1, 1]] * 4]])
def test_bands_that_are_none_are_refused(bad):
    with pytest.raises(ValueError):
        intervals.checked(bad, 1)


def test_the_head_predicts_rows_of_the_same_law_and_knows_its_domain():
    head, _ = fitted()
    fresh = dataset(seed=9, rows=400)
    many = head.many(fresh.m, fresh.n, fresh.k, fresh.nn)
    assert summary(np.log(fresh.targets["hot"] / many.values["hot"][0]))[0] < 5
    assert many.in_domain.mean() > 0.95
    answer = head.one(10**6, 10**6, 10**6, "tn")
    assert not answer.in_domain and not head.one(128, 1024, 1024, "nn").in_domain
    value, low, high = answer.values["hot"]
    assert low < 0.9 * value and high > 1.1 * value


def test_training_again_gives_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "SPREAD_RECIPE", FEW_TREES)
    for name in ("a", "b"):
        head, _ = fitting.fit(dataset(rows=200), MACHINE, FEW_TREES, 2, "made up", lambda text: None)
        artefact.write(tmp_path / name, "h100-sxm", "gpuprobe", [head])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_rows_chosen_by_doubt_train_and_judge_nothing(monkeypatch):
    monkeypatch.setattr(fitting, "SPREAD_RECIPE", FEW_TREES)
    data = dataset(rows=600)
    doubted = np.arange(len(data)) % 3 == 0
    noise = np.exp(np.where(doubted, 0.5, 0.0) * np.random.default_rng(3).normal(size=len(data)))
    data = replace(data, targets={name: time * noise for name, time in data.targets.items()}, unsure=doubted)
    head, held_out = fitting.fit(data, MACHINE, FEW_TREES, 3, "made up", lambda text: None)
    assert len(held_out.data) == len(held_out.errors) == (~doubted).sum()
    assert held_out.data.fair.all()
    told = fitting.fit(replace(data, unsure=None), MACHINE, FEW_TREES, 3, "made up", lambda text: None)[1]
    assert len(told.errors) == len(data)
    assert summary(held_out.errors[:, 0])[1] < 0.75 * summary(told.errors[:, 0])[1]
    only_fair, _ = fitting.fit(data.where(data.fair), MACHINE, FEW_TREES, 3, "made up", lambda text: None)
    shapes = data.m[:50], data.n[:50], data.k[:50], data.nn[:50]
    assert not np.array_equal(head.many(*shapes).values["hot"][0], only_fair.many(*shapes).values["hot"][0])


def test_a_published_table_is_read_and_joined_with_its_repeat(tmp_path):
    for name, times in (("a.csv", (10, 20)), ("b.csv", (11, 19))):
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows([["m", "n", "k", "time_us"], [1, 64, 64, times[0]], [2, 64, 64, times[1]]])
    data = read_published(tmp_path / "a.csv", "bf16", tmp_path / "b.csv")
    assert data.targets["hot"].tolist() == pytest.approx([10e-6, 20e-6])
    assert data.twice["hot"].tolist() == [pytest.approx([10e-6, 11e-6]), pytest.approx([20e-6, 19e-6])]
    (tmp_path / "c.csv").write_text("x,y\n1,2\n")
    with pytest.raises(GpuprobeError, match="no rows"):
        read_published(tmp_path / "c.csv", "bf16")


def test_tables_hold_groups_noise_and_baselines_or_say_why_not(monkeypatch):
    _, held_out = fitted()
    pairs = {"hot": np.array([[10e-6, 10.1e-6], [5e-6, 5e-6]])}
    held_out = replace(held_out, data=replace(held_out.data, twice=pairs))
    job = Job("h100-sxm", "gpuprobe", "made up", (Class(held_out.data, RECIPE),))
    rows = list(evaluate.tables(job, held_out))
    names = [row.group for row in rows if row.target == "hot"]
    assert names[0] == "bf16 aligned" and "bf16 aligned: noise floor" in names
    assert any("bound by dram" in name for name in names) and any("µs" in name for name in names)
    assert rows[0].rows == len(held_out.data) and 0.85 < rows[0].coverage < 0.95
    monkeypatch.setitem(sys.modules, "nvMatmulHeuristics", None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    compared = {row.group.partition(": ")[2]: row for row in evaluate.compared(job, held_out.data)}
    assert compared["roofline by datasheet"].errors[1] > rows[0].errors[1]
    assert "not installed" in compared["nvMatmulHeuristics"].note
    assert "scikit-learn" in compared["random forest on logs"].note


def test_rows_of_another_gpu_train_but_not_of_pairs_judged_and_judge_nothing(monkeypatch):
    monkeypatch.setattr(fitting, "SPREAD_RECIPE", FEW_TREES)
    data, theirs = dataset(rows=300), dataset(rows=600, seed=4)
    theirs = replace(theirs, targets={name: 1.3 * time for name, time in theirs.targets.items()})
    own = fitting.cross_validate(data, MACHINE, FEW_TREES, 3, lambda text: None)
    kin = fitting.Kin("h200-sxm", theirs, MACHINE)
    held_out = fitting.cross_validate(data, MACHINE, FEW_TREES, 3, lambda text: None, kin=kin)
    assert len(held_out.data) == len(data)
    assert held_out.errors[:, 0].std() < own.errors[:, 0].std() and abs(np.median(held_out.errors[:, 0])) < 0.05
    # the same pairs wildly wrong on the other GPU: no row judged may have seen its pair there
    wild = {name: np.where(theirs.folds(3) == 0, 50 * time, time) for name, time in theirs.targets.items()}
    spoilt = fitting.Kin("h200-sxm", replace(theirs, targets=wild), MACHINE)
    monkeypatch.setattr(fitting, "tuned", lambda data, machine: machine)
    first, second = (
        fitting.cross_validate(data, MACHINE, FEW_TREES, 3, lambda text: None, kin=one).errors for one in (kin, spoilt)
    )
    judged = data.folds(3) == 0
    assert np.array_equal(first[judged], second[judged]) and not np.array_equal(first, second)
