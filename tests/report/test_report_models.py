"""Reports of models: cards and evaluations, told apart by content; damage is an error with a remedy."""

import json

import pytest

from gpuprobe.api import model_card
from gpuprobe.cli import main
from gpuprobe.errors import GpuprobeError
from gpuprobe.report.models import MOST_PICTURES, Models, ModelsView, read_models
from gpuprobe.report.page import LIMIT_BYTES, render
from gpuprobe.report.sources import read

EVALUATION = {
    "errors": [
        {
            "device": "h100-sxm",
            "source": "gpuprobe",
            "group": "bf16 aligned: bound by dram",
            "target": "hot",
            "rows": 100,
            "errors": [2.5, 3.0, 8.0],
            "coverage": 0.9,
            "width": 0.1,
            "note": "",
        },
        {
            "device": "h100-sxm",
            "source": "gpuprobe",
            "group": "<b>nothing</b>",
            "target": "hot",
            "rows": 0,
            "errors": None,
            "coverage": None,
            "width": None,
            "note": "not installed",
        },
    ],
    "points": [
        {"device": "h100-sxm", "source": "gpuprobe", "of": "bf16", "target": "hot", "bound": "dram",
         "measured": 1e-5, "predicted": 1.05e-5},
        {"device": "h100-sxm", "source": "gpuprobe", "of": "bf16", "target": "hot", "bound": "<i>",
         "measured": 1e-4, "predicted": 2e-4},
    ],
}  # fmt: skip


def test_a_card_becomes_a_page_with_its_errors():
    page = render([read(model_card("h100-sxm"))], "gpuprobe report card.json")
    card = json.loads(model_card("h100-sxm").read_text(encoding="utf-8"))
    assert card["models"]["gpuprobe"]["model_id"] in page
    median = card["models"]["gpuprobe"]["classes"][0]["errors"]["hot"]["ape_percent"][0]
    assert f"{median:.1f}%" in page and "tiled kernels" in page
    assert len(page.encode()) < LIMIT_BYTES


def test_errors_of_the_settled_state_count_the_sustained_rows():
    card = json.loads(model_card("h200-sxm").read_text(encoding="utf-8"))
    first = card["models"]["gpuprobe"]["classes"][0]
    assert first["sustained_rows"] < first["rows"]
    counted = {row.group: row.rows for row in reversed(ModelsView(Models("x", card), 0).errors)}
    assert counted["gpuprobe, hot"] == first["rows"]
    for target in ("sustained", "power", "clock", "energy"):
        assert counted[f"gpuprobe, {target}"] == first["sustained_rows"]


def test_an_evaluation_shows_errors_by_region_and_predicted_over_measured(tmp_path):
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(EVALUATION), encoding="utf-8")
    page = render([read(path)], "gpuprobe report evaluation.json")
    assert "bound by dram" in page and "1 of 2 held-out points lie within 10%" in page
    assert "<i>" not in page.replace('<i class="', "") and "<b>nothing" not in page


def test_points_of_all_classes_share_a_picture_and_power_is_in_watts():
    point = {"device": "h100-sxm", "source": "gpuprobe", "bound": "dram", "predicted": 500.0}
    points = [
        {**point, "of": of, "target": "power", "measured": watts}
        for of, watts in (("bf16 aligned", 300.0), ("fp8 aligned", 600.0))
    ]
    view = ModelsView(Models("x", {"errors": [], "points": points}), 0)
    around, errors = view.scatters()
    assert "0 of 2 held-out points" in around.caption and "500 W" in around.svg and "500 s" not in around.svg
    assert "300 W" in errors.svg
    assert [picture.caption.split(":")[0] for picture in view.scatters_of_classes()] == [
        f"h100-sxm gpuprobe, power, {of} aligned" for of in ("bf16", "fp8")
    ]


def test_pictures_of_errors_are_few_and_the_page_says_how_many_groups_have_none():
    rows = [{**EVALUATION["errors"][0], "group": f"class {index}"} for index in range(MOST_PICTURES + 3)]
    view = ModelsView(Models("x", {"errors": rows}), 0)
    drawn, more = view.pictures()
    assert (len(drawn), more) == (MOST_PICTURES, 3) and len(view.table().rows) == MOST_PICTURES + 3


def test_rows_without_errors_are_left_out():
    view = ModelsView(Models("x", EVALUATION), 1)
    assert [(row.group, row.region) for row in view.errors] == [
        ("h100-sxm gpuprobe bf16 aligned, hot", "bound by dram")
    ]
    assert view.errors[0].percent == (2.5, 3.0, 8.0)


@pytest.mark.parametrize("text", ["[]", "{", '{"models": {}}', '{"errors": [1]}'])
def test_what_is_no_card_is_an_error(tmp_path, text):
    path = tmp_path / "card.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(GpuprobeError, match="as a model card"):
        read_models(path)


def test_a_damaged_card_is_an_error_not_a_traceback(tmp_path, capsys):
    path = tmp_path / "card.json"
    path.write_text('{"device": "x", "models": {"a": {"model_id": 1, "classes": [{}]}}}', encoding="utf-8")
    assert main(["report", str(path), "-o", str(tmp_path / "page.html")]) == 2
    assert "damaged" in capsys.readouterr().err
