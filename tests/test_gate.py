"""The SASS gate on real compiler output: kernels that published suites fell for are refused, good ones pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe import cache, gate
from gpuprobe.build import Cubin, Job, build_many
from gpuprobe.gate import Chain, Expect, Verdict, check, check_cached
from gpuprobe.sass import Function, decode, disassemble_many

KERNELS = Path(__file__).parent / "kernels"
NVIDIA = ("sm_80", "sm_86", "sm_89", "sm_90a")
BLACKWELL = ("sm_100a", "sm_120a")


@dataclass(frozen=True)
class Case:
    """A kernel, what is expected of it, and what the gate must say: its label, a piece of its reasons if refused."""

    kernel: str
    archs: tuple[str, ...]
    expect: Expect
    defines: dict[str, int] = field(default_factory=dict)
    label: str | None = "native"
    refused: str = ""


def ffma(count: int = 16, width: int = 1, **more: bool) -> Expect:
    return Expect({"FFMA": count}, Chain("FFMA", width), **more)


def hmma(count: int = 16, width: int = 1) -> Expect:
    return Expect({"HMMA.16816.F32": count}, Chain("HMMA", width))


QMMA = Expect({"QMMA.16832.F32.E4M3.E4M3": 16}, Chain("QMMA"))
IMMA4 = Expect({"IMMA.16864.S4.S4": 16}, Chain("IMMA"))
DPX = Expect({"VIADDMNMX": 16}, Chain("VIADDMNMX"))
N16 = {"N": 16}

GOOD = [
    Case("ffma_chain", NVIDIA + BLACKWELL, ffma(), N16),
    Case("ffma_chain", NVIDIA + BLACKWELL, ffma(loop=True), {**N16, "LOOP": 1}),
    Case("ffma_chain", ("sm_80",), ffma(256), {"N": 256, "LOOP": 1}),
    Case("iadd3_loop", NVIDIA + BLACKWELL, Expect({"IADD3": 16}, Chain("IADD3"), loop=True), N16),
    Case("mma_f16", NVIDIA + BLACKWELL, hmma(), {**N16, "WIDTH": 1}),
    Case("mma_f16", NVIDIA + BLACKWELL, hmma(width=4), {**N16, "WIDTH": 4}),
    Case("chase", NVIDIA + BLACKWELL, Expect({"LDG.E.64": 16}, Chain("LDG")), N16),
    Case("chase", NVIDIA + BLACKWELL, Expect({"LDS": 16}, Chain("LDS")), {**N16, "SHARED": 1}),
    Case("chase_index", NVIDIA, Expect({"LDG": 16}, Chain("LDG", via=("IMAD.WIDE",))), N16),
    Case("mma_fp8", ("sm_89", "sm_120a"), QMMA, N16),
    Case("mma_int4", ("sm_80", "sm_86", "sm_89"), IMMA4, N16),
    Case("viaddmax", ("sm_90a",), DPX, N16),
]
EMULATED = [
    Case(
        "mma_fp8", ("sm_90a", "sm_100a"), QMMA, N16, "emulated", "64 FADD, 12 F2FP.F16.E4M3.UNPACK_B, 2 HMMA.16816.F32"
    ),
    Case(
        "mma_int4",
        ("sm_90a", "sm_120a"),
        IMMA4,
        N16,
        "emulated",
        "16 calls of $__internal_0_$__cuda_sm_9x_mma_sub_byte",
    ),
    Case("viaddmax", ("sm_80", "sm_89"), DPX, N16, "emulated", "no VIADDMNMX, but 16 IMNMX"),
]
BAD = [
    Case("vibmax", ("sm_89",), Expect({"IMNMX": 16}), N16, None, "1 IMNMX instead of 16; the others were deleted"),
    Case("vibmax", ("sm_80", "sm_89"), Expect({"VIMNMX": 16}), N16, None, "0 VIMNMX instead of 16"),
    Case("mma_merged", NVIDIA, Expect({"HMMA.16816.F32": 16}), N16, None, "1 HMMA.16816.F32 instead of 16"),
    Case("ffma_dead", NVIDIA, ffma(), N16, None, "0 FFMA instead of 16; the others were deleted"),
    Case("ffma_hoisted", NVIDIA, ffma(), N16, None, "0 FFMA instead of 16; 16 outside the timed"),
    Case("hfma2_twice", NVIDIA, Expect({"HFMA2": 16}, Chain("HFMA2")), N16, None, "32 HFMA2 instead of 16"),
    Case("ffma_independent", NVIDIA, ffma(), N16, "native", "does not read the result of FFMA at 0x"),
    Case("ffma_restarted", NVIDIA, ffma(), N16, "native", "in the next turn of the loop"),
    Case("ffma_unlooped", NVIDIA, ffma(loop=True), N16, "native", "is in no loop"),
    Case("ffma_every_other_turn", NVIDIA, ffma(loop=True), N16, "native", "may pass by the expected instructions"),
    Case("ffma_last_turn", NVIDIA, ffma(loop=True), N16, "native", "goes back to the first clock read"),
    Case("ffma_run_again", NVIDIA, ffma(), N16, "native", "the timed region runs again from 0x"),
    Case("ffma_around", NVIDIA, ffma(loop=True), N16, "native", "16 more FFMA in a loop around the timed one"),
    Case("mma_f16", NVIDIA, hmma(width=1), {**N16, "WIDTH": 4}, "native", "broken chain: HMMA.16816.F32 at 0x"),
    Case("mma_f16", NVIDIA, hmma(width=4), {**N16, "WIDTH": 1}, "native", "number of HMMA chains: 1 instead of 4"),
    Case("chase_index", NVIDIA, Expect({"LDG": 16}, Chain("LDG")), N16, "native", "through IMAD.WIDE.U32 at 0x"),
    Case("ffma_spilled", NVIDIA, Expect({"FFMA": 96}), {"N": 96}, "native", "forbidden: 64 STL"),
    Case("unclocked", NVIDIA, Expect({"FFMA": 1}), {}, None, "1 clock reads instead of 2"),
]


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> dict[Job, tuple[Cubin, tuple[Function, ...]]]:
    """Every kernel of the tables, built by NVRTC and disassembled with one nvdisasm per architecture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPUPROBE_CACHE", str(tmp_path_factory.mktemp("cache")))
        jobs = {_name(case, arch): _job(case, arch) for case in GOOD + EMULATED + BAD for arch in case.archs}
        cubins = build_many(list(jobs.values()))
    assert [cubin for cubin in cubins if not isinstance(cubin, Cubin)] == []
    return dict(zip(jobs, zip(cubins, disassemble_many([c.data for c in cubins]), strict=True), strict=True))


