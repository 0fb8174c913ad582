"""Figures and formats: ticks, scales, shares of colour, what a picture shows, and None where data is missing."""

import itertools
import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_inputs import hostile_trace, recorded

from gpuprobe.report import format as text
from gpuprobe.report.axes import Scale, decades, log_ticks, nice_ticks
from gpuprobe.report.comparison import ComparisonView
from gpuprobe.report.figures import (
    bars,
    campaign,
    curves,
    forest,
    heatmap,
    hierarchy,
    histogram,
    l2_map,
    ladder,
    rates,
    staircase,
)
from gpuprobe.report.figures.timeline import MOST_LANES, timeline
from gpuprobe.report.run_view import RunView
from gpuprobe.report.sources import read
from gpuprobe.report.svg import element, rect
from gpuprobe.trace.model import CallTable, GpuTable, Lane, Trace, make


@pytest.fixture(scope="module")
def view():
    return RunView(recorded())


@pytest.fixture(scope="module")
def empty():
    return RunView(replace(recorded(), measurements=(), series=()))


def test_texts():
    assert text.params({"BYTES": 16 << 20, "CACHE": "CG", "N": 1024}) == "BYTES=16 MiB CACHE=CG N=1024"
    assert text.seconds(12_345.0) == "12.35 µs" and text.seconds(None) == text.share(None) == "–"
    assert text.cut("a\x00b" * 9, 5) == "a?ba…" and text.cut("abc", 3) == "abc"
    assert text.label("ffma_latency", "latency", {"CHAIN": 4}) == "ffma_latency CHAIN=4"
    assert text.label("l2_near_far", "far", {}) == "l2_near_far far"


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 10))
def test_ticks_are_few_ordered_and_inside(low, span, most):
    ticks = nice_ticks(low, low + span, most)
    assert len(ticks) <= most + 1 and ticks == sorted(ticks)
    assert all(low - 1e-6 * span <= tick <= low + 1.000001 * span for tick in ticks)


@given(st.floats(1e-3, 1e12), st.floats(1.1, 1e6), st.booleans())
def test_a_scale_maps_its_ends_and_keeps_order(low, factor, log):
    scale = Scale(low, low * factor, 50, 400, log)
    assert scale(low) == pytest.approx(50) and scale(low * factor) == pytest.approx(400)
    assert 50 < scale(low * factor**0.5) < 400


def test_decades():
    assert decades(3, 2000) == [10, 100, 1000] and decades(1, 100) == [1, 10, 100]


@pytest.mark.parametrize(("share", "step"), [(0, 0), (0.124, 0), (0.126, 1), (0.999, 7), (1, 7), (1.02, 7)])
def test_steps_of_the_heat_map(share, step):
    assert heatmap.step(share) == step


def test_elements_escape_text_and_attributes():
    assert str(rect(0, 0, 1, 1, "s1", "<b>&")).count("&lt;b&gt;&amp;") == 1
    assert str(element("text", "<", data_x='"><script>')) == '<text data-x="&#34;&gt;&lt;script&gt;">&lt;</text>'


def pictures(view):
    return [
        staircase.staircase(view), histogram.near_far(view), ladder.latencies(view), *bars.bandwidths(view),
        *rates.rates(view), *heatmap.heatmaps(view), hierarchy.of_run(view), ladder.launches(view),
        ladder.levels(view), *ladder.energies(view), l2_map.l2_map(view), campaign.over_time(view),
        forest.of_published(view), *(drawn for section in curves.SECTIONS for drawn in curves.curves(view, section)),
    ]  # fmt: skip


def test_every_picture_is_well_formed_and_inside_its_box(view):
    found = pictures(view)
    assert len(found) >= 14 and None not in found
    for picture in found:
        root = ElementTree.fromstring(str(picture.svg))
        width, height = map(float, root.get("viewBox").split()[2:])
        assert root[0].tag == "title" and root[1].tag == "desc" and root[1].text
        for box in root.iter("rect"):
            left, top = float(box.get("x")), float(box.get("y"))
            assert left >= -0.5 and left + float(box.get("width")) <= width + 0.5
            assert top >= -0.5 and top + float(box.get("height")) <= height + 0.5
        for mark in root.iter("text"):
            assert -0.5 <= float(mark.get("x")) <= width + 0.5 and 0 <= float(mark.get("y")) <= height + 0.5
        assert "nan" not in str(picture.svg).lower().replace("dominant", "")


