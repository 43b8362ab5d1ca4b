"""Bodies of the campaign routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, model_validator

from mfn_server.campaigns.events import MOST_FEATURES, MOST_OPINIONS, Deed, Instructions, Name, People
from mfn_server.features.schemas import FeatureQuery
from mfn_server.labels.payloads import Confidence, FeatureName, LabelText, OneConcept, Prose, TagText
from mfn_server.labels.schemas import PersonView
from mfn_server.schemas import Schema, Text

Reason = Annotated[Text, Field(min_length=1, max_length=2000)]


class FilterChoice(Schema):
    """The features that a list has now: the first so many of it, in its order. Its page counts for nothing."""

    kind: Literal["filter"] = "filter"
    query: FeatureQuery = Field(default_factory=FeatureQuery)
    most: int = Field(default=100, ge=1, le=MOST_FEATURES)


class ListChoice(Schema):
    """Features one by one."""

    kind: Literal["list"] = "list"
    features: list[FeatureName] = Field(min_length=1, max_length=MOST_FEATURES)


class OpenBody(Schema):
    """A campaign to be opened. `id` is made by the client, and is the campaign's: the same again changes nothing."""

    id: UUID
    name: Name
    instructions: Instructions | None = None
    features: Annotated[FilterChoice | ListChoice, Field(discriminator="kind")]
    opinions: int = Field(default=2, ge=1, le=MOST_OPINIONS, description="How many independent ones each feature gets.")
    blind: bool = Field(default=True, description="Hide what others and programs say until one has said it oneself.")
    people: People | None = Field(default=None, description="Who takes part, by id; null: everyone who may label.")
    due_at: AwareDatetime | None = None


class DeedBody(Schema):
    """Something to be done to a campaign. It rests on the version that its author saw."""

    id: UUID
    base_version: int = Field(ge=0, lt=2**63)
    event: Deed


class Progress(Schema):
    """How far a campaign is."""

    features: int
    complete: int = Field(description="Features that have all the opinions that are asked for.")
    given: int | None = Field(description="Opinions in all. Null to somebody who has yet to give theirs blindly.")
    mine: int = Field(description="Opinions by whoever asks.")
    left_for_me: int = Field(description="Features of which they can still give theirs.")
    to_review: int = Field(description="Features that have their opinions and no decision.")


class CampaignView(Schema):
    """A campaign."""

    id: UUID
    version: int
    name: str
    instructions: str
    opinions: int
    blind: bool
    people: list[PersonView] | None = Field(description="Who takes part; null: everyone who may label.")
    due_at: datetime | None
    closed_at: datetime | None
    author: PersonView
    created_at: datetime
    takes_part: bool = Field(description="Whether whoever asks is one of them.")
    progress: Progress


class CampaignList(Schema):
    """All campaigns of the model, those that are open first, then the latest first."""

    items: list[CampaignView]


class Candidates(Schema):
    """People who may label, for whoever chooses who takes part."""

    items: list[PersonView]


class NextBody(Schema):
    """Asks for something to judge. `lease` is made by the page: the same again is the same feature."""

    lease: UUID


class Lease(Schema):
    """A feature that somebody has before them. It is theirs until `expires_at`, which each heartbeat moves."""

    lease: UUID
    source: str
    index: int
    expires_at: datetime
    seconds: float = Field(description="How long that is from now.")
    skipped: bool = Field(description="Whether they have skipped it before.")


class Next(Schema):
    """What comes next, or why nothing does."""

    item: Lease | None
    why: Literal["done", "waiting"] | None = Field(
        description="`done`: nothing is left for them; `waiting`: what is left, others have before them."
    )
    progress: Progress


class OpinionBody(Schema):
    """An opinion of a feature. `id` is made by the client: the same again changes nothing."""

    id: UUID
    source: Text = Field(max_length=200)
    index: int = Field(ge=0, lt=2**31)
    text: LabelText | None = None
    flag: Literal["dead", "unclear", "polysemantic"] | None = None
    one_concept: OneConcept | None = None
    specificity: int | None = Field(default=None, ge=1, le=5)
    confidence: Confidence | None = None
    evidence: Annotated[Prose, Field(max_length=5000)] | None = None
    tags: list[TagText] = Field(default_factory=list, max_length=10)
    reason: Reason | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.text is None and self.flag is None:
            raise ValueError("text: give a label, or a flag that says why there is none")
        return self


class SkipBody(Schema):
    """Nothing to say of a feature now; it comes again when all else is done."""

    id: UUID
    source: Text = Field(max_length=200)
    index: int = Field(ge=0, lt=2**31)
    reason: Reason | None = None


class OpinionView(Schema):
    """What one person made of a feature, as they said it then."""

    stream: int
    person: PersonView
    created_at: datetime
    text: str | None
    flag: Literal["dead", "unclear", "polysemantic"] | None
    one_concept: OneConcept | None
    specificity: int | None
    confidence: Confidence | None
    evidence: str | None
    tags: list[str]
    stands: bool = Field(description="Whether its label still stands, so that it can be accepted.")


class ReviewItem(Schema):
    """A feature with all that was said of it in a campaign."""

    source: str
    index: int
    version: int
    opinions: list[OpinionView]
    disagreement: float = Field(description="0: the same words; 1: no word in common. It orders, and measures nothing.")
    complete: bool
    decided: bool
    accepted: int | None = Field(description="The label that holds.")
    label: str | None = Field(description="Its words, or those of the one that lists show.")


class Review(Schema):
    """A page of what is to be decided: what is not yet, first; of that, where people are furthest apart."""

    items: list[ReviewItem]
    total: int
    undecided: int
