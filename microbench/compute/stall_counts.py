"""Stall counts: cycles and results of a dependent chain whose control codes are patched, and the least that is right.

Method: the chain of op_latency is built, the stall count of every link is rewritten in the cubin (sass.patch), and it
runs. ``issue`` is cycles for each link: the stall count, as long as nothing else holds it. Where the count is below
the latency of the pipe, the next link reads an old value: nothing interlocks fixed-latency instructions, the
compiler's control codes alone keep results right. ``fixed_latency`` is the least stall count with the right result,
which is the pipe's latency without any clock. Pitfalls: a chain that settles, or comes back to where it was, is right
whatever was read (|x - b| + c does); these do not. Only the links are patched, the loop's own instructions stay.
Expected: 4 for the FMA pipe and the ALU on Ampere to Hopper; a dependent instruction does not issue before 2 cycles on
H100 whatever the count says; DADD waits by a scoreboard where FP64 units are few, so that any count is right.
"""

from gpuprobe.families import stalls
from gpuprobe.families.links import expect_chain
from gpuprobe.probe import Launch, Probe, Published

STEM = {"FFMA": "FFMA", "IADD3": "IADD3", "IMAD": "IMAD", "DADD": "DADD"}
STALLS = [1, 2, 3, 4, 5, 7, 8, stalls.SAFE]

PROBE = Probe(
    name="stall_counts",
    unit="cycle",
    quantity="issue",
    defines={"OP": list(STEM), "CHAIN": [32, 96]},
    patches={"STALL": STALLS},
    patch=lambda p, cubin: stalls.with_stalls(cubin, STEM[p["OP"]], p["STALL"]),
    quick={"OP": ["FFMA", "IADD3"], "STALL": [2, 4, 5, 11]},
    launch=Launch(iters=256),
    expect=lambda p: expect_chain(p["OP"], p["CHAIN"]),
    estimate=stalls.estimate,
    check=lambda point, seed, out: stalls.check(str(point["OP"]), point, out),
    reduce=lambda point, out: {"right": float(stalls.right(str(point["OP"]), point.iters * int(point["CHAIN"]), out))},
    out_words=1 << 10,
    covers=(21,),
    published=[
        Published(
            "rtx-a6000",
            4.0,
            "arXiv:2503.20481 (fixed latency of FP32)",
            {"OP": "FFMA"},
            "fixed_latency",
        ),
    ],
)
