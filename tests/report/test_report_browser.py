"""Pages in a real browser: no complaint, sorting, filtering, themes, no overflow, print; hostile names do nothing.

Needs Chromium on the path (Debian: apt-get install chromium); skipped without it.
"""

import json
from pathlib import Path

import pytest
from browser import PROGRAM, WITHOUT, Browser, Tab
from report_inputs import ROOT, hostile_trace, recorded_page, small_page

from gpuprobe.report.page import render
from gpuprobe.report.sources import read

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WITHOUT)

DEVICE = ROOT / "reports" / "h100-sxm"
EVALUATION = {
    "errors": [
        {"device": "d", "source": "s", "group": f"bf16 aligned: bound by {bound}", "target": "hot", "rows": 9,
         "errors": [1.0, 2.0, 3.0], "coverage": 0.9, "width": 0.1, "note": ""}
        for bound in ("dram", "compute")
    ],
    "points": [
        {"device": "d", "source": "s", "of": "bf16 aligned", "target": "hot", "bound": ("dram", "compute")[at % 2],
         "measured": 1e-6 * 1.2**at, "predicted": 1.1e-6 * 1.2**at}
        for at in range(40)
    ],
}  # fmt: skip

OPERATE = """(() => {
const box = document.getElementById("measurements-box");
const table = box.querySelector("table"), form = box.querySelector("form");
const heading = (name) => [...table.tHead.rows[0].cells].find((cell) => cell.textContent === name);
const visible = () => [...table.tBodies[0].rows].filter((row) => row.offsetParent !== null);
const column = (name) => visible().map((row) => row.cells[heading(name).cellIndex].textContent);
const sorts = (name) => [...table.tBodies[0].rows].map((row) => row.cells[heading(name).cellIndex].dataset.s)
  .filter((value) => value !== undefined).map(Number);
const type = (text) => { form.elements.filter.value = text; form.dispatchEvent(new Event("input", {bubbles: true})); };
const said = {first: visible().length, output: form.querySelector("output").textContent};
form.elements.minor.click(); said.all = visible().length;
const button = heading("value").querySelector("button"); button.focus();
said.focused = document.activeElement === button;
button.click(); said.descending = sorts("value"); said.aria = heading("value").getAttribute("aria-sort");
button.click(); said.ascending = sorts("value");
heading("of limit").querySelector("button").click(); said.limits = column("of limit");
heading("probe").querySelector("button").click(); said.probes = column("probe");
said.others = heading("value").getAttribute("aria-sort");
type("wgmma  THROTTLED"); said.filtered = visible().map((row) => row.textContent);
said.counted = form.querySelector("output").textContent;
type("no such thing"); said.none = visible().length; type(""); said.again = visible().length;
const paper = () => getComputedStyle(document.body).backgroundColor;
const toggle = document.getElementById("theme"); said.theme = [paper()]; toggle.click(); said.theme.push(paper());
toggle.click(); said.theme.push(paper());
return said;
})()"""

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

