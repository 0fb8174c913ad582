"""Latency of a dependent shared-memory load (LDS), in cycles: of the load alone, and of a chase by index.

Method: a pointer ring in shared memory, one warp, every lane at the same address; slope over chain length. DIRECT
loads the next address itself; INDEX loads a word index that an LEA turns into an address, as most chases do: both
published figures, 23 and 29, are right, and this says which is which. Pitfalls: timer cost left in (60 cycles
published for A100).
"""

from gpuprobe.estimate import latency
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import expect_all, words
from gpuprobe.probe import Launch, Probe, Published

WORDS = 1021


def check(point, seed, out):
    """Every step goes 33 words on, modulo a prime: the end proves the number of steps."""
    return expect_all(words(out)[: point.block], point.iters * int(point["CHAIN"]) * 33 % WORDS)


def expect(p):
    """LDS feeds LDS, or LDS feeds an LEA (on some architectures an IMAD) that feeds LDS."""
    if p["MODE"] == "DIRECT":
        return Expect(loop=True, counts={"LDS": p["CHAIN"]}, chain=Chain("LDS"))
    return Expect(loop=True, counts={"LDS": p["CHAIN"]}, chain=Chain("LDS", via=("LEA", "IMAD")))


CHASE = "chase by index, address arithmetic in the chain"
PROBE = Probe(
    name="shared_latency",
    unit="cycle",
    defines={"MODE": ["DIRECT", "INDEX"], "CHAIN": [16, 32, 48]},
    launch=Launch(iters=256),
    expect=expect,
    estimate=latency(),
    check=check,
    covers=(25,),
    published=[
        Published(
            "h100-sxm", 29.015, "Johnsonms/NVIDIA-Hopper-Benchmark, raw/stats.txt", {"MODE": "INDEX"}, method=CHASE
        ),
        Published("h800-pcie", 29.0, "arXiv:2402.13499 Table IV", {"MODE": "INDEX"}, method=CHASE),
        Published("a100-pcie-40gb", 23.0, "arXiv:2206.02874", {"MODE": "DIRECT"}, method="dependent ld.shared"),
        Published("a100-pcie-40gb", 29.0, "arXiv:2402.13499 Table IV", {"MODE": "INDEX"}, method=CHASE),
        Published("rtx-4090", 30.1, "arXiv:2402.13499 Table IV", {"MODE": "INDEX"}, method=CHASE),
    ],
)