def test_nothing_is_drawn_without_data(empty):
    assert [picture for picture in pictures(empty) if picture] == []


def test_the_staircase_marks_the_caches_and_states_every_step(view):
    svg = str(staircase.staircase(view).svg)
    assert "L1 256 KiB" in svg and "L2 50 MiB" in svg
    assert svg.count("<circle") == len(view.rows("global_latency", "latency"))
    assert "64 KiB: 31.9 cycles" in svg and "2 GiB: 68" in svg


def test_the_histogram_holds_all_loads_and_marks_both_halves(view):
    picture = histogram.near_far(view)
    root = ElementTree.fromstring(str(picture.svg))
    shares = [float(re.search(r": ([\d.]+)%", bar[0].text)[1]) for bar in root.iter("rect")]
    assert sum(shares) == pytest.approx(100, abs=0.3)
    centres = {name: view.rows("l2_near_far", name)[0].value for name in ("near", "far")}
    assert {f"{name} {value:.0f}" for name, value in centres.items()} <= {mark.text for mark in root.iter("text")}


def test_the_histogram_says_cycles_without_the_clock_reads(view):
    root = ElementTree.fromstring(str(histogram.near_far(view).svg))
    bars_at = {
        float(bar[0].text.split()[0]): float(re.search(r": ([\d.]+)%", bar[0].text)[1]) for bar in root.iter("rect")
    }
    near = [at for at, share in bars_at.items() if at < 365 for _ in range(round(share * 10))]
    assert np.median(near) == pytest.approx(view.one("l2_near_far", "near").value, abs=16)


def test_heat_maps_have_a_cell_for_each_measurement(view):
    maps = heatmap.heatmaps(view)
    cells = [row for row in view.run.measurements if {"WARPS", "ILP"} <= row.params.keys()]
    drawn = sum(str(picture.svg).count("<rect") for picture in maps)
    assert len(maps) >= 4 and 96 <= drawn <= len(cells)
    assert all("h7" in str(picture.svg) for picture in maps), "the best cell has the strongest colour"
    assert all(str(picture.svg).count("warps per SM") == 1 for picture in maps)


def test_the_roofline_is_derived_from_the_run(view):
    drawn = str(hierarchy.of_run(view).svg)
    assert drawn.count('class="gemm"') == len(view.rows("roofline_sweep", "flops")) == 8
    assert {"L2", "DRAM"} <= {slope.level for slope in view.roofline.slopes}
    assert view.roofline.ceiling("f16").rate.origin == "measured"
    assert "FLOP/s" in drawn and "DRAM" in drawn
    ceiling, slope = view.roofline.ceiling("f16"), view.roofline.slope("DRAM")
    assert ceiling.rate.value / slope.rate.value == pytest.approx(310, rel=0.1)


def test_the_l2_map_has_two_points_for_each_sm(view):
    near = view.rows("l2_map", "near")
    drawn = str(l2_map.l2_map(view).svg)
    assert len(near) == 132
    assert drawn.count("<circle") == 264 and drawn.count("<rect") == 132
    assert "s6" in drawn and "SM 131, near" in drawn


def test_the_campaign_spans_the_run_and_leaves_gaps_blank(view):
    svg = str(campaign.over_time(view).svg)
    assert "power limit 700" in svg and "boost clock 1980" in svg
    assert svg.count('class="s1 band"') >= 2


def test_tensor_rates_state_limit_and_clock_and_set_zeros_beside_random_operands(view):
    dense, sparse, bits = rates.rates(view)
    svg = str(dense.svg)
    assert re.search(r"TFLOP/s · \d+\.\d% · 1\d{3} MHz", svg) and svg.count('class="limit"') >= 8
    assert svg.count('<rect class="s1"') >= svg.count('<rect class="s2"') > 8
    assert "roofline_sweep" not in svg and "wgmma_sparse_rate" not in svg
    assert "wgmma_sparse_rate" in str(sparse.svg) and "B1_AND" in str(bits.svg)


