"""The catalogue against itself and against physics, the rejection of bad files, and the architecture grammar."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe import arch, device
from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.gemm import DTYPES
from gpuprobe.predict.machine import machine
from gpuprobe.record import DeviceSpec

NAMES = device.names()

DEMANDED = {
    *(
        "a100-sxm-40gb",
        "a100-sxm-80gb",
        "a100-pcie-80gb",
        "a40",
        "a10",
        "rtx-3090",
        "rtx-a6000",
        "l4",
        "l40s",
        "rtx-4070",
    ),
    *("rtx-4090", "rtx-6000-ada", "h100-sxm", "h100-pcie", "h100-nvl", "h200-sxm", "gh200", "b200", "rtx-5090"),
}
FP32_ACCUMULATE = {"f16", "bf16", "tf32", "e4m3", "e5m2"}
GEFORCE = {"rtx-3090", "rtx-4070", "rtx-4090", "rtx-5090"}
# Products whose vendor states tensor rates at a clock it does not publish.
UNSTATED_TENSOR_CLOCK = {"h100-nvl", "h200-sxm", "gh200", "b200"}


def text_of(name: str) -> str:
    return (device.FOLDER / f"{name}.toml").read_text()


def stated_tensor_rates(spec: DeviceSpec) -> dict[str, float]:
    """Stated dense rate in op/s by operand type, accumulation in fp32 or int32."""
    found = {key: re.fullmatch(r"tensor_([a-z0-9]+)_(?:flop|op)_per_s", key) for key in spec.numbers}
    return {hit[1]: spec[key] for key, hit in found.items() if hit}


def test_catalogue_holds_the_demanded_products() -> None:
    assert set(NAMES) >= DEMANDED


@pytest.mark.parametrize("name", NAMES)
def test_every_number_cites_a_defined_source_and_every_source_is_cited(name: str) -> None:
    document = tomllib.loads(text_of(name))
    cited = {entry["source"] for entry in document["numbers"].values()}
    assert cited == document["sources"].keys()
    for number in device.load(name).numbers.values():
        assert number.origin == "datasheet"
        assert number.source in document["sources"].values()


@pytest.mark.parametrize("name", NAMES)
def test_file_says_that_tensor_rates_are_dense(name: str) -> None:
    assert "dense" in text_of(name) or not stated_tensor_rates(device.load(name))


def test_numbers_are_si() -> None:
    spec = device.load("h100-sxm")
    assert spec["boost_clock_hz"] == 1.98e9
    assert spec["memory_bytes"] == 80 * 2**30
    assert spec["dram_bandwidth_bytes_per_s"] == 3.352e12
    assert spec["l2_bytes"] == 50 * 2**20
    assert spec["tensor_f16_flop_per_s"] == pytest.approx(989.4e12)
    assert spec["tensor_s8_op_per_s"] == pytest.approx(1978.9e12)
    assert spec["tdp_w"] == 700
    assert (spec.architecture, spec.chip) == ("sm_90", "GH100")


@pytest.mark.parametrize("name", [name for name in NAMES if device.load(name).get("memory_pin_rate_bit_per_s")])
def test_bus_times_pin_rate_is_the_dram_bandwidth(name: str) -> None:
    spec = device.load(name)
    bytes_per_s = spec["memory_bus_bits"] * spec["memory_pin_rate_bit_per_s"] / 8
    assert bytes_per_s == pytest.approx(spec["dram_bandwidth_bytes_per_s"], rel=0.02)


def test_few_products_lack_a_pin_rate() -> None:
    lacking = {name for name in NAMES if device.load(name).get("memory_pin_rate_bit_per_s") is None}
    assert lacking == {"h200-sxm", "h800-pcie"}


@pytest.mark.parametrize("name", NAMES)
def test_memory_clock_is_half_the_pin_rate(name: str) -> None:
    """NVML's memory clock is a double-data-rate clock, whatever the memory."""
    spec = device.load(name)
    clock, pin_rate = spec.get("memory_clock_hz"), spec.get("memory_pin_rate_bit_per_s")
    if clock is not None and pin_rate is not None:
        assert 2 * clock == pytest.approx(pin_rate, rel=0.01)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("key", "rate"), [("fp32", "fp32_fma"), ("fp64", "fp64_fma"), ("fp16", "fp16_fma")])
