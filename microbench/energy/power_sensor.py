"""What the GPU's power sensors do: update period, averaging window and delay, found by a load switched on and off.

Method: all SMs run FFMA for a step of 1.1 s and then for 20 to 170 ms at random times, while the energy counter and
NVML's instant (186) and average (185) power fields are polled as fast as they answer. A reading is taken for the mean
of the load over a window that ended some lag ago; of all windows and lags those that fit best are kept. ``period`` is
the time between changes, ``window`` what a reading averages over, ``delay`` the mean age of that when it appears;
``agreement`` the energy of the held instant power over that of the counter. For the counter a reading is a step's
energy over its time: a window as long as the period says that it sees all, a shorter one that it samples. Pitfalls: a
window of 25 ms in every 100 ms aliases with any load of about that period; gain errors of 5 % are of the card and
need an external meter. The analysis is tested against recordings with such a meter.
"""

from gpuprobe.energy.estimators import estimate
from gpuprobe.probe import Launch, Probe, sm_count

PROBE = Probe(
    name="power_sensor",
    kernel="alu",
    entry="burn",
    unit="s",
    quantity="period",
    method="sensor",
    defines={"OP": ["FFMA"]},
    quick={"OP": []},
    launch=Launch(grid=sm_count, block=512, iters=1),
    estimate=estimate,
    rounds=3,
    width=0.2,
    out_words=1 << 18,
    noise={"period": 0.01, "window": 0.1, "delay": 0.1, "agreement": 0.03},
    covers=(47,),
)
