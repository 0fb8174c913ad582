"""Copies between host and device: what a round says of them, what is compared, and where the host's memory lies."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe.errors import GpuprobeError
from gpuprobe.estimate import Point
from gpuprobe.gpu.host_copies import HostCopies, nodes, proof_places
from gpuprobe.probe import discover
from gpuprobe.record import Sample

PROBE = next(probe for probe in discover() if probe.name == "host_copy")


def copy_of(direction: str, size: int) -> Point:
    params = (("DIRECTION", direction), ("MEMORY", "pinned"), ("BYTES", size))
    return Point(params, data_bytes=size)


def test_copies_both_ways_count_twice_and_tiny_ones_are_a_latency() -> None:
    round_ = {}
    for direction, rate in (("h2d", 50e9), ("both", 100e9)):
        for size in (64, 4 << 20, 32 << 20):
            seconds = 9e-6 + size * (2 if direction == "both" else 1) / rate
            round_[copy_of(direction, size)] = Sample(0.0, 0.0, seconds, 0.0, 0.0)
    found = {(e.quantity, e.params["DIRECTION"]): e.value for e in PROBE.estimate(round_)}
    assert found["bandwidth", "h2d"] == pytest.approx(50e9)
    assert found["bandwidth", "both"] == pytest.approx(100e9)
    assert found["latency", "h2d"] == pytest.approx(9e-6, rel=1e-3)


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ([(1.0, 1.0), (1.0, 1.0)], {"NUMA": "near"}),
        ([(0.0, 1.0), (0.0, 1.0)], {"NUMA": "far"}),
        ([(0.0, 1.0), (1.0, 1.0)], {"NUMA": "mixed"}),
        ([(0.0, -1.0), (0.0, -1.0)], {}),
        ([(-1.0, 0.0), (1.0, 0.0)], {}),
    ],
)
def test_a_copy_states_whether_host_and_gpu_share_a_node_where_that_is_known(
    pairs: list[tuple[float, float]], told: dict[str, str]
) -> None:
    round_ = {}
    for size, (cpu, gpu) in zip((4 << 20, 32 << 20), pairs, strict=True):
        round_[copy_of("h2d", size)] = Sample(
            0.0, 0.0, size / 50e9, 0.0, 0.0, values={"cpu_node": cpu, "gpu_node": gpu}
        )
    (found,) = PROBE.estimate(round_)
    assert found.params == {"DIRECTION": "h2d", "MEMORY": "pinned", **told}


@given(size=st.integers(1, 1 << 26))
@settings(max_examples=40)
def test_the_first_and_the_last_byte_of_a_copy_are_compared(size: int) -> None:
    places = proof_places(size)
    assert places[0] == 0 and places[-1] == size - 1 and len(set(places)) == len(places)


class HostMemory:
    """Stands in for device memory and streams: copies at once, and counts what is allocated."""

    def __init__(self) -> None:
        self.cuda, self.allocated = self, 0

    def Stream(self, non_blocking: bool) -> HostMemory:  # noqa: N802
        return self

    def synchronize(self) -> None:
        """Nothing is under way."""

    def alloc(self, size: int) -> HostBlock:
        self.allocated += size
        return HostBlock(size)


class HostBlock:
    def __init__(self, size: int) -> None:
        self.bytes = (ctypes.c_uint8 * size)()

    def copy_from_host_async(self, address: int, size: int, stream: object) -> None:
        ctypes.memmove(self.bytes, address, size)

    def copy_to_host_async(self, address: int, size: int, stream: object) -> None:
        ctypes.memmove(address, self.bytes, size)


def test_buffers_of_copies_are_made_once_and_what_arrives_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = HostMemory()
    copies = HostCopies(memory)
    for direction in ("h2d", "d2h", "both", "h2d"):
        assert copies.seconds(direction, "pageable", 1 << 16, seed=5) >= 0
    assert memory.allocated == 2 << 16
    monkeypatch.setattr(HostBlock, "copy_to_host_async", lambda *_: None)
    for direction in ("h2d", "d2h", "both"):
        with pytest.raises(GpuprobeError, match="brought other bytes"):
            copies.seconds(direction, "pageable", 1 << 16, seed=6)


def test_the_node_of_this_cpu_is_known_and_that_of_no_gpu_is_not() -> None:
    found = nodes("FFFF:FF:1F.7")
    assert found["cpu_node"] >= 0 and found["gpu_node"] == -1.0
