"""Cost of a memory fence in cycles: alone (PENDING 0), and after a store of the thread to its own word (PENDING 1).

Method: one thread block runs a chain of fences; slope of cycles over its length. membar.cta, .gl and .sys are what
__threadfence_block, __threadfence and __threadfence_system compile to (MEMBAR.SC); ACQ_REL_GPU is the weaker
fence.acq_rel.gpu; PROXY_ASYNC makes writes visible to TMA and wgmma (PROXY_ASYNC_SHARED: in shared memory alone).
With PENDING 1 the slope holds the store too: a fence waits for it to be performed. On Hopper every fence of GPU scope
also drops the SM's L1 lines (CCTL.IVALL). Pitfalls: a fence without a store outstanding is no measure of one in use.
Expected: GPU scope 760-840 cycles after a store and system 3150 on A100; 640-670 and 1390-1450 on H100, a proxy fence
520-550 (9 for shared memory).
"""

from gpuprobe import arch
from gpuprobe.estimate import latency
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, Published

OPCODES = {
    "CTA": "MEMBAR.SC.CTA",
    "GPU": "MEMBAR.SC.GPU",
    "SYS": "MEMBAR.SC.SYS",
    "ACQ_REL_GPU": "MEMBAR.ALL.GPU",
    "PROXY_ASYNC": "FENCE.VIEW.ASYNC",
    "PROXY_ASYNC_SHARED": "FENCE.VIEW.ASYNC",
}


def fences(device):
    """What the architecture has: the asynchronous proxy came with sm_90."""
    return list(OPCODES) if arch.parse(device.architecture).number >= 90 else list(OPCODES)[:4]


def check(point, seed, out):
    """The word stored last, or the register, has counted every step."""
    steps = point.iters * int(point["CHAIN"])
    wanted = (seed + steps - int(point["PENDING"])) & 0xFFFFFFFF
    found = words(out)[: point.block]
    return None if (found == wanted).all() else f"a thread holds {int(found[0])}, the host's {wanted}"


def expect(p):
    """The fences, and a store before each."""
    stores = {"STG": p["CHAIN"]} if p["PENDING"] else {}
    return Expect(loop=True, counts={OPCODES[p["FENCE"]]: p["CHAIN"], **stores})


SYNC = "burtscher/SyncPerformance cuda_threadfence_array, one block of 32 threads, twin kernels"
SYSTEM = "burtscher/SyncPerformance cuda_threadfence_system_array, one block of 32 threads, twin kernels"
PROBE = Probe(
    name="fence_latency",
    unit="cycle",
    defines={"FENCE": fences, "PENDING": [0, 1], "CHAIN": [8, 24]},
    launch=Launch(block=32, data_bytes=4096, iters=32),
    expect=expect,
    estimate=latency(),
    check=check,
    out_words=64,
    noise={"latency": 0.03},
    covers=(23,),
    published=[
        Published("a100-pcie-40gb", 773.3, SYNC, {"FENCE": "GPU", "PENDING": 1}, tolerance=0.1),
        Published("rtx-4090", 899.6, SYNC, {"FENCE": "GPU", "PENDING": 1}, tolerance=0.1),
        Published("a100-pcie-40gb", 3148.5, SYSTEM, {"FENCE": "SYS", "PENDING": 1}, tolerance=0.1),
        Published("rtx-4090", 3561.7, SYSTEM, {"FENCE": "SYS", "PENDING": 1}, tolerance=0.1),
    ],
)
