"""Cost of a barrier in a block, in cycles, against the number of warps: __syncthreads, named, mbarrier.

Method: all threads of one block run a chain of barriers; the slope of cycles over the chain's length is one barrier.
SYNCTHREADS is bar.sync 0, NAMED bar.sync 1 with a count, MBARRIER every thread's arrival and its wait for the phase.
Each pass hands a word to another warp across the barriers, which is checked. __syncwarp has no figure: for a warp
that is together it is a NOP on sm_80 to sm_90 (a WARPSYNC stands on the path of a diverged warp alone), and the
published 5 cycles are those of a NOP. Pitfalls: work between barriers hides their cost; the first warp's clock only.
Expected: __syncthreads 23 cycles at one warp and 85 at 32 on A100 and RTX 4090, 14 and 76 on H100; an mbarrier 54 to
200.
"""

import numpy as np

from gpuprobe import arch
from gpuprobe.estimate import latency
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, Published

OPCODES = {
    "SYNCTHREADS": "BAR.SYNC",
    "NAMED": "BAR.SYNC",
    "MBARRIER": "SYNCS.PHASECHK",
}


def ops(device):
    """What the architecture has: waiting for an mbarrier in hardware came with sm_90."""
    return list(OPCODES) if arch.parse(device.architecture).number >= 90 else list(OPCODES)[:2]


def check(point, seed, out):
    """Each word has moved one warp on with every pass, and counted it."""
    found, passes = words(out)[: point.block], point.iters
    wanted = (np.arange(point.block) + 32 * passes) % point.block + passes
    wrong = np.flatnonzero(found != wanted)
    if wrong.size == 0:
        return None
    thread = int(wrong[0])
    return f"thread {thread} holds {int(found[thread])}, not {int(wanted[thread])}: a barrier did not hold"


SYNC = "burtscher/SyncPerformance cuda_syncthreads, twin kernels"


def published(device, op, source, *values):
    """Cycles at one and at 32 warps."""
    pairs = zip((1, 32), values, strict=True)
    return [Published(device, value, source, {"OP": op, "WARPS": warps}) for warps, value in pairs]


PROBE = Probe(
    name="barrier_latency",
    unit="cycle",
    defines={"OP": ops, "CHAIN": [8, 24]},
    axes={"WARPS": [1, 2, 4, 8, 16, 32]},
    quick={"WARPS": [1, 32]},
    launch=Launch(block=lambda p, d: 32 * p["WARPS"], iters=256),
    expect=lambda p: Expect(loop=True, predicated=p["OP"] == "MBARRIER", counts={OPCODES[p["OP"]]: p["CHAIN"]}),
    estimate=latency(),
    check=check,
    out_words=1024,
    covers=(23,),
    published=[
        *published("a100-pcie-40gb", "SYNCTHREADS", SYNC, 23.0, 85.0),
        *published("rtx-4090", "SYNCTHREADS", SYNC, 24.0, 85.0),
    ],
)