def test_lanes_times_clock_is_the_stated_rate(name: str, key: str, rate: str) -> None:
    spec = device.load(name)
    lanes = getattr(arch.ARCHITECTURES[spec.architecture], rate)
    stated = spec.get(f"{key}_flop_per_s")
    if stated is not None:
        assert spec["sm_count"] * lanes * 2 * spec["boost_clock_hz"] == pytest.approx(stated, rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_tensor_rate_times_clock_is_the_stated_rate(name: str) -> None:
    spec = device.load(name)
    for kind, stated in stated_tensor_rates(spec).items():
        fma = device.tensor_fma(spec, kind)
        assert fma is not None, f"{spec.architecture} gives no rate for {kind}"
        clock_hz = stated / (spec["sm_count"] * fma * 2)
        if kind == "f64":
            assert clock_hz == pytest.approx(spec["boost_clock_hz"], rel=0.03), kind
        elif name in UNSTATED_TENSOR_CLOCK:
            assert 0.85 <= clock_hz / spec["boost_clock_hz"] <= 1, kind
        else:
            stated_clock_hz = spec.get("tensor_boost_clock_hz") or spec["boost_clock_hz"]
            assert clock_hz == pytest.approx(stated_clock_hz, rel=0.03), kind


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_rate_that_predictions_start_from_asks_for_a_clock_of_the_product(name: str, dtype: str) -> None:
    """Stated or derived, with the product's own rates: RTX 4070, of which none is stated, once asked for 4950 MHz."""
    spec = device.load(name)
    kind = {"fp16": "f16", "fp8": "e4m3", "int8": "s8"}.get(dtype, dtype)
    per_sm = arch.ARCHITECTURES[spec.architecture].fp32_fma if dtype == "fp32" else device.tensor_fma(spec, kind)
    if per_sm is None or (dtype == "fp32" and spec.get("fp32_flop_per_s") is None):
        with pytest.raises(GpuprobeError, match="no rate of"):
            machine(spec, dtype)
        return
    clock_hz = machine(spec, dtype).flop_per_s / (2 * per_sm * spec["sm_count"])
    slowest_hz = spec.get("base_clock_hz") or 0.85 * spec["boost_clock_hz"]
    assert slowest_hz <= clock_hz <= 1.02 * spec["boost_clock_hz"]  # stated rates are rounded to two figures and more


@pytest.mark.parametrize("name", sorted(UNSTATED_TENSOR_CLOCK))
def test_tensor_rates_of_one_product_share_one_clock(name: str) -> None:
    spec = device.load(name)
    rates = stated_tensor_rates(spec)
    clocks = [rate / (device.tensor_fma(spec, kind) or 0) for kind, rate in rates.items() if kind != "f64"]
    assert max(clocks) == pytest.approx(min(clocks), rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_fp16_accumulation_has_the_full_rate(name: str) -> None:
    spec = device.load(name)
    for kind, fma in arch.ARCHITECTURES[spec.architecture].tensor_fma.items():
        stated = spec.get(f"tensor_{kind}_acc16_flop_per_s")
        if stated is not None:
            assert spec["sm_count"] * fma * 2 * spec["boost_clock_hz"] == pytest.approx(stated, rel=0.03)


def test_reduced_tensor_rates_are_those_of_geforce_and_l40() -> None:
    reduced = {}
    for name in NAMES:
        numbers = device.load(name).numbers
        ratios = {key: number.value for key, number in numbers.items() if key.endswith("_rate_ratio")}
        if ratios:
            reduced[name] = {key.split("_")[1] for key in ratios}
            assert set(ratios.values()) == {0.5}
    assert reduced.keys() == GEFORCE | {"l40"}
    for name in GEFORCE:
        native = arch.ARCHITECTURES[device.load(name).architecture].tensor_fma
        assert reduced[name] == FP32_ACCUMULATE & native.keys()


def test_tensor_fma_of_a_product() -> None:
    assert device.tensor_fma(device.load("rtx-6000-ada"), "f16") == 512
    assert device.tensor_fma(device.load("rtx-4090"), "f16") == 256
    assert device.tensor_fma(device.load("rtx-4090"), "s8") == 1024
    assert device.tensor_fma(device.load("h100-sxm"), "s4") is None


@pytest.mark.parametrize("name", NAMES)
def test_clocks_are_ordered(name: str) -> None:
    spec = device.load(name)
    assert (spec.get("base_clock_hz") or 0) < spec["boost_clock_hz"] <= (spec.get("max_sm_clock_hz") or 1e10)


@pytest.mark.parametrize("name", NAMES)
def test_match_finds_each_product_by_its_nvml_names(name: str) -> None:
    spec = device.load(name)
    assert spec.nvml_names
    for product in spec.nvml_names:
        assert device.match(product) == spec
        assert device.match(product.removeprefix("NVIDIA ").upper()) == spec
        assert device.match(product, memory_bytes=spec["memory_bytes"] * 15 / 16) == spec
        assert device.match(product, memory_bytes=spec["memory_bytes"] / 2) is None
        assert device.match(f"{product} MIG 1g.10gb") is None


def test_load_forgives_spelling_and_suggests() -> None:
    assert device.load("H100_SXM") == device.load("h100-sxm")
    with pytest.raises(GpuprobeError) as caught:
        device.load("h100-smx")
    assert "h100-sxm" in caught.value.hint
    with pytest.raises(GpuprobeError, match="unknown GPU 'zzzz'"):
        device.load("zzzz")


def test_load_of_a_missing_file() -> None:
    with pytest.raises(GpuprobeError, match="cannot read"):
        device.load("/nowhere/x.toml")


def test_for_architecture() -> None:
    assert device.for_architecture("sm90a") == ["gh200", "h100-nvl", "h100-pcie", "h100-sxm", "h200-sxm", "h800-pcie"]
    assert device.for_architecture(arch.ARCHITECTURES["sm_87"]) == []
    assert sorted(name for row in arch.ARCHITECTURES.values() for name in device.for_architecture(row)) == NAMES


GOOD = """
product = "Test GPU"
architecture = "sm_90"
chip = "GX1"
nvml_names = ["NVIDIA Test"]
[sources]
sheet = "A datasheet"
[numbers]
sm_count = { value = 10, source = "sheet" }
boost_clock_mhz = { value = 1500, source = "sheet" }
memory_gb = { value = 8, source = "sheet" }
dram_bandwidth_gb_per_s = { value = 100.5, source = "sheet" }
l2_mib = { value = 4, source = "sheet" }
"""


def load_text(folder: Path, text: str) -> DeviceSpec:
    path = folder / "mine.toml"
    path.write_text(text)
    return device.load(str(path))


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    spec = load_text(tmp_path, GOOD)
    assert (spec.name, spec.product, spec["memory_bytes"]) == ("mine", "Test GPU", 8e9)
    assert spec.numbers["dram_bandwidth_bytes_per_s"].source == "A datasheet"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("boost_clock_mhz", "boost_clock", "'boost_clock' does not end in a known unit"),
        ("boost_clock_mhz", "boost_clock_ghz", "'boost_clock_ghz' does not end in a known unit"),
        ("boost_clock_mhz", "_mhz", "'_mhz' does not end in a known unit"),
        ("boost_clock_mhz", "bost_clock_mhz", "'boost_clock_hz' is missing"),
        ("l2_mib", "tensor_f17_tflops", "'tensor_f17_tflops' 'f17' is not a tensor type"),
        ('{ value = 10, source = "sheet" }', "10", "'sm_count' has no source"),
        ('{ value = 10, source = "sheet" }', "{ value = 10 }", "'sm_count' has no source"),
        ('{ value = 10, source = "sheet" }', '{ value = 10, source = "other" }', "'sm_count' cites 'other'"),
        ('{ value = 10, source = "sheet" }', '{ value = 10, source = ["a"] }', "'sm_count' cites"),
        ('{ value = 10, source = "sheet" }', '{ source = "sheet" }', "'sm_count' holds source instead"),
        ("value = 10,", 'value = "10",', "'sm_count' is '10', not a number"),
        ("value = 10,", "value = true,", "'sm_count' is True, not a number"),
        ("value = 10,", "value = nan,", "'sm_count' is not a positive number"),
        ("value = 10,", "value = inf,", "'sm_count' is not a positive number"),
        ("value = 10,", "value = -10,", "'sm_count' is not a positive number"),
        ("value = 10,", "value = 0,", "'sm_count' is not a positive number"),
        ("value = 10,", "value = 1e400,", "'sm_count' is not a positive number"),
        ("value = 10,", f"value = 1{'0' * 400},", "'sm_count' is not a positive number"),
        ("sm_90", "sm_42", "'architecture' 'sm_42' is unknown"),
        ('chip = "GX1"', "chip = 3", "'chip' is missing or not a text"),
        ('chip = "GX1"', 'chips = "GX1"', "'chips' is not a key of a device file"),
        ('product = "Test GPU"', "", "'product' is missing or not a text"),
        ('["NVIDIA Test"]', '"NVIDIA Test"', "'nvml_names' is not a list"),
        ('["NVIDIA Test"]', "[3]", "'nvml_names' is missing or not a text"),
        ('sheet = "A datasheet"', "sheet = 3", "'sources.sheet' is missing or not a text"),
        ("[numbers]", "[numbers]\nmemory_gib = { value = 8, source = 'sheet' }", "'memory_bytes' a second time"),
        ("[numbers]", "[nombers]", "'nombers' is not a key of a device file"),
        ('chip = "GX1"', "chip = ", "is not TOML"),
    ],
)
def test_a_bad_file_is_rejected_by_key(tmp_path: Path, old: str, new: str, named: str) -> None:
    assert old in GOOD
    with pytest.raises(GpuprobeError) as caught:
        load_text(tmp_path, GOOD.replace(old, new, 1))
    assert named in caught.value.message
    assert "mine.toml" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("row", arch.ARCHITECTURES.values(), ids=lambda row: row.name)
