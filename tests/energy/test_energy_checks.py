"""Checks of the energy probes' kernels against the host: they pass what the kernels compute and nothing else."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from recording import h100

from gpuprobe import resources
from gpuprobe.energy.waveform import length_s, stretches
from gpuprobe.estimate import Point
from gpuprobe.probe import discover

PROBES = {probe.name: probe for probe in discover()}
SEED = 12345


def module_of(name: str) -> ModuleType:
    """A probe's module, for the twins it holds."""
    path = resources.folder("microbench") / "energy" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"checked_{name}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small(name: str, **params: object) -> Point:
    """The probe's point with these parameters, on two blocks and a few passes."""
    points = [p for p in PROBES[name].points("full", h100()) if params.items() <= dict(p.params).items()]
    return replace(points[0], grid=2, iters=6)


ALU = module_of("energy_alu")
DATA = module_of("energy_data")


def run_alu(point: Point, seed: int, steps: int) -> bytes:
    """What the kernel stores after ``steps`` steps of every chain, each in its own precision."""
    op, t = str(point["OP"]), np.arange(point.grid * point.block, dtype=np.uint32)
    ends = [chain_end(op, t, seed, 4 + j, steps) for j in range(ALU.CHAINS)]
    if op == "IMAD":
        return sum(ends, np.zeros_like(t)).tobytes()
    return sum(ends, np.zeros_like(ends[0])).astype(np.float32).tobytes()


def chain_end(op: str, t: np.ndarray, seed: int, offset: int, steps: int) -> np.ndarray:
    """Where one chain of every thread ends."""
    if op == "IMAD":
        x, a, c = (ALU.mixed_at(t, seed, place) if seed else np.zeros_like(t) for place in (offset, 1, 2))
        a = a | np.uint32(1) if seed else a
        for _ in range(steps):
            x = x * a + c
        return x
    if op == "MUFU":
        bits = (ALU.mixed_at(t, seed, offset) & np.uint32(0x7FFFFF)) | np.uint32(0x3F000000)
        x = bits.view(np.float32) if seed else np.zeros(len(t), np.float32)
        for step in range(steps):
            x = (np.log2(x) if step % 2 else np.exp2(x)).astype(np.float32)
        return x
    kind = np.float32 if op == "FFMA" else np.float64
    a, b, c = (
        (ALU.factors(t, seed), ALU.fractions(t, seed, offset), ALU.fractions(t, seed, 2)) if seed else (t * 0.0,) * 3
    )
    a = a * (1 + c * 2.0**-26) if op == "DFMA" else a
    x, a, b, c = (values.astype(kind) for values in (t * 0.0, a, b, c))
    for step in range(steps):
        x = (x * a + (c if step % 2 else b)).astype(kind)
    return x


@pytest.mark.parametrize("op", ["FFMA", "DFMA", "IMAD", "MUFU"])
def test_alu_chains_pass_and_one_step_more_or_less_fails(op: str) -> None:
    point = small("energy_alu", OP=op, OPERANDS="random")
    steps = point.iters * ALU.STEPS // ALU.CHAINS
    check = PROBES["energy_alu"].check
    assert check is not None
    assert check(point, SEED, run_alu(point, SEED, steps)) is None
    assert check(point, SEED, run_alu(point, SEED, steps + 1)) is not None
    assert check(point, SEED, run_alu(point, SEED, steps - 1)) is not None
    assert check(point, SEED, bytes(4 * point.grid * point.block)) is not None


