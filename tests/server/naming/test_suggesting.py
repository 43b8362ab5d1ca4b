"""Suggested names: what they rest on, that they are nobody's words, and that a run can be broken off anywhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from mfn_core.errors import ConfigError, MFNError
from mfn_core.naming.lexicon import Lexicon
from mfn_core.naming.text import NamedText
from mfn_server.db.session import Database
from mfn_server.db.tables import Label, LabelEvent
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.fold import fold
from mfn_server.labels.log import events_of, lock_log
from mfn_server.labels.payloads import Propose, StoredPropose
from mfn_server.labels.projections import differences
from mfn_server.naming import run
from mfn_server.naming.firings import firings_of, halves
from mfn_server.naming.keeping import keep
from mfn_server.naming.run import SuggestOrder, run_suggest
from mfn_server.naming.suggesting import Suggester, Suggestion, spelled_out
from tests.server.saying import ANN, put

WORDS = ["<s>", "a", "b", "c", "12", "7", ","]
RNG = np.random.default_rng(0)
TEXT = NamedText(Lexicon.of(WORDS), [RNG.integers(1, 7, size=50).astype(np.uint32) for _ in range(40)])


def context(tokens: str, values: list[float], document: int, start: int = 0) -> dict[str, Any]:
    return {"tokens": tokens.split(), "values": values, "peak_value": max(values), "document": document, "start": start}


def page(**fields: Any) -> dict[str, Any]:
    return {"contexts": [], "bands": [], "promoted": [], "neighbours": [], "rate": 0.1, **fields}


def test_a_firing_stands_for_those_that_were_not_drawn() -> None:
    strong, weak, same = context("a b c", [0, 9, 0], 1), context("c a", [1, 2], 2), context("c a", [0, 1], 3)
    bands = [{"count": 30, "contexts": [weak, same]}, {"count": 4, "contexts": [strong]}]
    found = firings_of(page(contexts=[strong, context("zzz a", [0, 5], 4)], bands=bands), {"a": 1, "b": 2, "c": 3}, 2)
    assert found.before.tolist() == [[2, 1, -1], [1, -1, -1], [3, -1, -1], [1, 3, -1], [1, 3, -1]]
    assert found.weight.tolist() == [4, 1, 15, 15, 15]
    assert found.strength.tolist() == [9, 5, 1, 2, 1]
    assert found.context.tolist() == [0, 1, 2, 2, 2], "contexts that say the same are one, and so in one half"
    learned, tested = halves(found)
    assert not set(learned.context.tolist()) & set(tested.context.tolist())


def on_token(token: str) -> dict[str, Any]:
    """A feature that fires wherever a token stands, with what an index would show of it."""
    contexts, n = [], 0
    for document in range(40):
        ids = TEXT.ids[document * 50 : document * 50 + 50]
        values = (ids == WORDS.index(token)) * 1.0
        n += int(values.sum())
        if values.any():
            contexts.append(
                {
                    "tokens": [WORDS[i] for i in ids],
                    "values": values.tolist(),
                    "peak_value": 1.0,
                    "document": document,
                    "start": 0,
                }
            )
    return page(contexts=contexts[:8], bands=[{"count": len(contexts), "contexts": contexts[4:16]}], rate=n / len(TEXT))


def test_ways_of_suggesting() -> None:
    suggester = Suggester(TEXT)
    found = suggester.suggest("patterns", on_token("b"))
    assert found is not None
    assert (found.text, found.confidence) == ("“b”", "high")
    assert found.facts["recall"] == 1
    assert spelled_out(found.facts["patterns"], TEXT.lexicon) == [((0, WORDS.index("b")),)]
    assert spelled_out([[{"before": 0, "token": "unheard of"}], [{"before": 1, "class": "digits"}]], TEXT.lexicon) == [
        ((1, len(WORDS) + list(TEXT.lexicon.names).index("digits")),)
    ]
    silent = on_token("b") | {"rate": 0.001}  # its firings are all on the token, on which it nearly always is silent
    assert suggester.suggest("patterns", silent) is None

    promoted = [{"text": text, "logit": logit} for text, logit in (("12", 3), ("a", 2), ("7", 1), (",", -1))]
    logits = suggester.suggest("logits", page(promoted=promoted))
    assert logits is not None
    assert logits.text == "writes digits: “12”, “7”"
    assert suggester.suggest("logits", page(promoted=promoted[3:])) is None

    def near(label: str | None, cosine: float, origin: str | None) -> dict[str, Any]:
        return {"source": "s", "index": 1, "cosine": cosine, "label": label, "label_origin": origin}

    others = [
        near("theirs", 0.9, "automatic"),
        near("ours", 0.7, "human"),
        near("far", 0.3, "human"),
        near(None, 0.95, None),
    ]
    neighbour = suggester.suggest("neighbours", page(neighbours=others))
    assert neighbour is not None
    assert neighbour.text == "ours"
    assert suggester.suggest("neighbours", page(neighbours=others[2:])) is None


def test_a_suggestion_is_no_name_and_nobody_rests_on_it(bare: Database) -> None:
    with bare.write() as connection:

        def program(author: str, text: str) -> None:
            lock_log(connection)
            record_statements(connection, [Statement((1, 0), author, {"text": text}, None)])

        program("suggest.patterns", "first")
        seen = put(connection, ANN, Propose(text="mine"), feature=("b", 0)).stream
        program("suggest.patterns", "second")
        program("suggest.logits", "third")
        state = fold(events_of(connection, (1, 0)))
        assert [label.text for label in state.labels.values()] == ["second", "third"]
        assert state.primary is None
        program("atlas", "a name")
        assert fold(events_of(connection, (1, 0))).primary == seen + 3
        program("suggest.patterns", "fourth")
        put(connection, ANN, Propose(text="mine"), base=seen + 3)  # what was suggested since is no conflict
        assert connection.scalars(select(Label.text).where(Label.is_primary, Label.source_id == 1)).all() == ["mine"]
        assert list(differences(connection)) == []


def standing(database: Database) -> dict[tuple[Any, ...], Any]:
    statement = select(Label, LabelEvent.payload).join(LabelEvent, LabelEvent.stream == Label.revision)
    with database.read() as connection:
        return {
            (row.source_id, row.number, row.author): (row.text, row.reason, row.payload["explanation"])
            for row in connection.execute(statement)
        }


def test_a_token_that_no_database_keeps_is_shown_by_its_sign(bare: Database) -> None:
    said = Suggestion("writes “\0”", "so", facts={"promoted": ["\0", "a"]})
    with bare.write() as connection:
        assert keep(connection, 1, ["logits"], {(1, 0): {"logits": said}}) == 1
    with bare.read() as connection:
        (event,) = events_of(connection, (1, 0))
    assert isinstance(event.payload, StoredPropose)
    assert event.payload.text == "writes “␀”"
    assert (event.payload.explanation or {})["promoted"] == ["␀", "a"]


def test_a_run_that_was_broken_off_goes_on(
    indexed: Database, database_url: str, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BATCH", 7)
    monkeypatch.setattr(run, "FEWEST_FIRINGS", 5)
    order = SuggestOrder(tiny_bundle, database_url)
    told: list[str] = []

    def tell(what: str, share: float) -> None:
        assert 0 <= share <= 1
        told.append(what)
        if len(told) == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_suggest(order, tell)
    before = standing(indexed)
    n_before = len({key[:2] for key in before})
    assert 0 < n_before <= 14
    told = told + [""] * 100_000  # never stops again
    done = run_suggest(order, tell)
    assert f"{n_before} had been done before" in done
    found = standing(indexed)
    assert before.items() <= found.items()
    assert {key[2] for key in found} <= {"suggest.patterns", "suggest.logits", "suggest.neighbours"}
    assert run_suggest(order, tell).startswith("0 suggestions for 0 features")
    assert standing(indexed) == found

    # all at once, and with nothing that was done before, it is the same; what no longer is suggested goes
    with indexed.write() as connection:
        lock_log(connection)
        place = next(iter(found))[:2]
        gone = next(w for w in ("neighbours", "patterns") if (*place, f"suggest.{w}") not in found)
        record_statements(connection, [Statement(place, f"suggest.{gone}", {"text": "from an earlier index"}, None)])
    monkeypatch.undo()
    monkeypatch.setattr(run, "FEWEST_FIRINGS", 5)
    run_suggest(dataclasses.replace(order, anew=True), tell)
    assert standing(indexed) == found
    with indexed.snapshot() as connection:
        assert list(differences(connection)) == []
        assert not connection.scalars(select(Label.stream).where(Label.is_primary)).all()


def test_what_cannot_be_done_is_told(tiny_bundle: Path, tmp_path: Path, indexed: Database, database_url: str) -> None:
    nothing = f"sqlite:///{tmp_path / 'none.sqlite3'}"
    with pytest.raises(MFNError):
        run_suggest(SuggestOrder(tiny_bundle, nothing), lambda what, share: None)
    order = SuggestOrder(tiny_bundle, database_url, features=((0, 10_000),))
    with pytest.raises(ConfigError, match="no feature 10000 in layer 0"):
        run_suggest(order, lambda what, share: None)
