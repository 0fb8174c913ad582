from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.gemm import DTYPES, LAYOUTS, Gemm, unsupported
from gpuprobe.predict import Predictor
from gpuprobe.sweep.campaign import REPEAT_EVERY, Campaign, read_shapes
from gpuprobe.sweep.doubt import Doubt
from gpuprobe.sweep.models import layer_pairs
from gpuprobe.sweep.shapes import FAMILIES, Limits, conform, fits, sample

LIMITS = Limits()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(list(DTYPES)), st.sampled_from(LAYOUTS))
def test_every_sample_is_within_the_limits_and_depends_on_seed_and_index_alone(
    seed: int, index: int, dtype: str, layout: str
) -> None:
    family, gemm = sample(seed, index, dtype, layout, LIMITS)
    assert fits(gemm, LIMITS)
    assert (family, gemm) == sample(seed, index, dtype, layout, LIMITS)
    if layout in DTYPES[dtype].layouts:
        assert unsupported(gemm) == ""


@given(st.tuples(*[st.integers(-3, 70000)] * 3), st.sampled_from(list(DTYPES)))
def test_conforming_changes_as_little_as_the_type_needs(triple: tuple[int, int, int], dtype: str) -> None:
    gemm = conform(triple, dtype, "tn")
    assert unsupported(gemm) == ""
    multiple = DTYPES[dtype].multiple
    assert 0 <= gemm.n - max(1, triple[1]) < multiple
    assert 0 <= gemm.k - max(1, triple[2]) < multiple


def test_any_prefix_is_a_fair_sample() -> None:
    tasks = list(islice(Campaign(seed=5).tasks(LIMITS), 2000))
    for begin, end in ((0, 500), (1500, 2000)):
        shares = Counter(task.family for task in tasks[begin:end])
        for name, share, _ in FAMILIES:
            assert shares[name] / (end - begin) == pytest.approx(share, abs=0.07)


def test_doubt_chooses_every_second_gemm_and_leaves_the_others_as_they_were() -> None:
    predictor = Predictor.load("h100-sxm")
    plain = list(islice(Campaign(seed=5, dtypes=("bf16", "fp16")).tasks(LIMITS), 80))
    unsure = Campaign(seed=5, dtypes=("bf16", "fp16"), doubt=Doubt(predictor))
    tasks = list(islice(unsure.tasks(LIMITS), 80))
    chosen = [task for task in tasks if task.family == "unsure"]
    assert [task.index % 4 in (2, 3) for task in tasks] == [task.family == "unsure" for task in tasks]
    assert tasks == list(islice(unsure.tasks(LIMITS), 80))
    for task, usual in zip(tasks, plain, strict=True):
        assert task.gemm.dtype == usual.gemm.dtype
        assert task.family == "unsure" or task == usual
    widths = {"unsure": [], "sampled": []}
    for task in tasks:
        answer = predictor.gemm(task.gemm.m, task.gemm.n, task.gemm.k, task.gemm.dtype)
        hot = answer.hot.high / answer.hot.low * (1 if answer.in_domain else 2)
        widths["unsure" if task in chosen else "sampled"].append(hot)
    assert median(widths["unsure"]) > 1.2 * median(widths["sampled"])
    assert unsure.identity != Campaign(seed=5, dtypes=("bf16", "fp16")).identity


def test_families_are_what_they_say() -> None:
    tasks = list(islice(Campaign(seed=5).tasks(LIMITS), 2000))
    ragged = [task.gemm for task in tasks if task.family == "ragged"]
    assert all(gemm.n % 8 or gemm.k % 8 for gemm in ragged)
    assert {min(gemm.n & -gemm.n, 8) for gemm in ragged} == {1, 2, 4, 8}
    assert all((t.gemm.n, t.gemm.k) in set(layer_pairs()) for t in tasks if t.family == "llm")
    aligned = [task.gemm for task in tasks if task.family == "log_uniform"]
    assert all(size % 8 == 0 and 16 <= size <= 16384 for gemm in aligned for size in (gemm.m, gemm.n, gemm.k))
    assert (12288, 4096) in layer_pairs()  # QKV of Llama-2 7B
    assert (28672, 4096) in layer_pairs()  # gate and up of Llama-3 8B


def test_two_percent_are_repeated_later_and_nothing_else_is() -> None:
    tasks = list(islice(Campaign(seed=7).tasks(LIMITS), 1000))
    repeats = [task for task in tasks if task.repeats != task.index]
    assert len(repeats) == 1000 // REPEAT_EVERY - 2
    for task in repeats:
        first = tasks[task.repeats]
        assert first.gemm == task.gemm
        assert first.repeats == first.index
        assert task.index - first.index >= 50
    fresh = [task.gemm for task in tasks if task.repeats == task.index]
    assert len(set(fresh)) == len(fresh)


def test_types_and_layouts_take_turns_and_may_be_weighted() -> None:
    tasks = islice(Campaign(dtypes=("bf16", "fp8"), layouts=("tn", "tn", "nn")).tasks(LIMITS), 90)
    counted = Counter((task.gemm.dtype, task.gemm.layout) for task in tasks)
    assert counted == {("bf16", "tn"): 36, ("bf16", "nn"): 18, ("fp8", "tn"): 36}  # fp8 has no nn


def test_seeds_differ() -> None:
    first, second = (list(islice(Campaign(seed=seed).tasks(LIMITS), 50)) for seed in (0, 1))
    assert {task.gemm for task in first}.isdisjoint({task.gemm for task in second}) is False or first != second
    assert first != second


def test_listed_shapes_are_taken_in_order_in_each_type(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("m,n,k,dtype,layout\n1,2,3,,\n4,5,6,fp16,nn\n")
    assert read_shapes(path, ("bf16", "fp32"), ("tn",)) == (
        Gemm(1, 2, 3, "bf16", "tn"),
        Gemm(1, 2, 3, "fp32", "tn"),
        Gemm(4, 5, 6, "fp16", "nn"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "no column k, m, n"),
        ("m,n,k\n1,2,x\n", "line 2"),
        ("m,n,k\n1,2,3\n1,0,3\n", "line 3"),
        ("m,n,k\n1,2\n", "line 2"),
        ("m,n,k,dtype\n1,2,3,fp4\n", "line 2: unknown GEMM type 'fp4'"),
        ("m,n,k\n", "lists no shape"),
    ],
)
def test_a_bad_list_of_shapes_is_an_error_that_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(GpuprobeError, match=message):
        read_shapes(path, ("bf16",), ("tn",))


def test_gemm_arithmetic() -> None:
    gemm = Gemm(4, 5, 6, "fp8")
    assert (gemm.flop, gemm.operand_bytes, gemm.output_bytes, gemm.bytes) == (240, 54, 40, 94)
    assert gemm.intensity == pytest.approx(240 / 94)
    with pytest.raises(GpuprobeError, match="dimension n = -1"):
        Gemm(1, -1, 1)
