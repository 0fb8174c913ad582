"""Corrections by a few rows: left-out errors, an offset far away, more near by; operands that stay in a large L2."""

import numpy as np
import pytest

from gpuprobe import device
from gpuprobe.predict import correction, zero_shot
from gpuprobe.predict.correction import NOISE, fitted, likeness
from gpuprobe.predict.predictor import Predictor


def places(rows, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, 6)) * [1.5, 1, 1, 1.5, 1, 1]


def test_left_out_errors_are_those_of_corrections_without_the_row():
    where, errors = places(12), np.random.default_rng(1).normal(size=12) * 0.2
    _, left = fitted(where, errors)
    for index in range(12):
        others = np.arange(12) != index
        without, _ = fitted(where[others], errors[others])
        said = likeness(where[index : index + 1], without.places) @ without.weights
        assert left[index] == pytest.approx(errors[index] - said[0])


def test_an_error_that_all_rows_share_is_corrected_everywhere():
    made, _ = fitted(places(16), np.full(16, 0.5))
    assert (likeness(places(50, seed=2), made.places) @ made.weights) == pytest.approx(0.5, abs=0.15)


def test_a_group_of_rows_is_corrected_without_the_others():
    where = places(16)
    where[:, :3] *= 0.3
    where[8:, :3] += 5.0
    where[:8, 3:], where[8:, 3:] = 0.2 * where[:8, 3:] - 2, 0.2 * where[8:, 3:] + 2
    made, _ = fitted(where, np.repeat([0.3, -0.3], 8))
    said = likeness(where, made.places) @ made.weights
    assert (said[:8] > 0.2).all() and (said[8:] < -0.2).all()


def test_noise_keeps_a_single_row_from_being_believed_whole():
    made, _ = fitted(places(1), np.array([1.0]))
    said = float((likeness(made.places, made.places) @ made.weights)[0])
    assert 0.5 < said < 1.0 and NOISE > 0


def test_weights_that_fit_in_a_large_l2_are_not_read_from_dram():
    large, none = (Predictor(name, zero_shot.ZeroShot(device.load(name))) for name in ("l40s", "a100-sxm-80gb"))
    moved = 2 * 2048 * 2048
    l40s = large.gemm(1, 2048, 2048)
    assert l40s.hot.value < 0.7 * moved / 864e9 + 2e-6 and l40s.cold.value >= moved / 864e9
    for predictor in (large, none):  # too large for either
        assert predictor.gemm(1, 16384, 16384).hot.value > 2 * 16384**2 / 2.1e12
    assert large.gemm_many([[1, 2048, 2048]])["hot_us"][0] == pytest.approx(l40s.hot.value * 1e6)


def test_places_are_the_same_for_a_row_and_for_columns():
    row = [float(value) for value in range(1, 60)]
    columns = [np.array([value, value]) for value in row]
    assert np.array_equal(correction.places(row), correction.places(columns)[:1])
