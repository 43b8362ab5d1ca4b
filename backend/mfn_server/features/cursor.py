"""Pages by key: a cursor says after which row a page begins, so that it neither skips nor repeats while rows change."""

from __future__ import annotations

import base64
import binascii
import bisect
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_server.errors import APIError


@dataclass(frozen=True)
class SortKey:
    """One term of an order. The terms of a list together are unique.

    Attributes:
        of: its value in a row.
        descending: which way.
        kind: `int`, `float` or `str`.
    """

    of: Callable[[int], Any]
    descending: bool
    kind: type


class _Backwards:
    """Compares the other way round."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Backwards) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Backwards) and bool(self.value == other.value)

    __hash__ = None  # type: ignore[assignment]


def values_of(keys: list[SortKey], row: int) -> list[Any]:
    """A row's values."""
    return [key.of(row) for key in keys]


def after(keys: list[SortKey], values: list[Any], rows: NDArray[np.int32]) -> int:
    """How many of some rows, which are in the order of the keys, do not come after the one with these values."""

    def comparable(given: list[Any]) -> tuple[Any, ...]:
        pairs = zip(keys, given, strict=True)
        return tuple(_Backwards(value) if key.descending else value for key, value in pairs)

    wanted = comparable(values)
    return bisect.bisect_right(range(len(rows)), wanted, key=lambda i: comparable(values_of(keys, int(rows[i]))))


def encode_cursor(name: str, values: list[Any]) -> str:
    """An opaque text for the client. `name` stands for the order, which must be the same on the next page."""
    return base64.urlsafe_b64encode(json.dumps([name, *values]).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, name: str, keys: list[SortKey]) -> list[Any]:
    """The values that `encode_cursor` was given. Raises APIError for anything else."""
    wrong = APIError(422, "invalid_cursor", "the cursor does not belong to this list", field="cursor")
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        raise wrong from None
    if not isinstance(parts, list) or parts[:1] != [name] or len(parts) != len(keys) + 1:
        raise wrong
    values = parts[1:]
    for key, value in zip(keys, values, strict=True):
        allowed = (int, float) if key.kind is float else key.kind
        if not isinstance(value, allowed) or isinstance(value, bool) or value != value or value in _INFINITE:
            raise wrong
        if isinstance(value, int) and abs(value) >= 2**63:
            raise wrong
    return values


_INFINITE = (float("inf"), float("-inf"))