def test_every_latency_is_a_dot_under_its_heading(view):
    svg = str(ladder.latencies(view).svg)
    assert [svg.index(f">{name}<") for name in ("Arithmetic", "Matrix units", "Memory", "Synchronisation")] == sorted(
        svg.index(f">{name}<") for name in ("Arithmetic", "Matrix units", "Memory", "Synchronisation")
    )
    assert "ffma_latency" in svg and "l1_capacity" not in svg and "published: 4.07 cycles" in svg
    assert re.search(r"OP=IADD3; OP=IMAD; OP=LOP3.*?: 4 cycles = 2\.\d+ ns", svg)


def test_bandwidth_over_the_set_marks_l2_and_the_memory_interface(view):
    first = curves.curves(view, "bandwidth")[0]
    svg = str(first.svg)
    assert "L2 50 MiB" in svg and "DRAM interface 3.352 TB/s" in svg and ">TB/s<" in svg
    assert svg.count("<circle") == len(view.rows("l2_bandwidth_curve", "throughput"))


def test_curves_have_a_line_for_each_setting_and_leave_out_what_is_no_place_on_their_axis(view):
    launching = curves.curves(view, "launching")[0]
    assert {"stream", "graph"} <= {name for _, name in launching.legend}
    strided = next(picture for picture in curves.curves(view, "bandwidth") if "Strided" in picture.caption)
    assert str(strided.svg).count("<circle") == len(view.rows("strided_read", "throughput")) - 1


def test_bandwidth_of_another_block_is_not_that_of_ones_own(view):
    svg = str(ladder.levels(view).svg)
    own = max(row.value for row in view.rows("dsm_rate", "throughput") if row.params["PATTERN"] == "OWN")
    assert "distributed shared, read" in svg and text.quantity(own, "B/s") not in svg


def test_intervals_say_their_unit_once():
    assert text.span(1e12, 2e12, "B/s") == "1 to 2 TB/s" and text.span(4, 4, "cycle") == "4 cycles"
    assert text.span(9e11, 1e12, "B/s") == "900 GB/s to 1 TB/s"
    assert text.quantity(1.06e16, "op/s") == "10600 Top/s"
    assert text.scaled(8.4e12, "B/s") == (1e12, "TB/s") and text.scaled(300, "cycle") == (1, "cycles")


@given(st.floats(1e-12, 1e12), st.floats(1.5, 1e6), st.integers(4, 9))
def test_ticks_of_a_logarithmic_axis_are_few_and_inside(low, factor, most):
    ticks = log_ticks(low, low * factor, most)
    inside = 1 + 1e-8  # decades() takes a power of ten that rounding put a billionth of a decade outside
    assert ticks == sorted(ticks) and all(low / inside <= tick <= low * factor * inside for tick in ticks)
    assert len(ticks) <= max(most, 7)
    room = math.log(factor) / most * (1 - 1e-9)
    assert all(math.log(above / below) >= min(room, math.log(10)) for below, above in itertools.pairwise(ticks))


def test_the_best_row_of_a_searched_grid_is_its_fastest(view):
    rates = [row for row in recorded().measurements if row.name == "dram_bandwidth" and row.params["MODE"] == "READ"]
    assert len(rates) > 1
    assert [row for row in view.best if row.name == "dram_bandwidth" and row.params["MODE"] == "READ"] == [
        max(rates, key=lambda row: row.value)
    ]


def test_a_comparison_draws_the_largest_changes():
    moved = tuple(
        replace(row, value=row.value * 2, low=row.low * 2, high=row.high * 2) if row.name == "dfma_latency" else row
        for row in recorded().measurements
    )
    found = ComparisonView(recorded(), replace(recorded(), measurements=moved, run_id="b"), 1)
    svg = str(forest.of_comparison(found.comparison, *found.names).svg)
    assert svg.index("dfma_latency") < svg.index("2.0000 SLOWER") and ("SLOWER", 1) in found.verdicts()
    assert 0 < len(found.table().rows) <= len(recorded().measurements)
    first = found.table().rows[0].cells  # what differs most
    assert first[0].text == "dfma_latency" and any(cell.text == "SLOWER" for cell in first)


