"""Predictions: they behave as physics does, sum up, keep their document, and stand near what was recorded."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe import device, load_trace, predict, resources
from gpuprobe.errors import GpuprobeError
from gpuprobe.llm import Plan, answer, load_model, loaded
from gpuprobe.llm.combine import COMMON, total
from gpuprobe.llm.memory import largest_batch, memory, weights_bytes
from gpuprobe.llm.phase import phase
from gpuprobe.llm.step import Step
from gpuprobe.predict import Interval

LLAMA = load_model("llama-3-8b")


def h100():
    return loaded("h100-sxm", "bf16")


def ask(**changed):
    return answer(Plan(LLAMA, **changed), h100())


def ordered(interval):
    return 0 < interval.low <= interval.value <= interval.high


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 256), st.integers(1, 4000), st.integers(1, 2000))
def test_intervals_are_ordered_and_parts_sum_to_the_whole(batch, prompt, output):
    found = ask(batch=batch, prompt=prompt, output=output)
    for one in (found.prefill, found.decode):
        assert ordered(one.time_s) and ordered(one.power_w) and ordered(one.energy_j)
        assert sum(row["time_s"] for row in one.by_op()) == pytest.approx(one.time_s.value)
        assert sum(row["share"] for row in one.by_op()) == pytest.approx(1.0)
        assert one.power_w.value <= 700.0
    assert ordered(found.latency_s) and ordered(found.tokens_per_s)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 200), st.integers(64, 3000))
def test_more_work_takes_longer_and_more_memory(batch, prompt):
    found, longer, more = ask(batch=batch, prompt=prompt), ask(batch=batch, prompt=2 * prompt), ask(batch=4 * batch)
    assert longer.prefill.time_s.value > found.prefill.time_s.value
    assert longer.decode.time_s.value >= found.decode.time_s.value
    assert longer.memory.total_bytes > found.memory.total_bytes
    assert more.decode.time_s.value >= 0.97 * ask(batch=batch).decode.time_s.value


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128, 256]), st.sampled_from(["h100-sxm", "a100-sxm-80gb", "l40s"]))
def test_no_step_beats_the_memory_or_the_matrix_units(batch, gpu):
    at = loaded(gpu, "bf16")
    plan = Plan(LLAMA, batch=batch, prompt=512)
    found = answer(plan, at)
    stated = at.machine.dram_bytes_per_s
    read = weights_bytes(plan) - LLAMA.vocab * LLAMA.hidden * 2 + batch * plan.kv_bytes(576)
    assert found.decode.time_s.value > 0.97 * read / stated
    assert found.prefill.time_s.value > 2 * 512 * batch * LLAMA.linear_parameters / at.machine.flop_per_s


def test_a_small_cache_and_small_weights_are_read_faster():
    plain = ask(batch=64, prompt=4096)
    assert ask(batch=64, prompt=4096, kv_dtype="fp8").decode.time_s.value < plain.decode.time_s.value
    small = predict.llm("llama-3-8b", batch=64, prompt=4096, dtype="fp8")
    assert small.decode.time_s.value < plain.decode.time_s.value
    assert small.memory.kv_bytes == plain.memory.kv_bytes  # the cache keeps its type unless it is asked for


def test_more_gpus_are_faster_and_cost_more_energy():
    one, two = ask(batch=8), ask(batch=8, tp=2)
    assert one.decode.time_s.value > two.decode.time_s.value > one.decode.time_s.value / 2
    assert two.energy_j.value > one.energy_j.value
    assert two.memory.weights_bytes < 0.51 * one.memory.weights_bytes + 1e6


def test_launches_by_the_host_take_their_time():
    eager, graphs = ask(mode="eager"), ask()
    assert eager.decode.bound == "launch" and graphs.decode.bound == "memory"
    assert eager.decode.time_s.value == pytest.approx(eager.decode.kernels * 23e-6)


def test_errors_that_are_common_add_up_and_independent_ones_less():
    same = Interval(1.0, 0.9, 1.2)
    assert total([(same, 10)]) == pytest.approx((10.0, 9.0, 12.0))
    apart = total([(same, 1)] * 10)
    width = (COMMON * 2.0**2 + (1 - COMMON) * 10 * 0.2**2) ** 0.5
    assert apart.high - apart.value == pytest.approx(width)
    assert 10 * 0.2 > width > 10**0.5 * 0.2


def test_memory_by_hand():
    # 8.03 B weights of 2 bytes; 640 tokens of 128 KiB; 8 B of logits' etc. are activations
    found = ask(batch=10, prompt=512, output=128).memory
    assert found.weights_bytes == 2 * 8_030_261_248
    assert found.kv_bytes == 10 * 640 * 131_072
    assert found.fits and found.total_bytes == (
        found.weights_bytes + found.kv_bytes + found.activation_bytes + found.reserve_bytes
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(16, 4000), st.integers(1, 3000))
def test_the_largest_batch_fits_and_one_more_does_not(prompt, output):
    plan = Plan(LLAMA, prompt=prompt, output=output)
    largest = largest_batch(plan, h100())
    assert memory(dataclasses.replace(plan, batch=largest), h100()).fits
    assert not memory(dataclasses.replace(plan, batch=largest + 1), h100()).fits


def test_a_prompt_that_is_shared_is_kept_once():
    plan = Plan(LLAMA, batch=16, prompt=3000, output=1000)
    shared = dataclasses.replace(plan, shared=2000)
    apart, together = memory(plan, h100()).kv_bytes, memory(shared, h100()).kv_bytes
    assert apart == 16 * plan.kv_bytes(4000)
    assert together == 16 * (plan.kv_bytes(4000) - plan.kv_bytes(2000)) + plan.kv_bytes(2000)


def test_heads_of_keys_that_are_copied_take_memory_on_every_gpu():
    """Llama 3 8B has 8 heads of keys and values: on 16 GPUs each holds one whole, so 16 in all."""
    halves = 16 * weights_bytes(Plan(LLAMA, tp=16)) - 8 * weights_bytes(Plan(LLAMA, tp=8))
    copied = 8 * 2 * 128 * 4096 * 32 * 2  # heads, K and V, width, hidden, layers, bytes
    norms = 8 * LLAMA.norm_parameters * 2
    assert halves == pytest.approx(copied + norms, rel=1e-6)


def test_what_is_known_not_to_fit_does_not():
    seventy = load_model("llama-3-70b")
    assert not memory(Plan(seventy), h100()).fits  # 141 GB
    assert largest_batch(Plan(seventy), h100()) == 0
    assert memory(Plan(seventy, tp=4), h100()).fits


def test_the_document_is_plain_and_keeps_its_keys():
    document = json.loads(json.dumps(ask(batch=8).document(), allow_nan=False))
    assert document.keys() >= {"schema", "model", "gpu", "asked", "prefill", "decode", "request", "memory", "in_domain"}
    assert document["prefill"].keys() >= {
        "time_s", "time_s_low", "time_s_high", "tokens_per_s", "power_w", "energy_j", "bound", "by_op",
    }  # fmt: skip
    assert document["decode"].keys() >= {
        "time_per_token_s", "time_per_token_s_low", "time_per_token_s_high", "tokens_per_s", "power_w",
        "energy_per_token_j", "bound", "by_op",
    }  # fmt: skip
    assert document["memory"].keys() >= {"weights_bytes", "kv_bytes", "activation_bytes", "total_bytes", "fits"}
    assert document["decode"]["by_op"][0].keys() >= {"op", "calls", "time_s", "bound", "in_domain", "origin"}
    assert all(one["origin"] and one["source"] for one in document["numbers"].values())
    assert document["schema"] == 1


def test_data_stand_behind_an_h100_and_not_behind_a_gpu_of_which_only_the_data_sheet_is_known():
    assert ask().in_domain
    assert not predict.llm("llama-3-8b", gpu="gh200").in_domain


def test_fp8_needs_matrix_units_for_it():
    with pytest.raises(GpuprobeError, match="fp8"):
        loaded("a100-sxm-80gb", "fp8")


@pytest.mark.parametrize("gpu", device.names())
def test_every_gpu_of_the_catalogue_is_predicted(gpu):
    found = predict.llm("llama-3.2-1b", gpu=gpu, batch=16)
    assert ordered(found.prefill.time_s) and ordered(found.decode.time_s) and found.memory.fits
    assert found.decode.time_s.value > 2.0 * found.plan.model.active_parameters / found.gpu.machine.dram_bytes_per_s


def test_a_device_file_is_a_gpu(tmp_path):
    text = (resources.PACKAGE / "devices" / "l40s.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    found = predict.llm("llama-3-8b", gpu=str(tmp_path / "mine.toml"))
    assert found.gpu.name == "mine" and not found.in_domain


@pytest.mark.parametrize("batch", [1, 4, 16, 64])
@pytest.mark.parametrize(("name", "queries", "keys"), [("prefill", 512, 512), ("decode", 1, 524)])
def test_recorded_steps_are_predicted(name, queries, keys, batch):
    """GPU time within 20 % (the GEMMs alone within 10 %), on the shipped recording of an H100."""
    file = f"llama-1b-{name}-b{batch}-c512-eager.gptrace"
    trace = load_trace(resources.folder("reports") / "h100-sxm" / "llama-1b" / file)
    steps = trace.meta["workload"]["steps"]
    plan = Plan(load_model("llama-3.2-1b"), batch, 512, 22, mode="eager", kernels="separate")
    found = phase(plan, Step(batch, queries, keys), h100())
    assert found.gpu_s.value == pytest.approx(trace.gpu.dur.sum() * 1e-9 / steps, rel=0.2)
    is_gemm = np.array(["nvjet" in text or "splitK" in text for text in trace.texts])[trace.gpu.name]
    gemms = sum(one.total_s for one in found.parts if one.operation.group == "gemm")
    assert gemms == pytest.approx(trace.gpu.dur[is_gemm].sum() * 1e-9 / steps, rel=0.1)
