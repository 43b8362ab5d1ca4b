"""Bodies of the agreement route."""

from __future__ import annotations

from datetime import date
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from mfn_server.agreement.alpha import Level
from mfn_server.agreement.opinions import QuestionName
from mfn_server.agreement.report import Period
from mfn_server.labels.schemas import PersonView
from mfn_server.schemas import Schema, Text


class AgreementQuery(Schema):
    """On what, and whose agreement."""

    question: QuestionName = "one_concept"
    source: Text | None = Field(default=None, max_length=200, description="Features of this source alone.")
    campaign: UUID | None = Field(
        default=None, description="Opinions given in this campaign alone, as they were given then."
    )
    tag: Text | None = Field(default=None, max_length=60, description="Features with this tag alone.")
    person: list[Annotated[Text, Field(max_length=200)]] = Field(
        default_factory=list, max_length=100, description="Opinions of these people alone, by id."
    )
    since: AwareDatetime | None = Field(default=None, description="Opinions given from then on.")
    until: AwareDatetime | None = Field(default=None, description="Opinions given before then.")
    period: Period = Field(default="week", description="What time is cut into.")


class AgreementView(Schema):
    """How far some opinions agree."""

    alpha: float | None = Field(description="Krippendorff's α; null where it is not defined.")
    interval: tuple[float, float] | None = Field(description="Of α, 95 %, by drawing units anew.")
    raw: float | None = Field(
        description="Share of pairs of opinions on one unit that are equal; of names, of words that two have in common."
    )
    units: int = Field(description="With two opinions or more: what the figures are of.")
    people: int = Field(description="With an opinion on one of these units.")
    opinions: int = Field(description="On these units.")
    missing: float = Field(description="Share of these units × these people without an opinion.")
    single: int = Field(description="Units with one opinion, which say nothing of agreement.")


class QuestionView(Schema):
    """A question, and how far everyone agrees on it."""

    question: QuestionName
    level: Level
    values: list[str]
    total: AgreementView


class OfTag(AgreementView):
    """On features with a tag."""

    tag: str


class OfPair(AgreementView):
    """Of two people."""

    pair: tuple[PersonView, PersonView]


class OfPeriod(AgreementView):
    """On units of which the last opinion was given from a day (UTC) on."""

    begins: date


class AgreementReport(Schema):
    """How far people agree. Programs do not count."""

    question: QuestionName
    questions: list[QuestionView]
    by_tag: list[OfTag]
    by_pair: list[OfPair]
    by_time: list[OfPeriod]
