"""Round trip of stmatrix and ldmatrix through shared memory, x1, x2 and x4, plain and .trans, in cycles.

Method: one warp stores its matrices with stmatrix and loads them back with ldmatrix, each turned by one row, again
and again; slope over passes of 15 round trips. A store has no result, so a latency of its own cannot be seen: less
the latency of ldmatrix, this is what a store adds on the way of data from register to register.
Pitfalls: nobody has published a value. Both instructions go to the load/store unit in order, so no fence is needed
within a warp. After all trips each lane must hold the matrix turned that many times.
Expected on H100: 28, 34 and 46 cycles for x1, x2, x4: 5, 9 and 17 above ldmatrix.
"""

from gpuprobe.estimate import slope
from gpuprobe.families.matrix_path import turned
from gpuprobe.families.mma_host import expect_warps
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe

CHAIN = 15


def check(point, seed, out):
    """Every register of every lane."""
    steps = point.iters * CHAIN
    return expect_warps(words(out)[:128], turned(steps, int(point["X"]), trans=bool(point["TRANS"]), seed=seed))


def expect(p):
    """CHAIN stores and loads."""
    form = f"16.{'MT88' if p['TRANS'] else 'M88'}" + ("" if p["X"] == 1 else f".{p['X']}")
    counts = {f"STSM.{form}": CHAIN, f"LDSM.{form}": CHAIN}
    return Expect(loop=True, counts=counts, native=(f"STSM.{form}",))


PROBE = Probe(
    name="stmatrix_latency",
    unit="cycle",
    archs=">=sm_90",
    defines={"X": [1, 2, 4], "TRANS": [0, 1], "CHAIN": [CHAIN]},
    axes={"PASSES": [301, 903]},
    launch=Launch(iters=lambda p, d: p["PASSES"]),
    expect=expect,
    estimate=slope(
        "PASSES", quantity="latency", unit="cycle", x=lambda p: float(p.iters * CHAIN), y=lambda p, s: s.cycles
    ),
    check=check,
    covers=(11,),
)
