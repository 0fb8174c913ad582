"""Rate of stmatrix x1, x2 and x4, plain and .trans, in bytes per cycle of an SM.

Method: WARPS warps an SM store 16 tiles a pass into shared memory; slope over two numbers of passes. An xN moves N x
128 bytes. Rows lie one behind the other: no bank conflicts. What is stored changes with the pass, and the tiles left
by the last one are compared with the host's, by every lane.
Pitfalls: nobody has published a value; all warps store the same, which costs what storing different tiles does.
Expected: 128 B/cycle/SM, the width of shared memory, with 16 warps; one warp reaches 24, 35 and 44 with x1, x2, x4 on
H100.
"""

from gpuprobe import bounds
from gpuprobe.estimate import rate_per_sm
from gpuprobe.families.matrix_path import stored
from gpuprobe.families.mma_host import expect_warps
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, sm_count

STORES = 16


def moved(point):
    """Bytes that one SM stores in one sample."""
    return float(point.iters * STORES * int(point["WARPS"]) * int(point["X"]) * 128)


def check(point, seed, out):
    """What each warp reads of one tile."""
    wanted = stored(point.iters, int(point["X"]), trans=bool(point["TRANS"]), seed=seed)
    return expect_warps(words(out)[: point.grid * point.block * 4], wanted)


def expect(p):
    """STORES stores."""
    opcode = f"STSM.16.{'MT88' if p['TRANS'] else 'M88'}" + ("" if p["X"] == 1 else f".{p['X']}")
    return Expect(loop=True, counts={opcode: STORES}, native=(opcode,))


PROBE = Probe(
    name="stmatrix_rate",
    unit="B/cycle/SM",
    quantity="rate",
    archs=">=sm_90",
    defines={"X": [1, 2, 4], "TRANS": [0, 1], "STORES": [STORES]},
    axes={"WARPS": [1, 4, 16], "PASSES": [1, 3]},
    quick={"X": [4], "WARPS": [16]},
    launch=Launch(
        grid=sm_count,
        block=lambda p, d: 32 * p["WARPS"],
        iters=lambda p, d: p["PASSES"] * 440_000 // (STORES * max(p["WARPS"] * p["X"], 8)),
    ),
    expect=expect,
    estimate=rate_per_sm(moved, "B/cycle/SM"),
    bound=bounds.shared_port,
    check=check,
    out_words=192 * 512 * 4,
    best_over=("WARPS",),
    covers=(11,),
)
