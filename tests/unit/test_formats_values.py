"""Numbers as text, and rows of it: what is written reads back as the same number, NULL stays NULL."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from vo_service.formats.values import as_text, numbers_as_text, rows_of_text


@pytest.mark.parametrize(("kind", "bits"), [("f8", "u8"), ("f4", "u4")])
def test_floats_read_back_the_same(kind: str, bits: str) -> None:
    """Of all bit patterns, NaN and the infinities included, and of numbers as people write them."""
    rng = np.random.default_rng(7)
    patterns = rng.integers(0, np.iinfo(bits).max, 5_000, bits, endpoint=True).view(kind)
    plain = np.round(rng.uniform(-1e4, 1e4, 5_000), 3).astype(kind)
    edges = [0, -0.0, 1, 1e10, 1e15, 1e16, 1e22, 1e-5, 1e-7, np.finfo(kind).max, np.finfo(kind).tiny, math.inf]
    numbers = np.concatenate([patterns, plain, np.array(edges, kind)])
    read = np.array([np.dtype(kind).type(text) for text in as_text(pa.array(numbers)).to_pylist()])
    np.testing.assert_array_equal(read, numbers)
    np.testing.assert_array_equal(np.signbit(read[~np.isnan(numbers)]), np.signbit(numbers[~np.isnan(numbers)]))


def test_floats_are_short() -> None:
    assert as_text(pa.array([113.0, 0.1, -2.0, 1 / 3])).to_pylist() == ["113", "0.1", "-2", repr(1 / 3)]
    assert as_text(pa.array([0.1, 1e-7], pa.float32())).to_pylist() == ["0.1", "1e-7"]


def test_not_finite_numbers_have_names() -> None:
    array = pa.array([math.nan, math.inf, -math.inf, None, 1.5])
    assert as_text(array).to_pylist() == ["NaN", "+Inf", "-Inf", None, "1.5"]
    assert numbers_as_text(array, "null").to_pylist() == ["null", "null", "null", None, "1.5"]


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "int64"])
def test_integers(kind: str) -> None:
    limits = np.iinfo(kind)
    array = pa.array([limits.min, None, limits.max, 0], kind)
    assert as_text(array).to_pylist() == [str(limits.min), None, str(limits.max), "0"]
    assert as_text(array.slice(0, 0)).to_pylist() == []


@pytest.mark.parametrize("start", [0, 1, 3, 9])
@pytest.mark.parametrize("count", [1, 5, 8])
def test_slices_are_as_whole_arrays(start: int, count: int) -> None:
    """NULL has bits, which do not begin at a byte in a slice."""
    values = [None if place % 3 == 0 else place + 0.5 for place in range(20)]
    array = pa.array(values).slice(start, count)
    expected = [None if value is None else str(value) for value in values[start : start + count]]
    text = as_text(array)
    text.validate(full=True)
    assert text.to_pylist() == expected


def test_rows_of_text() -> None:
    left, right = pa.array(["a", None, ""]), pa.array([None, "ü", "c"])
    assert rows_of_text([left, right], "<", "|", ">\n").decode() == "<a|>\n<|ü>\n<|c>\n"
    assert rows_of_text([right], "[", ", ", "];", null="null").decode() == "[null];[ü];[c];"
    assert rows_of_text(["x=", left], "", "", "\n").decode() == "x=a\nx=\nx=\n"
    assert rows_of_text([left.slice(0, 0)], "<", "|", ">") == b""
