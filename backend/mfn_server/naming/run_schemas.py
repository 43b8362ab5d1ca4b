"""Bodies of the routes over runs that suggest names and score labels."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from mfn_server.db.score_tables import WorkState
from mfn_server.labels.schemas import PersonView
from mfn_server.naming.scorers import Scorer
from mfn_server.schemas import Schema, Text

MOST_FEATURES = 1_000


class FeatureName(Schema):
    """A feature."""

    source: Text = Field(max_length=200)
    index: int = Field(ge=0, lt=2**31)


class RunBody(Schema):
    """What is to be started. `id` is made by the client: sending the same again starts nothing more."""

    id: UUID
    kind: Literal["score", "suggest", "explain"] = Field(
        description="Score labels; suggest names without a language model; have the server's one suggest names."
    )
    features: list[FeatureName] | None = Field(
        default=None, min_length=1, max_length=MOST_FEATURES, description="These alone; null for all."
    )
    layers: list[int] | None = Field(default=None, min_length=1, max_length=1_000, description="These layers alone.")
    scorers: list[Scorer] | None = Field(
        default=None, min_length=1, description="Of `score`; null for all that can be."
    )
    reader: bool = Field(default=False, description="Of `score`: whether the server's language model reads the labels.")
    snippets: int = Field(default=20, ge=10, le=200)
    documents: int = Field(default=2_000, ge=1, le=1_000_000, description="Read at most so many documents.")
    seed: int = Field(default=0, ge=0, lt=2**31)
    budget: float | None = Field(
        default=None, gt=0, description="The most it may cost; null for the most that the server allows."
    )


class RunView(Schema):
    """A run. `stopped` and `failed` ones can be taken up again, also those whose process has died."""

    id: UUID
    kind: Literal["score", "suggest", "explain"]
    state: WorkState
    phase: str
    progress: float = Field(description="From 0 to 1.")
    message: str | None = Field(description="What came of it, or why it is not at its end.")
    person: PersonView
    created_at: datetime
    finished_at: datetime | None
    features: int | None = Field(description="How many features were named; null for all.")
    layers: list[int] | None
    scorers: list[Scorer] | None
    corpus: str | None = Field(description="The held-out text's name.")
    reader: str | None = Field(description="The language model that was asked, if one was.")
    tokens_read: int
    tokens_written: int
    cost: float
    budget: float | None


class RunList(Schema):
    """Runs, the latest first, and what can be started here."""

    items: list[RunView]
    busy: bool = Field(description="Whether one is at work: then no other is started.")
    held_out: str | None = Field(description="The text that labels are scored on; null where none is set.")
    reader: str | None = Field(description="The server's language model, if it has one.")
    budget: float | None = Field(description="The most that one run may cost; null where nothing does.")
