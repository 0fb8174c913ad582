"""Spool files → Trace: a recording of an H100 against torch.profiler's of the same program, and made-up ones."""

import gzip
import json
import re
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.errors import GpuprobeError
from gpuprobe.gpu.nvml import Reading
from gpuprobe.trace.launches import join_launches
from gpuprobe.trace.model import CallKind, GpuKind, RangeKind
from gpuprobe.trace.record.decode import decode
from gpuprobe.trace.record.power import PowerLog, PowerRecorder
from gpuprobe.trace.record.spool import LAYOUTS, Spool, read_spool
from gpuprobe.trace.record.texts import call_name
from gpuprobe.trace.record.window import STEP, Window, cut, parse_window
from gpuprobe.trace.store import encode_trace

DATA = Path(__file__).resolve().parent / "data"
RECORDED = gzip.decompress((DATA / "h100_mix.spool.gz").read_bytes())
PROFILED = json.loads((DATA / "h100_mix_torch_profiler.json").read_text())


def borders_of(data):
    """End of each block → its kind."""
    found, position = {0: 0}, 0
    while position < len(data):
        _, kind, _, size = struct.unpack_from("<IIII", data, position)
        position += 16 + size
        found[position] = kind
    return found


STATS = 14
BORDERS = borders_of(RECORDED)


@pytest.fixture(scope="module")
def spool(tmp_path_factory):
    path = tmp_path_factory.mktemp("spool") / "830.0.spool"
    path.write_bytes(RECORDED)
    return read_spool(path)


@pytest.fixture(scope="module")
def trace(spool):
    return decode([spool])


@pytest.fixture(scope="module")
def steps(trace):
    """The part that was also recorded with torch.profiler."""
    return cut(trace, Window(r"^step \d"))


def by_name(trace):
    names = np.array(trace.texts, object)[trace.gpu.name]
    return {name: trace.gpu.dur[names == name] for name in set(names)}


def test_gpu_work_has_torch_profilers_names_and_counts(steps):
    counts = {name: len(durations) for name, durations in by_name(steps).items()}
    assert counts == {name: seen["count"] for name, seen in PROFILED["gpu"].items()}


def test_durations_agree_with_torch_profilers_within_one_percent(steps):
    # The two runs shared the GPU with other programs, so only medians over 50 µs, where that noise is small, can tell.
    long = {name: seen["median_ns"] for name, seen in PROFILED["gpu"].items() if seen["median_ns"] > 50_000}
    assert len(long) == 2
    for name, median in long.items():
        assert np.median(by_name(steps)[name]) == pytest.approx(median, rel=0.01)


def test_launches_of_every_api_are_joined(steps):
    launches = join_launches(steps)
    assert launches.known.all()
    names = np.array(steps.texts, object)[steps.calls.name]
    for api in ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernelEx", "cudaGraphLaunch", "cudaMemcpyAsync"):
        assert (names == api).sum() == PROFILED["calls"][api]
    driver = {name for name, kind in zip(names, steps.calls.kind, strict=True) if kind == CallKind.DRIVER}
    assert driver == {"cuLaunchKernelEx", "cuLibraryLoadData"}


def test_graph_nodes_keep_their_ids_and_their_launch(steps):
    of_graph = steps.gpu.graph > 0
    assert of_graph.sum() == 200
    assert join_launches(steps).graph.sum() == 200
    assert len(np.unique(steps.gpu.node[of_graph])) == 4
    assert (steps.gpu.node[~of_graph] == 0).all()


def test_ranges_nest_and_overheads_are_kept_apart(trace, steps):
    names = [trace.texts[name] for name in trace.ranges.name[trace.ranges.kind == RangeKind.ANNOTATION]]
    assert sorted(names) == sorted([*(f"step {i}" for i in range(5)), *["small"] * 5, *["graph"] * 5])
    ranges = {
        trace.texts[name]: (start, start + dur)
        for name, start, dur in zip(trace.ranges.name, trace.ranges.start, trace.ranges.dur, strict=True)
    }
    assert ranges["step 4"][0] <= ranges["small"][0] < ranges["small"][1] <= ranges["graph"][0] < ranges["step 4"][1]
    assert (trace.ranges.kind == RangeKind.OVERHEAD).sum() == 36
    assert (steps.ranges.kind == RangeKind.ANNOTATION).sum() == 15


