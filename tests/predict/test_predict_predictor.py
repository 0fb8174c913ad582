"""Predictor: shipped models, other types and devices, scalar and array in agreement, wrong input refused."""

import json
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe import device, resources
from gpuprobe.errors import GpuprobeError
from gpuprobe.predict import Predictor
from gpuprobe.predict.predictor import COLUMNS
from gpuprobe.predict.shipped import SOURCES, artefact_path, devices

H100 = Predictor.load("h100-sxm")
SIZES = st.integers(1, 65536)
LARGEST_MODEL = 2 << 20


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, SIZES, st.sampled_from(["bf16", "fp16", "int8"]), st.sampled_from(["tn", "nn"]))
def test_one_and_many_agree_and_intervals_hold_their_value(m, n, k, dtype, layout):
    one = H100.gemm(m, n, k, dtype, layout)
    many = H100.gemm_many([[m, n, k]], dtype, layout)
    assert list(many) == list(COLUMNS)
    for name, interval, factor in (
        ("hot_us", one.hot, 1e6), ("cold_us", one.cold, 1e6), ("sustained_us", one.sustained, 1e6),
        ("power_w", one.power_w, 1),
    ):  # fmt: skip
        low, value, high = (many[name + end][0] for end in ("_low", "", "_high"))
        assert 0 < low <= value <= high < math.inf
        assert np.allclose(
            [interval.low, interval.value, interval.high], np.array([low, value, high]) / factor, rtol=1e-5
        )
    assert many["energy_mj"][0] == pytest.approx(one.energy_j.value * 1e3, rel=1e-5)
    assert many["bound"][0] == one.bound and many["in_domain"][0] == one.in_domain
    assert one.energy_j.value == pytest.approx(one.power_w.value * one.sustained.value, rel=1e-6)


@pytest.mark.parametrize(("m", "expected_us"), [(8192, 1386), (4096, 190)])
def test_a_large_square_gemm_is_what_an_h100_does(m, expected_us):
    prediction = H100.gemm(m, m, m)
    assert prediction.hot.value * 1e6 == pytest.approx(expected_us, rel=0.08)
    assert prediction.power_w.high <= 1.02 * 700
    assert prediction.bound == "compute" and prediction.in_domain and not prediction.sustained_in_domain


def test_what_no_data_speak_of_is_out_of_domain_and_wide():
    of_tables = Predictor.load("h100-sxm", "aiconfigurator")  # which are of bf16 alone
    known = of_tables.gemm(1024, 4096, 4096)
    for dtype in ("fp16", "fp8", "int8", "tf32", "fp32"):
        other = of_tables.gemm(1024, 4096, 4096, dtype)
        assert not other.in_domain and other.dtype == dtype
        assert other.hot.high / other.hot.low > known.hot.high / known.hot.low
        assert "not of" in other.protocol or "no data" in other.protocol
    assert not H100.gemm(2**31 - 1, 2**31 - 1, 2**31 - 1).in_domain


def test_fp32_is_slower_than_tf32_and_fp8_faster_than_bf16():
    times = {dtype: H100.gemm(4096, 4096, 4096, dtype).hot.value for dtype in ("fp32", "tf32", "bf16", "fp8")}
    assert times["fp32"] > times["tf32"] > times["bf16"] > times["fp8"]


def test_a_ragged_gemm_is_slower_than_its_aligned_neighbour():
    assert H100.gemm(4096, 4097, 4096).hot.value > 1.5 * H100.gemm(4096, 4096, 4096).hot.value


def test_every_device_of_the_catalogue_answers():
    for name in device.names():
        prediction = Predictor.load(name).gemm(2048, 4096, 4096)
        assert 1e-5 < prediction.hot.value < 1e-2
        assert prediction.in_domain == (name in devices())


