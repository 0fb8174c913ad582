"""Rate of ldmatrix x1, x2 and x4, plain and .trans, in bytes per cycle of an SM.

Method: WARPS warps an SM load 16 tiles a pass from shared memory, from another tile on in each pass; slope over two
numbers of passes. An xN moves N x 128 bytes. Rows lie one behind the other: no bank conflicts.
Pitfalls: loads whose results nobody reads are deleted, so all words are added up (half an IADD3 a register, beside
the load unit); the sums of all lanes of all warps are compared with the host's.
Expected: 128 B/cycle/SM, the width of shared memory, with 16 warps; one warp reaches 19, 35 and 35 with x1, x2, x4 on
H100.
"""

from gpuprobe import bounds
from gpuprobe.estimate import rate_per_sm
from gpuprobe.families.matrix_path import loaded_sums
from gpuprobe.families.mma_host import expect_warps
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, sm_count

LOADS = 16


def moved(point):
    """Bytes that one SM loads in one sample."""
    return float(point.iters * LOADS * int(point["WARPS"]) * int(point["X"]) * 128)


def check(point, seed, out):
    """Every sum of every lane."""
    wanted = loaded_sums(point.iters, LOADS, int(point["X"]), trans=bool(point["TRANS"]), seed=seed)
    return expect_warps(words(out)[: point.grid * point.block * 4], wanted)


def expect(p):
    """LOADS loads."""
    opcode = f"LDSM.16.{'MT88' if p['TRANS'] else 'M88'}" + ("" if p["X"] == 1 else f".{p['X']}")
    return Expect(loop=True, counts={opcode: LOADS}, native=(opcode,))


PROBE = Probe(
    name="ldmatrix_rate",
    unit="B/cycle/SM",
    quantity="rate",
    defines={"X": [1, 2, 4], "TRANS": [0, 1], "LOADS": [LOADS]},
    axes={"WARPS": [1, 4, 16], "PASSES": [1, 3]},
    quick={"X": [4], "WARPS": [16]},
    launch=Launch(
        grid=sm_count,
        block=lambda p, d: 32 * p["WARPS"],
        iters=lambda p, d: p["PASSES"] * 440_000 // (LOADS * max(p["WARPS"] * p["X"], 8)),
    ),
    expect=expect,
    estimate=rate_per_sm(moved, "B/cycle/SM"),
    bound=bounds.shared_port,
    check=check,
    out_words=192 * 512 * 4,
    best_over=("WARPS",),
    covers=(10,),
)
