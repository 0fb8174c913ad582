"""The page: self-contained, accessible, bounded, the same for the same input, and safe with hostile files."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest
from report_inputs import (
    HOSTILE,
    RECORDED,
    ROOT,
    Page,
    hostile_trace,
    recorded,
    recorded_page,
    small,
    small_page,
    source,
)

from gpuprobe.errors import GpuprobeError
from gpuprobe.record import Rejection
from gpuprobe.report.page import LIMIT_BYTES, render
from gpuprobe.report.run_view import RunView
from gpuprobe.report.sources import read
from gpuprobe.run_files import write_run

WAYS_OUT = {"src", "srcset", "href", "action", "formaction", "data", "poster", "background", "xlink:href"}


@pytest.fixture(scope="module")
def page():
    return Page(recorded_page())


def attributes_of(page):
    return [(tag, key, value or "") for tag, found in page.tags for key, value in found.items()]


def test_the_page_is_closed_in_order_and_its_ids_are_unique(page):
    assert page.unbalanced == []
    ids = [value for _, key, value in attributes_of(page) if key == "id"]
    assert len(ids) == len(set(ids)) > 20


def test_what_refers_to_an_id_finds_it(page):
    ids = {value for _, key, value in attributes_of(page) if key == "id"}
    used = [
        part
        for _, key, value in attributes_of(page)
        if key in ("aria-labelledby", "aria-controls") or (key == "href" and value.startswith("#"))
        for part in value.removeprefix("#").split()
    ]
    assert used and set(used) <= ids


def test_the_page_loads_nothing(page):
    for tag, key, value in attributes_of(page):
        assert key not in WAYS_OUT or value.startswith("#") or value == "data:,", (tag, key, value)
        assert not key.startswith("on"), (tag, key)
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", recorded_page())
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';") and "script-src 'sha256-" in policy


def test_the_page_of_a_full_run_is_small():
    assert 50_000 < len(recorded_page().encode()) < LIMIT_BYTES


def test_equal_input_gives_an_equal_page():
    again = render([source(small())], "gpuprobe report run.json.gz")
    assert again == small_page()


def test_headings_of_tables_have_a_scope_and_every_table_a_caption(page):
    headings = page.all("th")
    assert len(headings) > 100 and all(heading.get("scope") in ("col", "row") for heading in headings)
    assert len(page.all("caption")) == len(page.all("table")) >= 4
    assert all("tabindex" in box for box in page.all("div") if box.get("class") == "scroll")


def test_every_picture_has_a_title_and_a_description(page):
    pictures = page.all("svg")
    assert len(pictures) >= 12
    for picture in pictures:
        title, description = (picture["aria-labelledby"] or "").split()
        texts = [
            re.search(rf'<{tag} id="{mark}">([^<]+)</{tag}>', recorded_page())
            for tag, mark in (("title", title), ("desc", description))
        ]
        assert all(found and len(found[1]) > 8 for found in texts), picture


def test_the_best_of_every_grid_is_in_the_table_with_interval_and_limit():
    table = recorded_page().split('<table id="measurements-table"')[1].split("</table>")[0]
    rows = table.split("<tbody>")[1].split("<tr")[1:]
    assert len(rows) == len(RunView(recorded()).best)
    row = next(row for row in rows if "dram_bandwidth" in row and "MODE=READ" in row and "minor" not in row)
    for part in ("3.1", " TB/s", "±0.", "93.", " MHz"):
        assert part in row


def test_all_sections_of_a_full_run_are_there():
    titles = re.findall(r'<h2 id="[^"]+">([^<]+)</h2>', recorded_page())
    assert titles == [
        "Summary", "Latency", "Bandwidth", "Tensor cores", "Roofline", "Launching", "Energy",
        "Clock and power", "Published values", "Rejections and warnings", "All measurements", "Provenance",
    ]  # fmt: skip


def test_sections_without_data_are_left_out():
    empty = replace(recorded(), measurements=(), series=())
    titles = re.findall(r'<h2 id="[^"]+">([^<]+)</h2>', render([source(empty)], "c"))
    assert titles == ["Summary", "Rejections and warnings", "All measurements", "Provenance"]


def test_rejections_warnings_and_a_replay_are_said():
    rejection = Rejection("ffma_latency", {"CHAIN": 64}, "the gate found 63 FFMA, not 64")
    run = replace(small(), rejections=(rejection,), warnings=("another process used the GPU",), source="replay")
    page = render([source(run)], "c")
    assert "the gate found 63 FFMA, not 64" in page and "another process used the GPU" in page
    assert "<strong>replay</strong>" in page and "No probe was rejected" not in page


def test_a_probe_that_this_version_lacks_is_shown_all_the_same():
    foreign = tuple(replace(row, name="probe_of_tomorrow") for row in recorded().measurements[:4])
    assert "probe_of_tomorrow" in render([source(replace(recorded(), measurements=foreign))], "c")


def test_provenance_names_device_driver_limit_date_and_command():
    page = render([source(small())], "gpuprobe report 'a b.json' -o x.html")
    for part in ("NVIDIA H100 SXM5 80 GB", "580.159.04", "700 W", "2026-11-23", "cupy-cuda13x"):
        assert part in page
    assert "gpuprobe report &#39;a b.json&#39; -o x.html" in page


def is_safe(page):
    parsed = Page(page)
    assert parsed.unbalanced == []
    assert not [tag for tag, _ in parsed.tags if tag in ("img", "iframe", "object", "b")]
    assert len(parsed.all("script")) == 1
    assert not [key for _, key, _ in attributes_of(parsed) if key.startswith("on")]
    page.encode("utf-8", "replace")


def test_hostile_names_in_a_trace_are_text(tmp_path):
    page = render([read(hostile_trace(tmp_path))], HOSTILE[0])
    is_safe(page)
    assert "&lt;script&gt;document.title=" in page and "{{ 7*7 }}" in page
    assert "\x00" not in page and "\u202e" not in page and "\ud800" not in page


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_in_a_run_are_text(text):
    run = small()
    row = next(row for row in run.measurements if row.name == "mma_rate" and row.quantity == "rate")
    rows = [replace(row, params={**row.params, "TYPE": text, "WARPS": warps}, flags=(text,)) for warps in (1, 2)]
    rows.append(replace(run.measurements[0], name=text, quantity=text))
    hostile = replace(
        run,
        run_id=text,
        measurements=(*rows, *run.measurements),
        warnings=(text,),
        rejections=(Rejection(text, {text: text}, text),),
        device=replace(run.device, product=text),
        environment=replace(run.environment, driver=text, packages={text: text}),
    )
    is_safe(render([source(hostile), source(run)], text))


def test_a_second_run_is_compared_with_the_first():
    slower = tuple(
        replace(row, value=row.value * 1.5, low=row.low * 1.5, high=row.high * 1.5)
        if row.name == "ffma_latency" else row
        for row in small().measurements
    )  # fmt: skip
    environment = replace(small().environment, driver="999.1")
    page = render([source(small()), source(replace(small(), measurements=slower, environment=environment))], "c")
    part = page.split('<section id="comparison-1"')[1]
    assert "1 SLOWER" in part and "1.5000 SLOWER" in part and "999.1" in part
    assert Page(page).unbalanced == []


def test_a_comparison_of_products_names_them_and_says_whose_pictures_follow():
    other = replace(
        small(),
        run_id="b",
        device=replace(small().device, name="other", product="Other GPU"),
        environment=replace(small().environment, memory_clock_hz=3.2e9),
    )
    part = render([source(small()), source(other)], "c").split('<section id="comparison-1"')[1].split("</section>")[0]
    assert "Other GPU over NVIDIA H100 SXM5 80 GB" in part and "show a alone: NVIDIA H100" in part
    assert "3.2 GHz" in part and "memory clock" in part and "3200000000" not in part


def test_flags_are_explained():
    page = small_page()
    flags = {flag for row in small().measurements for flag in row.flags}
    assert flags and all(f"<dt>{flag}</dt>" in page for flag in flags) and "NVML&#39;s clock is 2 % or more" in page


def test_a_card_and_its_evaluation_are_one_subject(tmp_path):
    evaluation = tmp_path / "evaluation.json"
    evaluation.write_text('{"errors": [{"device": "h100-sxm", "source": "s", "group": "g", "target": "hot", "rows": 1, '
                          '"errors": [1, 2, 3], "coverage": null, "width": null}]}')  # fmt: skip
    page = render([read(ROOT / "models" / "h100-sxm" / "card.json"), read(evaluation)], "c")
    assert "<h1>Models of h100-sxm</h1>" in page


def test_traces_have_sections_of_their_own_and_ids_stay_unique(tmp_path):
    trace = read(hostile_trace(tmp_path))
    page = Page(render([trace, trace, source(small())], "c"))
    ids = [value for _, key, value in attributes_of(page) if key == "id"]
    assert {"overview-t1", "kernels-t2", "launching-t2", "summary"} <= set(ids)
    own = [mark for mark in ids if not re.fullmatch(r"p[0-9a-f]{8}[td]", mark or "")]
    assert len(own) == len(set(own))


def test_a_file_that_is_neither_is_refused(tmp_path):
    for name, content in (("x.json", b'{"a": 1}'), ("y.json.gz", b"\x1f\x8bbroken"), ("z", b"")):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(GpuprobeError):
            read(path)
    with pytest.raises(GpuprobeError, match="No such file"):
        read(tmp_path / "none.json")


def test_a_run_is_known_by_its_content_whatever_its_name(tmp_path):
    write_run(small(), tmp_path / "odd.name")
    assert read(tmp_path / "odd.name").content == small()


def test_a_damaged_run_is_called_one(tmp_path):
    path = tmp_path / "run.json.gz"
    path.write_bytes(RECORDED.read_bytes()[:200_000])
    with pytest.raises(GpuprobeError, match="not a run file"):
        read(path)


def test_a_report_imports_neither_gpu_nor_measure_nor_the_trace_readers():
    code = (
        "import sys; from pathlib import Path; from gpuprobe.report.page import render\n"
        f"from gpuprobe.report.sources import read; render([read(Path({str(RECORDED)!r}))], 'c')\n"
        "print([name for name in sys.modules if name.startswith(('gpuprobe.gpu', 'gpuprobe.measure', 'gpuprobe.cli',"
        " 'gpuprobe.trace', 'cupy', 'torch', 'pynvml'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_committed_report_is_of_the_recorded_run_and_small():
    committed = (RECORDED.parent / "index.html").read_text(encoding="utf-8")
    assert recorded().run_id in committed and len(committed.encode()) < LIMIT_BYTES
    assert read(RECORDED).sha256 in committed
