"""Latency of mma.sync.m16n8k16 with FP32 accumulators, in cycles, carried through the accumulators.

Method: one warp, a chain of MMAs in which each adds to the accumulators of the one before; slope over chain length.
Pitfalls: identical MMAs are merged by the compiler (the gate counts them); the multiplicands' latency is another,
shorter path. ptxas puts two predicated-off instructions between dependent HMMA on sm_90; they issue in the shadow of
the MMA. Expected: 24.7 on A100, 24.1 on H100, 24.6 on RTX 4090. The accumulators are compared with the host's.
"""

from gpuprobe.estimate import latency
from gpuprobe.fragments import mma_m16n8, mma_product
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import expect_close, floats
from gpuprobe.probe import Launch, Probe, Published

OPCODE = {"F16": "HMMA.16816.F32", "BF16": "HMMA.16816.F32.BF16"}


def check(point, seed, out):
    """steps x (A x B), to the error of as many truncating FP32 additions."""
    steps = point.iters * int(point["CHAIN"])
    wanted = mma_m16n8(mma_product(str(point["TYPE"]), seed)) * steps
    return expect_close(floats(out)[:128].reshape(32, 4), wanted, relative=0.02)


A = {"TYPE": "F16"}
PROBE = Probe(
    name="mma_latency",
    unit="cycle",
    defines={"TYPE": ["F16", "BF16"], "CHAIN": [16, 32, 64]},
    axes={"OPERANDS": ["random"]},
    launch=Launch(iters=512),
    expect=lambda p: Expect(
        loop=True, counts={OPCODE[p["TYPE"]]: p["CHAIN"]}, chain=Chain(OPCODE[p["TYPE"]]), native=(OPCODE[p["TYPE"]],)
    ),
    estimate=latency(),
    check=check,
    published=[
        Published("h100-sxm", 24.09, "Johnsonms/NVIDIA-Hopper-Benchmark, raw/mma_m16n8k16.log", A),
        Published("h800-pcie", 24.1, "arXiv:2402.13499 Table VII", A),
        Published("a100-pcie-40gb", 24.7, "arXiv:2206.02874", A),
        Published("rtx-4090", 24.6, "arXiv:2402.13499 Table VII", A),
    ],
)
