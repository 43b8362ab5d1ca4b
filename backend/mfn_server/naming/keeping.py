"""Suggestions in the log of labels: written once, and again where they have changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from mfn_server.db.tables import Label, LabelEvent
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.fold import SUGGESTS
from mfn_server.labels.log import Place, lock_log
from mfn_server.naming.scorers import WAYS, Way
from mfn_server.naming.suggesting import VERSION, Suggestion


def author_of(way: Way) -> str:
    """Under which name a way of suggesting writes, without what marks programs."""
    return f"{SUGGESTS.removeprefix('program:')}{way}"


def settled(connection: Connection, source_ids: Iterable[int], run_id: int) -> dict[Place, frozenset[str]]:
    """In which ways something was suggested for features of sources, from this index and as it would be today."""
    rows = connection.execute(
        select(Label.source_id, Label.number, LabelEvent.payload)
        .join(LabelEvent, LabelEvent.stream == Label.revision)
        .where(Label.source_id.in_(list(source_ids)))
        .where(Label.author_id.in_([f"program:{author_of(way)}" for way in WAYS]))
    )
    found: dict[Place, frozenset[str]] = {}
    for row in rows:
        facts: Mapping[str, Any] = row.payload.get("explanation") or {}
        if (facts.get("run"), facts.get("version")) == (run_id, VERSION):
            place = row.source_id, row.number
            found[place] = found.get(place, frozenset()) | frozenset(facts.get("ways", ()))
    return found


def keep(
    connection: Connection, run_id: int, ways: Sequence[Way], made: Mapping[Place, Mapping[Way, Suggestion]]
) -> int:
    """Record what was suggested for some features in some ways, and take back what no longer is. Needs a write.

    Returns:
        How many suggestions stand for these features in these ways.
    """
    lock_log(connection)
    authors = {f"program:{author_of(way)}" for way in ways}
    sources = {place[0] for place in made}
    rows = connection.execute(
        select(Label.source_id, Label.number, Label.author_id)
        .where(Label.source_id.in_(sources), Label.author_id.in_(authors))
        .where(Label.number.in_({place[1] for place in made}))
    )
    standing = {((row.source_id, row.number), row.author_id) for row in rows}
    statements = []
    for place, suggested in made.items():
        for way in ways:
            author, suggestion = author_of(way), suggested.get(way)
            if suggestion is not None:
                statements.append(Statement(place, author, _payload(suggestion, run_id, ways), suggestion.reason))
            elif (place, f"program:{author}") in standing:
                statements.append(Statement(place, author, None, "the index says nothing of the kind any more"))
    record_statements(connection, statements)
    return sum(len(suggested) for suggested in made.values())


def _payload(suggestion: Suggestion, run_id: int, ways: Sequence[Way]) -> dict[str, Any]:
    """`ways` are all that were tried: a feature for which one of them found nothing is not asked again."""
    explanation = {"run": run_id, "version": VERSION, "ways": sorted(ways), **suggestion.facts}
    said = {"text": suggestion.text, "confidence": suggestion.confidence, "explanation": explanation}
    shown: dict[str, Any] = _shown(said)
    return shown


def _shown(value: Any) -> Any:
    """Data in which NUL, which a token can be and no database keeps, is shown by its sign."""
    if isinstance(value, str):
        return value.replace("\0", "␀")
    if isinstance(value, Mapping):
        return {name: _shown(each) for name, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list) else value
