"""Latency of mma.sync.m16n8k16 with FP32 accumulators, in cycles, carried through the accumulators.

Method: one warp, a chain of MMAs in which each adds to the accumulators of the one before; slope over chain length.
``mma_dense`` and ``mma_sparse`` give the latency of every other shape and type.
Pitfalls: identical MMAs are merged by the compiler (the gate counts them); the multiplicands' latency is another,
shorter path. ptxas puts two predicated-off instructions between dependent HMMA on sm_90; they issue in the shadow of
the MMA. Expected: 24.7 on A100, 24.1 on H100, 24.6 on RTX 4090. B is taken in turns with both signs, so that every
sum is exact: the accumulators of all lanes are compared with the host's bit for bit after an odd number of steps.
"""

from gpuprobe.estimate import latency
from gpuprobe.families.mma_host import expect_warps, mma_words
from gpuprobe.gate import Chain, Expect
from gpuprobe.mma import parse
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, Published


def check(point, seed, out):
    """All lanes, bit for bit."""
    wanted = mma_words(str(point["TYPE"]), seed, point.iters * int(point["CHAIN"]), chains=1)
    return expect_warps(words(out)[:128], wanted)


def expect(p):
    """One chain of CHAIN MMAs."""
    opcode = parse(p["TYPE"]).opcode
    return Expect(loop=True, counts={opcode: p["CHAIN"]}, chain=Chain(opcode), native=(opcode,))


A = {"TYPE": "F16"}
PROBE = Probe(
    name="mma_latency",
    unit="cycle",
    defines={"TYPE": ["F16", "BF16"], "CHAIN": [16, 32, 64]},
    axes={"OPERANDS": ["random"]},
    launch=Launch(iters=512),
    expect=expect,
    estimate=latency(),
    check=check,
    covers=(1,),
    published=[
        Published("h100-sxm", 24.09, "Johnsonms/NVIDIA-Hopper-Benchmark, raw/mma_m16n8k16.log", A),
        Published("h800-pcie", 24.1, "arXiv:2402.13499 Table VII", A),
        Published("a100-pcie-40gb", 24.7, "arXiv:2206.02874", A),
        Published("rtx-4090", 24.6, "arXiv:2402.13499 Table VII", A),
    ],
)