def test_architecture_rows_are_consistent(row: arch.Architecture) -> None:
    assert row.target in (row.name, f"{row.name}a")
    assert row.shared_bytes_per_block == row.shared_bytes_per_sm - 1024 < row.l1_and_shared_bytes
    assert row.warps_per_sm * 32 == row.threads_per_sm
    assert row.tensor_fma.keys() <= set(arch.TENSOR_TYPES)
    assert row.tensor_fma["s8"] == 2 * row.tensor_fma["f16"]
    assert ("wgmma" in row.features) == (row.tensor_instruction == "wgmma")
    assert ("s4" in row.tensor_fma) <= ("int4_mma_native" in row.features)
    assert "Programming Guide" in row.source


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *((text, "sm_90") for text in ("sm90", "sm_90", "90", "9.0", "sm_90a", "SM90A", "compute_90", " Hopper ")),
        *((text, "sm_120") for text in ("sm120", "12.0", "sm_120a")),
        *((text, "sm_89") for text in ("ada", "8.9", "sm89")),
    ],
)
def test_parse(text: str, name: str) -> None:
    assert arch.parse(text) is arch.ARCHITECTURES[name]


@pytest.mark.parametrize("text", ["", "sm_75", "sm_80a", "sm", "9", "turing", "sm_9.0.0", "sm_90b", "9０"])
def test_parse_lists_the_known_ones(text: str) -> None:
    with pytest.raises(GpuprobeError) as caught:
        arch.parse(text)
    assert "sm_90" in caught.value.hint


