"""What workers hand each other is data: it arrives as it was, and nothing else is taken."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.kernel_eval.packing import packed, unpacked

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
VALUES = st.recursive(
    LEAVES,
    lambda part: st.lists(part) | st.lists(part).map(tuple) | st.dictionaries(st.text(), part),
    max_leaves=12,
)


def sent(value):
    return unpacked(json.loads(json.dumps(packed(value))))


@given(VALUES)
def test_plain_values_arrive_as_they_were(value):
    found = sent(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("kind", ["float32", "float16", ">i4", "uint8", "bool", "complex64"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_arrays_arrive_bit_for_bit_and_can_be_written(kind, shape):
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(kind)
    found = sent({"x": array})["x"]
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, shape, array.tobytes())
    found[...] = 1


def test_numbers_of_numpy_stay_numbers():
    assert type(sent([np.float32(0.5)])[0]) is np.float32


@pytest.mark.parametrize("value", [object(), {1: 2}, {"f": print}, np.array([None]), {1, 2}])
def test_what_is_no_data_is_refused(value):
    with pytest.raises(TypeError, match="cannot be handed to another process"):
        packed([value])


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown kind"):
        unpacked({"call": ["os.system", "true"]})


def test_torch_takes_the_handle_of_its_memory_in_the_order_in_which_it_is_sent():
    reductions = pytest.importorskip("torch.multiprocessing.reductions")
    import inspect

    names = list(inspect.signature(reductions.rebuild_cuda_tensor).parameters)
    assert names[:8] == [
        "tensor_cls", "tensor_size", "tensor_stride", "tensor_offset", "storage_cls", "dtype", "storage_device",
        "storage_handle",
    ]  # fmt: skip
