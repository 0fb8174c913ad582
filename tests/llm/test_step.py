"""Operations of a step against arithmetic by hand: shapes, FLOP, bytes, kernels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.errors import GpuprobeError
from gpuprobe.llm import Plan, layers, layers_separate, load_model
from gpuprobe.llm.operation import CacheRead, Exchange, Product, Scores, Traffic
from gpuprobe.llm.step import Step, activation_bytes, decode_step, prefill_step, windowed_pairs

LLAMA = load_model("llama-3-8b")


def by_name(plan, step, listed=layers):
    return {one.name: one for one in listed.operations(plan, step)}


def gemm(operation):
    found = operation.work.gemm
    return found.m, found.n, found.k


def test_the_gemms_of_a_llama_layer():
    plan = Plan(LLAMA, batch=8, prompt=100)
    found = by_name(plan, decode_step(plan))
    assert gemm(found["qkv"]) == (8, 6144, 4096)
    assert gemm(found["attention out"]) == (8, 4096, 4096)
    assert gemm(found["mlp up"]) == (8, 28672, 4096)
    assert gemm(found["mlp down"]) == (8, 4096, 14336)
    assert gemm(found["logits"]) == (8, 128256, 4096)
    assert {found[name].calls for name in ("qkv", "mlp up", "attention")} == {32}


def test_all_gemms_of_a_prefill_do_two_operations_a_weight_and_token():
    plan = Plan(LLAMA, batch=2, prompt=300)
    flop = sum(
        one.calls * one.work.gemm.flop
        for one in layers.operations(plan, prefill_step(plan))
        if isinstance(one.work, Product) and one.name != "logits"
    )
    assert flop == 2 * 600 * LLAMA.linear_parameters


def test_tensor_parallel_gpus_share_the_gemms_and_exchange_twice_a_layer():
    one, four = Plan(LLAMA, batch=16), Plan(LLAMA, batch=16, tp=4)
    alone, shared = by_name(one, decode_step(one)), by_name(four, decode_step(four))
    assert all(
        4 * shared[name].work.gemm.flop == alone[name].work.gemm.flop
        for name in ("qkv", "attention out", "mlp up", "mlp down", "logits")
    )
    assert shared["all-reduce"].work == Exchange(16 * 4096 * 2, 4)
    assert shared["all-reduce"].calls == 64


def test_attention_of_a_prompt_counts_the_causal_half_and_of_a_token_the_cache():
    plan = Plan(LLAMA, batch=3, prompt=1000, output=200)
    scores = by_name(plan, prefill_step(plan))["attention"].work
    assert isinstance(scores, Scores)
    assert scores.flop == 4 * 3 * 32 * (1000 * 1001 // 2) * 128
    read = by_name(plan, decode_step(plan))["attention"].work
    assert read == CacheRead(2 * 3 * 1100 * 8 * 128 * 2)  # grouped queries: 8 heads, not 32


def test_a_fused_norm_reads_two_rows_and_writes_two():
    """The layer's result and the residual go in, their sum and its norm come out; two norms a layer."""
    plan = Plan(LLAMA, batch=3, prompt=1000, output=200)
    norm = by_name(plan, decode_step(plan))["norm"]
    assert (norm.work, norm.calls) == (Traffic(4 * 3 * 4096 * 2), 2 * 32)


@given(st.integers(1, 60), st.integers(0, 60), st.integers(1, 140))
def test_pairs_in_a_window_are_those_counted_one_by_one(queries, cached, window):
    keys = queries + cached
    counted = sum(min(cached + row + 1, window) for row in range(queries))
    assert windowed_pairs(queries, keys, min(window, keys)) == counted


def test_half_of_gemmas_layers_have_a_window():
    plan = Plan(load_model("gemma-2-9b"), prompt=8000, output=100)
    found = by_name(plan, decode_step(plan))
    assert (found["attention"].calls, found["attention, window"].calls) == (21, 21)
    assert found["attention, window"].work.bytes == 2 * 4096 * 8 * 256 * 2


def test_experts_are_read_as_often_as_they_are_expected_to_be_active():
    plan = Plan(load_model("mixtral-8x7b"), batch=1)
    found = by_name(plan, decode_step(plan))
    assert gemm(found["experts up"]) == (1, 2 * 28672, 4096)
    many = Plan(plan.model, batch=64)
    found = by_name(many, decode_step(many))
    assert gemm(found["experts up"]) == (16, 8 * 28672, 4096)  # 64 tokens, two experts each, over eight


def test_engines_pad_what_would_be_ragged():
    plan = Plan(load_model("gpt2"))
    assert gemm(by_name(plan, decode_step(plan))["logits"]) == (1, 50304, 768)
    plan = Plan(load_model("mixtral-8x7b"), batch=5)
    sizes = [one.work.gemm for one in layers.operations(plan, decode_step(plan)) if isinstance(one.work, Product)]
    assert all(one.n % 8 == one.k % 8 == 0 for one in sizes)


def test_the_separate_kernels_are_as_many_as_were_recorded():
    model = load_model("llama-3.2-1b")
    plan = Plan(model, batch=4, mode="eager", kernels="separate")
    kernels = sum(one.launches for one in layers_separate.operations(plan, Step(4, 512, 512)))
    assert kernels == pytest.approx(661, abs=2)
    kernels = sum(one.launches for one in layers_separate.operations(plan, Step(4, 1, 520)))
    assert kernels == pytest.approx(694, abs=20)  # 678 to 694: some GEMMs are split along k


def test_separate_kernels_of_other_models_are_not_guessed():
    for plan in (Plan(load_model("gpt2"), kernels="separate"), Plan(LLAMA, tp=2, kernels="separate")):
        with pytest.raises(GpuprobeError, match="fused"):
            layers_separate.operations(plan, decode_step(plan))


def test_long_prompts_take_passes_and_little_activation_memory():
    plan = Plan(load_model("llama-3.1-8b"), batch=4, prompt=32_768)
    step = prefill_step(plan)
    assert step.passes(plan) == 16
    assert gemm(by_name(plan, step)["qkv"]) == (8192, 6144, 4096)
    assert activation_bytes(plan, step) < 2e9


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"batch": 0}, "batch"), ({"batch": -1}, "batch"), ({"batch": 1.5}, "batch"), ({"prompt": 0}, "prompt"),
        ({"output": -5}, "output"), ({"prompt": 8000, "output": 500}, "8192"), ({"tp": 3}, "--tp"), ({"tp": 0}, "tp"),
        ({"dtype": "int4"}, "dtype"), ({"kv_dtype": "fp4"}, "kv_dtype"), ({"mode": "lazy"}, "mode"),
        ({"kernels": "some"}, "kernels"), ({"shared": 512}, "shared"), ({"batch": True}, "batch"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(wrong, says):
    with pytest.raises(GpuprobeError, match=says):
        Plan(LLAMA, **wrong)
