"""Patching machine code: what nvdisasm shows afterwards is what was asked for, and nothing else changed."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe import build
from gpuprobe.errors import GpuprobeError
from gpuprobe.probe import discover
from gpuprobe.sass import Control, Function, disassemble
from gpuprobe.sass.patch import Change, patched, timed

ARCHITECTURES = ("sm_80", "sm_89", "sm_90a")


@cache
def cubin(architecture: str) -> bytes:
    """A chain of eight FFMA between clock reads."""
    source = next(probe for probe in discover() if probe.name == "ffma_latency").source()
    return build.compile_cubin(source, name="ffma_latency.cu", arch=architecture, defines={"CHAIN": 8}).data


def kernel(code: bytes) -> Function:
    """Its only function."""
    (function,) = disassemble(code)
    return function


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("stall", [1, 2, 11])
def test_every_link_gets_the_stall_count(architecture: str, stall: int) -> None:
    before = kernel(cubin(architecture))
    after = kernel(
        patched(cubin(architecture), "probe", lambda f: {i.address: Change(stall=stall) for i in timed(f, "FFMA")})
    )
    assert {i.control.stall for i in timed(after, "FFMA")} == {stall}
    rest = [(old, new) for old, new in zip(before.instructions, after.instructions, strict=True) if old.stem != "FFMA"]
    assert rest and all(old == new for old, new in rest)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sources_reuse_and_yield_show_in_the_disassembly(architecture: str) -> None:
    target = timed(kernel(cubin(architecture)), "FFMA")[3]
    change = Change(may_switch=False, reuse=1, sources=(20, 31, 5))
    code = patched(cubin(architecture), "probe", lambda f: {target.address: change})
    new = next(i for i in kernel(code).instructions if i.address == target.address)
    assert new.operands == (target.operands[0], "R20.reuse", "R31", "R5")
    assert (new.control.reuse, new.control.yield_flag) == (1, False)
    assert new.control.stall == target.control.stall


def test_the_register_of_no_instruction_is_all_ones() -> None:
    target = timed(kernel(cubin("sm_90a")), "FFMA")[0]
    code = patched(cubin("sm_90a"), "probe", lambda f: {target.address: Change(sources=(255, None, None))})
    assert next(i for i in kernel(code).instructions if i.address == target.address).operands[1] == "RZ"


def test_without_changes_nothing_changes() -> None:
    assert patched(cubin("sm_90a"), "probe", lambda f: {}) == cubin("sm_90a")
    target = timed(kernel(cubin("sm_90a")), "FFMA")[0]
    assert patched(cubin("sm_90a"), "probe", lambda f: {target.address: Change()}) == cubin("sm_90a")


@given(encoding=st.integers(0, 2**128 - 1), stall=st.integers(0, 15), reuse=st.integers(0, 15), switch=st.booleans())
@settings(max_examples=100)
def test_fields_are_written_where_they_are_read(encoding: int, stall: int, reuse: int, switch: bool) -> None:
    old, new = Control.decode(encoding), Control.decode(Change(stall, switch, reuse).of(encoding))
    assert (new.stall, new.yield_flag, new.reuse) == (stall, switch, reuse)
    assert (new.write_barrier, new.read_barrier, new.wait_mask) == (old.write_barrier, old.read_barrier, old.wait_mask)
    changed = encoding ^ Change(stall, switch, reuse).of(encoding)
    assert changed & ~(0x1F << 105 | 0xF << 122) == 0


@pytest.mark.parametrize("change", [Change(stall=16), Change(reuse=-1), Change(sources=(None, 256, None))])
def test_a_value_that_does_not_fit_is_refused(change: Change) -> None:
    with pytest.raises(GpuprobeError, match="does not fit"):
        change.of(0)


def test_a_kernel_that_is_not_there_is_refused() -> None:
    with pytest.raises(GpuprobeError, match="no kernel 'other'"):
        patched(cubin("sm_90a"), "other", lambda f: {})
