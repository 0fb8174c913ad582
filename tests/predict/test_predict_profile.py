"""A machine that takes its energies from a DeviceProfile."""

from __future__ import annotations

from dataclasses import replace

import pytest
from recording import h100

from gpuprobe import profile_files
from gpuprobe.ops.gemm import DTYPES
from gpuprobe.predict.arithmetic import SCALAR
from gpuprobe.predict.core import Problem, core, rates
from gpuprobe.predict.machine import machine, with_profile
from gpuprobe.predict.power import core_power_w
from gpuprobe.profile import Energy, Power, Value


def value(number: float, unit: str) -> Value:
    return Value(number, number, number, unit, "measured", "a test")


ENERGIES = (
    Energy("wgmma f16", "random", value(2e-12, "J/FMA")),
    Energy("wgmma f16", "zero", value(0.5e-12, "J/FMA")),
    Energy("DRAM read", "random", value(16e-12, "J/bit")),
)
PROFILE = replace(
    profile_files.load("b200"), energies=ENERGIES, powers=(Power("awake", value(140.0, "W")),)
)  # of a GPU without energies of its own


def test_energies_of_random_operands_replace_the_data_sheet_s_guess() -> None:
    made = with_profile(machine(h100(), "fp16"), PROFILE, "fp16")
    assert made.joule_per_flop == pytest.approx(1e-12, abs=0)
    assert made.joule_per_byte == pytest.approx(128e-12, abs=0)
    assert made.static_w == 140.0


def test_what_the_profile_lacks_stays() -> None:
    before = machine(h100(), "int8")
    after = with_profile(before, PROFILE, "int8")
    assert after.joule_per_flop == before.joule_per_flop
    assert replace(after, static_w=before.static_w, joule_per_byte=before.joule_per_byte) == before
    assert with_profile(before, replace(PROFILE, energies=(), powers=()), "int8") == before


def test_a_gemm_draws_what_its_operations_bytes_and_the_rest_cost() -> None:
    made = with_profile(machine(h100(), "fp16"), PROFILE, "fp16")
    problem = Problem(1024.0, 1024.0, 64.0, 2.0, 2.0, 0.0)
    parts = core(problem, rates(made, DTYPES["bf16"]), SCALAR)
    moved = (1024 * 64 * 2) * 2.0 + 1024 * 1024 * 2.0
    wanted = 140.0 + (1e-12 * 2 * 1024 * 1024 * 64 + 128e-12 * moved) / parts.time_s
    assert core_power_w(problem, parts, made, SCALAR) == pytest.approx(min(wanted, made.tdp_w))
