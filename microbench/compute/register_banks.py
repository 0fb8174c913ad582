"""Register banks and operand reuse: cycles between multiply-adds by where their three source registers lie.

Method: independent FFMA; the source registers and reuse bits of each are rewritten in the cubin (sass.patch). FIRST
and SECOND are the distances of the first and second source from the third, modulo 4; FIRST ``again`` reads one and
the same register as first source in every instruction, ``kept`` does so from the reuse cache. All sources are 1, so
that the sum counts what ran. ``interval`` is cycles of a scheduler for each FFMA, with one or four warps on it (the
loop's own three instructions in 67 are in it). Pitfalls: a compiler spreads registers over the banks and sets reuse
bits by itself; without patching a conflict cannot be brought about. Expected on H100: parity alone decides, so there
are two banks; 1.75 with sources in both, 2.4 with all three in one, and reuse takes half a cycle off; with reuse
throughout, as compilers write it, 1.05 (see code_size).
"""

from gpuprobe.estimate import slope
from gpuprobe.gate import Expect
from gpuprobe.operands import expect_all, words
from gpuprobe.probe import Launch, Probe, Published
from gpuprobe.sass.patch import Change, patched, timed

COUNT = 64


def number(register):
    """Number of a register by its name."""
    return int(register.partition(".")[0].removeprefix("R"))


def sources(kernel):
    """Registers that hold a 1: first and second sources of the multiply-adds."""
    return sorted({number(i.operands[k]) for i in timed(kernel, "FFMA") for k in (1, 2)})


def chosen(first, second, ones, third, turn):
    """The sources of multiply-add ``turn``, whose third is register ``third``, and its reuse bits."""

    def apart(offset):
        near = [register for register in ones if (register - third) % 4 == offset]
        return near[turn % len(near)]

    if isinstance(first, str):
        return Change(reuse=int(first == "kept"), sources=(ones[0], apart(second), None))
    return Change(reuse=0, sources=(apart(first), apart(second), None))


def patch(params, cubin):
    """Sources and reuse bits of every multiply-add."""

    def choose(kernel):
        ones = sources(kernel)
        return {
            i.address: chosen(params["FIRST"], params["SECOND"], ones, number(i.operands[3]), turn)
            for turn, i in enumerate(timed(kernel, "FFMA"))
        }

    return patched(cubin, "probe", choose)


def check(point, seed, out):
    """The accumulators count the multiply-adds."""
    return expect_all(words(out)[: point.block], point.iters * COUNT)


PROBE = Probe(
    name="register_banks",
    unit="cycle",
    quantity="interval",
    patches={"FIRST": [0, 1, 2, 3, "again", "kept"], "SECOND": [0, 1]},
    patch=patch,
    axes={"WARPS": [4, 16], "PASSES": [256, 768]},
    quick={"FIRST": []},
    launch=Launch(block=lambda p, d: 32 * p["WARPS"], iters=lambda p, d: p["PASSES"]),
    expect=lambda p: Expect(loop=True, counts={"FFMA": COUNT}),
    estimate=slope(
        "PASSES",
        quantity="interval",
        unit="cycle",
        x=lambda p: p.iters * COUNT * p["WARPS"] / 4,
        y=lambda p, s: s.cycles,
    ),
    check=check,
    out_words=1 << 14,
    covers=(20,),
    published=[
        Published(
            "rtx-a6000",
            3.0,
            "arXiv:2503.20481 (two banks, at most 2 cycles more)",
            {"FIRST": 0, "SECOND": 0, "WARPS": 4},
            "interval",
        ),
    ],
)