def _name(case: Case, arch: str) -> str:
    return f"{case.kernel}-{arch}-{case.defines}"


def _job(case: Case, arch: str) -> Job:
    return Job((KERNELS / f"{case.kernel}.cu").read_text(), case.kernel, arch, case.defines)


def each(cases: list[Case]) -> pytest.MarkDecorator:
    rows = [(case, arch) for case in cases for arch in case.archs]
    return pytest.mark.parametrize(("case", "arch"), rows, ids=[f"{case.kernel}-{arch}" for case, arch in rows])


@each(GOOD)
def test_good_kernels_pass(code, case, arch):
    assert check(code[_name(case, arch)][1], "kernel", case.expect).reasons == ()
    assert check(code[_name(case, arch)][1], "kernel", case.expect).label == "native"


@each(EMULATED)
def test_emulated_instructions_are_refused_and_labelled(code, case, arch):
    verdict = check(code[_name(case, arch)][1], "kernel", case.expect)
    assert not verdict.ok
    assert verdict.label == "emulated"
    assert case.refused in verdict.reasons[0]


@each(BAD)
def test_bad_kernels_are_refused_with_the_reason(code, case, arch):
    verdict = check(code[_name(case, arch)][1], "kernel", case.expect)
    assert not verdict.ok
    assert verdict.label == case.label
    assert case.refused in "\n".join(verdict.reasons)


def test_accepted_emulation_passes_with_its_label_unless_it_was_merged(code):
    def verdict(case: Case, arch: str) -> Verdict:
        allowed = Expect(case.expect.counts, case.expect.chain, allow_emulated=True)
        return check(code[_name(case, arch)][1], "kernel", allowed)

    fp8, int4, dpx = EMULATED
    assert verdict(int4, "sm_90a") == Verdict(True, "emulated", verdict(int4, "sm_90a").counts, ())
    assert verdict(dpx, "sm_89").ok
    assert verdict(fp8, "sm_90a").reasons == ("2 HMMA.16816.F32 for 16 emulated instructions: merged",)


def test_broken_link_is_named_by_address(code):
    case = next(case for case in BAD if case.kernel == "ffma_independent")
    functions = code[_name(case, "sm_90a")][1]
    first, second = [i.address for i in functions[0].instructions if i.opcode == "FFMA"][:2]
    reason = check(functions, "kernel", case.expect).reasons[0]
    assert reason.startswith(
        f"broken chain: FFMA at 0x{second:x} does not read the result of FFMA at 0x{first:x} (and 14 more"
    )


