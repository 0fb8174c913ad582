"""Borders of windows: a launch's calls and its GPU work stay together or go together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_trace_record_observed import rows

from gpuprobe.trace.analyze import analyze
from gpuprobe.trace.record.borders import kept_of
from gpuprobe.trace.record.decode import decode
from gpuprobe.trace.record.spool import LAYOUTS, Spool

NAMES = {0: "", 1: "kernel", 2: "cudaLaunchKernel_v7000", 3: "cudaStreamSynchronize_v3020", 4: "cudaLaunchHostFunc_v1"}
NAMES |= {5: "cudaStreamBeginCapture_v10000", 6: "cudaStreamEndCapture_v10000"}
LAUNCH, WAIT, HOST_FUNCTION, BEGIN_CAPTURE, END_CAPTURE = 2, 3, 4, 5, 6
CALL = ("start", "end", "correlation", "name", "thread")
ENDS, BEGINS, ALL_ON = 0, 1, 2
SPAN = 100  # a window's length; it begins at a multiple of twice that, its switching 10 earlier


def spool_of(calls=(), kernels=(), windows=2, info=None, marks=None, driver=(), graph=0):
    """A process; calls are (start, end, correlation, name[, thread]), kernels (start, end, correlation)."""

    def table(name, given, columns):
        values = [np.array(column, int) for column in zip(*given, strict=True)] if given else [[]] * len(columns)
        return rows(name, **dict(zip(columns, values, strict=True)))

    if marks is None:
        begin = 1000 + 2 * SPAN * np.arange(windows)
        marks = [m for at in begin for m in ((at - 10, BEGINS), (at, ALL_ON), (at + SPAN, ENDS))]
    work = table("kernels", kernels, ("start", "end", "correlation"))
    work["graph"] = graph
    tables = {
        "marks": table("marks", marks, ("time", "border")),
        "kernels": work,
        "runtime": table("runtime", calls, CALL[: len(calls[0])] if calls else CALL),
        "driver": table("driver", driver, CALL[:4]),
    }
    every = {name: tables.get(name, np.zeros(0, layout)) for name, (_, layout) in LAYOUTS.items()}
    return Spool(None, 0, {"pid": "1", "windows": "sample", **(info or {})}, NAMES, every)


def kept(**options):
    """Correlations of (kernels, runtime calls, driver calls) that stay, and launches cut."""
    found = kept_of(spool_of(**options))
    return *(table["correlation"].tolist() for table in (found.kernels, found.runtime, found.driver)), found.cut


@pytest.mark.parametrize(
    ("call", "stays"),
    [
        ((1000, 1004), True),
        ((999, 1004), False),
        ((1099, 1104), True),
        ((1100, 1101), True),
        ((1101, 1102), False),
        ((990, 995), False),
        ((1200, 1203), True),
    ],
    ids=str,
)
def test_a_launch_belongs_to_the_window_in_which_its_call_began(call, stays):
    found = kept(calls=[(*call, 7, LAUNCH)], kernels=[(1150, 1160, 7)])
    assert found == (([7], [7], [], 0) if stays else ([], [], [], 1))


@pytest.mark.parametrize(
    ("call", "cut"),
    [((991, 994), 1), ((985, 1003), 1), ((1095, 1105), 1), ((1100, 1101), 1), ((980, 989), 0), ((1101, 1103), 0)],
    ids=str,
)
def test_a_launch_across_a_border_whose_kernel_was_not_recorded_goes(call, cut):
    assert kept(calls=[(*call, 7, LAUNCH), (1050, 1051, 8, LAUNCH)]) == ([], [8], [], cut)


def test_a_launch_inside_whose_kernel_was_not_recorded_stays_and_is_counted():
    calls = [(1010, 1012, 7, LAUNCH), (1020, 1022, 8, LAUNCH), (1030, 1032, 9, WAIT)]
    found = kept_of(spool_of(calls, [(1011, 1013, 7)]))
    assert (found.runtime["correlation"].tolist(), found.cut, found.without_work) == ([7, 8, 9], 0, 1)


@pytest.mark.parametrize("name", [WAIT, HOST_FUNCTION])
def test_a_call_that_launches_nothing_stays_where_it_ran_in_a_window(name):
    calls = [(900, 1001, 1), (1095, 1150, 2), (1120, 1150, 3), (950, 999, 4), (1050, 1300, 5)]
    assert kept(calls=[(*call, name) for call in calls]) == ([], [1, 2, 5], [], 0)


def test_a_driver_call_goes_with_the_runtime_call_around_it():
    inside = {"driver": [(1001, 1002, 7, LAUNCH)], "kernels": [(1003, 1004, 7)]}
    assert kept(calls=[(999, 1003, 7, LAUNCH)], **inside) == ([], [], [], 1)
    assert kept(calls=[(1000, 1003, 7, LAUNCH)], **inside) == ([7], [7], [7], 0)


def test_work_without_a_call_stays_between_the_calls_of_one_window():
    calls = [(1010, 1012, 20, LAUNCH), (1090, 1092, 30, LAUNCH), (1210, 1212, 50, LAUNCH)]
    work = [(1011, 1013, 20), (1091, 1093, 30), (1211, 1213, 50)]
    alone = [(1005, 1006, 19), (1050, 1051, 25), (1095, 1096, 31), (1206, 1207, 49), (1250, 1260, 51)]
    found = kept_of(spool_of(calls=calls, kernels=work + alone))
    assert sorted(found.kernels["correlation"].tolist()) == [20, 25, 30, 50]
    assert (found.cut, found.without_call) == (4, 1)
    trace = decode([spool_of(calls, work + alone)])
    assert trace.meta["recorder"]["without_call"] == 1
    assert any(text.startswith("1 GPU events have no launch call") for text in analyze(trace)["warnings"])


def test_two_threads_whose_calls_are_numbered_crosswise_leave_no_launch_half():
    calls = [(1010, 1016, 42, LAUNCH), (1012, 1014, 40, LAUNCH), (1080, 1082, 60, LAUNCH), (1090, 1091, 58, LAUNCH)]
    work = [(1017, 1018, 42), (1015, 1016, 40), (1083, 1084, 60), (1092, 1093, 58)]
    beside, inside = [(1011, 1013, 41), (1085, 1086, 59)], [(1050, 1051, 50)]
    found = kept_of(spool_of(calls, work + beside + inside))
    assert sorted(found.kernels["correlation"].tolist()) == [40, 42, 50, 58, 60]
    assert (found.cut, found.without_call) == (2, 1)


def test_work_without_a_number_stays_by_its_own_start():
    options = {"calls": [(1010, 1012, 20, LAUNCH)], "kernels": [(1020, 1030, 20), (1040, 1050, 0), (1150, 1160, 0)]}
    found = kept_of(spool_of(**options))
    assert found.kernels["start"].tolist() == [1020, 1040, 1150]
    assert (found.cut, found.without_call) == (0, 2)


def test_calls_captured_into_a_graph_need_no_work_of_their_own():
    here = [(1010, 1011, 1, BEGIN_CAPTURE, 7), (1012, 1013, 2, LAUNCH, 7), (1016, 1017, 3, END_CAPTURE, 7)]
    lost = [(1014, 1015, 4, LAUNCH, 8), (1018, 1019, 5, LAUNCH, 7)]
    again = [(1020, 1021, 6, BEGIN_CAPTURE, 7), (1022, 1023, 7, LAUNCH, 7), (1024, 1025, 8, LAUNCH, 7)]
    found = kept_of(spool_of(here + lost + again))
    assert (found.captured, found.without_work) == (3, 2)


def test_calls_with_the_number_of_an_earlier_one_are_counted_and_told():
    calls = [(1010, 1016, 7, LAUNCH), (1012, 1014, 8, LAUNCH), (1016, 1017, 7, LAUNCH), (1020, 1022, 7, LAUNCH)]
    nested = [(1011, 1012, 7, LAUNCH), (1013, 1014, 7, LAUNCH)]
    work = [(1030, 1040, 7), (1040, 1041, 8)]
    assert kept_of(spool_of(calls[:2], work, driver=nested)).misnumbered == 0
    spool = spool_of(calls, work, driver=nested)
    assert kept_of(spool).misnumbered == 2
    assert any("2 calls the number of an earlier one" in warning for warning in decode([spool]).warnings)


def test_a_window_without_gpu_work_says_where_it_lay_and_when_the_program_launched():
    second = 10**9
    marks = [(second, BEGINS), (second + 5, ALL_ON), (2 * second, ENDS)]
    launch, wait = (3 * second + 1, 3 * second + 2, 7, LAUNCH), (2 * second + 5, 2 * second + 9, 6, WAIT)

    def warnings(calls, windows, marks=marks):
        spool = spool_of(calls, marks=marks, info={"windows": windows})
        spool.tables["stats"] = rows("stats", cupti_ns=[0, 5 * second], closed=[0, 1])
        return decode([spool]).warnings

    assert warnings([wait, launch], "delay") == (
        "process 1 launched no GPU work from 1.0 to 2.0 s after CUDA's start, but at 3.0 s: --delay 3.0",
    )
    assert warnings([wait], "") == ("process 1 launched no GPU work from 1.0 to 2.0 s after CUDA's start",)
    assert warnings([], "delay", marks[:2]) == ("process 1 launched no GPU work from 1.0 s after CUDA's start on",)
    assert warnings([wait], "profiler-api")[0].endswith("between cudaProfilerStart and cudaProfilerStop")
    assert warnings([wait], "", marks[:2]) == ()


def test_work_of_a_recording_without_calls_stays_by_its_own_start():
    work = [(989, 990, 1), (991, 992, 2), (1000, 1001, 3), (1150, 1160, 4), (1195, 1198, 5), (1200, 1201, 6)]
    assert kept(kernels=work) == ([3, 4, 6], [], [], 3)
    assert kept_of(spool_of(kernels=work)).without_call == 0


def test_graphs_of_a_cupti_that_errs_stay_by_their_own_start():
    options = {"calls": [(1010, 1012, 20, LAUNCH)], "kernels": [(1020, 1030, 3), (1020, 1030, 99)], "graph": 5}
    assert kept(**options, info={"cupti_version": "130001"})[0] == [3, 99]
    assert kept(**options, info={"cupti_version": "130101"})[0] == []


def test_a_recording_of_everything_loses_nothing():
    calls, work = [(5, 2000, 1, LAUNCH), (2100, 2200, 2, LAUNCH)], [(1500, 1600, 1), (2150, 2170, 2), (990, 995, 9)]
    whole = {"calls": calls, "kernels": work, "info": {"windows": ""}}
    assert kept(**whole, marks=[(1000, BEGINS), (1001, ALL_ON)]) == ([1, 2, 9], [1, 2], [], 0)
    assert kept(**whole, marks=[]) == ([1, 2, 9], [1, 2], [], 0)
    assert kept(**whole, marks=[(1000, BEGINS), (1001, ALL_ON), (2050, ENDS)]) == ([1], [1], [], 2)


def test_a_window_that_a_kill_left_open_holds_all_that_came():
    marks = [(990, BEGINS), (1000, ALL_ON)]
    assert kept(calls=[(1005, 1006, 4, LAUNCH)], kernels=[(1007, 1008, 4), (1009, 1010, 8)], marks=marks)[0] == [4, 8]


times = st.integers(980, 1420)
launches = st.lists(st.tuples(times, st.integers(0, 60), st.integers(0, 80), st.booleans(), st.booleans()), max_size=40)


@given(launches, st.integers(1, 3))
def test_no_call_at_a_border_lacks_its_kernel_and_no_kernel_its_call(drawn, windows):
    drawn.sort()
    calls = [(start, start + dur, n, LAUNCH) for n, (start, dur, _, called, _) in enumerate(drawn, 1) if called]
    work = [(start + delay, start + delay + 5, n) for n, (start, _, delay, _, ran) in enumerate(drawn, 1) if ran]
    found = kept_of(spool_of(calls, work, windows))
    recorded = {c[2] for c in calls} & {k[2] for k in work}
    here, there = ({*table["correlation"].tolist()} for table in (found.kernels, found.runtime))
    assert here & recorded == there & recorded
    for start, end, number, _ in calls:
        began = any(at <= start <= at + SPAN for at in 1000 + 2 * SPAN * np.arange(windows))
        ended = any(at <= start and end <= at + SPAN for at in 1000 + 2 * SPAN * np.arange(windows))
        assert (number in there) == (began if number in recorded else ended)
    if there:
        assert found.without_call == len(here - there)
