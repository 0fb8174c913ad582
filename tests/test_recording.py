"""The recordings of real GPUs that ship with gpuprobe: each replays to what it says, and what it says is physics."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import pytest
from recording import Watching, numbers_of

from gpuprobe import arch, campaign
from gpuprobe import device as catalogue
from gpuprobe.kernels import Kernels, build_kernels, defines_key
from gpuprobe.probe import Mode, discover
from gpuprobe.record import Measurement, Param, Run
from gpuprobe.recordings import FILE, shipped
from gpuprobe.run_files import read_run

REPORTS = Path(__file__).resolve().parent.parent / "reports"
RECORDED = sorted(path.parent.name for path in REPORTS.glob(f"*/{FILE}"))
REFUSED = {"h200-sxm": {("energy_data", "READ", 16): "power or heat held the clock d"}}
"""What a recording has no number of: reads of HBM3e with every warp draw 700 W."""
ADDED_PROBES = {"h100-sxm": {"wgmma_sparse_rate_by_n"}}
ADDED_POINTS = {
    "h100-sxm": {
        "energy_alu", "energy_data", "energy_mma", "energy_wgmma", "mma_fp8", "mma_integer", "wgmma_latency_by_n",
        "wgmma_rate_by_n",
    }
}  # fmt: skip
"""What came after a recording: probes that it lacks, and probes of which it lacks some points."""
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


class Known(NamedTuple):
    """A quantity of one recording that breaks a rule below: its ratio to what the rule allows lies here, and why."""

    rule: str
    probe: str
    quantity: str
    params: Mapping[str, Param]
    low: float
    high: float
    why: str


LIMIT, QUICK, LAUNCH = "value over limit", "quick over full", "period over least"
KNOWN = {
    "h200-sxm": (
        Known(
            LAUNCH, "null_graph", "period", {}, 0.99, 1.0,
            "499 ns in all three runs of that machine, within 0.2 %; the H100's takes 782 ns: least known before",
        ),
    ),
}  # fmt: skip
"""What breaks a rule, by device: any other row that does is an error, and so is a row here that no longer does."""


@cache
def built() -> Kernels:
    """The kernels of every probe, built once: those of a device of this architecture are those of any other."""
    return build_kernels(discover(), arch.parse("sm_90"), "full", catalogue.load("h100-sxm"))


class Recording:
    """The recorded run of one GPU, and what it replays to."""

    def __init__(self, device: str) -> None:
        self.device, self.path = device, REPORTS / device / FILE

    @cached_property
    def run(self) -> Run:
        return read_run(self.path)

    @cached_property
    def replayed(self) -> Run:
        names = {series.probe for series in self.run.series}
        probes = [probe for probe in discover() if probe.name in names]
        return campaign.replay(self.run, probes, built(), "full", Watching())

    def found(self, name: str, quantity: str, **params: Param) -> list[Measurement]:
        """The recorded measurements of a quantity at these parameters; at least one."""
        rows = [
            m
            for m in self.run.measurements
            if (m.name, m.quantity) == (name, quantity) and all(m.params.get(k) == v for k, v in params.items())
        ]
        assert rows, f"the recording holds no {name} {quantity} {params}"
        return rows

    def value(self, name: str, quantity: str = "latency", **params: Param) -> float:
        """The one recorded value of a quantity at these parameters."""
        (row,) = self.found(name, quantity, **params)
        return row.value

    def best(self, name: str, quantity: str, **params: Param) -> float:
        return max(row.value for row in self.found(name, quantity, **params))

    def breaks_only_as_known(self, rule: str, ratios: Mapping[str, float]) -> None:
        """Asserts that the rows that break a rule, each with its ratio, are those of KNOWN, no more and no fewer."""
        known = {key_of(k.probe, k.quantity, k.params): k for k in KNOWN.get(self.device, ()) if k.rule == rule}
        assert set(ratios) - set(known) == set(), f"{rule} on {self.device}"
        assert set(known) - set(ratios) == set(), "these rows keep the rule: take them out of KNOWN"
        assert {key: r for key, r in ratios.items() if not known[key].low <= r <= known[key].high} == {}


def key_of(probe: str, quantity: str, params: Mapping[str, Param]) -> str:
    """How a row is named in what a failing test prints."""
    return f"{probe} {quantity} {sorted(params.items())}"


@pytest.fixture(scope="module", params=RECORDED)
def recording(request: pytest.FixtureRequest) -> Recording:
    return Recording(request.param)


def test_an_h100_is_recorded() -> None:
    assert "h100-sxm" in RECORDED


def test_what_breaks_a_rule_is_known_of_recorded_devices_by_rules_that_there_are() -> None:
    assert set(KNOWN) <= set(RECORDED)
    assert {known.rule for rows in KNOWN.values() for known in rows} <= {LIMIT, QUICK, LAUNCH}


def test_a_row_that_breaks_a_rule_unknown_or_no_longer_or_further_is_an_error() -> None:
    first = KNOWN["h200-sxm"][0]
    key, recording = key_of(first.probe, first.quantity, first.params), Recording("h200-sxm")
    recording.breaks_only_as_known(first.rule, {key: first.high})
    for ratios in ({}, {key: first.high, "another": 1.02}, {key: 1.02}):
        with pytest.raises(AssertionError):
            recording.breaks_only_as_known(first.rule, ratios)


# --- what it is -------------------------------------------------------------------------------------------------


def test_it_is_a_full_live_run_of_its_device_with_its_surroundings(recording: Recording) -> None:
    run = recording.run
    assert (run.device.name, run.mode, run.source) == (recording.device, "full", "live")
    assert run.environment.driver
    assert run.environment.packages
    assert run.started_at[:2] == "20"
    assert {(r.probe, *r.params.values()): r.reason[:30] for r in run.rejections} == REFUSED.get(recording.device, {})


def test_it_is_what_is_replayed_for_its_architecture_and_small_enough_to_ship(recording: Recording) -> None:
    first = shipped(arch.parse("sm_90"))
    assert first is not None and first.parent.name == "h100-sxm"
    assert (recording.path).stat().st_size < 4 * MIB


def test_it_holds_every_probe_that_there_is(recording: Recording) -> None:
    missing = {probe.name for probe in discover()} - {m.name for m in recording.run.measurements}
    assert missing == ADDED_PROBES.get(recording.device, set()), "record it again: probes were added since"


def test_it_names_no_machine(recording: Recording) -> None:
    assert "GPU-" not in recording.run.environment.gpu_uuid


# --- the replay -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["full", "quick"])
def test_its_kernels_are_those_that_were_built(recording: Recording, mode: Mode) -> None:
    wanted = {(p.name, defines_key(params)) for p in discover() for params in p.builds(mode, recording.run.device)}
    assert wanted - set(built()) == set()


def test_it_replays_to_the_very_same_numbers(recording: Recording) -> None:
    was, now = numbers_of(recording.run), numbers_of(recording.replayed)
    assert set(now) == set(was), f"only recorded: {set(was) - set(now)}; only replayed: {set(now) - set(was)}"
    assert [key for key in was if was[key] != now[key]] == []


def test_it_replays_to_the_same_flags_limits_and_clocks(recording: Recording) -> None:
    by_key = {(m.key, m.unit): m for m in recording.replayed.measurements}

    def rest(m: Measurement) -> tuple[object, ...]:
        return set(m.flags) - {"replayed"}, m.limit, m.sm_clock_hz, m.power_w

    assert [m.key for m in recording.run.measurements if rest(m) != rest(by_key[m.key, m.unit])] == []
    assert all("replayed" in m.flags for m in recording.replayed.measurements)


def test_its_replay_rejects_what_it_rejected_and_names_what_it_does_not_hold(recording: Recording) -> None:
    not_held = [one for one in recording.replayed.rejections if one.reason == campaign.NOT_HELD]
    assert {one.probe for one in not_held} == ADDED_POINTS.get(recording.device, set())
    assert tuple(one for one in recording.replayed.rejections if one not in not_held) == recording.run.rejections


def test_quick_replays_as_well(recording: Recording) -> None:
    probes = [probe for probe in discover() if probe.group in ("compute", "memory")]
    quick = campaign.replay(recording.run, probes, built(), "quick", Watching())
    assert {m.name for m in quick.measurements} == {p.name for p in probes if p.points("quick", recording.run.device)}
    full = {(m.key, m.unit): m for m in recording.run.measurements}
    ratios = {key_of(m.name, m.quantity, m.params): m.value / full[m.key, m.unit].value for m in quick.measurements}
    recording.breaks_only_as_known(QUICK, {key: r for key, r in ratios.items() if not 0.95 < r < 1.05})


# --- first light ------------------------------------------------------------------------------------------------

LATENCIES: Mapping[str, tuple[str, str, Mapping[str, Param], float, float]] = {
    "FFMA": ("ffma_latency", "latency", {}, 3.98, 4.1),
    "IADD3": ("iadd3_latency", "latency", {}, 3.98, 4.15),
    "DFMA": ("dfma_latency", "latency", {}, 7.9, 8.1),
    "L1 at 64 KiB": ("global_latency", "latency", {"CACHE": "CA", "BYTES": 64 * KIB}, 31.5, 35.0),
    "shared, direct": ("shared_latency", "latency", {"MODE": "DIRECT"}, 22.5, 23.5),
    "shared, by index": ("shared_latency", "latency", {"MODE": "INDEX"}, 28.5, 29.5),
    "L2 at 16 MiB": ("global_latency", "latency", {"CACHE": "CG", "BYTES": 16 * MIB}, 258.0, 295.0),
    "L2 near": ("l2_near_far", "near", {}, 258.0, 295.0),
    "L2 far": ("l2_near_far", "far", {}, 414.0, 480.0),
    "DRAM at 2 GiB": ("global_latency", "latency", {"CACHE": "CG", "BYTES": 2 * GIB}, 640.0, 700.0),
    "mma f16": ("mma_latency", "latency", {"TYPE": "F16"}, 23.5, 24.5),
    "mma bf16": ("mma_latency", "latency", {"TYPE": "BF16"}, 23.5, 24.5),
}


@pytest.mark.parametrize("what", LATENCIES)
def test_latencies_in_cycles_are_those_of_the_chip(recording: Recording, what: str) -> None:
    name, quantity, params, low, high = LATENCIES[what]
    assert low <= recording.value(name, quantity, **params) <= high


def test_latency_grows_with_the_footprint(recording: Recording) -> None:
    for cache_ in ("CA", "CG"):
        rows = sorted(
            recording.found("global_latency", "latency", CACHE=cache_), key=lambda m: float(m.params["BYTES"])
        )
        assert len(rows) >= 10
        falls = [(a.params["BYTES"], a.value, b.value) for a, b in itertools.pairwise(rows) if b.value < 0.98 * a.value]
        assert falls == []


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_mma_sync_reaches_its_known_share_of_the_tensor_cores(recording: Recording, kind: str) -> None:
    assert 1300 <= recording.best("mma_rate", "rate", TYPE=kind, OPERANDS="random") <= 2048


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_one_chain_of_mma_is_its_latency(recording: Recording, kind: str) -> None:
    one = recording.value("mma_rate", "rate", TYPE=kind, ILP=1, WARPS=1, OPERANDS="random")
    assert 16 * 8 * 16 / one == pytest.approx(recording.value("mma_latency", TYPE=kind), rel=0.02)


@pytest.mark.parametrize("kind", ["F16", "BF16"])
@pytest.mark.parametrize("operands", ["random", "zero"])
def test_wgmma_reaches_the_peak_in_cycles(recording: Recording, kind: str, operands: str) -> None:
    assert recording.best("wgmma_rate", "rate", TYPE=kind, OPERANDS=operands) == pytest.approx(2048, rel=0.01)


def test_zero_operands_are_faster_and_draw_less_power(recording: Recording) -> None:
    (random,) = recording.found("wgmma_rate", "throughput", TYPE="F16", GROUPS=2, OPERANDS="random")
    (zero,) = recording.found("wgmma_rate", "throughput", TYPE="F16", GROUPS=2, OPERANDS="zero")
    assert zero.value > random.value
    assert zero.sm_clock_hz is not None and random.sm_clock_hz is not None
    assert zero.sm_clock_hz > random.sm_clock_hz


def test_the_rate_in_time_is_the_rate_in_cycles_at_the_measured_clock(recording: Recording) -> None:
    spec = recording.run.device
    apart = []
    for throughput in recording.found("wgmma_rate", "throughput"):
        (rate,) = [m for m in recording.found("wgmma_rate", "rate") if m.params == throughput.params]
        assert throughput.sm_clock_hz is not None
        expected = 2 * rate.value * spec["sm_count"] * throughput.sm_clock_hz
        if not 0.98 < throughput.value / expected < 1.02:
            apart.append((dict(throughput.params), throughput.value / expected))
    assert apart == []


def test_dram_reads_reach_nine_tenths_of_the_vendors_bandwidth(recording: Recording) -> None:
    stated = recording.run.device["dram_bandwidth_bytes_per_s"]
    assert 0.9 * stated < recording.best("dram_bandwidth", "throughput", MODE="READ") < stated


def test_l2_is_faster_than_dram(recording: Recording) -> None:
    assert recording.best("l2_bandwidth", "throughput", MODE="READ") > 1.5 * recording.best(
        "dram_bandwidth", "throughput", MODE="READ"
    )


def test_no_value_is_above_its_limit(recording: Recording) -> None:
    limited = [(m, m.value / m.limit) for m in recording.run.measurements if m.limit is not None]
    over = {key_of(m.name, m.quantity, m.params): ratio for m, ratio in limited if ratio > 1.01}
    recording.breaks_only_as_known(LIMIT, over)


LEAST_PERIOD_S = 0.5e-6


def test_launches_cost_what_launches_cost(recording: Recording) -> None:
    node, kernel = (recording.value(name, "period") for name in ("null_graph", "null_kernel"))
    assert node < kernel < 4e-6
    ratios = {key_of("null_graph", "period", {}): node / LEAST_PERIOD_S}
    recording.breaks_only_as_known(LAUNCH, {key: ratio for key, ratio in ratios.items() if ratio <= 1})


def test_every_value_lies_in_its_interval_and_has_its_samples(recording: Recording) -> None:
    wrong = [m.key for m in recording.run.measurements if not (m.low <= m.value <= m.high and m.n and m.value > 0)]
    assert wrong == []