@pytest.mark.parametrize("text", ["ampere", "blackwell"])
def test_parse_of_an_ambiguous_generation(text: str) -> None:
    with pytest.raises(GpuprobeError, match="ambiguous"):
        arch.parse(text)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (">=sm_75", "80 86 87 89 90 100 120"),
        (">=sm_80", "80 86 87 89 90 100 120"),
        ("==sm_90", "90"),
        ("sm_90a", "90"),
        ("sm_80,sm_86", "80 86"),
        ("sm_89|>=sm_120", "89 120"),
        (" >= sm_86 & < sm_90 , sm_100", "86 87 89 100"),
        ("!=sm_90", "80 86 87 89 100 120"),
        (">sm_90", "100 120"),
        ("<=sm86", "80 86"),
    ],
)
def test_matches(spec: str, expected: str) -> None:
    matching = [str(row.number) for row in arch.ARCHITECTURES.values() if arch.matches(spec, row)]
    assert " ".join(matching) == expected


@pytest.mark.parametrize(
    "spec",
    [
        "",
        " ",
        ",",
        "sm_80,",
        "sm_80||sm_90",
        "&sm_80",
        "sm_98",
        "==sm_75",
        "sm_80a",
        ">=sm_90a",
        "=>sm_80",
        "hopper",
        "90",
    ],
)
def test_a_bad_declaration_is_rejected_for_every_architecture(spec: str) -> None:
    for row in arch.ARCHITECTURES.values():
        with pytest.raises(GpuprobeError, match="bad architecture declaration"):
            arch.matches(spec, row)


