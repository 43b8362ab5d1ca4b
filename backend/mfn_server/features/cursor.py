"""Pages by key: a cursor says after which row a page begins, so that it neither skips nor repeats while rows change."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, or_

from mfn_server.errors import APIError


@dataclass(frozen=True)
class SortKey:
    """One term of an order. The terms of a list together are unique."""

    expression: SQLColumnExpression[Any]
    descending: bool
    kind: type

    @property
    def ordering(self) -> ColumnElement[Any]:
        """For ORDER BY."""
        return self.expression.desc() if self.descending else self.expression.asc()


def after(keys: list[SortKey], values: list[Any]) -> ColumnElement[bool]:
    """The condition that a row comes after the one whose keys have these values."""
    cases: list[ColumnElement[bool]] = []
    for i, key in enumerate(keys):
        equal = [earlier.expression == value for earlier, value in zip(keys[:i], values[:i], strict=True)]
        beyond = key.expression < values[i] if key.descending else key.expression > values[i]
        cases.append(and_(*equal, beyond))
    return or_(*cases)


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
        if isinstance(value, str) and "\0" in value:
            raise wrong
    return values


_INFINITE = (float("inf"), float("-inf"))
