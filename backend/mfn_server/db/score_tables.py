"""Tables of work on labels in the background, and of what labels scored."""

from __future__ import annotations

import enum
import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from mfn_server.db.tables import Table


class WorkState(enum.StrEnum):
    """How far a run over labels has come. One that was killed is `working` until nobody has heard of it for a while."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


class NamingRun(Table):
    """A run that suggests names or scores labels. `told` is what it was told to do, as plain data; nothing in it is
    secret. `data` says what text it was done on, once that has been read.

    `worker` is the process that has it now: one that was replaced sees it, and ends. `stop` asks it to end.
    """

    __tablename__ = "naming_run"
    __table_args__ = (Index(None, "model_id", "created_at"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    kind: Mapped[str]
    told: Mapped[dict[str, Any]]
    data: Mapped[dict[str, Any] | None]
    author_id: Mapped[str]
    author: Mapped[str]
    state: Mapped[str]
    stop: Mapped[bool]
    worker: Mapped[uuid.UUID | None]
    phase: Mapped[str]
    progress: Mapped[float]
    message: Mapped[str | None]
    tokens_read: Mapped[int] = mapped_column(BigInteger)
    tokens_written: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[float]
    created_at: Mapped[datetime]
    heard_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class LabelScore(Table):
    """What some words of a label scored, by one scorer. Rows are only ever added.

    The words are those of the event `revision`; they stand in the log alone, so that a redaction takes them out here,
    too. `reader` is who read the label: empty where it was carried out. `value` is null where there is no figure, and
    `why` says why. `shuffled` and `random` are what another feature's label and one made of a random token scored on
    the same questions. `questions` names these: answers are comparable where it is the same.
    """

    __tablename__ = "label_score"
    __table_args__ = (Index(None, "source_id", "number"), Index(None, "run_id"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    run_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("naming_run.id"))
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"))
    number: Mapped[int]
    label: Mapped[int] = mapped_column(BigInteger)
    revision: Mapped[int] = mapped_column(BigInteger)
    scorer: Mapped[str]
    version: Mapped[int] = mapped_column(SmallInteger)
    reader: Mapped[str]
    value: Mapped[float | None]
    low: Mapped[float | None]
    high: Mapped[float | None]
    n: Mapped[int]
    unread: Mapped[int]
    why: Mapped[str | None]
    shuffled: Mapped[float | None]
    random: Mapped[float | None]
    questions: Mapped[str]
    details: Mapped[dict[str, Any]]
    tokens_read: Mapped[int] = mapped_column(BigInteger)
    tokens_written: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[float]
    seconds: Mapped[float]
    created_at: Mapped[datetime]
