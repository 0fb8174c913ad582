"""Energy of one FFMA, DFMA, IMAD or MUFU of one thread, in joules, on operands of random bits and of zeros.

Method: every SM runs chains in 1 and in 16 warps (DFMA: 3) for ten updates of the energy counter each; the slope of
power over instructions a second is the energy of one, so that what the GPU draws awake and idle cancels (``static``:
the power at rate zero). Zero operands (of MUFU 0 and 1 by turns) share that origin. Energy is the NVML counter's
between its ticks, 0.12 s after the start, cut in five windows whose spread is the noise; two rounds show what changes
between them. Pitfalls: operands that do not change (a chain x = x * 1 + 1 toggles few bits); a power cap that lowers
the clock; loops shorter than the sensor's period, which are refused. The sensor itself is off by up to 5 % (see
power_sensor): ratios on one card are better than absolute values. An instruction's energy holds fetch, issue, registers
and its share of the loop (3 %).
"""

import numpy as np

from gpuprobe.energy.per_operation import energy_per, unfit
from gpuprobe.gate import Expect
from gpuprobe.operands import floats, mixed, words
from gpuprobe.probe import Launch, Probe, sm_count

STEPS, CHAINS = 64, 4
FULL = {"FFMA": 16, "DFMA": 3, "IMAD": 16, "MUFU": 16}  # warps; DFMA on all four schedulers is near the power cap
PASSES = {"FFMA": {1: 300_000, 16: 75_000}, "DFMA": {1: 150_000, 3: 150_000}, "IMAD": {1: 150_000, 16: 38_000},
          "MUFU": {1: 40_000, 16: 10_000}}  # fmt: skip
TOLERANCE = {"FFMA": 1e-5, "DFMA": 2e-6, "MUFU": 0.1}  # of sums of four numbers below 4


def instructions(point):
    """Instructions of all threads in one launch."""
    return float(point.iters * STEPS * point.grid * point.block)


def mixed_at(threads, seed, offset):
    """Random words of threads as the kernel makes them."""
    return mixed((threads * 16 + offset + seed).astype(np.uint32))


def fractions(threads, seed, offset):
    """Numbers of magnitude in [0.5, 1) of threads as the kernel makes them, as FP64."""
    index = (threads * 16 + offset).astype(np.uint32) * np.uint32(0x9E3779B9)
    bits = mixed(index + np.uint32(seed))
    return ((bits & np.uint32(0x807FFFFF)) | np.uint32(0x3F000000)).view(np.float32).astype(np.float64)


def factors(threads, seed):
    """The multiplier of each thread: a fraction in [0.5, 0.75)."""
    bits = fractions(threads, seed, 1).astype(np.float32).view(np.uint32) & np.uint32(0xFFBFFFFF)
    return bits.view(np.float32).astype(np.float64)


def expected(op, threads, seed, steps):
    """What each thread stores after an even number of steps of each chain."""
    if op == "IMAD":
        return after_steps(threads, seed, steps)
    if op == "MUFU":
        bits = [mixed_at(threads, seed, 4 + j) & np.uint32(0x7FFFFF) | np.uint32(0x3F000000) for j in range(CHAINS)]
        return sum(one.view(np.float32).astype(np.float64) for one in bits)
    a, c = factors(threads, seed), fractions(threads, seed, 2)
    if op == "DFMA":
        a = a * (1 + c * 2.0**-26)
    b = sum(fractions(threads, seed, 4 + j) for j in range(CHAINS))
    return (a * b + CHAINS * c) / (1 - a * a)  # each chain is in the cycle of two values that |a| < 0.75 leads to


def after_steps(threads, seed, steps):
    """The generators x a + c after ``steps`` steps, by squaring the map; their sum."""
    a, c = mixed_at(threads, seed, 1) | np.uint32(1), mixed_at(threads, seed, 2)
    factor, addend = np.ones_like(a), np.zeros_like(a)
    while steps:
        if steps & 1:
            factor, addend = factor * a, addend * a + c
        a, c = a * a, a * c + c
        steps >>= 1
    starts = sum((mixed_at(threads, seed, 4 + j) for j in range(CHAINS)), np.zeros_like(a))
    return starts * factor + addend * np.uint32(CHAINS)


def check(point, seed, out):
    """Threads of the first block and of the last end where the host's chains do."""
    op, steps = str(point["OP"]), point.iters * (STEPS // CHAINS)
    last = (point.grid - 1) * point.block
    threads = np.concatenate([np.arange(point.block), last + np.arange(point.block)]).astype(np.uint32)
    found = words(out)[threads] if op == "IMAD" else floats(out)[threads].astype(np.float64)
    wanted = np.zeros_like(found) if seed == 0 else expected(op, threads, seed, steps)
    near = found == wanted if op == "IMAD" else np.abs(found - wanted) <= TOLERANCE[op]
    if np.all(near):
        return None
    first = int(np.flatnonzero(~near)[0])
    return f"{op}: thread {int(threads[first])} ends at {found[first]:.9g}, the host's at {wanted[first]:.9g}"


def keep(p):
    """One warp and as many as fill the SM; zeros at the fuller point."""
    full = FULL[p["OP"]]
    return p["WARPS"] == full if p["OPERANDS"] == "zero" else p["WARPS"] in (1, full)


PROBE = Probe(
    name="energy_alu",
    kernel="alu",
    unit="J/op",
    quantity="energy",
    method="energy",
    defines={"OP": ["FFMA", "DFMA", "IMAD", "MUFU"]},
    axes={"WARPS": [1, 3, 16], "OPERANDS": ["random", "zero"]},
    quick={"OP": []},
    keep=keep,
    launch=Launch(
        grid=sm_count, block=lambda p, d: 32 * p["WARPS"], iters=lambda p, d: PASSES[p["OP"]].get(p["WARPS"], 0)
    ),
    expect=lambda p: Expect(loop=True, counts={p["OP"]: STEPS}),
    estimate=energy_per(instructions, "J/op"),
    check=check,
    refuse=unfit,
    rounds=2,
    width=0.1,
    out_words=1 << 18,
    noise={"energy": 0.02, "static": 0.02},
    covers=(47, 48),
)
