"""Draw the README's picture from a recorded run: latency staircase, mma.sync grid, tensor rates by operands.

Use: python docs/picture.py reports/h100-sxm/run.json.gz docs/h100-sxm.svg   (needs: pip install 'gpuprobe[docs]')
"""

import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from gpuprobe.record import Measurement, Run
from gpuprobe.run_files import read_run

BLUE, ORANGE, GREY = "#2f6db5", "#d9822b", "#8a8a8a"


def rows(run: Run, name: str, quantity: str) -> list[Measurement]:
    """Measurements of one quantity of one probe."""
    return [row for row in run.measurements if row.name == name and row.quantity == quantity]


def staircase(axes: plt.Axes, run: Run) -> None:
    """Latency of a random chase against its footprint."""
    found = sorted(rows(run, "global_latency", "latency"), key=lambda row: row.params["BYTES"])
    size = np.array([row.params["BYTES"] for row in found]) / 2**20
    value, low, high = (np.array([getattr(row, name) for row in found]) for name in ("value", "low", "high"))
    axes.errorbar(size, value, [value - low, high - value], marker="o", ms=3.5, lw=1.4, color=BLUE)
    axes.set(xscale="log", xlabel="footprint", ylabel="cycles per dependent load", ylim=(0, value.max() * 1.15))
    axes.set_xticks([2**-4, 1, 2**4, 2**8, 2**12], ["64 KiB", "1 MiB", "16 MiB", "256 MiB", "4 GiB"])
    axes.minorticks_off()
    at = {2**-4: "L1", 4: "L2, near copies", 2048: "DRAM"}
    for place, name in at.items():
        index = int(np.argmin(abs(np.log(size / place))))
        axes.annotate(
            f"{name}\n{value[index]:.1f}", (size[index], value[index]), (0, 9), textcoords="offset points", ha="center"
        )
    for capacity, name in ((0.25, "256 KiB L1"), (l2_mib := run.device["l2_bytes"] / 2**20, f"{l2_mib:.0f} MiB L2")):
        axes.axvline(capacity, color=GREY, lw=0.8, ls=":")
        axes.annotate(name, (capacity, value.max() * 1.1), (3, 0), textcoords="offset points", color=GREY, fontsize=8)
    axes.set_title("Random chase: latency against footprint")


def grid(axes: plt.Axes, run: Run) -> None:
    """mma.sync rate per SM over warps and independent chains."""
    found = [
        row
        for row in rows(run, "mma_rate", "rate")
        if row.params["TYPE"] == "F16" and row.params["OPERANDS"] == "random"
    ]
    warps = sorted({row.params["WARPS"] for row in found})
    chains = sorted({row.params["ILP"] for row in found})
    table = np.zeros((len(chains), len(warps)))
    for row in found:
        table[chains.index(row.params["ILP"]), warps.index(row.params["WARPS"])] = row.value
    axes.imshow(table, cmap="Blues", vmin=0, vmax=table.max() * 1.15, aspect="auto", origin="lower")
    for (y, x), value in np.ndenumerate(table):
        dark = value > 0.6 * table.max()
        axes.text(x, y, f"{value:.0f}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axes.set_xticks(range(len(warps)), [str(value) for value in warps])
    axes.set_yticks(range(len(chains)), [str(value) for value in chains])
    axes.set(xlabel="warps per SM", ylabel="independent chains per warp")
    axes.set_title(f"mma.sync m16n8k16 f16, FMA per cycle per SM (limit {found[0].limit:.0f})")


def tensor(axes: plt.Axes, run: Run) -> None:
    """Whole-GPU tensor rates with zero and random operands, with the clock each ran at."""
    labels, bars = [], []
    for name in ("mma_rate", "wgmma_rate"):
        for kind in ("F16", "BF16"):
            labels.append(f"{'mma.sync' if name == 'mma_rate' else 'wgmma'}\n{kind.lower()}")
            bars.append([best(rows(run, name, "throughput"), kind, operands) for operands in ("zero", "random")])
    place = np.arange(len(labels))
    for shift, (index, colour, name) in zip((-0.2, 0.2), ((0, ORANGE, "zeros"), (1, BLUE, "random")), strict=True):
        chosen = [pair[index] for pair in bars]
        drawn = axes.bar(place + shift, [row.value / 1e12 for row in chosen], 0.38, color=colour, label=name)
        clocks = [f"{row.value / 1e12:.0f}\n{row.sm_clock_hz / 1e9:.2f}" for row in chosen]
        axes.bar_label(drawn, clocks, fontsize=7.5, padding=2)
    axes.set_xticks(place, labels)
    axes.set(ylabel="TFLOP/s (below it the SM clock, GHz)", ylim=(0, 1250))
    axes.legend(loc="upper left", frameon=False)
    axes.set_title("Tensor throughput, by operands")


def best(found: list[Measurement], kind: str, operands: str) -> Measurement:
    """The fastest row of a type and kind of operands."""
    fitting = [row for row in found if row.params["TYPE"] == kind and row.params["OPERANDS"] == operands]
    return max(fitting, key=lambda row: row.value)


def draw(source: Path, target: Path) -> None:
    """Draw ``source`` into ``target``; the run's provenance stands below."""
    run = read_run(source)
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    mpl.rcParams["svg.hashsalt"] = "gpuprobe"  # the same picture is the same file
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    staircase(left, run)
    grid(middle, run)
    tensor(right, run)
    figure.supxlabel(
        f"{run.device.product}, driver {run.environment.driver}, {run.started_at[:10]}, "
        f"gpuprobe {run.environment.gpuprobe}; bars and points are medians, intervals 95 %",
        fontsize=8,
        color=GREY,
    )
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None, dpi=110)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
