"""Rate of DPX (dynamic programming) intrinsics, in operations per cycle of an SM: native on sm_90, emulated elsewhere.

Method: as op_rate; an operation is one intrinsic of one thread, whatever instructions it takes. Pitfalls: see
dpx_latency. Expected on Hopper: 64, that of the ALU pipe.
"""

from gpuprobe.estimate import rate_per_sm
from gpuprobe.families.links import DPX, check_chains, expect_chains
from gpuprobe.probe import Launch, Probe, Published, sm_count

CHUNK = 256
ILP = 4
NAMES = [name for name in DPX if name != "VIMAX_S32_RELU"]  # two of these in a row are merged to a VIMNMX3


def work(point):
    """Intrinsics of one SM in one sample."""
    return float(point.iters * CHUNK * 32 * int(point["WARPS"]))


def check(point, seed, out):
    """The end of every chain of the first block, and the turns of the loop."""
    return check_chains(str(point["OP"]), point, point.iters * CHUNK // ILP, ILP, out)


HPMLL = "HPMLL/NVIDIA-Hopper-Benchmark NewFeatures/DPX/log"
H800 = {"VIADDMAX_S16X2": 58.79, "VIADDMAX_S32": 58.96, "VIMAX3_S32_RELU": 63.65, "VIMAX3_S16X2": 58.79}
A100 = {"VIADDMAX_S32": 58.35, "VIADDMAX_S16X2": 7.99, "VIMAX3_S32": 31.65}
PROBE = Probe(
    name="dpx_rate",
    unit="op/cycle/SM",
    quantity="rate",
    kernel="op_rate",
    defines={"OP": NAMES, "ILP": [ILP]},
    axes={"WARPS": [16], "PASSES": [8, 24]},
    quick={"OP": ["VIADDMAX_S16X2", "VIADDMAX_S32"]},
    launch=Launch(grid=sm_count, block=lambda p, d: 32 * p["WARPS"], iters=lambda p, d: p["PASSES"]),
    expect=lambda p: expect_chains(p["OP"], CHUNK, p["ILP"], emulated=True),
    estimate=rate_per_sm(work, "op/cycle/SM"),
    bound=lambda estimate, device, architecture, clock_hz: architecture.schedulers * 32.0,
    check=check,
    out_words=1 << 14,
    covers=(18,),
    published=[
        *(
            Published(
                "h800-pcie",
                v,
                f"{HPMLL}/H800.log",
                {"OP": op},
                "rate",
                tolerance=0.05,
                reason="theirs has start and end of the kernel in it: no slope",
            )
            for op, v in H800.items()
        ),
        *(
            Published("a100-pcie-40gb", v, f"{HPMLL}/A100.log", {"OP": op}, "rate", tolerance=0.05, method="emulated")
            for op, v in A100.items()
        ),
    ],
)
