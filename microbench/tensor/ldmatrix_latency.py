"""Latency of ldmatrix x1, x2 and x4, plain and .trans, in cycles: a chain through the addresses.

Method: one warp; what each lane loads is the address of the row that it names in the next ldmatrix, through a ring of
seven tiles, so nothing but the load is in the chain. Slope over passes of 32 loads (the loop's counter runs in their
shadow). Rows lie one behind the other: no bank conflicts.
Pitfalls: a chain through the data needs the matrices laid out so that each lane gets its own next address (transposed
for .trans); published code allocates one word and reads beyond it. The lanes must end at the tile that the number of
loads calls for.
Expected: 23, 25 and 29 cycles for x1, x2, x4 on A100 and on H100; .trans costs nothing more.
"""

from gpuprobe.estimate import slope
from gpuprobe.families.matrix_path import chased
from gpuprobe.families.mma_host import expect_warps
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, Published

CHAIN = 32


def check(point, seed, out):
    """Every lane's last address, in every register."""
    return expect_warps(words(out)[:128], chased(point.iters * CHAIN, int(point["X"])))


def expect(p):
    """One chain of CHAIN loads."""
    opcode = f"LDSM.16.{'MT88' if p['TRANS'] else 'M88'}" + ("" if p["X"] == 1 else f".{p['X']}")
    return Expect(loop=True, counts={opcode: CHAIN}, chain=Chain(opcode), native=(opcode,))


TABLE9 = "arXiv:2206.02874 Table 9"
PROBE = Probe(
    name="ldmatrix_latency",
    unit="cycle",
    defines={"X": [1, 2, 4], "TRANS": [0, 1], "CHAIN": [CHAIN]},
    axes={"PASSES": [300, 900]},
    launch=Launch(iters=lambda p, d: p["PASSES"]),
    expect=expect,
    estimate=slope(
        "PASSES", quantity="latency", unit="cycle", x=lambda p: float(p.iters * CHAIN), y=lambda p, s: s.cycles
    ),
    check=check,
    covers=(10,),
    published=[
        Published("a100-pcie-40gb", 23.1, TABLE9, {"X": 1, "TRANS": 0}),
        Published("a100-pcie-40gb", 25.1, TABLE9, {"X": 2, "TRANS": 0}),
        Published("a100-pcie-40gb", 29.3, TABLE9, {"X": 4, "TRANS": 0}),
    ],
)
