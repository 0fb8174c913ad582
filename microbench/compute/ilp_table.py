"""Rate of an instruction against warps and independent chains (ILP x TLP), in operations per cycle of an SM.

Method: as op_rate, over the whole grid of 1 to 32 warps an SM and 1 to 8 chains a warp. It says how many instructions
must be in flight before a pipe is full: latency x rate / 32 of them, by warps or by chains alike. Pitfalls: one warp
uses one of the four schedulers, so that four warps are the least that can fill an SM.
"""

from gpuprobe.estimate import rate_per_sm
from gpuprobe.families.links import check_chains, expect_chains
from gpuprobe.probe import Launch, Probe, sm_count

CHUNK = 256


def work(point):
    """Operations of one SM in one sample."""
    return float(point.iters * CHUNK * 32 * int(point["WARPS"]))


def check(point, seed, out):
    """The end of every chain of the first block, and the turns of the loop."""
    ilp = int(point["ILP"])
    return check_chains(str(point["OP"]), point, point.iters * CHUNK // ilp, ilp, out)


def issue_limit(estimate, device, architecture, clock_hz):
    """One instruction a cycle from each scheduler."""
    return architecture.schedulers * 32.0


PROBE = Probe(
    name="ilp_table",
    unit="op/cycle/SM",
    quantity="rate",
    kernel="op_rate",
    defines={"OP": ["FFMA", "IMAD", "HFMA2", "DFMA", "EX2"], "ILP": [1, 2, 4, 8]},
    axes={"WARPS": [1, 2, 4, 8, 16, 32], "PASSES": [4, 12]},
    quick={"OP": []},
    launch=Launch(grid=sm_count, block=lambda p, d: 32 * p["WARPS"], iters=lambda p, d: p["PASSES"]),
    expect=lambda p: expect_chains(p["OP"], CHUNK, p["ILP"]),
    estimate=rate_per_sm(work, "op/cycle/SM"),
    bound=issue_limit,
    check=check,
    out_words=1 << 14,
    best_over=("WARPS", "ILP"),
    covers=(19,),
    rounds=21,
    width=0.05,
)
