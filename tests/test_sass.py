"""SASS parsing against nvdisasm's own listing, control codes of known sequences, registers of known instructions."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe import sass
from gpuprobe.build import Cubin, Job, build_many
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.sass import NO_BARRIER, Control, Function, decode, disassemble, disassemble_many, elf
from gpuprobe.sass.registers import effects, result_registers

KERNELS = Path(__file__).parent / "kernels"
SOURCES = {
    "ffma": ("ffma_chain", {"N": 16, "LOOP": 1}),
    "chase": ("chase", {"N": 8}),
    "mma": ("mma_f16", {"N": 8, "WIDTH": 1}),
    "int4": ("mma_int4", {"N": 2}),
    "spilled": ("ffma_spilled", {"N": 96}),
}
ARCHS = ("sm_80", "sm_86", "sm_89", "sm_90a", "sm_100a", "sm_120a")
LISTED = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;\s*/\* 0x([0-9a-f]+) \*/\s*\n\s*/\* 0x([0-9a-f]+)")


@pytest.fixture(scope="module")
def cubins(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Cubin]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPUPROBE_CACHE", str(tmp_path_factory.mktemp("cache")))
        keys = [(name, arch) for name in SOURCES for arch in ARCHS]
        jobs = [Job((KERNELS / f"{SOURCES[n][0]}.cu").read_text(), n, arch, SOURCES[n][1]) for n, arch in keys]
        return dict(zip(keys, build_many(jobs), strict=True))


@pytest.fixture(scope="module")
def code(cubins: dict[tuple[str, str], Cubin]) -> dict[tuple[str, str], tuple[Function, ...]]:
    return dict(zip(cubins, disassemble_many([cubin.data for cubin in cubins.values()]), strict=True))


@pytest.mark.parametrize(("name", "arch"), [("int4", "sm_90a"), ("spilled", "sm_80"), ("mma", "sm_120a")])
def test_same_text_and_encodings_as_nvdisasms_own_listing(cubins, code, tmp_path, name, arch):
    path = tmp_path / "listed.cubin"
    path.write_bytes(cubins[name, arch].data)
    command = [sass.find_nvdisasm(), "-hex", "-c", path]
    listing = subprocess.run(command, capture_output=True, check=True).stdout.decode(errors="replace")
    found = [instruction for function in code[name, arch] for instruction in function.instructions]
    listed = LISTED.findall(listing)
    assert [(low, high) for _, low, high in listed] == [
        (f"{i.encoding & (1 << 64) - 1:016x}", f"{i.encoding >> 64:016x}") for i in found
    ]
    for (text, _, _), instruction in zip(listed, found, strict=True):
        if "`" not in text:  # labels are addresses here
            guard = f"@{instruction.predicate} " if instruction.predicate else ""
            written = f"{guard}{instruction.opcode} {', '.join(instruction.operands)}"
            assert written.strip() == re.sub(r"\s+", " ", text).partition(" (*")[0]


def test_functions_are_the_kernel_and_its_subroutines_and_calls_find_them(code):
    kernel, subroutine = code["int4", "sm_90a"]
    assert (kernel.name, kernel.entry, subroutine.entry) == ("kernel", True, False)
    assert "mma_sub_byte_internal_m16n8k64_s4_s4" in subroutine.name
    calls = [i for i in kernel.instructions if i.stem == "CALL"]
    assert [i.target for i in calls] == [subroutine.instructions[0].address] * 2


@pytest.mark.parametrize("arch", ARCHS)
def test_loop_branch_goes_back_to_the_chain(code, arch):
    (kernel,) = code["ffma", arch]
    chain = [i.address for i in kernel.instructions if i.opcode == "FFMA"]
    loop = next(i for i in kernel.instructions if i.stem == "BRA" and i.target is not None and i.target < i.address)
    assert loop.target <= chain[0] < chain[-1] < loop.address


@pytest.mark.parametrize("arch", ARCHS)
def test_two_clock_reads_in_every_kernel(code, arch):
    for name in SOURCES:
        assert sum(i.reads_clock for i in code[name, arch][0].instructions) == 2


def test_decode_knows_the_timers():
    assert decode("CS2R R2, SR_CLOCKLO", 0, 0).reads_clock
    assert decode("S2UR UR4, SR_CLOCKHI", 0, 0).reads_clock
    assert not decode("CS2R R8, SR_GLOBALTIMERLO", 0, 0).reads_clock
    assert not decode("S2R R8, SR_TID.X", 0, 0).reads_clock


def test_dependent_ffma_stall_four_cycles_on_hopper(code):
    (kernel,) = code["ffma", "sm_90a"]
    chain = [i for i in kernel.instructions if i.opcode == "FFMA"]
    apart = [b for a, b in pairwise(chain) if b.address - a.address == 16]
    assert len(apart) > 8
    assert {i.control for i in apart[:-1]} == {
        Control(stall=4, yield_flag=True, write_barrier=NO_BARRIER, read_barrier=NO_BARRIER, wait_mask=0, reuse=0)
    }


@pytest.mark.parametrize("arch", ARCHS)
def test_every_load_of_a_chase_waits_for_the_barrier_of_the_one_before(code, arch):
    loads = [i for i in code["chase", arch][0].instructions if i.opcode.startswith("LDG")]
    assert len(loads) == 8
    for before, after in pairwise(loads):
        assert before.control.write_barrier != NO_BARRIER
        assert after.control.wait_mask >> before.control.write_barrier & 1


@given(
    st.integers(0, 15), st.booleans(), st.integers(0, 7), st.integers(0, 7), st.integers(0, 63), st.integers(0, 15),
    st.integers(0, (1 << 105) - 1), st.integers(0, 3),
)  # fmt: skip
def test_control_fields_come_from_their_bits_alone(stall, yields, write, read, wait, reuse, low, top):
    bits = stall | (not yields) << 4 | write << 5 | read << 8 | wait << 11 | reuse << 17 | top << 21
    assert Control.decode(bits << 105 | low) == Control(stall, yields, write, read, wait, reuse)


def test_yield_bit_is_inverted():
    assert Control.decode(0x000FC80000000005 << 64) == Control(4, True, 7, 7, 0, 0)
    assert Control.decode(0x000FE20000000005 << 64) == Control(1, False, 7, 7, 0, 0)


@pytest.mark.parametrize(
    ("text", "written", "read"),
    [
        ("FFMA R11, R11, R0, UR5", "R11", "R11 R0 UR5"),
        ("FFMA R4, -R4.reuse, |R5|, RZ", "R4", "R4 R5"),
        ("IADD3 R2, P0, -R4, R6, RZ", "R2 P0", "R4 R6"),
        ("IADD3.X R3, PT, PT, ~R3, R9, RZ, P0, !PT", "R3", "R3 R9 P0"),
        ("ISETP.GE.U32.AND.EX P0, PT, R8, c[0x0][0x184], PT, P1", "P0", "R8 P1"),
        ("LOP3.LUT P1, RZ, R4.reuse, 0x3, RZ, 0xc0, !PT", "P1", "R4"),
        ("PLOP3.LUT P0, PT, P0, P1, P2, 0xe0, 0x0", "P0", "P0 P1 P2"),
        ("@!P2 IMAD.WIDE.U32 R6, R7, 0x4, R4", "R6 R7", "R7 R4 P2"),
        ("LDG.E.64.STRONG.GPU R18, desc[UR12][R18.64+0x10]", "R18 R19", "UR12 R18 R19"),
        ("LDS.128 R4, [R2.X4+UR6]", "R4 R5 R6 R7", "R2 UR6"),
        ("LDC.64 R8, c[0x0][0x230]", "R8 R9", ""),
        ("LDC R8, c[0x3][R5]", "R8", "R5"),
        ("STG.E.64 desc[UR4][R4.64], R8", "", "UR4 R4 R5 R8"),
        ("SHFL.IDX PT, R4, R5, R6, 0x1f", "R4", "R5 R6"),
        ("ATOMG.E.ADD.STRONG.GPU PT, R4, desc[UR4][R2.64], R5", "R4", "UR4 R2 R3 R5"),
        ("HMMA.16816.F32 R12, R4, R8.reuse, R12", "R12 R13 R14 R15", "R4 R8 R12"),
        ("VOTE.ANY R0, PT, P0", "R0", "P0"),
        ("R2UR UR4, R0", "UR4", "R0"),
        ("CS2R R2, SR_CLOCKLO", "R2 R3", ""),
        ("CS2R.32 R2, SR_CLOCKLO", "R2", ""),
        ("SYNCS.PHASECHK.TRANS64.TRYWAIT P0, [R5+URZ], R6", "P0", "R5 R6"),
        ("BAR.SYNC R0, R1", "", "R0 R1"),
        ("@P0 BRA 0x100", "", "P0"),
        ("RET.REL.NODEC R20 0x0", "", "R20"),
    ],
)
def test_registers_written_and_read(text, written, read):
    instruction = decode(text, 0, 0)
    assert instruction.destinations == tuple(written.split())
    assert instruction.sources == tuple(read.split())


@pytest.mark.parametrize(
    ("opcode", "count"),
    [
        ("LDG.E", 1), ("LDG.E.U8", 1), ("LDG.E.128.CONSTANT", 4), ("DFMA", 2), ("F2F.F64.F32", 2), ("IMAD.WIDE", 2),
        ("HMMA.16816.F16", 2), ("HMMA.1688.F32.TF32", 4), ("IMMA.16832.S8.S8", 4), ("IMMA.8816.S8.S8", 2),
        ("DMMA.884", 4), ("QMMA.16832.F32.E4M3.E4M3", 4), ("HGMMA.64x256x16.F32", 128), ("HGMMA.64x256x16.F16", 64),
        ("IGMMA.64x8x32.S8.S8", 4), ("LDSM.16.M88.4", 4), ("LDSM.16.M88", 1), ("SHF.L.U64.HI", 1),
    ],
)  # fmt: skip
def test_result_width(opcode, count):
    assert result_registers(opcode) == count


@given(st.integers(0, 250), st.integers(0, 62))
def test_named_registers_come_back(number, uniform):
    assert effects("IMAD", (f"R{number}", f"-R{number}.reuse", f"UR{uniform}", "RZ"), None) == (
        (f"R{number}",),
        (f"R{number}", f"UR{uniform}"),
    )


def test_scheduling_annotations_of_later_nvdisasm_are_no_operands():
    assert decode("FADD R0, R1, R2 &req={0} ?trans1", 0, 0).operands == ("R0", "R1", "R2")


def test_targets_are_counted_from_the_start_of_their_section():
    assert decode("@P0 BRA 0x1230", 0, 0x40, base=0x1200).target == 0x30
    assert decode("MOV R1, 0x1230", 0, 0x40, base=0x1200).target is None


@pytest.mark.parametrize("data", [b"", b"no cubin at all", b"\x7fELF" + bytes(60)])
def test_what_is_no_cubin_is_refused(data):
    with pytest.raises(GpuprobeError, match="damaged cubin") as caught:
        disassemble(data)
    assert caught.value.exit_code == Exit.CHECK_FAILED


@pytest.fixture(scope="module")
def whole(cubins: dict[tuple[str, str], Cubin]) -> bytes:
    return cubins["chase", "sm_80"].data


@given(data=st.data())
def test_a_cut_or_flipped_cubin_never_ends_in_another_exception(whole, data):
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :]
    for damaged in (whole[:place], flipped):
        try:
            assert elf.read(damaged).capability
        except GpuprobeError as error:
            assert "damaged cubin" in error.message


def test_missing_nvdisasm_is_exit_3_with_the_pip_command(monkeypatch):
    sass.find_nvdisasm.cache_clear()
    monkeypatch.setattr(sass, "_candidates", lambda: iter([Path("/nonesuch/nvdisasm")]))
    with pytest.raises(GpuprobeError, match="pip install nvidia-cuda-nvdisasm") as caught:
        disassemble_many([])
        sass.find_nvdisasm()
    assert caught.value.exit_code == Exit.MACHINE_LACKS
    monkeypatch.undo()
    sass.find_nvdisasm.cache_clear()
    assert sass.find_nvdisasm().name == "nvdisasm"


def test_nvdisasm_that_refuses_the_code_is_reported(cubins, monkeypatch, tmp_path):
    tool = tmp_path / "nvdisasm"
    tool.write_text("#!/bin/sh\necho 'nvdisasm fatal: no such architecture' >&2\nexit 255\n")
    tool.chmod(0o755)
    monkeypatch.setattr(sass, "find_nvdisasm", lambda: tool)
    with pytest.raises(GpuprobeError, match="cannot read this SM80 code: nvdisasm fatal: no such architecture"):
        disassemble(cubins["chase", "sm_80"].data)
