"""Parts of a journal keep to themselves, and go on from the same file."""

from __future__ import annotations

from pathlib import Path

from mfn_core.evaluation.journal import Journal


def test_parts_have_keys_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path, {"a": 1})
    part = journal.under("one/")
    assert [part.once("x", lambda: 1), journal.once("x", lambda: 2), part.under("two/").once("x", lambda: 3)] == [
        1,
        2,
        3,
    ]
    assert part["x"] == 1
    assert "two/x" in part
    assert "y" not in part
    again = Journal(path, {"a": 1})
    assert (again["one/x"], again["x"], again["one/two/x"]) == (1, 2, 3)
    assert again.under("one/").once("x", lambda: 9) == 1