def test_unknown_entry_names_the_kernels_there_are(code):
    verdict = check(code[_name(GOOD[0], "sm_80")][1], "nonesuch", GOOD[0].expect)
    assert verdict.reasons == ("there is no kernel 'nonesuch' in the cubin (kernels: kernel)",)


def test_a_cached_verdict_needs_no_disassembly(code, tmp_path, monkeypatch):
    monkeypatch.setenv("GPUPROBE_CACHE", str(tmp_path))
    cubin = code[_name(GOOD[0], "sm_80")][0]
    first = check_cached(cubin, "kernel", ffma())
    monkeypatch.setattr(gate, "disassemble_many", lambda cubins: pytest.fail("disassembled again"))
    assert check_cached(cubin, "kernel", ffma()) == first
    with pytest.raises(pytest.fail.Exception):
        check_cached(cubin, "kernel", ffma(17))


def test_a_damaged_verdict_is_made_again(code, tmp_path, monkeypatch):
    monkeypatch.setenv("GPUPROBE_CACHE", str(tmp_path))
    cubin = code[_name(GOOD[0], "sm_80")][0]
    first = check_cached(cubin, "kernel", ffma())
    (entry,) = (path for path in tmp_path.rglob("*") if path.is_file())
    entry.write_bytes(entry.read_bytes().replace(b"true", b"nope"))
    assert check_cached(cubin, "kernel", ffma()) == first


def test_the_key_of_a_verdict_covers_the_gates_source(code, monkeypatch):
    cubin = code[_name(GOOD[0], "sm_80")][0]
    before = gate._key(cubin.data, gate.Job("kernel", ffma()))
    monkeypatch.setattr(gate, "_version", lambda: "another")
    assert gate._key(cubin.data, gate.Job("kernel", ffma())) != before


def sass(*lines: str) -> tuple[Function, ...]:
    """A kernel from SASS text, clock reads put around it; targets in the text are instruction numbers times 16."""
    text = ("CS2R R100, SR_CLOCKLO", *lines, "CS2R R102, SR_CLOCKLO", "EXIT")
    instructions = tuple(decode(line, 0, 16 * place) for place, line in enumerate(text))
    return (Function("kernel", "kernel", True, instructions),)


@pytest.mark.parametrize(
    ("lines", "expect", "reason"),
    [
        (["FFMA R0, R0, R1, R2", "MOV R3, R0", "FFMA R3, R3, R1, R2"], ffma(2), "through MOV at 0x20"),
        (["FFMA R0, R0, R1, R2", "MOV R0, R5", "FFMA R0, R0, R1, R2"], ffma(2), "does not read the result"),
        (["FFMA R0, R0, R1, R2", "CS2R R0, SRZ", "FFMA R0, R0, R1, R2"], ffma(2), "does not read the result"),
        (["LDG.E R0, [R2]", "LDG.E.128 R0, [R4]", "LDG.E R6, [R0]"], Expect({"LDG": 3}, Chain("LDG")), "does not read"),
        (["LDG.E.64 R0, [R2.64]", "LDG.E R6, [R1]"], Expect({"LDG": 2}, Chain("LDG")), "does not read"),
        (["FFMA R0, R0, R1, R2", "FFMA R3, R0, R1, R2", "FFMA R4, R0, R1, R2"], ffma(3), "as FFMA at 0x20 did before"),
        (["FFMA R0, R8, R1, R2", "FFMA R3, R9, R1, R2", "FFMA R4, R0, R3, R2"], ffma(3, 2), "joins two chains"),
        (["FFMA R0, R8, R1, R2", "FFMA R3, R9, R1, R2", "FFMA R3, R3, R1, R2"], ffma(3, 2), "unequal length: 1 to 2"),
        (["@P0 FFMA R0, R0, R1, R2"], ffma(1), "FFMA at 0x10 runs only under P0"),
        (["@P0 BRA 0x30", "FFMA R0, R0, R1, R2", "FFMA R0, R0, R1, R2"], ffma(2), "may skip 1 of 2"),
        (["@P0 BRA 0x30", "FFMA R0, R0, R1, R2"], ffma(1), "may skip 1 of 1"),
        (["@P1 BRA 0x30", *["FFMA R0, R0, R1, R2"] * 2, "@P0 BRA 0x10"], ffma(2, loop=True), "may skip 1 of 2"),
        (["@P1 BRA 0x10", "FFMA R0, R0, R1, R2", "@P0 BRA 0x10"], ffma(1, loop=True), "0x10 may pass by the expected"),
        (["@P1 BRA 0x30", "FFMA R0, R0, R1, R2", "@P0 BRA 0x10"], ffma(1, loop=True), "0x10 may pass by the expected"),
        (["FFMA R0, R0, R1, R2", "@P0 BRA 0x0"], ffma(1), "BRA at 0x20 goes back to the first clock read"),
        (["FFMA R0, R0, R1, R2", "@P0 BRA 0x500"], ffma(1), "BRA at 0x20 leaves the timed region for 0x500"),
        (["FFMA R0, R0, R1, R2", "@P0 EXIT"], ffma(1), "EXIT at 0x20 leaves the timed region"),
        (["FFMA R0, R0, R1, R2", "FADD R9, R8, R7"], ffma(1), "also on the pipe under test: 1 FADD"),
        (["FFMA R0, R0, R1, R2", *["IMAD.MOV.U32 R9, RZ, RZ, R8"] * 3], ffma(1), "3 register moves"),
        (["FFMA R0, R0, R1, R2", "CALL.REL.NOINC 0x700"], ffma(1), "forbidden: 1 CALL.REL.NOINC"),
        (["FFMA R0, R0, R1, R2", "CS2R R8, SR_CLOCKLO"], ffma(1), "3 clock reads instead of 2"),
        (["IADD32I R0, R0, 0x1"], Expect({"IADD3": 1}), "0 IADD3 instead of 1"),
    ],
)
def test_reasons_on_hand_written_sass(lines, expect, reason):
    verdict = check(sass(*lines), "kernel", expect)
    assert not verdict.ok
    assert reason in "\n".join(verdict.reasons)


