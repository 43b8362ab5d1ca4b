"""Features of a text, a row each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any, overload

from mfn_core.reading import markup

if TYPE_CHECKING:
    from mfn_core.reading.text import TextCodes


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One feature on one text.

    Attributes:
        layer, feature: which.
        peak: its strongest value, in units of z.
        position: the token it is strongest on, the first of the text being 0.
        token: that token's display text.
        share: the share of the text's tokens on which it fires; a beginning-of-text token is not counted.
    """

    layer: int
    feature: int
    peak: float
    position: int
    token: str
    share: float


class FeatureTable(Sequence[FeatureRow]):
    """Rows of features that show themselves as a table, each with the text shaded by its values.

    A slice is a table too. `to_dicts` gives what data frames are made of: `pandas.DataFrame(table.to_dicts())`.
    """

    def __init__(self, rows: Sequence[FeatureRow], codes: TextCodes) -> None:
        """Rows, and the codes of the text that they speak of."""
        self._rows = tuple(rows)
        self._codes = codes

    @overload
    def __getitem__(self, index: int) -> FeatureRow: ...

    @overload
    def __getitem__(self, index: slice) -> FeatureTable: ...

    def __getitem__(self, index: int | slice) -> FeatureRow | FeatureTable:
        """A row, or a table of some rows."""
        return FeatureTable(self._rows[index], self._codes) if isinstance(index, slice) else self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[FeatureRow]:
        return iter(self._rows)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The rows as dictionaries of plain numbers and text, keyed as `FeatureRow` names them."""
        return [asdict(row) for row in self._rows]

    def __repr__(self) -> str:
        if not self._rows:
            return "no feature fires"
        lines = [f"{'layer':>5}  {'feature':>7}  {'peak':>7}  {'share':>5}  at"]
        for row in self._rows:
            where = f"{markup.visible(row.token)} ({row.position})"
            lines.append(f"{row.layer:>5}  {row.feature:>7}  {row.peak:>7.2f}  {row.share:>5.0%}  {where}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return markup.frame(self.table_html())

    def table_html(self) -> str:
        """The table alone, as HTML."""
        if not self._rows:
            return markup.note("No feature fires.")
        columns = (
            ("layer", "right"),
            ("feature", "right"),
            ("peak", "right"),
            ("at token", "left"),
            ("share", "right"),
            ("text", "left"),
        )
        rows = [
            (
                str(row.layer),
                str(row.feature),
                f"{row.peak:.2f}",
                markup.chip(self._codes.tokens.unit_at(row.position).text, f"token {row.position}"),
                escape(f"{row.share:.0%}"),
                self._codes.feature(row.layer, row.feature).one_line(),
            )
            for row in self._rows
        ]
        return markup.table(columns, rows)
