"""The analytic core: parts, bounds, monotony, and the same numbers for one GEMM and for many."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe import device
from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.gemm import DTYPES
from gpuprobe.predict.arithmetic import ARRAY, SCALAR
from gpuprobe.predict.core import BOUNDS, Problem, bound, core, rates
from gpuprobe.predict.features import NAMES, features
from gpuprobe.predict.machine import from_document, machine
from gpuprobe.predict.power import sustained

from .synthetic import MACHINE

RATES = rates(MACHINE, DTYPES["bf16"])
SIZES = st.integers(1, 2**20)


def problem(m, n, k):
    return Problem(float(m), float(n), float(k), 2.0, 2.0, 0.0)


@settings(deadline=None)
@given(SIZES, SIZES, SIZES)
def test_one_and_many_give_the_same_features(m, n, k):
    single = problem(m, n, k)
    arrays = Problem(*(np.array([float(size)]) for size in (m, n, k)), 2.0, 2.0, np.zeros(1))
    parts, many = core(single, RATES, SCALAR), core(arrays, RATES, ARRAY)
    row, columns = features(single, parts, SCALAR), features(arrays, many, ARRAY)
    assert len(row) == len(NAMES) == len(columns)
    assert all(math.isfinite(value) for value in row)
    assert np.allclose(row, [np.asarray(column).ravel()[0] for column in columns], rtol=1e-12)
    assert bound(parts, SCALAR) == bound(many, ARRAY)[0]


@settings(deadline=None)
@given(SIZES, SIZES, SIZES)
def test_the_core_is_never_faster_than_dram_or_launch_and_never_falls_with_k(m, n, k):
    parts = core(problem(m, n, k), RATES, SCALAR)
    assert parts.time_s >= max(parts.launch_s, parts.dram_s)
    assert core(problem(m, n, k + 64), RATES, SCALAR).time_s >= parts.time_s * (1 - 1e-12)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((8192, 8192, 8192), "compute"), ((1, 16384, 16384), "dram"), ((16, 64, 64), "launch")],
)
def test_bounds_are_what_they_are_on_any_gpu(sizes, expected):
    assert BOUNDS[bound(core(problem(*sizes), RATES, SCALAR), SCALAR)] == expected


def test_a_wave_more_costs_a_wave_more():
    below = core(problem(128 * 11, 128 * 12, 8192), RATES, SCALAR)
    assert below.tiles[0] == 132 and below.waves[0] == 1
    assert core(problem(128 * 11 + 1, 128 * 12, 8192), RATES, SCALAR).waves[0] == 2


def test_the_power_cap_slows_what_the_matrix_units_bound_by_what_an_h100_shows():
    large = problem(8192, 8192, 8192)
    state = sustained(large, core(large, RATES, SCALAR), 1386e-6, 132.0, MACHINE)
    assert state.power_w == 700
    assert state.time_s == pytest.approx(1605e-6, rel=0.1)
    assert state.sm_clock_hz < MACHINE.clock_hz
    small = problem(1, 4096, 4096)
    assert sustained(small, core(small, RATES, SCALAR), 14e-6, 132.0, MACHINE).time_s == pytest.approx(14e-6)


def test_every_device_of_the_catalogue_has_a_machine_or_says_what_is_missing():
    for name in device.names():
        assert machine(device.load(name), "bf16").flop_per_s > 1e13
    with pytest.raises(GpuprobeError, match="no rate of fp8"):
        machine(device.load("a100-sxm-80gb"), "fp8")


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_machine_with_a_wrong_number_is_refused(value):
    assert from_document(MACHINE.document()) == MACHINE
    with pytest.raises(ValueError, match="machine"):
        from_document(MACHINE.document() | {"tdp_w": value})
