"""The page in a real browser: no console error, sorting, filtering, the theme; hostile names do nothing.

Needs Chromium on the path (Debian: apt-get install chromium); skipped without it.
"""

import json
import os
import re
import shutil
import subprocess
from html import unescape

import pytest
from report_inputs import hostile_trace, recorded_page, small_page

from gpuprobe.report.page import render
from gpuprobe.report.sources import read

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"no browser on the path: tried {', '.join(NAMES)}")

FLAGS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--enable-logging=stderr",
    "--virtual-time-budget=3000",
)  # fmt: skip

COLLECT = """<script>window.problems = [];
addEventListener("error", (event) => problems.push(String(event.message)));
console.error = (...text) => problems.push(text.join(" "));</script>"""

DRIVE = """<script>{
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
said.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
said.problems = problems;
const result = document.createElement("pre"); result.id = "result"; result.textContent = JSON.stringify(said);
document.body.append(result);
}</script>"""


def dump(path, *flags):
    """The page's DOM after its scripts, and the lines of the browser's console."""
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    profile = f"--user-data-dir={path.parent / 'profile'}"
    done = subprocess.run(
        [BROWSER, *FLAGS, *sandbox, profile, *flags, "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True, errors="replace",
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What the driver saw in a copy of the recorded run's page whose policy lets the driver run."""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', COLLECT, small_page(), count=1)
    path = tmp_path_factory.mktemp("driven") / "report.html"
    path.write_text(page.replace("</body>", DRIVE + "</body>"), encoding="utf-8")
    dom, console = dump(path, "--window-size=500,800")
    found = re.search(r'<pre id="result">(.*?)</pre>', dom, re.DOTALL)
    assert found, console
    return json.loads(unescape(found[1]))


def len_all(said):
    """Rows of the table, folded ones too."""
    return said["all"]


def test_no_error_and_no_sideways_overflow(said):
    assert said["problems"] == [] and said["overflow"] <= 0


def test_grids_are_folded_until_asked_for(said):
    assert said["first"] < len_all(said) <= 280
    assert said["output"] == f"{said['first']} of {len_all(said)} rows"


def test_a_click_on_a_heading_sorts_by_number_and_again_the_other_way(said):
    assert said["descending"] == sorted(said["descending"], reverse=True) != said["ascending"]
    assert said["ascending"] == sorted(said["ascending"])
    assert said["aria"] == "descending" and said["others"] == "none" and said["focused"]


def test_unknown_values_come_last_and_words_sort_as_words(said):
    known = [value for value in said["limits"] if value != "–"]
    assert said["limits"][len(known) :] == ["–"] * (len(said["limits"]) - len(known)) and known[0] == "100.1%"
    assert said["probes"] == sorted(said["probes"])


def test_the_filter_keeps_rows_with_all_words(said):
    assert 0 < len(said["filtered"]) < len_all(said)
    assert all("wgmma" in row.lower() and "throttled" in row.lower() for row in said["filtered"])
    assert said["counted"] == f"{len(said['filtered'])} of {len_all(said)} rows"
    assert said["none"] == 0 and said["again"] == len_all(said)


def test_the_theme_changes_and_changes_back(said):
    first, second, third = said["theme"]
    assert first == third != second


def test_the_page_as_written_runs_its_script_under_its_own_policy(tmp_path):
    path = tmp_path / "report.html"
    path.write_text(recorded_page(), encoding="utf-8")
    dom, console = dump(path)
    assert console == [] and 'aria-sort="none"' in dom and 'id="theme" hidden' not in dom


def test_hostile_names_run_nothing(tmp_path):
    path = tmp_path / "report.html"
    page = render([read(hostile_trace(tmp_path))], "c")
    path.write_bytes(page.encode("utf-8", "replace"))
    dom, console = dump(path)
    assert console == [] and "<title>owned" not in dom and 'aria-sort="none"' in dom
