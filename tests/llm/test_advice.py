"""Advice: the knee of the batch, long contexts against the paper's numbers, cards before and after."""

import pytest

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.llm import Plan, load_model, loaded
from gpuprobe.llm.advice import advice
from gpuprobe.llm.answer import answer
from gpuprobe.llm.batching import EPSILON, batches, batching
from gpuprobe.llm.cards import cards, play
from gpuprobe.llm.cards.speculative import draft_of, tokens_per_check
from gpuprobe.llm.context import concurrency, contexts, decode_bytes, paper_prefill_flop, prefill_flop, switch_s
from gpuprobe.llm.explain import formulas

LLAMA = load_model("llama-3-8b")
YI = load_model("yi-34b-200k")
A100 = {"memory": 80 * 2**30, "peak": 312e12, "bandwidth": 2.039e12}


def h100():
    return loaded("h100-sxm", "bf16")


def test_the_knee_keeps_the_slo_and_scales():
    found = batching(Plan(LLAMA), h100(), slo_s=0.010)
    knee = found.point(found.knee)
    assert knee.time_per_token_s <= 0.010 and knee.scaling > EPSILON
    better = [one for one in found.points if one.tokens_per_s > knee.tokens_per_s]
    assert all(one.time_per_token_s > 0.010 or one.scaling <= EPSILON for one in better)


def test_no_batch_keeps_an_slo_that_is_too_short():
    assert batching(Plan(LLAMA), h100(), slo_s=0.001).knee == 0


@pytest.mark.parametrize("slo_s", [-0.01, 0.0, float("nan"), float("inf")])
def test_an_slo_that_makes_no_sense_is_refused(slo_s):
    with pytest.raises(GpuprobeError, match="SLO"):
        batching(Plan(LLAMA), h100(), slo_s)


def test_throughput_grows_with_the_batch_and_energy_a_token_falls():
    points = batching(Plan(LLAMA), h100()).points
    assert [one.tokens_per_s for one in points] == sorted(one.tokens_per_s for one in points)
    assert points[0].energy_per_token_j > 10 * points[-1].energy_per_token_j


def test_the_published_knee_of_opt_is_found():
    """arXiv:2503.08311: OPT-1.3B on an H100, 83 % of the best throughput with 16 % of the cache."""
    found = batching(Plan(load_model("opt-1.3b"), prompt=161, output=338, dtype="fp16"), loaded("h100-sxm", "fp16"))
    document = found.document()
    assert document["knee_share_of_best_tokens_per_s"] == pytest.approx(0.83, abs=0.05)
    assert document["knee_share_of_largest_kv"] == pytest.approx(0.16, abs=0.05)


def test_host_launches_matter_up_to_some_batch():
    eager = batching(Plan(LLAMA, mode="eager"), h100())
    assert eager.launches_matter_below > batching(Plan(LLAMA), h100()).launches_matter_below >= 1


def test_a_model_that_does_not_fit_is_an_error():
    with pytest.raises(GpuprobeError, match=r"141\.\d GB|GB of a h100-sxm") as caught:
        batches(Plan(load_model("llama-3-70b")), h100())
    assert caught.value.exit_code == Exit.MACHINE_LACKS


def test_the_papers_numbers_for_long_contexts():
    """arXiv:2405.08944, Yi-34B 200K in bf16 on an A100 80 GB: 50K and 4K tokens."""
    weights = 2.0 * YI.parameters
    assert YI.kv_bytes(50_000, 2) / 1e9 == pytest.approx(12.3, abs=0.05)
    assert concurrency(A100["memory"], weights, YI.kv_bytes(50_000, 2)) == 1
    assert paper_prefill_flop(YI, 50_000) / A100["peak"] == pytest.approx(14.1, rel=0.03)
    assert paper_prefill_flop(YI, 4_000) / A100["peak"] == pytest.approx(0.89, rel=0.01)
    at = {tokens: 250 * decode_bytes(weights, YI.kv_bytes(tokens, 2)) / A100["bandwidth"] for tokens in (4_000, 50_000)}
    assert at[50_000] == pytest.approx(9.8, rel=0.02)
    assert at[4_000] == pytest.approx(8.5, rel=0.02)
    assert switch_s(YI.kv_bytes(50_000, 2), 20e9) == pytest.approx(1.2, rel=0.03)


