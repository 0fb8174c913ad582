"""Latency and rate of movmatrix.trans: an 8 x 8 matrix of 16-bit elements transposed among the lanes of a warp.

Method: WARPS warps an SM, each with ILP chains in which every movmatrix takes the result of the one before; slope
over two numbers of passes. ``latency`` is one warp with one chain, ``rate`` bytes moved per cycle of an SM, 128 an
instruction.
Pitfalls: nobody has published a value; an even number of steps gives back what one began with, so the kernel makes an
odd number and every lane is compared with the host's transposed matrix.
Expected on H100: 24 cycles, as a shuffle, and one instruction a cycle of an SM (128 B).
"""

from gpuprobe.estimate import every, rate_per_sm, slope
from gpuprobe.families.grid import where
from gpuprobe.families.matrix_path import moved_sums
from gpuprobe.families.mma_host import expect_warps
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, sm_count

CHUNK = 64


def moved(point):
    """Bytes that one SM moves in one sample."""
    return float(point.iters * CHUNK * int(point["WARPS"]) * 128)


def check(point, seed, out):
    """Every lane's sum over its chains."""
    return expect_warps(words(out)[: point.grid * point.block], moved_sums(int(point["ILP"]), seed))


def expect(p):
    """ILP chains that share CHUNK movmatrix."""
    return Expect(loop=True, counts={"MOVM": CHUNK}, chain=Chain("MOVM", width=p["ILP"]), native=("MOVM",))


def keep(p):
    """One chain of one warp, and all chains."""
    return p["ILP"] == 4 or p["WARPS"] == 1


PROBE = Probe(
    name="movmatrix",
    unit="B/cycle/SM",
    quantity="rate",
    defines={"ILP": [1, 4]},
    axes={"WARPS": [1, 4, 16], "PASSES": [1, 3]},
    quick={"WARPS": [1, 16]},
    keep=keep,
    launch=Launch(
        grid=sm_count,
        block=lambda p, d: 32 * p["WARPS"],
        iters=lambda p, d: p["PASSES"] * 440_000 // (CHUNK * max(2 * p["WARPS"], 32 // p["ILP"])),
    ),
    expect=expect,
    estimate=every(
        where(
            lambda p: p["WARPS"] == 1 and p["ILP"] == 1,
            slope(
                "PASSES",
                quantity="latency",
                unit="cycle",
                x=lambda p: float(p.iters * CHUNK),
                y=lambda p, s: s.cycles_max,
            ),
        ),
        rate_per_sm(moved, "B/cycle/SM"),
    ),
    check=check,
    out_words=192 * 512,
    best_over=("WARPS", "ILP"),
    covers=(11,),
)
