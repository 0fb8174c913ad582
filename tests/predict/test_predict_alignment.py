"""Classes of alignment: of 16 bytes of inputs, for one GEMM as for arrays; a model of its own for each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.ops.gemm import DTYPES
from gpuprobe.predict.alignment import Alignment, alignment, alignments, present

from .synthetic import MACHINE


@pytest.mark.parametrize(
    ("n", "k", "dtype", "found"),
    [
        (64, 64, "bf16", "aligned"), (64, 60, "bf16", "ragged"), (60, 64, "fp16", "ragged"),
        (60, 60, "tf32", "aligned"), (62, 64, "fp32", "ragged"), (64, 16, "fp8", "aligned"), (64, 8, "fp8", "ragged"),
        (16, 16, "int8", "aligned"), (24, 16, "int8", "n ragged"), (16, 24, "int8", "ragged"), (8, 8, "int8", "ragged"),
    ],
)  # fmt: skip
def test_multiples_of_16_bytes(n, k, dtype, found):
    assert Alignment(alignment(n, k, dtype)).label == found


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1), st.sampled_from(sorted(DTYPES)))
def test_arrays_are_classed_as_one_is(sizes, dtype):
    n, k = np.array(sizes).T
    codes = alignments(n, k, dtype)
    assert codes.tolist() == [alignment(*size, dtype) for size in sizes]
    assert [int(found) for found in present(codes)] == sorted(set(codes.tolist()))


def test_int8_is_not_split_along_k():
    from gpuprobe.predict.arithmetic import SCALAR
    from gpuprobe.predict.core import Problem, core, rates

    whole, split = (core(Problem(64.0, 64.0, 8192.0, 1, 4, 0.0), rates(MACHINE, DTYPES[name]), SCALAR).time_s
                    for name in ("int8", "fp8"))  # fmt: skip
    assert whole > 4 * split
