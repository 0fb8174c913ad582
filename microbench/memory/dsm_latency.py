"""Latency of distributed shared memory: a load from, and an exchange in, another block's shared memory, in cycles.

Method: one thread of the first block of a cluster follows a ring in the shared memory of block PEER (MODE LOAD), or
swaps a word there for the one it got before (EXCH); slope over the chain's length. PEER 0 is its own memory through
the cluster's window. Chains run over generic addresses: an address of the shared::cluster window is widened by moves
before each load, which would be in the number. Pitfalls: which peers a cluster's ranks are differs from cluster to
cluster; the published 180-213 cycles are the range over pairs. Expected: on H100 26 cycles own, 182 in a cluster of
2, 190-207 in larger ones; an exchange 28 and 190-214. Published: 33 own, 180-213 remote.
"""

from gpuprobe.estimate import latency
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import expect_all, words
from gpuprobe.probe import Launch, Probe, Published

OPCODES = {"LOAD": "LD.E.64", "EXCH": "ATOM.E.EXCH"}


def check(point, seed, out):
    """The ring goes 33 words on with every step; a swap returns the 1 in memory and the 5 brought along by turns."""
    chain, passes = int(point["CHAIN"]), point.iters
    if point["MODE"] == "LOAD":
        return expect_all(words(out)[:1], passes * chain * 33 % 1024)
    return expect_all(words(out)[:1], passes * (1 if chain % 2 else 5))


HOP = "HPMLL/NVIDIA-Hopper-Benchmark DSM OneToAll, least and most over pairs"
INDEX = "chase by index: address arithmetic in the chain"
PROBE = Probe(
    name="dsm_latency",
    unit="cycle",
    archs=">=sm_90",
    defines={"MODE": ["LOAD", "EXCH"], "CHAIN": [15, 45]},
    axes={"CLUSTER": [2, 4, 8, 16], "PEER": [0, 1, 3, 7, 15]},
    quick={"CLUSTER": [2], "PEER": [1]},
    keep=lambda p: p["PEER"] < p["CLUSTER"],
    launch=Launch(
        grid=lambda p, d: p["CLUSTER"],
        cluster=lambda p, d: p["CLUSTER"],
        data_bytes=lambda p, d: p["PEER"],
        iters=64,
    ),
    prologue=True,
    expect=lambda p: Expect(
        loop=True,
        counts={OPCODES[p["MODE"]]: p["CHAIN"]},
        chain=Chain(OPCODES[p["MODE"]], via=("MOV", "IMAD.MOV", "LOP3", "VIADD", "IADD3")),
        allow=("ST",),
    ),
    estimate=latency(),
    check=check,
    out_words=64,
    noise={"latency": 0.02},  # which SMs the cluster comes to lie on
    covers=(38,),
    published=[
        Published("h800-pcie", 33.0, HOP, {"MODE": "LOAD", "CLUSTER": 2, "PEER": 0}, method=INDEX),
        Published("h800-pcie", 181.0, HOP, {"MODE": "LOAD", "CLUSTER": 2, "PEER": 1}),
        Published("h100-sxm", 190.0, "arXiv:2508.18850 sec. 2.3", {"MODE": "LOAD", "CLUSTER": 2, "PEER": 1}),
        Published("h100-sxm", 191.0, "arXiv:2609.01864 Table II", {"MODE": "LOAD", "CLUSTER": 2, "PEER": 1}),
        Published("h800-pcie", 201.0, HOP, {"MODE": "LOAD", "CLUSTER": 4, "PEER": 1}),
        Published("h800-pcie", 190.0, HOP, {"MODE": "LOAD", "CLUSTER": 8, "PEER": 1}),
        Published("h800-pcie", 180.0, HOP, {"MODE": "LOAD", "CLUSTER": 16, "PEER": 1}),
    ],
)
