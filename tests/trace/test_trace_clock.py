"""Microseconds to nanoseconds: what Decimal says, always."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.trace.clock import LIMIT_NS, exact_ns, text_ns

DECIMALS = st.decimals(-(10**15), 10**15, allow_nan=False, allow_infinity=False, places=None)
TEXTS = st.one_of(
    DECIMALS.map(lambda value: f"{value:f}"),
    st.decimals(0, 2 * 10**15, places=3, allow_nan=False).map(str),
    st.integers(-(10**15), 10**15).map(str),
    st.floats(-1e15, 1e15, allow_nan=False).map(repr),
)


def by_decimal(text: str) -> int:
    return int((Decimal(text) * 1000).to_integral_value())


@given(st.lists(TEXTS, max_size=30))
def test_text_is_taken_exactly(texts: list[str]) -> None:
    ns, good = text_ns([text.encode() for text in texts])
    assert good.all()
    assert ns.tolist() == [by_decimal(text) for text in texts]


@given(
    st.lists(st.one_of(st.integers(-(10**18), 10**18), st.floats(allow_nan=True), st.floats(-1e13, 1e13)), max_size=20)
)
def test_numbers_are_exact_or_refused(values: list[float]) -> None:
    ns = exact_ns(values)
    if ns is not None:
        assert ns.tolist() == [by_decimal(repr(value)) for value in values]


@given(st.lists(st.decimals(0, 2**41, places=3, allow_nan=False), min_size=1, max_size=20))
def test_usual_times_need_no_text(values: list[Decimal]) -> None:
    ns = exact_ns([float(value) for value in values])
    assert ns is not None
    assert ns.tolist() == [int(value * 1000) for value in values]


def test_epoch_with_nanoseconds_needs_nineteen_digits() -> None:
    assert exact_ns([1712195495527376.234]) is None
    ns, good = text_ns([b"1712195495527376.234"])
    assert good.all()
    assert ns.tolist() == [1712195495527376234]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'"12.5"', 12500),
        (b"1e3", 10**6),
        (b"0.0005", 0),
        (b"0.0015", 2),
        (b"0.00050001", 1),
        (b"5e-999999999", 0),
        (b"0e999999999", 0),
        (b"-0.0015", -2),
        (b"-7", -7000),
    ],
)
def test_odd_spellings(text: bytes, expected: int) -> None:
    ns, good = text_ns([text])
    assert (ns.tolist(), good.tolist()) == ([expected], [True])


NO_TIMES = b'|null|true|"x"|[1,2]|1e99|-5e999999999|1e9999999999999999999999|.|-|1.|9999999999999999|NaN'.split(b"|")


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_time_is_marked(text: bytes) -> None:
    ns, good = text_ns([b"1", text, b"2.5"])
    assert good.tolist() in ([True, False, True], [True, True, True]) and (ns[0], ns[2]) == (1000, 2500)
    assert np.abs(ns).max() <= LIMIT_NS
    if text != b"1.":
        assert not good[1]
