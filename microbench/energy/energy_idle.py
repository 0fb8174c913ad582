"""Power of the GPU when it computes nothing: at rest, with sleeping blocks on every SM, and with SMs awake.

Method: mean power by the energy counter over ten of its updates. IDLE: a context is alive, nothing runs (the SM clock
stays up on data-centre cards, and falls on others: the clock stands beside the value). ASLEEP: one block an SM whose
warps sleep (nanosleep). AWAKE: one warp a scheduler reads the timer without end. Pitfalls: power right after a load
holds the heat and the voltage of that load, so each state is watched from 0.12 s on, in random order.
"""

import numpy as np

from gpuprobe.energy.per_operation import power, unfit
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, sm_count

LAUNCH_NS = 10_000_000


def check(point, seed, out):
    """Every thread got to its end."""
    return None if not out or np.all(words(out)[: point.grid * point.block] == 1) else "a thread did not end"


PROBE = Probe(
    name="energy_idle",
    unit="W",
    quantity="power",
    method="energy",
    defines={"STATE": ["IDLE", "ASLEEP", "AWAKE"]},
    quick={"STATE": []},
    launch=Launch(grid=sm_count, block=128, iters=lambda p, d: 0 if p["STATE"] == "IDLE" else LAUNCH_NS),
    estimate=power(),
    check=check,
    refuse=unfit,
    rounds=1,
    width=0.05,
    noise={"power": 0.02},
    covers=(47,),
)