def test_synchronisation_knows_the_awaited_record(steps):
    names = [steps.texts[name] for name in steps.syncs.name]
    assert {name: names.count(name) for name in set(names)} == {
        "Stream Wait Event": 5,
        "Event Sync": 5,
        "Stream Sync": 10,
        "Context Sync": 5,
    }
    awaited = steps.syncs.wait_correlation[steps.syncs.wait_correlation != 0]
    assert len(awaited) == 10
    call_of = dict(zip(steps.calls.correlation.tolist(), steps.calls.name.tolist(), strict=True))
    assert {steps.texts[call_of[correlation]] for correlation in awaited.tolist()} == {"cudaEventRecordWithFlags"}
    assert set(steps.syncs.wait_stream.tolist()) == {-1, 7, 13}


def test_copies_say_where_from_and_how_much(steps):
    pinned = steps.text_mask(lambda text: text == "Memcpy HtoD (Pinned -> Device)")[steps.gpu.name]
    assert (steps.gpu.bytes[pinned] == 4 << 20).all()
    assert (steps.gpu.bytes[steps.gpu.kind == GpuKind.KERNEL] == -1).all()
    config = json.loads(steps.texts[steps.gpu.config[steps.gpu.kind == GpuKind.KERNEL][0]])
    assert set(config) == {"grid", "block", "registers", "shared"}


def test_the_recording_tells_its_cost_clock_and_device(trace):
    assert trace.meta["recorder"]["dropped"] == 0
    assert trace.meta["recorder"]["records"] == 1981
    assert abs(trace.meta["clock"]["records_minus_realtime_ns"]) < 1000
    assert trace.meta["base_ns"] > 1.7e18
    assert trace.gpu.start.min() >= 0
    assert [(device["name"], device["numSms"], device["id"]) for device in trace.meta["devices"]] == [
        ("NVIDIA H100 80GB HBM3", 132, 0)
    ]
    assert trace.warnings == ()


def test_power_samples_of_the_used_gpu_stand_on_the_records_clock(spool, trace):
    uuid = trace.meta["devices"][0]["uuid"]
    middle_s = (trace.meta["base_ns"] + 1_000_000) / 1e9
    reading = Reading(middle_s - 0.001, middle_s + 0.001, 100.0, None, 5.0, 1.98e9, 2.6e9, 40.0, 0)
    logs = [PowerLog(uuid, 3, (reading,)), PowerLog("GPU-another", 0, (reading,))]
    samples = decode([spool], logs)
    rows = {samples.texts[name]: value for name, value in zip(samples.samples.name, samples.samples.value, strict=True)}
    assert rows == {
        "power_w": 100.0,
        "energy_j": 5.0,
        "sm_clock_hz": 1.98e9,
        "mem_clock_hz": 2.6e9,
        "temperature_c": 40.0,
    }
    assert samples.samples.start == pytest.approx(np.full(5, 1_000_000), abs=1000)
    assert {samples.lanes[lane].device for lane in samples.samples.lane} == {0}


def test_power_is_polled_until_the_end_and_a_lost_gpu_is_told():
    class Sensors:
        polls = 0

        def read(self, clock):
            self.polls += 1
            if self.polls > 2:
                raise GpuprobeError("the GPU is lost")
            return Reading(clock(), clock(), 1.0, None, None, None, None, None, None)

        def close(self):
            self.polls = -1

    sensors = Sensors()
    with PowerRecorder({("GPU-x", 0): sensors}, period_s=0.001) as recorder:
        while not recorder.problem:
            pass
    assert len(recorder.logs()[0].readings) == 2
    assert recorder.problem == "the GPU is lost"
    assert sensors.polls == -1


def test_a_decoded_trace_can_be_stored(trace):
    events = len(trace.gpu.start) + len(trace.calls.start)
    assert len(encode_trace(trace)) < 40 * events


@given(st.integers(0, len(RECORDED)))
def test_a_truncated_file_keeps_every_whole_block(tmp_path_factory, end):
    path = tmp_path_factory.getbasetemp() / "cut.spool"
    path.write_bytes(RECORDED[:end])
    spool = read_spool(path)
    assert spool.truncated == (end not in BORDERS)
    assert len(spool["stats"]) == sum(kind == STATS for border, kind in BORDERS.items() if border <= end)
    decode([spool])


@given(st.lists(st.tuples(st.integers(0, len(RECORDED) - 1), st.integers(0, 255)), max_size=8))
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, changes):
    damaged = bytearray(RECORDED)
    for position, value in changes:
        damaged[position] = value
    path = tmp_path_factory.getbasetemp() / "damaged.spool"
    path.write_bytes(damaged)
    try:
        spool = read_spool(path)
    except GpuprobeError:
        return
    assert set(spool.tables) == set(LAYOUTS)


def empty(pid, **tables):
    rows = {name: tables.get(name, np.zeros(0, layout)) for name, (_, layout) in LAYOUTS.items()}
    return Spool(Path(f"{pid}.spool"), 0, {"pid": str(pid)}, {0: "", 1: "kernel", 2: "range"}, rows)