CROWDED = """(() => {
document.querySelectorAll("details").forEach((one) => one.open = true);
const found = [];
for (const svg of document.querySelectorAll("svg")) {
  const name = svg.querySelector("title").textContent, frame = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")]
    .filter((text) => (text.getAttribute("transform") || "rotate(-90").startsWith("rotate(-90"))
    .map((text) => [text.textContent, text.getBoundingClientRect()]);
  for (const [words, box] of texts)
    if (box.left < frame.left - 6 || box.right > frame.right + 10 || box.bottom > frame.bottom + 4)
      found.push(`${name}: '${words}' leaves the picture`);
  for (let a = 0; a < texts.length; a++)
    for (let b = a + 1; b < texts.length; b++) {
      const [one, p] = texts[a], [other, q] = texts[b];
      const width = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      const height = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (width > 1 && height > 4) found.push(`${name}: '${one}' meets '${other}'`);
    }
}
return found;
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    evaluation = folder / "evaluation.json"
    evaluation.write_text(json.dumps(EVALUATION), encoding="utf-8")
    texts = {"run": recorded_page()}
    for name, paths in {
        "trace": [DEVICE / "llama-1b-prefill-decode-b4-c512.gptrace"],
        "sweep": [DEVICE / "llama-1b" / "sweep.json"],
        "models": [ROOT / "models" / "h100-sxm" / "card.json", evaluation],
        "repeats": sorted((DEVICE / "aa").glob("*.json.gz")),
    }.items():
        texts[name] = render([read(path) for path in paths], f"gpuprobe report {name}")
    found = {name: folder / f"{name}.html" for name in texts}
    for name, text in texts.items():
        found[name].write_text(text, encoding="utf-8")
    return found


KINDS = ("run", "trace", "sweep", "models", "repeats")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width", "dark"), [(1400, False), (390, True)])
def test_a_page_opens_without_a_complaint_in_either_theme_and_fits(browser, pages, kind, width, dark):
    with Tab(browser, pages[kind], width=width, dark=dark) as tab:
        assert tab.problems == [] and tab.loaded == [pages[kind].as_uri()]
        assert tab.evaluate(OVERFLOW) <= 0
        light = sum(tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")) > 384
        assert light != dark
        assert tab.evaluate("document.getElementById('theme').textContent") == f"{'Light' if dark else 'Dark'} theme"


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_of_a_picture_is_cut_off_or_meets_another(browser, pages, kind):
    with Tab(browser, pages[kind]) as tab:
        assert tab.evaluate(CROWDED) == []


def test_a_page_prints_whole_tables_without_what_is_for_the_screen(browser, pages, tmp_path):
    with Tab(browser, pages["models"], width=800, media="print", dark=True) as tab:
        shown = (
            "[...document.querySelectorAll('nav, .tools, #theme')].filter((one) => one.offsetParent !== null).length"
        )
        assert tab.evaluate(shown) == 0 and tab.evaluate(OVERFLOW) <= 0
        clipped = (
            "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollHeight > one.clientHeight + 1).length"
        )
        assert tab.evaluate(clipped) == 0
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)", "paper is white"
        tab.pdf(tmp_path / "page.pdf")
        assert (tmp_path / "page.pdf").read_bytes().count(b"/Type /Page\n") >= 2


@pytest.fixture(scope="module")
def said(browser, tmp_path_factory):
    """What a reader sees who sorts and filters the table of a run, on a narrow screen."""
    path = tmp_path_factory.mktemp("operated") / "report.html"
    path.write_text(small_page(), encoding="utf-8")
    with Tab(browser, path, width=390) as tab:
        found = tab.evaluate(OPERATE)
        assert tab.problems == []
        return found


def test_grids_are_folded_until_asked_for(said):
    assert said["first"] < said["all"] <= 280
    assert said["output"] == f"{said['first']} of {said['all']} rows"


def test_a_click_on_a_heading_sorts_by_number_and_again_the_other_way(said):
    assert said["descending"] == sorted(said["descending"], reverse=True) != said["ascending"]
    assert said["ascending"] == sorted(said["ascending"])
    assert said["aria"] == "descending" and said["others"] == "none" and said["focused"]


def test_unknown_values_come_last_and_words_sort_as_words(said):
    known = [value for value in said["limits"] if value != "–"]
    assert said["limits"][len(known) :] == ["–"] * (len(said["limits"]) - len(known))
    shares = [float(value.removesuffix("%")) for value in known]
    assert shares == sorted(shares, reverse=True) and shares[0] > 99
    assert said["probes"] == sorted(said["probes"])


def test_the_filter_keeps_rows_with_all_words(said):
    assert 0 < len(said["filtered"]) < said["all"]
    assert all("wgmma" in row.lower() and "throttled" in row.lower() for row in said["filtered"])
    assert said["counted"] == f"{len(said['filtered'])} of {said['all']} rows"
    assert said["none"] == 0 and said["again"] == said["all"]


def test_the_theme_changes_and_changes_back(said):
    first, second, third = said["theme"]
    assert first == third != second


def test_hostile_names_run_nothing(browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_bytes(render([read(hostile_trace(tmp_path))], "c").encode("utf-8", "replace"))
    with Tab(browser, path) as tab:
        assert tab.problems == [] and tab.loaded == [path.as_uri()]
        assert "owned" not in tab.evaluate("document.title")


def test_a_complaint_is_heard(browser, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text('<script>console.error("heard"); undefinedName();</script><img src="absent.png">', encoding="utf-8")
    with Tab(browser, path) as tab:
        assert len(tab.problems) >= 2 and len(tab.loaded) == 2


def test_the_flags_keep_the_browser_quiet():
    from browser import FLAGS

    assert {"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync"} <= set(FLAGS)
    assert Path(PROGRAM).is_absolute()
