"""Rate of one instruction, in operations per cycle of an SM, an operation being that of one thread.

Method: one block an SM of WARPS warps, each with four independent chains of the instruction (ops.cuh); the slope over
two numbers of passes cancels start and end; the best over WARPS counts. An instruction on a pair of FP16 numbers is
one operation of a thread here, although it computes two results. Pitfalls: what shares a pipe is not seen here (see
pipe_pairs); the four schedulers issue 128 operations a cycle at most, whatever the pipes could do. Expected on
Hopper: 128 FFMA, 64 integer, 64 FP64, 16 special functions and most conversions.
"""

from gpuprobe.estimate import rate_per_sm
from gpuprobe.families.links import SINGLE, check_chains, expect_chains
from gpuprobe.probe import Launch, Probe, Published, sm_count

CHUNK = 256  # links of one warp in one pass
ILP = 4


def work(point):
    """Operations of one SM in one sample."""
    return float(point.iters * CHUNK * 32 * int(point["WARPS"]) * SINGLE[str(point["OP"])].instructions)


def check(point, seed, out):
    """The end of every chain of the first block, and the turns of the loop."""
    return check_chains(str(point["OP"]), point, point.iters * CHUNK // ILP, ILP, out)


def issue_limit(estimate, device, architecture, clock_hz):
    """One instruction a cycle from each scheduler."""
    return architecture.schedulers * 32.0


JOHNSONMS = "Johnsonms/NVIDIA-Hopper-Benchmark, raw/stats.txt"
PROBE = Probe(
    name="op_rate",
    unit="op/cycle/SM",
    quantity="rate",
    defines={"OP": list(SINGLE), "ILP": [ILP]},
    axes={"WARPS": [8, 16], "PASSES": [8, 24]},
    quick={"OP": ["IADD3", "IMAD", "LOP3", "HFMA2", "FFMA", "DFMA", "EX2", "F2I", "F2FP_F16"], "WARPS": [16]},
    launch=Launch(grid=sm_count, block=lambda p, d: 32 * p["WARPS"], iters=lambda p, d: p["PASSES"]),
    expect=lambda p: expect_chains(p["OP"], CHUNK, p["ILP"]),
    estimate=rate_per_sm(work, "op/cycle/SM"),
    bound=issue_limit,
    check=check,
    out_words=1 << 14,
    best_over=("WARPS",),
    covers=(15, 16, 17),
    rounds=31,
    width=0.01,
    published=[
        Published(
            "h100-sxm", 124.2, JOHNSONMS, {"OP": "FFMA"}, "rate", tolerance=0.05, method="248.31 flop/clk/SM, no slope"
        ),
        Published(
            "h100-sxm", 63.1, JOHNSONMS, {"OP": "DFMA"}, "rate", tolerance=0.05, method="126.25 flop/clk/SM, no slope"
        ),
    ],
)
