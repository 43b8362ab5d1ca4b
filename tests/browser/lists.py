"""The list of features as somebody sees it: which rows are in sight."""

from __future__ import annotations

from playwright.sync_api import Page

SCROLLER = "mfn-virtual-list .vlist-scroller"
# Ranks of the rows in sight that are drawn, whether any of them still waits for its content, and whether they fill the
# list down to its lower edge or end with its last row.
IN_SIGHT = """
() => {
  const scroller = document.querySelector("mfn-virtual-list .vlist-scroller");
  if (!scroller) return { ranks: [], waiting: 0, full: false };
  const box = scroller.getBoundingClientRect();
  const head = scroller.querySelector(".feature-head")?.offsetHeight ?? 0;
  const rows = [...scroller.querySelectorAll("[data-rank]")].filter((row) => {
    const { top, bottom } = row.getBoundingClientRect();
    return top >= box.top + head - 1 && bottom <= box.bottom + 1;
  });
  rows.sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top);
  const waiting = rows.filter((row) => row.dataset.waiting !== undefined).length;
  const last = rows.at(-1);
  const full = !!last && (last.getBoundingClientRect().bottom + last.offsetHeight > box.bottom
    || last.ariaRowIndex === scroller.ariaRowCount);
  return { ranks: rows.map((row) => Number(row.ariaRowIndex) - 2), waiting, full };
}
"""


def in_sight(page: Page) -> list[int]:
    """Ranks of the rows in sight, once all of them are there."""
    script = f"() => {{ const now = ({IN_SIGHT})(); return now.full && !now.waiting && now.ranks.length > 3 && now; }}"
    ranks: list[int] = page.wait_for_function(script).json_value()["ranks"]
    assert ranks == list(range(ranks[0], ranks[0] + len(ranks))), "rows in sight follow each other"
    return ranks
