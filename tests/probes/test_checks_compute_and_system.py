"""The checks of the core and system probes fail for what a wrong kernel leaves: zeros, a step more, a step less."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe import arch, device, resources
from gpuprobe.estimate import Point
from gpuprobe.families.instructions import Link, float8, float8_value, outcome, permute, sum_beside
from gpuprobe.families.links import LINKS, check_chain, check_chains
from gpuprobe.kernels import build_kernels
from gpuprobe.probe import Probe, discover
from gpuprobe.record import Sample
from gpuprobe.sass import disassemble
from gpuprobe.sass.opcodes import matches, pipe
from gpuprobe.sass.patch import timed

STEPS = 96
TURNS = 8


def probe(name: str) -> Probe:
    """A probe by its name."""
    return next(found for found in discover() if found.name == name)


def the_check(name: str) -> Callable[[Point, int, bytes], str | None]:
    """The check of a probe."""
    found = probe(name).check
    assert found is not None
    return found


def point(params: dict[str, int | str], **sizes: int) -> Point:
    """A point of 32 threads unless told otherwise."""
    return Point(tuple(params.items()), **{"block": 32, **sizes})  # type: ignore[arg-type]


# --- links ------------------------------------------------------------------------------------------------------


def chain_end(link: Link, steps: int, turns: int = TURNS, third: int | None = None) -> bytes:
    """What 32 threads store: end (two words), sum, turns."""
    bits, _ = outcome(link, steps)
    row = [bits & 0xFFFFFFFF, bits >> 32, sum_beside(link, steps) if third is None else third, turns]
    return np.array([row] * 32, dtype=np.uint32).tobytes()


@pytest.mark.parametrize("name", LINKS)
def test_a_chain_is_right_only_with_all_its_links(name: str) -> None:
    link, at = LINKS[name], point({}, iters=TURNS)
    assert check_chain(name, at, STEPS, chain_end(link, STEPS)) is None
    if link.sums != "settled":  # those leave it to the gate and to the turns
        for wrong in (STEPS - 1, STEPS + 1):
            assert check_chain(name, at, STEPS, chain_end(link, wrong)) is not None
    assert check_chain(name, at, STEPS, chain_end(link, STEPS, TURNS - 1)) is not None
    assert check_chain(name, at, STEPS, bytes(16 * 32)) is not None


@pytest.mark.parametrize("name", LINKS)
def test_chains_side_by_side_are_right_only_where_all_are(name: str) -> None:
    link, at = LINKS[name], point({}, iters=TURNS)
    good = chain_end(link, STEPS, third=4)
    assert check_chains(name, at, STEPS, 4, good) is None
    for wrong in (chain_end(link, STEPS, third=3), chain_end(link, STEPS, TURNS + 1, 4), bytes(16 * 32)):
        assert check_chains(name, at, STEPS, 4, wrong) is not None
    if not link.sums:
        assert check_chains(name, at, STEPS, 4, chain_end(link, STEPS + 1, third=4)) is not None


@given(name=st.sampled_from(sorted(LINKS)), steps=st.integers(0, 700))
@settings(max_examples=60, deadline=None)
def test_an_orbit_that_closes_is_not_walked_but_counted(name: str, steps: int) -> None:
    link = LINKS[name]
    x, a, b = link.start
    total = 0
    for _ in range(steps):
        total += (x >> 32 if link.wide else x) + 1
        x = link.step(x, a, b)
    assert outcome(link, steps) == (x, total & 0xFFFFFFFF)


def test_the_table_and_the_kernels_header_name_the_same_links_and_operands() -> None:
    text = (resources.folder("microbench") / "compute" / "ops.cuh").read_text()
    constants = {name: int(value, 16) for name, value in re.findall(r"#define (\w+) 0x([0-9a-f]+)u", text)}
    found = {}
    for name, wide, operands in re.findall(
        r"#define OP_(\w+) ([XWE])[CS]?\(.*, ([^,\n]+, [^,\n]+, [^,\n]+)\)$", text, re.MULTILINE
    ):
        values = (constants.get(part) or int(part.rstrip("ul"), 0) for part in operands.split(", "))
        found[name] = (wide == "W", tuple(values))
    kinds = {"C": "counted", "S": "settled", "": ""}
    sums = {name: kinds[kind] for name, kind in re.findall(r"#define OP_(\w+) [XWE]([CS]?)\(", text)}
    assert found == {name: (link.wide, link.start) for name, link in LINKS.items()}
    assert sums == {name: link.sums for name, link in LINKS.items()}


@pytest.mark.parametrize(("exponent_bits", "largest"), [(4, 448.0), (5, 57344.0)])
def test_every_finite_fp8_number_is_its_own_rounding(exponent_bits: int, largest: float) -> None:
    top = {4: 0x7E, 5: 0x7B}[exponent_bits]
    values = [float8_value(bits, exponent_bits) for bits in range(top + 1)]
    assert values == sorted(values) and values[-1] == largest
    assert [float8(value, exponent_bits) for value in values] == list(range(top + 1))
    assert float8(-values[9], exponent_bits) == 0x80 | 9
    assert float8(1e9, exponent_bits) == top
    middle = [(low + high) / 2 for low, high in pairwise(values)]
    assert all(float8(value, exponent_bits) % 2 == 0 for value in middle)  # ties to even


def test_a_permutation_picks_bytes_of_both_words() -> None:
    assert permute(0x33221100, 0x77665544, 0x7250) == 0x77225500


# --- patched code -----------------------------------------------------------------------------------------------


def test_a_stall_count_may_be_wrong_only_where_it_is_short() -> None:
    check = the_check("stall_counts")
    link = LINKS["FFMA"]
    short = point({"OP": "FFMA", "CHAIN": 32, "STALL": 1}, iters=TURNS)
    safe = point({"OP": "FFMA", "CHAIN": 32, "STALL": 11}, iters=TURNS)
    stale, good = chain_end(link, 100, third=0), chain_end(link, 32 * TURNS, third=0)
    assert (check(short, 0, stale), check(short, 0, good), check(safe, 0, good)) == (None, None, None)
    assert check(safe, 0, stale) is not None
    assert check(short, 0, chain_end(link, 32 * TURNS, TURNS - 1, 0)) is not None
    assert check(short, 0, bytes(512)) is not None


def test_the_fixed_latency_is_the_least_stall_count_that_is_right() -> None:
    round_ = {}
    for chain in (32, 96):
        for stall in (1, 2, 4, 6):
            at = point({"OP": "FFMA", "CHAIN": chain, "STALL": stall}, iters=10)
            cycles = (chain * stall + 7.0) * 10
            round_[at] = Sample(
                cycles, cycles, 0.0, 0.0, 0.0, values={"right": float(stall >= 4 or (stall, chain) == (2, 96))}
            )
    found = {(e.quantity, e.params.get("STALL")): e.value for e in probe("stall_counts").estimate(round_)}
    assert found["fixed_latency", None] == 4.0
    assert found["issue", 2] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("name", "at", "wanted"),
    [
        ("register_banks", point({"FIRST": 0, "SECOND": 0, "WARPS": 4, "PASSES": 10}, iters=10), 640),
        ("code_size", point({"BLOCK": 1, "SIZE": 4096, "PASSES": 2}, iters=2, data_bytes=4096), 480),
    ],
)
def test_multiply_adds_are_counted(name: str, at: Point, wanted: int) -> None:
    check = the_check(name)
    assert check(at, 1, np.full(32, wanted, dtype=np.uint32).tobytes()) is None
    for wrong in (0, wanted - 1, wanted + 1):
        assert check(at, 1, np.full(32, wrong, dtype=np.uint32).tobytes()) is not None


@pytest.mark.parametrize("kind", ["PLAIN", "PREDICATED", "BRANCH", "BOTH"])
@pytest.mark.parametrize("lanes", [0, 16, 32])
def test_every_lane_runs_its_side_of_a_branch(kind: str, lanes: int) -> None:
    check, at = the_check("branches"), point({"KIND": kind, "CHAIN": 3, "LANES": lanes}, iters=5)
    full = 5 * 3 * 24
    first = np.where(np.arange(32) < lanes, full, 0)
    good = np.stack([first, full - first if kind == "BOTH" else np.zeros(32)], axis=1).astype(np.uint32)
    assert check(at, 1, good.tobytes()) is None
    wrong = good.copy()
    wrong[17, 0] += 24
    assert check(at, 1, wrong.tobytes()) is not None
    if good.any():
        assert check(at, 1, bytes(good.nbytes)) is not None


# --- pairs ------------------------------------------------------------------------------------------------------


def pair_out(a: str, b: str, iters: int) -> np.ndarray:
    """What 1024 threads of a pair store."""
    every = {"FFMA": 8, "IADD3": 4, "POPC": 1}
    found = np.zeros((8, 128, 4), dtype=np.uint32)
    for side, name in ((0, a), (1, b)):
        if name == "none":
            continue
        turns = iters * every[name]
        found[side::2] = np.frombuffer(chain_end(LINKS[name], turns * 8, turns, 4), dtype=np.uint32).reshape(32, 4)[0]
    return found


@pytest.mark.parametrize(("a", "b"), [("FFMA", "IADD3"), ("FFMA", "none"), ("IADD3", "POPC")])
def test_a_pair_is_right_only_where_both_are(a: str, b: str) -> None:
    check, at = the_check("pipe_pairs"), point({"A": a, "B": b}, iters=3, block=1024)
    good = pair_out(a, b, 3)
    assert check(at, 1, good.tobytes()) is None
    assert check(at, 1, bytes(good.nbytes)) is not None
    assert check(at, 1, pair_out(a, b, 4).tobytes()) is not None
    half = good.copy()
    half[1 if b != "none" else 0] = 0
    assert check(at, 1, half.tobytes()) is not None


def test_pairs_are_compared_with_the_longer_of_the_two() -> None:
    times = {("FFMA", "none"): 100.0, ("IADD3", "none"): 80.0, ("FFMA", "IADD3"): 130.0}
    round_ = {point({"A": a, "B": b}): Sample(t, t, 0.0, 0.0, 0.0) for (a, b), t in times.items()}
    (found,) = probe("pipe_pairs").estimate(round_)
    assert (found.params, found.value) == ({"A": "FFMA", "B": "IADD3"}, 1.3)


# --- system -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["FLIP", "COUNT"])
def test_a_barrier_is_right_only_where_all_arrived(algorithm: str) -> None:
    check, grid, seed = the_check("grid_barrier"), 7, 11
    at = point({"ALGORITHM": algorithm, "PER_SM": 1, "PASSES": 64}, iters=64, grid=grid)

    def out(barriers: int, shift: int = 0) -> bytes:
        added = barriers * (1 << 31 if algorithm == "FLIP" else grid) % 2**32
        return np.array([[seed + (b + shift - 1) % grid, added] for b in range(grid)], dtype=np.uint32).tobytes()

    assert check(at, seed, out(65)) is None
    for wrong in (out(64), out(66), out(65, shift=1), bytes(8 * grid)):
        assert check(at, seed, wrong) is not None


def test_a_sum_of_the_roofline_counts_every_element_and_multiply_add() -> None:
    found = probe("roofline_sweep")
    check = the_check("roofline_sweep")
    at = point({"FMAS": 4, "PASSES": 3}, iters=3, grid=1, block=64, data_bytes=64 * 32 * 2)
    from gpuprobe.operands import mix

    def out(fmas: int, passes: int) -> bytes:
        sums = []
        for thread in range(64):
            indices = [4 * (thread + 64 * turn) + k for turn in range(4) for k in range(4)]
            sums.append(passes * sum((mix(i) & 7) + fmas for i in indices))
        return np.array(sums, dtype=np.uint32).tobytes()

    assert check(at, 1, out(4, 3)) is None
    for wrong in (out(3, 3), out(5, 3), out(4, 2), out(4, 4), bytes(256)):
        assert check(at, 1, wrong) is not None
    for product in ("h100-sxm", "rtx-4090", "a100-sxm-80gb"):
        spec = device.load(product)
        for each in found.points("full", spec):
            assert each.data_bytes % (32 * each.grid * each.block) == 0
            assert 0.9 * (1 << 30) < each.data_bytes <= 1 << 30


def ramp_out(count: int, right: int = 1, hz: float = 1.5e9) -> bytes:
    """Stamps of the clock ramp, a millisecond apart."""
    stamps = [[int(k * hz * 1e-3), k * 1_000_000] for k in range(count)]
    head = np.array([count, right], dtype=np.uint32).tobytes() + bytes(8)
    return head + np.array(stamps, dtype=np.uint64).tobytes()


def test_the_clock_ramp_wants_a_stamp_each_millisecond() -> None:
    found = probe("clock_ramp")
    check, at = the_check("clock_ramp"), point({}, data_bytes=48)
    assert check(at, 1, ramp_out(64)) is None
    for wrong in (ramp_out(64, right=0), ramp_out(64, right=0xFFFFFFFF), ramp_out(40), ramp_out(66), bytes(4096)):
        assert check(at, 1, wrong) is not None
    assert found.reduce is not None
    columns = found.reduce(at, ramp_out(64))
    assert all(value == pytest.approx(1.5e9) for value in columns.values())
    sample = replace(Sample(1.0, 1.0, 1.0, 1.0, 1.0), values=columns)
    assert all(math.isclose(e.value, 1.5e9) for e in found.estimate({at: sample}))


# --- what these probes ask of the machinery -----------------------------------------------------------------------


def test_a_pattern_may_name_an_instruction_by_several_names() -> None:
    assert matches("IMNMX.U32", "VIMNMX|IMNMX") and matches("VIMNMX", "VIMNMX|IMNMX")
    assert not matches("VIMNMX3", "VIMNMX|IMNMX")
    assert (pipe("I2FP|I2F"), pipe("I2F|I2FP"), pipe("FFMA")) == ("alu", "xu", "fma")


def test_a_patched_kernel_is_built_once_and_patched_for_each_setting() -> None:
    spec = device.load("h100-sxm")
    found = replace(probe("stall_counts"), defines={"OP": ["FFMA"], "CHAIN": [32]}, patches={"STALL": [3, 7]})
    kernels = build_kernels([found], arch.parse("sm_90"), "full", spec)
    stalls = {}
    for kernel in kernels.values():
        assert kernel.ok and kernel.cubin is not None
        (function,) = disassemble(kernel.cubin.data)
        links = [i for i in timed(function, "FFMA") if i.destinations[0] in i.sources]
        stalls[kernel.params["STALL"]] = {i.control.stall for i in links}
        assert len(links) == 32
    assert stalls == {3: {3}, 7: {7}}
    assert len({kernel.cubin.key for kernel in kernels.values() if kernel.cubin}) == 2
    assert [dict(at.params) for at in found.points("full", spec)] == [
        {"OP": "FFMA", "CHAIN": 32, "STALL": 3},
        {"OP": "FFMA", "CHAIN": 32, "STALL": 7},
    ]


def test_a_patch_that_cannot_be_made_is_the_reason_of_a_rejection() -> None:
    found = replace(probe("stall_counts"), defines={"OP": ["FFMA"], "CHAIN": [32]}, patches={"STALL": [16]})
    (kernel,) = build_kernels([found], arch.parse("sm_90"), "full", device.load("h100-sxm")).values()
    assert not kernel.ok and "does not fit" in kernel.verdict.reasons[0]


def test_a_link_of_two_instructions_gives_the_latency_of_one() -> None:
    round_ = {}
    for chain in (32, 96):
        for name in ("MNMX", "FADD"):
            round_[point({"OP": name, "CHAIN": chain}, iters=10)] = Sample(10 * (8.0 * chain + 5), 0.0, 0.0, 0.0, 0.0)
    found = {e.params["OP"]: e.value for e in probe("op_latency").estimate(round_)}
    assert found == pytest.approx({"MNMX": 4.0, "FADD": 8.0})
