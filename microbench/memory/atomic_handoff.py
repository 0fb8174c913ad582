"""How long one thread's compare-and-swap takes to reach another: a word handed to and fro, one way, in s and cycles.

Method: two threads take turns to count a word up by compare-and-swap, each waiting for the other's count; the slope
of time over the number of rounds, halved, is one hand-off. GLOBAL: on SMs half a grid apart, a different pair in
every round of samples (the same pairs in every run), through L2; SHARED: two warps of one block. Tries are bounded,
so that a lost partner gives a wrong count, never a hang. Pitfalls: one way or there and back; a name-plate clock;
which SMs. Expected: 161-166 ns one way through L2 (H100 PCIe, A100), 149 ns on an H100 SXM; 32-44 ns in an SM.
"""

from gpuprobe.estimate import every, slope
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, Published

POISON = 0xA5A5A5A5


def check(point, seed, out):
    """Both made every hand-off, and the word counted them."""
    found = [int(word) for word in words(out)[:5]]
    if found[1:3] != [point.iters, point.iters]:
        return f"{found[1]} and {found[2]} hand-offs were made, not {point.iters} each"
    wanted = POISON + 2 * point.iters & 0xFFFFFFFF
    if point["SPACE"] == "GLOBAL" and (found[0] != wanted or found[3] == found[4]):
        return f"the word holds {found[0]:#x}, the host's {wanted:#x}; SMs {found[3]} and {found[4]}"
    return None


def handoffs(point):
    """Hand-offs of one sample: two a round."""
    return 2.0 * point.iters


CHIPS = "Chips and Cheese, July 2023, latency of atomics; clamchowder/Microbenchmarks"
PROBE = Probe(
    name="atomic_handoff",
    unit="s",
    quantity="one_way",
    defines={"SPACE": ["GLOBAL", "SHARED"]},
    axes={"ROUNDS": [100, 400]},
    launch=Launch(
        grid=lambda p, d: int(d["sm_count"]) if p["SPACE"] == "GLOBAL" else 1,
        block=64,
        iters=lambda p, d: p["ROUNDS"],
    ),
    prologue=True,
    paired=True,
    expect=lambda p: Expect(loop=True, counts={"ATOMG.E.CAS" if p["SPACE"] == "GLOBAL" else "ATOMS.CAS": 1}),
    estimate=every(
        slope("ROUNDS", quantity="one_way", unit="s", x=handoffs, y=lambda p, s: s.seconds),
        slope("ROUNDS", quantity="one_way_cycles", unit="cycle", x=handoffs, y=lambda p, s: s.cycles),
    ),
    check=check,
    out_words=64,
    noise={"one_way": 0.01, "one_way_cycles": 0.01},
    covers=(37,),
    published=[
        Published("h100-pcie", 161.14e-9, CHIPS, {"SPACE": "GLOBAL"}, "one_way", tolerance=0.1, method="at 1755 MHz"),
        Published("h100-pcie", 36.47e-9, CHIPS, {"SPACE": "SHARED"}, "one_way", tolerance=0.1, method="at 1755 MHz"),
        Published("a100-sxm-80gb", 165.55e-9, CHIPS, {"SPACE": "GLOBAL"}, "one_way", tolerance=0.1),
        Published("a100-sxm-80gb", 43.97e-9, CHIPS, {"SPACE": "SHARED"}, "one_way", tolerance=0.1),
        Published(
            "gh200",
            157.75e-9,
            "arXiv:2408.11556 Fig. 13, half of ping and pong",
            {"SPACE": "GLOBAL"},
            "one_way",
            tolerance=0.1,
        ),
    ],
)
