"""What operators cost: FLOPs and bytes from their shapes, and what cannot be known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.ops.aten import cost_of, parse_inputs
from gpuprobe.ops.attention import Attention
from gpuprobe.ops.norm import Norm

BF16 = "c10::BFloat16"


def cost(name, dims, types=None, values=None, strides=None):
    document = {"dims": dims, "types": types or [BF16] * len(dims)}
    if values is not None:
        document["values"] = values
    if strides is not None:
        document["strides"] = strides
    return cost_of(name, parse_inputs(document))


def test_a_gemm_is_counted_once_read_and_once_written():
    found = cost("aten::mm", [[8, 16], [16, 32]], strides=[[16, 1], [1, 16]])
    assert (found.flop, found.bytes, found.rate) == (2 * 8 * 16 * 32, 2 * (8 * 16 + 16 * 32 + 8 * 32), "bf16")
    assert (found.gemm.m, found.gemm.n, found.gemm.k, found.gemm.layout) == (8, 32, 16, "tn")
    assert cost("aten::mm", [[8, 16], [16, 32]], strides=[[16, 1], [32, 1]]).gemm.layout == "nn"


def test_addmm_and_linear_are_the_same_gemm():
    addmm = cost("aten::addmm", [[32], [8, 16], [16, 32], [], []], [BF16, BF16, BF16, "Scalar", "Scalar"])
    linear = cost("aten::linear", [[2, 4, 16], [32, 16], [32]])
    assert addmm.gemm == linear.gemm


def test_a_batched_gemm_is_the_batch_times_the_gemm():
    found = cost("aten::bmm", [[6, 8, 16], [6, 16, 32]])
    assert found.flop == 6 * 2 * 8 * 16 * 32
    assert found.gemm is None


def test_attention_counts_grouped_keys_once_and_half_of_a_causal_square():
    shape = Attention(batch=2, queries=100, keys=100, heads=8, kv_heads=2, head_dim=64)
    assert shape.pairs == 100 * 101 // 2
    assert shape.flop == 4 * 2 * 8 * 5050 * 64
    assert shape.bytes == 2 * 64 * 2 * (2 * 8 * 100 + 2 * 2 * 100)
    decode = Attention(batch=1, queries=1, keys=512, heads=8, kv_heads=8, head_dim=64)
    assert decode.pairs == 512


@given(queries=st.integers(1, 40), keys=st.integers(1, 40))
def test_causal_pairs_are_those_of_the_mask(queries, keys):
    seen = sum(1 for q in range(queries) for k in range(keys) if k - q <= keys - queries)
    if queries > keys:  # aligned to the last: the first queries see nothing
        seen = sum(1 for q in range(queries) for k in range(keys) if q - (queries - keys) >= k)
    assert Attention(1, queries, keys, 1, 1, 1).pairs == seen


def test_flash_attention_of_a_profile_reads_its_causal_flag():
    dims = [[16, 559, 16, 64], [16, 559, 4, 64], [16, 559, 4, 64], [], [], [], [], [], []]
    types = [BF16] * 3 + ["", "", "Scalar", "Scalar", "Scalar", "Scalar"]
    values = [""] * 8 + ["True"]
    causal = cost("aten::_flash_attention_forward", dims, types, values)
    full = cost("aten::_flash_attention_forward", dims, types, [""] * 8 + ["False"])
    assert full.flop == 4 * 16 * 16 * 559 * 559 * 64
    assert causal.flop == full.flop * 560 // (2 * 559)
    assert causal.bytes == 2 * 16 * 64 * 559 * (2 * 16 + 2 * 4)
    assert causal.assumed == ""
    unknown = cost("aten::_flash_attention_forward", dims, types)
    assert (unknown.flop, unknown.assumed) == (causal.flop, "a causal mask")


def test_expanded_inputs_are_read_once():
    plain = cost("aten::mul", [[64, 128], [64, 128]], strides=[[128, 1], [128, 1]])
    expanded = cost("aten::mul", [[64, 128], [64, 128]], strides=[[128, 1], [0, 1]])
    assert plain.bytes == 3 * 64 * 128 * 2
    assert expanded.bytes == (2 * 64 * 128 + 128) * 2
    assert plain.flop == expanded.flop == 64 * 128


def test_broadcasting_makes_the_result_larger_than_each_input():
    found = cost("aten::add", [[64, 1], [1, 128]])
    assert found.bytes == (64 + 128 + 64 * 128) * 2


def test_norms_copies_fills_and_gathers():
    assert cost("aten::native_layer_norm", [[8, 64], [], [64], [64], []]).bytes == (2 * 8 * 64 + 2 * 64) * 2
    assert cost("aten::copy_", [[64], [64]], ["float", BF16]).bytes == 64 * 6
    assert cost("aten::zero_", [[64]]).bytes == 128
    gather = cost("aten::embedding", [[1000, 64], [2, 3]], [BF16, "long int"])
    assert gather.bytes == 6 * 64 * 2 * 2 + 6 * 8
    assert cost("aten::cat", [[[4, 8], [4, 8]], []], ["TensorList", "Scalar"]).bytes == 2 * 2 * 64
    assert Norm("rms", 100).flop == 400


@pytest.mark.parametrize(
    ("name", "dims", "types"),
    [
        ("aten::mm", [[8, 16], [17, 32]], None),
        ("aten::mm", [[8, 16]], None),
        ("aten::mm", [[8, 16], [16, 32]], ["c10::Unheard", BF16]),
        ("aten::bmm", [[8, 16], [16, 32]], None),
        ("aten::sort", [[8, 16]], None),
        ("mine::mm", [[8, 16], [16, 32]], None),
        ("aten::mul", [], None),
        ("aten::_flash_attention_forward", [[1, 2, 3], [1], [2]], None),
    ],
)
def test_what_is_not_known_costs_nothing_known(name, dims, types):
    assert cost(name, dims, types) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


@given(
    dims=JSON, types=JSON, strides=JSON, name=st.sampled_from(["mm", "addmm", "cat", "mul", "embedding", "_softmax"])
)
def test_no_shapes_of_a_file_break_it(dims, types, strides, name):
    try:
        found = cost_of(f"aten::{name}", parse_inputs({"dims": dims, "types": types, "strides": strides}))
    except ValueError:
        return
    assert found is None or (found.bytes > 0 and found.flop >= 0)
