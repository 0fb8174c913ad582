"""Latency of what is a sequence of instructions, in cycles: library functions, 64-bit integers, pairs.

Method: as op_latency; a link is the whole sequence, and so is the number. SQRT_RN, RCP_RN, DIV_RN, DDIV_RN, DSQRT_RN
are the IEEE functions on their fast path, EXPF, LOGF and SINF those of the library, SIN and COS the approximate ones,
which multiply their argument first (FMUL, MUFU). RCP_FADD is MUFU.RCP and an FADD, because a chain of reciprocals
alone is removed by ptxas; RCP_RN, DIV_RN and DDIV_RN carry one addition as well. F32_F64 is a conversion there and
back, EX2_F16X2 and TANH_F16X2 two MUFU and a PRMT. Pitfalls: earlier suites call such a number the latency of fsqrt
or of the special-function unit.
"""

from gpuprobe.estimate import latency
from gpuprobe.families.links import SEQUENCES, check_chain, expect_chain
from gpuprobe.probe import Launch, Probe, Published


def check(point, seed, out):
    """The chain's end, and its sum where it settles."""
    return check_chain(str(point["OP"]), point, point.iters * int(point["CHAIN"]), out)


PROBE = Probe(
    name="sequence_latency",
    unit="cycle",
    kernel="op_latency",
    defines={"OP": list(SEQUENCES), "CHAIN": [8, 24]},
    quick={"OP": ["SQRT_RN", "DIV_RN", "MUL64"]},
    launch=Launch(iters=128),
    expect=lambda p: expect_chain(p["OP"], p["CHAIN"]),
    estimate=latency(),
    check=check,
    out_words=1 << 10,
    covers=(14, 16),
    published=[
        Published(
            "h100-sxm",
            10.06,
            "Johnsonms/NVIDIA-Hopper-Benchmark, summary.md",
            {"OP": "ADD64"},
            method="'INT64'; the operation is not stated",
            reason="64-bit adds take 4 cycles here and multiplications 17: theirs is a mix of neither",
        ),
    ],
)
