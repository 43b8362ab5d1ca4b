"""Bodies of the live routes, and what their streams say."""

from __future__ import annotations

from typing import Self
from uuid import UUID

from pydantic import Field, model_validator

from mfn_server.labels.schemas import PersonView
from mfn_server.schemas import Schema, Text


class PresenceBody(Schema):
    """Where a tab is. It is said anew when that changes, and at least every 20 seconds, or the tab counts as closed."""

    tab: UUID = Field(description="Made by the page when it was opened.")
    source: Text | None = Field(default=None, max_length=200)
    index: int | None = Field(default=None, ge=0, lt=2**31)
    typing: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.source is None) != (self.index is None):
            raise ValueError("index: a feature is a source and an index, or neither")
        return self


class TabView(Schema):
    """A tab that is open, and where its person is."""

    tab: UUID
    person: PersonView
    source: str | None
    index: int | None
    typing: bool
    leased: bool = Field(description="Whether a campaign keeps that feature for them now: they are judging it.")


class PresenceEvent(Schema):
    """`presence`: all tabs that are open now."""

    tabs: list[TabView]


class HelloEvent(Schema):
    """`hello`: the stream begins, behind event `stream`. What follows is the log from there on."""

    stream: int


class ResetEvent(Schema):
    """`reset`: more has happened than is told one by one, up to event `stream`: read anew what is shown."""

    stream: int


class CollectionsEvent(Schema):
    """`collections`: something was done to one of them, up to its event `version`: read anew what is shown of them."""

    version: int
