"""Numbers that the program has, as rows that a query can join: any number of them, in one parameter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import ARRAY, BigInteger, Subquery, cast, column, func, literal, select


def numbers_as_rows(dialect: str, columns: Mapping[str, Sequence[int]]) -> Subquery:
    """Whole numbers as a table. The columns are of equal length, and those of the subquery have their names."""
    names = list(columns)
    if dialect == "sqlite":  # it has no arrays, but reads JSON as a table
        rows = func.json_each(json.dumps(list(zip(*columns.values(), strict=True)))).table_valued("value")
        parts = (func.json_extract(rows.c.value, f"$[{i}]", type_=BigInteger) for i in range(len(names)))
        return select(*(part.label(name) for part, name in zip(parts, names, strict=True))).subquery()
    arrays = (cast(literal(list(values), ARRAY(BigInteger)), ARRAY(BigInteger)) for values in columns.values())
    rows = (
        func.unnest(*arrays).table_valued(*(column(name, BigInteger) for name in names), name="given").render_derived()
    )
    return select(*(rows.c[name] for name in names)).subquery()
