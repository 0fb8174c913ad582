"""Latency of DPX (dynamic programming) instructions, in cycles: native on sm_90, emulated elsewhere, labelled.

Method: as op_latency, on the intrinsics __viaddmax_s32 and the like; a link is one intrinsic, in one instruction
(VIADDMNMX, VIMNMX3) or in the sequence that stands for it. Pitfalls: the published vibmax figures for A100 and RTX
4090 (0.03 cycles) are of code that the compiler removed; published viaddmax_s32 and vimax3_s32 of 8 to 10 cycles on
Hopper were not compiled to DPX instructions but to pairs, as the gate would have said.
"""

from gpuprobe.estimate import latency
from gpuprobe.families.links import DPX, check_chain, expect_chain
from gpuprobe.probe import Launch, Probe, Published


def check(point, seed, out):
    """The chain's end, and its sum where it settles."""
    return check_chain(str(point["OP"]), point, point.iters * int(point["CHAIN"]), out)


NAMES = [name for name in DPX if name != "VIMAX_S32_RELU"]  # two of these in a row are merged to a VIMNMX3
HPMLL = "HPMLL/NVIDIA-Hopper-Benchmark NewFeatures/DPX/log"
H800 = {
    "VIADDMAX_S16X2": 4.02,
    "VIADDMAX_S16X2_RELU": 4.02,
    "VIMAX3_S16X2": 4.02,
    "VIMAX3_S32_RELU": 4.02,
    "VIADDMAX_S32": 10.01,
    "VIMAX3_S32": 8.02,
}
A100 = {
    "VIADDMAX_S16X2": 19.25,
    "VIADDMAX_S32": 10.08,
    "VIADDMAX_S32_RELU": 14.21,
    "VIMAX3_S16X2": 11.16,
    "VIMAX3_S32": 8.09,
}
RTX4090 = {
    "VIADDMAX_S16X2": 19.29,
    "VIADDMAX_S32": 10.09,
    "VIADDMAX_S32_RELU": 14.21,
    "VIMAX3_S16X2": 11.3,
    "VIMAX3_S32": 8.09,
}
PAIRS = {"VIADDMAX_S32", "VIMAX3_S32"}
PROBE = Probe(
    name="dpx_latency",
    unit="cycle",
    kernel="op_latency",
    defines={"OP": NAMES, "CHAIN": [32, 96]},
    quick={"OP": ["VIADDMAX_S16X2", "VIADDMAX_S32"]},
    launch=Launch(iters=128),
    expect=lambda p: expect_chain(p["OP"], p["CHAIN"], emulated=True),
    estimate=latency(),
    check=check,
    out_words=1 << 10,
    covers=(18,),
    published=[
        *(
            Published(
                "h800-pcie",
                v,
                f"{HPMLL}/H800.log",
                {"OP": op},
                reason="theirs was compiled to an add and a maximum" if op in PAIRS else "",
            )
            for op, v in H800.items()
        ),
        *(Published("a100-pcie-40gb", v, f"{HPMLL}/A100.log", {"OP": op}, method="emulated") for op, v in A100.items()),
        *(Published("rtx-4090", v, f"{HPMLL}/4090.log", {"OP": op}, method="emulated") for op, v in RTX4090.items()),
    ],
)