def test_a_bad_part_is_reported_though_another_part_matches() -> None:
    with pytest.raises(GpuprobeError, match="sm_98"):
        arch.matches("sm_80,sm_98", arch.ARCHITECTURES["sm_80"])


ROWS = st.sampled_from(list(arch.ARCHITECTURES.values()))
TERMS = st.tuples(st.sampled_from([">=", "<=", "==", "!=", ">", "<", ""]), ROWS).map(
    lambda pair: f"{pair[0]}{pair[1].name}"
)


@given(ROWS, TERMS, TERMS)
def test_grammar_is_boolean_algebra(row: arch.Architecture, left: str, right: str) -> None:
    one, other = arch.matches(left, row), arch.matches(right, row)
    assert arch.matches(f"{left}|{right}", row) == arch.matches(f"{left},{right}", row) == (one or other)
    assert arch.matches(f"{left}&{right}", row) == (one and other)
    assert arch.matches(f"{left}|{left}&{right}", row) == one


@given(ROWS, ROWS)
def test_order_is_that_of_the_compute_capability(row: arch.Architecture, other: arch.Architecture) -> None:
    assert arch.matches(f">={other.name}", row) == (row.number >= other.number)
    assert arch.matches(f"<{other.name}", row) != arch.matches(f">={other.name}", row)
    assert arch.matches(other.name, row) == (row is other)


@given(st.text(alphabet="smSM_<>=!&|, 0189a", max_size=14), ROWS)
def test_any_text_is_a_verdict_or_a_gpuprobe_error(spec: str, row: arch.Architecture) -> None:
    try:
        assert arch.matches(spec, row) in (True, False)
    except GpuprobeError as error:
        assert error.hint


@given(st.text(max_size=12))
def test_parse_of_any_text_is_a_row_or_a_gpuprobe_error(text: str) -> None:
    try:
        assert arch.parse(text) in arch.ARCHITECTURES.values()
    except GpuprobeError as error:
        assert error.hint