def test_an_interval_that_reaches_far_does_not_press_the_ratios_together():
    row = {"label": "x", "verdict": "UNCLEAR"}
    rows = [forest.Line(**row, ratio=1.5, low=1.4, high=1.6), forest.Line(**row, ratio=0.9, low=0.01, high=90.0)]
    root = ElementTree.fromstring(str(forest.forest("t", "d", rows, "ratio").svg))
    places = sorted(float(mark.get("cx")) for mark in root.iter("circle"))
    assert places[1] - places[0] > 0.25 * (forest.WIDTH - forest.LEFT)


def test_what_integers_do_is_no_floating_point_operation(view):
    svg = str(rates.rates(view)[0].svg)
    assert re.search(r">wgmma_rate S8</text><text[^>]*>[\d.]+ Top/s", svg)
    assert re.search(r">wgmma_rate F16</text><text[^>]*>[\d.]+ TFLOP/s", svg)
    assert hierarchy.unit_of(["int32"]) == "op/s" and hierarchy.unit_of(["int32", "fp64"]) == "FLOP/s"


def test_of_a_narrow_screen_the_numbers_are_seen_beside_the_labels(view):
    visible = 447  # picture units that a screen of 390 pixels shows before anything is scrolled
    for picture in (ladder.levels(view), rates.rates(view)[0], forest.of_published(view)):
        ends = [float(mark.get("x")) for mark in ElementTree.fromstring(str(picture.svg)).iter("text")
                if mark.get("class") in ("muted", "small muted")]  # fmt: skip
        assert ends and max(ends) <= visible


def many_streams(events, streams):
    rng = np.random.default_rng(1)
    columns = {
        "start": rng.integers(0, 10**9, events),
        "dur": rng.integers(1, 10**6, events),
        "kind": rng.integers(0, 3, events),
        "lane": rng.integers(0, streams, events),
    }
    lanes = tuple(Lane(0, stream, 0, stream) for stream in range(streams))
    calls = make(CallTable, {"start": columns["start"], "dur": columns["dur"], "lane": columns["lane"]})
    return Trace(("",), lanes, make(GpuTable, columns), calls)


def test_the_timeline_is_bounded_whatever_the_trace():
    small, large = (str(timeline(many_streams(events, 40)).svg) for events in (2_000, 200_000))
    assert len(small) < 250_000 and len(large) < 250_000
    assert large.count("% busy") == MOST_LANES + 1


def test_the_timeline_draws_what_was_busy():
    columns = {"start": [0, 210_000], "dur": [105_000, 210_000], "kind": [0, 0], "lane": [0, 0]}
    trace = Trace(("",), (Lane(0, 7, 0, 7),), make(GpuTable, columns))
    root = ElementTree.fromstring(str(timeline(trace).svg))
    path = next(mark.get("d") for mark in root.iter("path") if mark.get("class") == "s1")
    assert path.count("M") == 2 and "75.0% busy" in str(timeline(trace).svg)


def test_a_trace_of_one_event_of_no_length_has_a_timeline():
    trace = Trace(("",), (Lane(0, 7, 0, 7),), make(GpuTable, {"start": [5], "dur": [0], "lane": [0]}))
    assert "nan" not in str(timeline(trace).svg)


def test_breakdown_parts_fill_their_bars(tmp_path):
    from gpuprobe.report.trace_view import TraceView

    view = TraceView(read(hostile_trace(tmp_path)).content, 1)
    root = ElementTree.fromstring(str(view.breakdown().svg))
    by_row = {}
    for box in root.iter("rect"):
        if box.get("class") != "track":
            by_row[box.get("y")] = by_row.get(box.get("y"), 0) + float(box.get("width"))
    assert by_row and all(width == pytest.approx(440, abs=0.3) for width in by_row.values())