@pytest.mark.parametrize("op", ["FFMA", "DFMA", "IMAD", "MUFU"])
def test_alu_zeros_pass_only_as_zeros(op: str) -> None:
    point = small("energy_alu", OP=op, OPERANDS="zero")
    check = PROBES["energy_alu"].check
    assert check is not None
    assert check(point, 0, run_alu(point, 0, 10)) is None
    assert check(point, 0, run_alu(replace(point, zero=False), SEED, point.iters * ALU.STEPS // ALU.CHAINS)) is not None


def run_data(point: Point, seed: int, passes: int) -> bytes:
    """What the streaming kernel stores, thread by thread."""
    level = str(point["LEVEL"])
    out = np.zeros(point.grid * point.block, dtype=np.uint64)
    thread, j = np.arange(point.block), np.arange(8)[:, np.newaxis]
    for block in range(point.grid):
        here = slice(block * point.block, (block + 1) * point.block)
        place, tile = block, point.block * 8
        for index in range(passes):
            if level == "SHARED":
                vectors = thread + j * (3072 // 16) + (index % 2) * (3072 // 16)
            elif level == "L1":
                vectors = block * (73728 // 16) + thread + j * point.block + (index % 2) * (8192 // 16)
            else:
                vectors = place * tile + thread + j * point.block
            if level == "WRITE":
                i = (np.arange(here.start, here.stop) + seed).astype(np.uint32)
                m = [ALU.mixed(i * np.uint32(factor)) for factor in (1, 3, 7)]
                out[here] = m[0] ^ m[1] ^ m[2] ^ np.uint32(index)
            else:
                out[here] += DATA.vectors(vectors).astype(np.uint64).sum(axis=0)
            place += point.grid
            if place >= point.data_bytes // 16 // tile:
                place -= point.data_bytes // 16 // tile
    return (out & np.uint64(0xFFFFFFFF)).astype(np.uint32).tobytes()


@pytest.mark.parametrize("level", ["SHARED", "L1", "L2", "READ", "WRITE"])
@pytest.mark.parametrize("warps", [1, 16])
def test_streams_pass_and_one_pass_more_or_less_fails(level: str, warps: int) -> None:
    point = replace(small("energy_data", LEVEL=level, WARPS=warps), data_bytes=1 << 20)
    check = PROBES["energy_data"].check
    assert check is not None
    assert check(point, SEED, run_data(point, SEED, point.iters)) is None
    assert check(point, SEED, run_data(point, SEED, point.iters + 1)) is not None
    assert check(point, SEED, run_data(point, SEED, point.iters - 1)) is not None
    assert check(point, SEED, bytes(4 * point.grid * point.block)) is not None


def test_idle_blocks_must_end() -> None:
    probe = PROBES["energy_idle"]
    assert probe.check is not None
    point = replace(probe.points("full", h100())[-1], grid=1)
    assert probe.check(point, 1, np.ones(point.block, np.uint32).tobytes()) is None
    assert probe.check(point, 1, bytes(4 * point.block)) is not None
    assert probe.check(point, 1, b"") is None  # nothing ran: the GPU rests


def test_no_energy_probe_runs_in_quick_mode() -> None:
    energy = [probe for probe in discover() if probe.group == "energy"]
    assert len(energy) >= 6
    assert [probe.name for probe in energy if probe.points("quick", h100()) or probe.builds("quick", h100())] == []


@pytest.mark.parametrize("name", ["energy_alu", "energy_mma", "energy_wgmma"])
def test_every_operation_has_a_line_and_zeros_on_its_fuller_point(name: str) -> None:
    by_operation: dict[object, list[tuple[str, object]]] = {}
    for point in PROBES[name].points("full", h100()):
        params = dict(point.params)
        size = params.get("WARPS", -int(params.get("SHARE", 0)))
        by_operation.setdefault(params.get("OP", params.get("TYPE")), []).append((str(params["OPERANDS"]), size))
    assert len(by_operation) >= 4
    for found in by_operation.values():
        sizes = sorted(size for operands, size in found if operands == "random")
        assert len(sizes) == 2 and [size for operands, size in found if operands == "zero"] == sizes[1:]


def test_full_mode_takes_no_more_than_150_seconds_of_blocks() -> None:
    """Blocks of 1.23 s (settling, ten periods of 100 ms, the launches still queued), and watches of the sensors."""
    energy = [probe for probe in discover() if probe.method == "energy"]
    blocks = sum(len(probe.points("full", h100())) * probe.rounds for probe in energy)
    watches = PROBES["power_sensor"].rounds * length_s(stretches(1))
    assert blocks * 1.23 + watches <= 150