def test_attention_is_counted_half_by_the_paper():
    linear = 2.0 * 50_000 * YI.active_parameters
    assert prefill_flop(YI, 50_000) - linear == pytest.approx(2 * (paper_prefill_flop(YI, 50_000) - linear))


def test_contexts_end_where_the_model_does():
    plan = Plan(LLAMA, prompt=300, output=100)
    assert contexts(plan) == [300, 1024, 2048, 4096, 8092]


def test_every_card_says_before_and_after_or_why_not():
    rows = play(Plan(LLAMA, batch=8), h100())
    assert [row["card"] for row in rows] == sorted(card.name for card in cards())
    for row in rows:
        assert bool(row["why_not"]) == (row["after"] is None) == (row["ratio"] is None)
        if row["after"]:
            assert all(
                row["ratio"][key] == pytest.approx(row["after"][key] / row["before"][key]) for key in row["before"]
            )


@pytest.mark.parametrize(
    ("card", "measure", "plan"),
    [
        ("fp8-weights", "time_per_token_s", Plan(LLAMA)),
        ("fp8-cache", "memory_bytes", Plan(LLAMA, batch=64)),
        ("cuda-graphs", "time_per_token_s", Plan(LLAMA, mode="eager")),
        ("fused-kernels", "time_per_token_s", Plan(LLAMA, mode="eager", kernels="separate")),
        ("grouped-queries", "memory_bytes", Plan(load_model("llama-2-7b"), batch=16)),
        ("prefix-cache", "prefill_s", Plan(LLAMA, prompt=2048)),
        ("speculative", "time_per_token_s", Plan(load_model("llama-3-70b"), tp=4)),
        ("tensor-parallel", "time_per_token_s", Plan(LLAMA, batch=8)),
    ],
)
def test_a_card_improves_what_it_is_for(card, measure, plan):
    (row,) = play(plan, h100(), (card,))
    assert not row["why_not"] and row["ratio"][measure] < 1.0


def test_tokens_of_a_check_by_hand():
    assert tokens_per_check(0.0, 4) == 1.0
    assert tokens_per_check(1.0, 4) == 5.0
    assert tokens_per_check(0.5, 2) == pytest.approx(1 + 0.5 + 0.25)


def test_a_draft_is_of_the_family():
    assert draft_of(LLAMA).name == "llama-3.2-1b"
    with pytest.raises(GpuprobeError):
        draft_of(load_model("llama-2-7b"))


def test_an_unknown_card_is_an_error():
    with pytest.raises(GpuprobeError, match="fp8-weights"):
        play(Plan(LLAMA), h100(), ("fp4",))


def test_formulas_are_what_their_inputs_give():
    found = {one.what: one for one in formulas(answer(Plan(LLAMA, batch=4), h100()))}
    switch = found["context switch"].inputs
    assert found["context switch"].value == pytest.approx(2 * switch["cache"][0] / switch["link"][0])
    total = found["total on one GPU"]
    assert total.value == sum(value for value, _ in total.inputs.values())
    alone = found["a token if only memory counted (all experts)"]
    inputs = {name: value for name, (value, _) in alone.inputs.items()}
    assert alone.value == pytest.approx((inputs["weights"] + inputs["batch · cache(S)"]) / inputs["bandwidth"])
    assert alone.value < found["a token as predicted"].value
    assert found["prefill at the peak"].value < found["prefill as predicted"].value


def test_advice_is_one_document():
    document = advice(Plan(LLAMA), h100(), 0.02, ["fp8-cache"])
    assert document.keys() >= {"schema", "model", "gpu", "asked", "batching", "contexts", "cards"}
    assert [row["card"] for row in document["cards"]] == ["fp8-cache"]
    users = [row["concurrency"] for row in document["contexts"]]
    assert users == sorted(users, reverse=True)