def test_a_device_file_answers_analytically(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text((device.FOLDER / "h100-sxm.toml").read_text())
    prediction = Predictor.load(str(path)).gemm(4096, 4096, 4096)
    assert not prediction.in_domain and prediction.gpu == "mine" and prediction.model_id == "gemm-mine-analytic"
    assert 100e-6 < prediction.hot.value < 300e-6


@pytest.mark.parametrize("name", devices())
def test_shipped_models_are_small_and_their_cards_name_them(name):
    card = json.loads((resources.folder("models") / name / "card.json").read_text())
    for path in (path for source in card["models"] for path in artefact_path(name, source)):
        assert path.stat().st_size < LARGEST_MODEL
        entry = card["models"][path.stem.removeprefix("gemm-")]
        predictor = Predictor.load(name, path.stem.removeprefix("gemm-"))
        dtype = entry["classes"][0]["dtype"]
        assert predictor.gemm(512, 4096, 4096, dtype).model_id == entry["model_id"]
        assert entry["licence"] and entry["protocol"]
        for errors in (row["errors"]["hot"] for row in entry["classes"]):
            assert 0.87 < errors["interval_coverage"] < 0.93


@pytest.mark.parametrize("name", ["h100-sxm", "h200-sxm"])
def test_the_own_models_keep_their_promise(name):
    card = json.loads((resources.folder("models") / name / "card.json").read_text())
    limits = {"aligned": (3, 5, 12), "ragged": (8, 12, 30)}  # median, mean, 90th percentile in %
    means = defaultdict(list)
    for row in card["models"]["gpuprobe"]["classes"]:
        half = row["dtype"] in ("bf16", "fp16")
        kind = "aligned" if row["class"] == "aligned" else "ragged"
        for regime in ("hot", "cold"):
            errors = row["errors"][regime]["ape_percent"]
            if row["dtype"] == "bf16":
                assert all(map(np.less_equal, errors, limits[kind]))
            means[half, kind].append((errors[1], row["rows"]))
    for (half, kind), found in means.items():
        most = limits["ragged"][1] if kind == "ragged" else 5 if half else 7
        errors, rows = zip(*found, strict=True)
        assert np.average(errors, weights=rows) <= most


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((0, 1, 1), "m = 0"),
        ((1, -5, 1), "n = -5"),
        ((1, 1, 2**31), "k = 2147483648"),
        ((1, float("nan"), 1), "n = nan"),
        ((1.5, 1, 1), "m = 1.5"),
        ((1, 1, "8"), "k = 8"),
        ((10**400, 1, 1), "m = 1"),
    ],
)
def test_sizes_that_are_none_are_refused(sizes, words):
    with pytest.raises(GpuprobeError) as caught:
        H100.gemm(*sizes)
    assert words in caught.value.message and caught.value.hint


@pytest.mark.parametrize(
    ("array", "words"),
    [
        ([[1, 1, 1], [1, -1, 1]], "row 1: GEMM dimension n = -1"),
        ([[1, 1, float("nan")]], "row 0: GEMM dimension k = nan"),
        ([[1, 1, 1], [4, 2.5, 1]], "row 1"),
        ([1, 2, 3], "shape (3,)"),
        ([["a", "b", "c"]], "type"),
        ([[1, 2], [3]], "no array"),
        ([[1, 1, 2**70]], "not rows"),
    ],
)
def test_arrays_that_are_no_sizes_are_refused(array, words):
    with pytest.raises(GpuprobeError) as caught:
        H100.gemm_many(array)
    assert words in str(caught.value)


def test_unknown_names_are_refused():
    for call in (
        lambda: H100.gemm(1, 1, 1, "bf17"),
        lambda: H100.gemm(1, 1, 1, layout="tt"),
        lambda: H100.gemm_many([[1, 1, 1]], "bf17"),
        lambda: H100.gemm_many([], layout="tt"),
        lambda: Predictor.load("h1000"),
        lambda: Predictor.load("h100-sxm", "nobody"),
        lambda: Predictor.load("l4", SOURCES[0]),
    ):
        with pytest.raises(GpuprobeError) as caught:
            call()
        assert caught.value.hint


def test_no_rows_are_no_error():
    assert all(len(column) == 0 for column in H100.gemm_many([]).values())


def test_types_come_from_the_first_source_that_has_them_and_own_data_are_not_mixed():
    a100 = Predictor.load("a100-sxm-80gb")
    assert "aiconfigurator" in a100.gemm(512, 4096, 4096).model_id
    assert "vidur" in a100.gemm(512, 4096, 4096, "fp16").model_id
    assert "gpuprobe" in H100.gemm(512, 4096, 4096, "fp16").model_id
    assert "vidur" in Predictor.load("h100-sxm", "vidur").gemm(512, 4096, 4096, "fp16").model_id
