"""How long a block takes to signal another of its cluster (st.async and the wait for it), in cycles and s.

Method: two blocks signal each other by turns with st.async, which stores a word and completes the peer's mbarrier;
the peer waits for the phase, arms the barrier again, adds one to the word and sends it back. The slope of time over
the number of rounds, halved, is one way. Waits end at a deadline, so that a lost signal gives a wrong count.
Pitfalls: polling a remote flag instead costs a remote load a try. Expected: 302 cycles on H100, for any size and peer.
"""

from gpuprobe.estimate import every, slope
from gpuprobe.gate import Expect
from gpuprobe.operands import expect_all, words
from gpuprobe.probe import Launch, Probe


def check(point, seed, out):
    """The word has counted both ways of every round but the first."""
    return expect_all(words(out)[:1], 2 * point.iters)


def ways(point):
    """Signals of one sample: two a round."""
    return 2.0 * point.iters


PROBE = Probe(
    name="dsm_handoff",
    unit="cycle",
    quantity="one_way_cycles",
    archs=">=sm_90",
    axes={"CLUSTER": [2, 4, 8, 16], "PEER": [1, 15], "ROUNDS": [100, 400]},
    quick={"CLUSTER": [2]},
    keep=lambda p: p["PEER"] < p["CLUSTER"],
    launch=Launch(
        grid=lambda p, d: p["CLUSTER"],
        cluster=lambda p, d: p["CLUSTER"],
        data_bytes=lambda p, d: p["PEER"],
        iters=lambda p, d: p["ROUNDS"],
    ),
    prologue=True,
    expect=lambda p: Expect(loop=True, counts={"STAS": 1}),
    estimate=every(
        slope("ROUNDS", quantity="one_way_cycles", unit="cycle", x=ways, y=lambda p, s: s.cycles),
        slope("ROUNDS", quantity="one_way", unit="s", x=ways, y=lambda p, s: s.seconds),
    ),
    check=check,
    out_words=64,
    covers=(38,),
)
