"""An atlas becomes label events: at every start, whatever of it is new.

Compared with what stands, not with what was once loaded, so that a second load adds nothing and a file that has changed
brings its changes: an event for each feature that it names anew or otherwise, one that withdraws for each that it no
longer names. What people wrote is not touched, nor are labels from elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, select

from mfn_core.errors import ConfigError
from mfn_server.atlas.file import Atlas, AtlasEntry, read_atlas
from mfn_server.db.session import Database
from mfn_server.db.tables import Label, LabelEvent, Origin, Source
from mfn_server.features.automatic import (
    Statement,
    append_events,
    choose_labels,
    lock_events,
    project_labels,
    remove_labels,
)
from mfn_server.features.labelling import PROPOSE
from mfn_server.model_facts import ModelFacts

logger = logging.getLogger(__name__)

AUTHOR = "atlas"
WITHDRAW = "withdraw"
PAYLOAD_VERSION = 2
"""What version 1 of a proposal holds (`text`), and `confidence` and `unclear`. What was seen is the event's reason."""

Place = tuple[int, int]
"""A feature: its source's row and its number."""


class Said(NamedTuple):
    """What an atlas says of one feature."""

    text: str
    seen: str
    confidence: str | None
    unclear: bool


class Loaded(NamedTuple):
    """What loading has changed: features with a new or another entry, and features that lost theirs."""

    written: int
    withdrawn: int


def load_atlas(database: Database, model_id: int, facts: ModelFacts, path: Path) -> Loaded | None:
    """Bring the labels of an atlas into the database, in one transaction.

    A file that cannot be used takes nothing away from the model: the log says why, and the answer is None.
    """
    try:
        atlas = read_atlas(path)
        if atlas.header.model != facts.fingerprint:
            logger.warning(
                "%s is the atlas of another model (%.12s) than %s (%.12s): its labels are not loaded",
                *(path, atlas.header.model, facts.name, facts.fingerprint),
            )
            return None
        atlas.check({source.layer: source.n_features for source in facts.sources})
    except ConfigError as error:
        logger.warning("no automatic labels loaded: %s", error)
        return None
    with database.write() as connection:
        loaded = install_atlas(connection, model_id, facts, atlas)
    if any(loaded):
        logger.info("%s: %d automatic labels written, %d withdrawn", path, *loaded)
    return loaded


def install_atlas(connection: Connection, model_id: int, facts: ModelFacts, atlas: Atlas) -> Loaded:
    """Record what an atlas of this model says that does not stand yet. Needs a write transaction."""
    lock_events(connection)
    rows = connection.execute(select(Source.key, Source.id).where(Source.model_id == model_id))
    ids = {row.key: row.id for row in rows}
    source_of = {source.layer: ids[source.key] for source in facts.sources}
    wanted = {(source_of[entry.layer], entry.feature): _said(entry) for entry in atlas.entries.values()}
    standing = _standing(connection, source_of.values())
    written = {place: said for place, said in wanted.items() if place not in standing or standing[place][1] != said}
    withdrawn = [place for place in standing if place not in wanted]
    if not written and not withdrawn:
        return Loaded(0, 0)
    remove_labels(connection, [standing[place][0] for place in (*written, *withdrawn) if place in standing])
    nothing = dict.fromkeys(withdrawn, Said("", "the atlas no longer names it", None, False))
    append_events(connection, WITHDRAW, PAYLOAD_VERSION, _statements(nothing))
    project_labels(connection, append_events(connection, PROPOSE, PAYLOAD_VERSION, _statements(written)))
    choose_labels(connection, source_of.values())
    return Loaded(len(written), len(withdrawn))


def _said(entry: AtlasEntry) -> Said:
    return Said(entry.label, entry.seen, entry.confidence, entry.unclear)


def _statements(said: Mapping[Place, Said]) -> list[Statement]:
    return [
        Statement(
            source_id,
            number,
            AUTHOR,
            {"text": what.text, "confidence": what.confidence, "unclear": what.unclear},
            what.seen,
        )
        for (source_id, number), what in said.items()
    ]


def _standing(connection: Connection, sources: Collection[int]) -> dict[Place, tuple[int, Said]]:
    """The labels of an atlas that stand: their rows, and what they say."""
    statement = (
        select(Label.id, Label.source_id, Label.number, Label.text, LabelEvent.reason, LabelEvent.payload)
        .join(LabelEvent, LabelEvent.stream == Label.stream)
        .where(Label.origin == Origin.AUTOMATIC, Label.author == AUTHOR, Label.source_id.in_(sources))
    )
    return {
        (row.source_id, row.number): (
            row.id,
            Said(row.text, row.reason or "", row.payload.get("confidence"), row.payload.get("unclear", False)),
        )
        for row in connection.execute(statement)
    }
