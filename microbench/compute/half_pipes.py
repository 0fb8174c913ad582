"""The two forms of FP16 arithmetic of sm_80 and sm_90, HFMA2 and HFMA2.MMA: stall counts, results and fixed latency.

Method: as stall_counts, with the opcode of every link rewritten to one of the two forms (HCOUNT: HFMA2, HCOUNT_MMA:
HFMA2.MMA). ptxas issues them in turn, with stall counts of 6 and 10 between them, so that a chain of op_latency shows
8, which neither takes by itself. Pitfalls: a chain of two HFMA2 a step was once published as one (8.52 cycles). The
FP16 sum counts its links up to 2048, which is why the loop is short. Expected on H100: 4 for HFMA2, twice that for
HFMA2.MMA.
"""

from gpuprobe.families import stalls
from gpuprobe.families.links import expect_chain
from gpuprobe.probe import Launch, Probe

OPCODE = {"HCOUNT": 0x231, "HCOUNT_MMA": 0x235}
STALLS = [2, 3, 4, 5, 6, 7, 8, 9, stalls.SAFE]


def right(point, out):
    """Whether the chain ends where the host's does."""
    return float(stalls.right("HCOUNT", point.iters * int(point["CHAIN"]), out))


PROBE = Probe(
    name="half_pipes",
    unit="cycle",
    quantity="issue",
    archs="sm_80,sm_90",
    kernel="stall_counts",
    defines={"OP": list(OPCODE), "CHAIN": [32, 96]},
    patches={"STALL": STALLS},
    patch=lambda p, cubin: stalls.with_stalls(cubin, "HFMA2", p["STALL"], OPCODE[p["OP"]]),
    quick={"OP": []},
    launch=Launch(iters=16),
    expect=lambda p: expect_chain("HCOUNT", p["CHAIN"]),
    estimate=stalls.estimate,
    check=lambda point, seed, out: stalls.check("HCOUNT", point, out),
    reduce=lambda point, out: {"right": right(point, out)},
    out_words=1 << 10,
    covers=(14, 21),
)
