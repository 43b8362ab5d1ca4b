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
from mfn_server.db.tables import Label, Source
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.fold import ATLAS
from mfn_server.labels.log import Place, lock_log
from mfn_server.model_facts import ModelFacts

logger = logging.getLogger(__name__)

AUTHOR = ATLAS.removeprefix("program:")


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
    lock_log(connection)
    rows = connection.execute(select(Source.key, Source.id).where(Source.model_id == model_id))
    ids = {row.key: row.id for row in rows}
    source_of = {source.layer: ids[source.key] for source in facts.sources}
    wanted = {(source_of[entry.layer], entry.feature): _said(entry) for entry in atlas.entries.values()}
    standing = _standing(connection, source_of.values())
    written = {place: said for place, said in wanted.items() if standing.get(place) != said}
    withdrawn = [place for place in standing if place not in wanted]
    takes_back = [Statement(place, AUTHOR, None, "the atlas no longer names it") for place in withdrawn]
    record_statements(connection, takes_back + _statements(written))
    return Loaded(len(written), len(withdrawn))


def _said(entry: AtlasEntry) -> Said:
    return Said(entry.label, entry.seen, entry.confidence, entry.unclear)


def _statements(said: Mapping[Place, Said]) -> list[Statement]:
    return [
        Statement(place, AUTHOR, {"text": what.text, "confidence": what.confidence, "unclear": what.unclear}, what.seen)
        for place, what in said.items()
    ]


def _standing(connection: Connection, sources: Collection[int]) -> dict[Place, Said]:
    """What an atlas says of features, as it stands."""
    statement = select(Label).where(Label.author_id == ATLAS, Label.source_id.in_(sources))
    return {
        (row.source_id, row.number): Said(row.text, row.reason or "", row.confidence, row.unclear)
        for row in connection.execute(statement)
    }
