"""Rate of wgmma.m64n256 with A in registers (RS), by operand type, per SM and for the whole GPU.

Method: as wgmma_rate, but each thread holds its fragment of A for the four k slices in registers. With N = 256 the
rate is that of operands in shared memory; for small N it is higher (wgmma_rate_by_n). Pitfalls: as wgmma_rate; a
compiler that must move A between registers serialises the instructions (the gate counts moves). Expected on H100 SXM:
2048 FMA/cycle/SM for f16 and bf16, 1024 for tf32, 4096 for 8 bits.
"""

from gpuprobe.estimate import every, rate, rate_per_sm
from gpuprobe.families import wgmma
from gpuprobe.probe import Launch, Probe, Published, sm_count

WHERE = "Johnsonms/NVIDIA-Hopper-Benchmark, reproduction/H100-dapperdingo/raw"
VALUES = [  # TFLOP/s or Top/s on H100 SXM: type, zero, random
    ("F16", 976.6, 901.9),
    ("F16_F16", 977.3, 967.7),
    ("TF32", 488.2, 486.7),
    ("E4M3", 1951.2, 1880.5),
    ("E4M3_F16", 1951.1, 1942.1),
    ("S8", 1950.7, 1947.2),
]


def source(kind, operands, tera):
    """A published throughput."""
    params = {"TYPE": kind, "OPERANDS": operands}
    method = "whole GPU, clock not stated"
    return Published("h100-sxm", tera * 1e12, WHERE, params, "throughput", "FLOP/s", method=method, tolerance=0.05)


PROBE = Probe(
    name="wgmma_rate_rs",
    unit="FMA/cycle/SM",
    quantity="rate",
    archs="==sm_90",
    kernel="wgmma",
    defines={"TYPE": list(wgmma.TYPES), "FORM": ["RS"], "CHAIN": [16]},
    axes={"OPERANDS": ["random", "zero"], "PASSES": [300, 900]},
    quick={"TYPE": []},
    launch=Launch(grid=sm_count, block=256, iters=lambda p, d: p["PASSES"]),
    expect=wgmma.expect,
    estimate=every(rate_per_sm(wgmma.per_sm, "FMA/cycle/SM"), rate(wgmma.flop, "FLOP/s")),
    bound=wgmma.bound,
    check=wgmma.check,
    prologue=True,
    rounds=21,
    width=0.02,
    out_words=1 << 18,
    noise={"throughput": 0.006},
    covers=(4, 9),
    published=[
        source(kind, operands, tera)
        for kind, *values in VALUES
        for operands, tera in zip(("zero", "random"), values, strict=True)
    ],
)