def records(table, *rows):
    made = np.zeros(len(rows), LAYOUTS[table][1])
    for row, values in zip(made, rows, strict=True):
        for name, value in values.items():
            row[name] = value
    return made


def test_work_without_an_end_and_half_ranges_are_counted_not_kept():
    spool = empty(
        1,
        kernels=records("kernels", {"start": 100, "end": 200, "name": 1}, {"start": 150, "end": 0, "name": 1}),
        markers=records("markers", {"time": 50, "flags": 2, "id": 9, "name": 2}, {"time": 60, "flags": 4, "id": 8}),
    )
    trace = decode([spool])
    assert trace.gpu.dur.tolist() == [100]
    assert len(trace.ranges.start) == 0
    assert trace.meta["recorder"]["unfinished"] == 1
    assert any("1 GPU operations had not ended" in warning for warning in trace.warnings)
    assert any("2 NVTX ranges lack" in warning for warning in trace.warnings)


def device(number, uuid):
    return records("devices", {"id": number, "uuid": np.full(16, uuid, np.uint8)})


def test_processes_that_number_their_gpus_alike_are_told_apart_by_uuid():
    row = {"start": 10, "end": 20, "name": 1, "stream": 7, "correlation": 3}
    spools = [empty(pid, kernels=records("kernels", row), devices=device(0, pid)) for pid in (1, 2)]
    trace = decode(spools)
    assert {lane.device for lane in trace.lanes} == {0, 1}
    assert {lane.stream for lane in trace.lanes} == {7}
    assert len(set(trace.gpu.correlation.tolist())) == 2
    uuids = [device["uuid"] for device in trace.meta["devices"]]
    logs = [PowerLog(uuids[0], 5, ()), PowerLog(uuids[1], 4, ())]
    assert {lane.device for lane in decode(spools, logs).lanes} == {4, 5}


def test_nothing_at_all_is_an_empty_trace():
    trace = decode([empty(1)])
    assert len(trace.gpu.start) == len(trace.ranges.start) == 0


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "1.0.spool"
    path.write_bytes(b"something else")
    with pytest.raises(GpuprobeError, match="no spool file"):
        read_spool(path)
    with pytest.raises(GpuprobeError, match="cannot read"):
        read_spool(tmp_path / "missing.spool")


@pytest.mark.parametrize(
    "name", ["step", "Step 3", "train_step 7", "iteration=2", "ProfilerStep#4", "decode.step_12", "iter 5"]
)
def test_names_of_steps(name):
    assert cut_names(name)


@pytest.mark.parametrize("name", ["stepper", "small", "steps to reproduce", "prefill"])
def test_names_of_no_steps(name):
    assert not cut_names(name)


def cut_names(name):
    return re.search(STEP, name)


def test_a_window_that_matches_nothing_keeps_the_recording(trace):
    kept = cut(trace, Window("nonesuch"))
    assert len(kept.gpu.start) == len(trace.gpu.start)
    assert "no range matches --phase nonesuch" in kept.warnings[-1]


def test_steps_are_counted_in_time_order(trace):
    one = cut(trace, parse_window(None, "1:3"))
    names = {one.texts[name] for name in one.ranges.name[one.ranges.kind == RangeKind.ANNOTATION]}
    assert names == {"step 1", "step 2", "small", "graph"}
    assert len(one.gpu.start) == 2 * 187
    assert join_launches(one).known.all()


def test_phases_keep_work_that_ends_after_the_range(steps):
    graph = cut(steps, Window("^graph$"))
    assert len(graph.gpu.start) == 200
    assert (graph.gpu.graph > 0).all()


@pytest.mark.parametrize("steps", ["3", "a:b", "5:2", "2:2", "-1:3"])
def test_bad_steps_are_refused(steps):
    with pytest.raises(GpuprobeError, match="--steps"):
        parse_window(None, steps)


def test_a_bad_phase_is_refused():
    with pytest.raises(GpuprobeError, match="regular expression"):
        parse_window("(", None)


def test_calls_lose_their_version_suffix():
    assert call_name("cudaLaunchKernel_ptsz_v7000") == "cudaLaunchKernel"
    assert call_name("cuLaunchKernelEx") == "cuLaunchKernelEx"


def test_the_rank_is_what_all_processes_agree_on():
    first = replace(empty(1), info={"pid": "1", "rank": "3", "world_size": "8"})
    launcher = empty(2)
    assert decode([first, launcher]).meta["rank"] == 3
    other = replace(empty(3), info={"pid": "3", "rank": "4", "world_size": "8"})
    assert "rank" not in decode([first, other]).meta