@pytest.mark.parametrize(
    ("lines", "expect"),
    [
        (["FFMA R0, R0, R1, R2", "@!UPT UIADD3 URZ, URZ, URZ, URZ", "NOP", "FFMA R0, R0, R1, R2"], ffma(2)),
        (["IMAD R0, R0, R1, R2", "IMAD.MOV.U32 R9, RZ, RZ, R8"], Expect({"IMAD": 1}, Chain("IMAD"))),
        (["FFMA R0, R0, R1, R2", "FADD R9, R8, R7"], ffma(1, allow=("FADD",))),
        (["@!P0 BRA 0x40", "FFMA R0, R0, R1, R2", "@P0 BRA 0x20", "BAR.SYNC.DEFER_BLOCKING 0x0"], ffma(1, loop=True)),
        (["@P0 BRA 0x40", "FFMA R0, R0, R1, R2", "BRA 0x10", "NOP"], ffma(1, loop=True)),
        (["FFMA R0, R0, R1, R2", "BRA.DIV UR4, 0x500"], ffma(1)),
        (["FFMA R0, R0, R1, R2", "@P0 CALL.REL.NOINC 0x40", "BRA 0x10", "NOP"], ffma(1, loop=True)),
    ],
)
def test_harmless_company_is_accepted(lines, expect):
    assert check(sass(*lines), "kernel", expect).reasons == ()


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[int, list[int]]:
    """A number of chains and an order in which their links (equally many of each) are issued."""
    width, length = draw(st.integers(1, 5)), draw(st.integers(2, 6))
    return width, draw(st.permutations(sorted([*range(width)] * length)))


@given(interleaved())
def test_chains_are_found_in_any_interleaving(order):
    width, links = order
    lines = [f"FFMA R{chain}, R{chain}, R50, R51" for chain in links]
    assert check(sass(*lines), "kernel", ffma(len(links), width)).reasons == ()
    assert not check(sass(*lines), "kernel", ffma(len(links), width + 1)).ok


@given(interleaved(), st.data())
def test_a_cut_link_is_found_wherever_it_is(order, data):
    width, links = order
    later = [place for place, chain in enumerate(links) if chain in links[:place]]
    cut = data.draw(st.sampled_from(later))
    lines = [f"FFMA R{chain}, R{70 if place == cut else chain}, R50, R51" for place, chain in enumerate(links)]
    reasons = "\n".join(check(sass(*lines), "kernel", ffma(len(links), width)).reasons)
    assert "broken chain" in reasons or "unequal length" in reasons
    assert "broken chain" not in reasons or f"FFMA at 0x{16 * (cut + 1):x}" in reasons or width > 1


def test_cache_kinds_do_not_collide(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUPROBE_CACHE", str(tmp_path))
    cache.store("cubin", "ab12", b"code")
    assert cache.load("verdict", "ab12") is None
