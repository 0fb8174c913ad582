"""Every probe of microbench/ builds and passes the SASS gate on every architecture it names, in every configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from gpuprobe import arch, device
from gpuprobe.kernels import build_kernels
from gpuprobe.probe import Probe, discover

ARCHITECTURES = ("sm_80", "sm_86", "sm_89", "sm_90")
ELEMENTS = {
    "compute": {"ffma_latency", "iadd3_latency", "dfma_latency", "mufu_latency"},
    "memory": {"global_latency", "shared_latency", "l2_near_far", "l2_bandwidth", "dram_bandwidth"},
    "tensor": {"mma_latency", "mma_rate", "wgmma_rate"},
    "system": {"null_kernel", "null_graph"},
}


def failures(probes: Sequence[Probe], name: str) -> list[str]:
    """One line for each kernel of ``probes`` that does not build or does not pass, with its reasons."""
    architecture = arch.parse(name)
    example = device.load(device.for_architecture(architecture)[0])
    kernels = build_kernels(probes, architecture, "full", example)
    return [
        f"{kernel.probe} {dict(kernel.params)} on {architecture.target}: {'; '.join(kernel.verdict.reasons)}"
        for kernel in kernels.values()
        if not kernel.ok
    ]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_probe_builds_and_passes_the_gate(name: str) -> None:
    there = [probe for probe in discover() if probe.runs_on(arch.parse(name))]
    assert len(there) >= 13
    found = failures(there, name)
    if found:
        pytest.fail(f"{len(found)} kernels rejected:\n" + "\n".join(f"  {line}" for line in found), pytrace=False)


def test_a_kernel_that_is_not_what_it_should_be_is_on_the_list() -> None:
    """The check itself can fail: an expectation that no machine code meets is reported by probe, defines and reason."""
    from dataclasses import replace

    from gpuprobe.gate import Expect

    probe = next(probe for probe in discover() if probe.name == "ffma_latency")
    wrong = replace(probe, expect=lambda p: Expect(counts={"FFMA": int(p["CHAIN"]) + 1}))
    found = failures([wrong], "sm_90")
    assert len(found) == 3
    assert found[0].startswith("ffma_latency {'CHAIN': 32} on sm_90a: 32 FFMA instead of 33")


@pytest.mark.parametrize(
    ("name", "axis", "value", "first"),
    [
        ("atomic_rate", "OP", "REDG_ADD_U32", 90),
        ("async_latency", "VIA", "BULK", 90),
        ("barrier_latency", "OP", "MBARRIER", 90),
        ("fence_latency", "FENCE", "PROXY", 90),
        ("launch_cost", "KIND", "cluster", 90),
    ],
)
@pytest.mark.parametrize("architecture", ["sm_80", "sm_89", "sm_90", "sm_100"])
def test_what_came_with_an_architecture_is_there_from_it_on(
    name: str, axis: str, value: str, first: int, architecture: str
) -> None:
    """sm_100 is later than sm_90, though its name sorts before."""
    probe = next(probe for probe in discover() if probe.name == name)
    example = device.load(device.for_architecture(architecture)[0])
    found = {str(point[axis]) for point in probe.points("full", example)}
    assert any(one.startswith(value) for one in found) is (arch.parse(architecture).number >= first), found


def test_the_first_probes_are_all_there() -> None:
    by_group: dict[str, set[str]] = {}
    for probe in discover():
        by_group.setdefault(probe.group, set()).add(probe.name)
    assert [(group, names - by_group.get(group, set())) for group, names in ELEMENTS.items()] == [
        (group, set()) for group in ELEMENTS
    ]


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("mode", ["quick", "full"])
def test_grids_resolve_for_every_product_of_an_architecture(name: str, mode: str) -> None:
    architecture = arch.parse(name)
    wrong = []
    for product in device.for_architecture(architecture):
        spec = device.load(product)
        for probe in discover():
            if not probe.runs_on(architecture):
                continue
            points = probe.points(mode, spec)  # type: ignore[arg-type]
            threads = max((point.block for point in points), default=0)
            largest = max((point.data_bytes for point in points), default=0)
            if threads > 1024 or largest > spec["memory_bytes"] * 0.9 or (mode == "full" and not points):
                wrong.append((product, probe.name, threads, largest))
    assert wrong == []


STORES = {
    r"\bout\[thread_index\(\)\]": 1,
    r"\bout\[2 \* thread_index\(\)": 2,
    r"\(\((?:uint4|float4)\*\)out\)\[thread_index\(\)\]": 4,
    r"\(u64\)thread_index\(\) \* 4u": 4,
}
"""How a kernel indexes ``out`` by thread, and the 32-bit words that each thread then has of it."""


def words_of(source: str) -> int:
    """32-bit words of ``out`` that each thread of a kernel has; 0 where it indexes by something else."""
    return max((words for pattern, words in STORES.items() if re.search(pattern, source)), default=0)


def test_what_every_thread_stores_fits_the_output() -> None:
    """A store beyond ``out`` would meet other data: as the source indexes it, so long it must be."""
    spec = device.load("h100-sxm")
    probes = [(probe, words_of(probe.source())) for probe in discover()]
    assert sum(words > 0 for _, words in probes) > 40
    small = [
        (probe.name, point.grid * point.block)
        for probe, words in probes
        for point in probe.points("full", spec)
        if point.grid * point.block * words > probe.out_words
    ]
    assert small == []


def test_checks_refuse_poison() -> None:
    """A kernel that stored nothing leaves 0xA5 everywhere: every check must see that."""
    spec = device.load("h100-sxm")
    blind = [
        probe.name
        for probe in discover()
        if probe.check is not None
        and probe.check(probe.points("full", spec)[0], 1, b"\xa5" * 4 * probe.out_words) is None
    ]
    assert blind == []


def test_every_measured_kernel_is_checked() -> None:
    assert [probe.name for probe in discover() if probe.method == "kernel" and probe.check is None] == []
