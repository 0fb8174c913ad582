"""Windows of recording: the time between them is cut out, durations stay, and the whole is estimated."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.record.decode import decode
from gpuprobe.trace.record.observed import Windows, estimate
from gpuprobe.trace.record.spool import LAYOUTS, Spool
from gpuprobe.trace.record.window import parse_sample

BASE = 1_000_000_000


def rows(table, **columns):
    made = np.zeros(len(next(iter(columns.values()))), LAYOUTS[table][1])
    for name, values in columns.items():
        made[name] = values
    return made


def spool_of(marks, stats=(), info=None, **tables):
    """A process whose windows begin and end at ``marks``; times count from BASE."""
    given_tables = {
        "marks": rows("marks", time=BASE + np.array(marks, int), border=(np.arange(len(marks)) + 1) % 2),
        "stats": rows("stats", cupti_ns=BASE + np.array(stats, int), closed=np.ones(len(stats))),
        **tables,
    }
    every = {name: given_tables.get(name, np.zeros(0, layout)) for name, (_, layout) in LAYOUTS.items()}
    return Spool(Path("1.spool"), 0, {"pid": "1", **(info or {})}, {0: "", 1: "kernel", 2: "range"}, every)


def kernels_at(*spans, **more):
    start, end = (BASE + np.array(column, int) for column in zip(*spans, strict=True))
    correlation = np.arange(1, len(spans) + 1)
    return rows("kernels", start=start, end=end, name=np.ones(len(spans)), correlation=correlation, **more)


def test_the_clock_stands_still_between_windows():
    calls = rows("runtime", start=[BASE + 10, BASE + 1010], end=[BASE + 30, BASE + 1030], correlation=[1, 2])
    spool = spool_of([0, 100, 1000, 1100], [0, 2000], kernels=kernels_at((20, 40), (1020, 1070)), runtime=calls)
    trace = decode([spool])
    assert trace.gpu.start.tolist() == [10, 110]  # the file's first time is 10 ns after the window's begin
    assert trace.gpu.dur.tolist() == [20, 50]
    assert trace.calls.start.tolist() == [0, 100]
    assert trace.meta["windows"]["recorded_ns"] == 200
    assert trace.meta["windows"]["span_ns"] == 2000
    assert "2 windows hold 10%" in trace.warnings[0]
    assert len(trace.samples.start) == 0


def test_what_runs_on_after_a_window_lengthens_it_and_may_join_it_to_the_next():
    trace = decode([spool_of([0, 100, 200, 300, 900, 950], [0, 1000], kernels=kernels_at((90, 250), (910, 920)))])
    assert trace.gpu.dur.tolist() == [160, 10]
    assert trace.gpu.start.tolist()[1] - trace.gpu.start.tolist()[0] == 210 + 10  # 90 to 300, then 900 to 910


def test_ranges_are_shortened_by_what_was_not_seen_and_vanish_outside():
    markers = rows(
        "markers",
        time=BASE + np.array([50, 1050, 400, 500, 1010, 1020]),
        flags=[2, 4, 2, 4, 2, 4],
        id=[1, 1, 2, 2, 3, 3],
        name=np.full(6, 2),
    )
    trace = decode([spool_of([0, 100, 1000, 1100], [0, 1100], kernels=kernels_at((0, 10)), markers=markers)])
    assert trace.ranges.dur.tolist() == [100, 10]


def test_one_window_alone_changes_nothing():
    trace = decode([spool_of([0, 100], [0, 1000], kernels=kernels_at((20, 40), (1020, 1070)))])
    assert trace.gpu.start.tolist() == [0, 1000]
    assert "windows" not in trace.meta


def test_a_window_that_a_kill_left_open_ends_with_the_last_flush():
    trace = decode([spool_of([0, 100, 500], [0, 700], kernels=kernels_at((20, 40), (520, 570)))])
    assert trace.meta["windows"]["recorded_ns"] == 300


@pytest.mark.parametrize(("version", "warned"), [("130001", True), ("130101", False)])
def test_graphs_after_the_first_window_are_distrusted_where_cupti_errs(version, warned):
    kernels = kernels_at((20, 40), (1020, 1070), graph=[3, 3])
    trace = decode([spool_of([0, 100, 1000, 1100], [0, 1100], {"cupti_version": version}, kernels=kernels)])
    assert any("wrong correlations" in warning for warning in trace.warnings) == warned


@given(st.lists(st.integers(1, 500), min_size=4, max_size=12), st.lists(st.integers(0, 300), min_size=1, max_size=30))
def test_durations_and_order_survive_any_windows(gaps, lengths):
    marks = np.cumsum(gaps[: len(gaps) // 2 * 2])
    begin, end = marks[::2], marks[1::2]
    spans, now = [], 0
    for number, length in enumerate(lengths):  # in the window that is its turn, one after the other
        now = max(now, int(begin[number * len(begin) // len(lengths)]))
        spans.append((now, now + length))
        now += length
    trace = decode([spool_of(marks, [0, int(end[-1])], kernels=kernels_at(*spans))])
    assert trace.gpu.dur.tolist() == lengths
    assert (np.diff(trace.gpu.start) >= 0).all()
    assert (trace.gpu.end[:-1] <= trace.gpu.start[1:]).all()


def test_the_interval_of_an_estimate_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(7)
    held, tries, span = 0, 400, 4_000
    for _ in range(tries):
        truth = random.poisson(3, span) * random.choice([1, 20], span, p=[0.9, 0.1])
        begin = np.cumsum(random.integers(20, 380, 20))
        begin = begin[begin < span - 20]
        seen = np.array([truth[start : start + 20].sum() for start in begin])
        found = estimate(Windows(begin, begin + 20, span, True), seen)
        held += found.low <= truth.sum() <= found.high
    assert 0.85 < held / tries < 0.95


def test_samples_are_milliseconds():
    assert parse_sample("20:180") == (20, 180)
    assert parse_sample(None) is None
    for wrong in ("20", "0:5", "5:0", "a:b", "-1:3", "1:2:3"):
        with pytest.raises(GpuprobeError, match="--sample takes milliseconds"):
            parse_sample(wrong)
