"""Numbers packed as LEB128 against the plain definition, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfn_server.db.varints import pack_rows, split_rows, unpack_ints, unpack_rows

NUMBERS = st.one_of(st.integers(0, 200), st.integers(0, 2**21), st.integers(0, 2**63 - 1))


def plain(number: int) -> bytes:
    """The definition: seven bits a byte, the lowest first."""
    out = bytearray()
    while number >= 128:
        out.append(number % 128 + 128)
        number //= 128
    return bytes([*out, number])


@given(st.lists(st.lists(NUMBERS, max_size=8), max_size=8))
def test_rows_are_as_defined_and_come_back(rows: list[list[int]]) -> None:
    blobs = pack_rows(np.array([number for row in rows for number in row], np.int64), [len(row) for row in rows])
    assert blobs == [b"".join(map(plain, row)) for row in rows]
    assert split_rows(blobs) == rows
    values, begins = unpack_rows(blobs)
    assert values.tolist() == [number for row in rows for number in row]
    assert begins.tolist() == np.cumsum([0, *map(len, rows)]).tolist()
    for blob, row in zip(blobs, rows, strict=True):
        assert unpack_ints(blob).tolist() == row
        assert pack_rows(np.asarray(row, np.int64), [len(row)]) == [blob]


def test_what_does_not_fit_is_no_silent_wrap() -> None:
    for array in (np.array([-1]), np.array([2**63], np.uint64)):
        with pytest.raises(OverflowError):
            pack_rows(array, [1])


@pytest.mark.parametrize("blobs", [[b"\x80"], [b"\x01\xff", b"\x01"]])
def test_a_blob_cut_short_is_noticed(blobs: list[bytes]) -> None:
    with pytest.raises(ValueError, match="cut short"):
        unpack_rows(blobs)
    with pytest.raises(ValueError, match="cut short"):
        unpack_ints(next(blob for blob in blobs if blob[-1] >= 128))
