"""Oblivious forests: scalar and batch agree, boosting learns and repeats itself, storage keeps them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe.predict import boosting, forest
from gpuprobe.predict.boosting import Recipe

SMALL = Recipe(trees=40, depth=4, step=0.3, damping=1.0, features=1.0, rows=0.9)


def made(seed=0, rows=800):
    rng = np.random.default_rng(seed)
    columns = [rng.normal(size=rows), rng.integers(0, 5, rows).astype(float), np.ones(rows)]
    targets = np.column_stack([np.sin(columns[0]) + (columns[1] > 2), 3 * columns[0]])
    return columns, targets


def test_boosting_explains_what_the_features_explain():
    columns, targets = made()
    grown = boosting.grow(columns, targets, SMALL)
    fresh, wanted = made(seed=1)
    left = wanted - grown.many(fresh)
    assert (left.var(axis=0) < 0.1 * wanted.var(axis=0)).all()


def test_the_same_data_and_seed_give_the_same_bits_and_another_seed_does_not():
    columns, targets = made()
    first, again = (boosting.grow(columns, targets, SMALL).arrays("f") for _ in range(2))
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)
    other = boosting.grow(columns, targets, SMALL, seed=5).arrays("f")
    assert any(first[name].tobytes() != other[name].tobytes() for name in first)


def test_a_tree_answers_by_the_bits_of_its_questions():
    leaves = np.arange(4, dtype=np.float32).reshape(1, 4, 1)
    feature = np.zeros((1, forest.LEVELS), np.int16)
    feature[0, 1] = 1
    threshold = np.full((1, forest.LEVELS), np.inf, np.float32)
    threshold[0, :2] = (0.5, 10.0)
    tree = forest.Forest(feature, threshold, leaves, np.array([100.0]))
    assert [tree.one(row)[0] for row in ([0, 0], [1, 0], [0, 11], [1, 11])] == [100, 101, 102, 103]
    assert tree.many([np.array([0.5, 0.6]), np.array([10.0, 11.0])]).ravel().tolist() == [100, 103]


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.floats(-5, 5, width=32)] * 3), min_size=1, max_size=30))
def test_one_query_and_many_agree(rows):
    grown = _grown()
    many = grown.many(list(np.array(rows, float).T))
    one = np.array([grown.one(row) for row in rows])
    assert np.allclose(one, many, atol=1e-5)


def _grown(cache=[]):  # noqa: B006
    if not cache:
        cache.append(boosting.grow(*made(), SMALL))
    return cache[0]


def test_a_batch_longer_than_a_block_is_whole():
    columns, _ = made(rows=40_000)
    grown = _grown()
    many = grown.many(columns)
    assert many.shape == (40_000, 2)
    assert np.allclose(many[39_999], grown.one([column[39_999] for column in columns]), atol=1e-5)


def test_joined_forests_give_the_outputs_of_both():
    columns, targets = made()
    first, second = boosting.grow(columns, targets, SMALL), boosting.grow(columns, targets[:, :1] ** 2, SMALL)
    both = forest.joined(first, second)
    assert np.allclose(both.many(columns), np.column_stack([first.many(columns), second.many(columns)]), atol=1e-5)


@pytest.mark.parametrize("spoil", ["feature", "leaves", "one leaf", "threshold", "shape", "questions"])
def test_arrays_that_are_no_forest_are_refused(spoil):
    arrays = _grown().arrays("f")
    if spoil == "feature":
        arrays["f.feature"] = arrays["f.feature"] + np.uint8(3)
    elif spoil == "leaves":
        arrays["f.leaves"] = np.full_like(arrays["f.leaves"], np.nan)
    elif spoil == "one leaf":
        arrays["f.leaves"][3, 2, 1] = -np.inf
    elif spoil == "threshold":
        arrays["f.threshold"] = np.full_like(arrays["f.threshold"], np.nan)
    elif spoil == "questions":
        arrays["f.threshold"] = np.zeros_like(arrays["f.threshold"])
    else:
        arrays["f.leaves"] = arrays["f.leaves"][:, :-1]
    with pytest.raises(ValueError, match="forest"):
        forest.from_arrays(arrays, "f", 3, 2)
    assert forest.from_arrays(_grown().arrays("f"), "f", 3, 2).depth == 4


def test_leaves_of_medians_are_not_moved_by_a_few_wild_rows():
    columns, targets = made()
    targets[:, 1] = targets[:, 0]
    wild = targets + 40.0 * (np.arange(len(targets)) % 9 == 0)[:, None]
    fresh, wanted = made(seed=1)
    errors = [
        np.abs(wanted[:, 0] - boosting.grow(columns, wild, replace(SMALL, clip=1.0, median=median)).many(fresh)[:, 0])
        for median in (False, True)
    ]
    assert errors[1].mean() < 0.5 * errors[0].mean()
    leaf, residual = np.array([0, 0, 0, 2, 2]), np.array([[1.0], [5.0], [2.0], [4.0], [8.0]])
    medians = boosting._medians(leaf, residual, replace(SMALL, depth=2, damping=0.0001))
    assert medians.ravel() == pytest.approx([2.0, 0.0, 6.0, 0.0], abs=1e-3)


def test_a_feature_nobody_answers_for_is_no():
    columns, targets = made()
    whose = (np.arange(len(targets)) % 2).astype(float)
    grown = boosting.grow([*columns, whose], targets + whose[:, None], SMALL)
    assert (grown.feature == 3).any()
    folded = forest.answered_no(grown, 3)
    assert not (folded.feature == 3).any()
    assert folded.many(columns) == pytest.approx(grown.many([*columns, np.zeros(len(targets))]), abs=1e-6)
    assert folded.many(columns).mean() < grown.many([*columns, np.ones(len(targets))]).mean() - 0.5


def test_a_recipe_that_sees_some_features_asks_for_no_other():
    columns, targets = made()
    grown = boosting.grow(columns, targets, replace(SMALL, sees=1))
    assert set(grown.feature.ravel().tolist()) == {0}
    first = boosting.grow(columns[:1], targets, SMALL)
    assert np.array_equal(grown.leaves, first.leaves)
