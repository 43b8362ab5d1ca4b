"""What the answers about features rest on at one moment: the runs that are shown, the facts of the weights that are
known, and the last label event.

Read first, in two short statements. As long as it is the same, so are all answers; so it names what a server keeps in
memory (any number of servers may share a database), and, hashed with the request, it is the answer's ETag.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Text, bindparam, cast, select

from mfn_server import __version__
from mfn_server.db.tables import IndexRun, LabelEvent, Source, SourceWeights


class ShownSource(NamedTuple):
    """A source and the run that it shows, of which it is some or all of the features."""

    id: int
    key: str
    layer: int
    run_id: int
    n_tokens: int
    first_feature_id: int
    n_features_of_run: int
    first_window_id: int
    finished_at: datetime
    weights: str


@dataclass(frozen=True)
class Edition:
    """One state of a model's features.

    Attributes:
        model: the model's fingerprint.
        sources: those with an index, by layer and row.
        stream: number of the last label event, 0 without any.
        event: its UUID: a database made anew counts from 1 again.
    """

    model: str
    sources: tuple[ShownSource, ...]
    stream: int
    event: str

    def etag(self, url: str) -> str:
        """A weak validator of the answer to a request: weak, since it may be compressed or not."""
        digest = hashlib.sha256(repr((__version__, self, url)).encode()).digest()[:15]
        return f'W/"{base64.urlsafe_b64encode(digest).decode()}"'


_SHOWN = (
    select(
        Source.id,
        Source.key,
        Source.layer,
        IndexRun.id,
        IndexRun.n_tokens,
        IndexRun.first_feature_id,
        IndexRun.n_features,
        IndexRun.first_window_id,
        IndexRun.finished_at,
        cast(SourceWeights.settings, Text),
        SourceWeights.umap_version,
    )
    .join(IndexRun, IndexRun.id == Source.current_run_id)
    .outerjoin(SourceWeights, SourceWeights.source_id == Source.id)
    .where(Source.model_id == bindparam("model_id"))
    .order_by(Source.layer, Source.id)
)
_LAST_EVENT = select(LabelEvent.stream, LabelEvent.id).order_by(LabelEvent.stream.desc()).limit(1)


def read_edition(connection: Connection, model_id: int, model: str) -> Edition:
    """The present edition of a model.

    Read it before anything else: what is read after it is as new or newer, so that an answer may be ahead of its
    edition's name, but never behind.
    """
    rows = connection.execute(_SHOWN, {"model_id": model_id})
    # what the weights say comes when it has been computed, apart from runs: how it was made stands for it
    sources = tuple(ShownSource._make((*row[:-2], f"{row.settings} {row.umap_version}")) for row in rows)
    event = connection.execute(_LAST_EVENT).one_or_none()
    return Edition(model, sources, *((event.stream, str(event.id)) if event else (0, "")))


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether the client holds this answer already: `If-None-Match`, compared weakly (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    given = [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
    return "*" in given or etag.removeprefix("W/") in given
