"""What can be said about a feature: one class a kind of event. They are bodies of requests, and what the log keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, model_validator

from mfn_server.logged import LoggedPayload, kind_of
from mfn_server.schemas import JsonObject, Schema, Text

STORED = {"stored": True}
"""Context in which a payload of the log is read: its words may have been redacted, or a program's, and be empty."""


def _line(text: str, info: ValidationInfo) -> str:
    return _written(" ".join(text.split()), info)


def _prose(text: str, info: ValidationInfo) -> str:
    return _written("\n".join(line.rstrip() for line in text.strip().splitlines()), info)


def _written(text: str, info: ValidationInfo) -> str:
    if not text and info.context is not STORED:
        raise ValueError("must not be blank")
    return text


Line = Annotated[Text, AfterValidator(_line)]
"""Words on one line: runs of blanks count as one."""

Prose = Annotated[Text, AfterValidator(_prose)]
"""Words on any number of lines."""

LabelText = Annotated[Line, Field(max_length=500)]
LabelStream = Annotated[
    int, Field(ge=1, lt=2**63, description="A label of the feature, by the event that proposed it.")
]
Target = Annotated[int, Field(ge=1, lt=2**63, description="An event on the same feature.")]
Confidence = Literal["high", "medium", "low"]
OneConcept = Literal["yes", "partly", "no"]


class Payload(LoggedPayload):
    """What all kinds share. `WORDS` are the fields that an admin may take out."""

    WORDS: ClassVar[tuple[str, ...]] = ()

    def without_words(self) -> dict[str, Any]:
        """As the log keeps it once its words were taken out."""
        return {name: value for name, value in self.kept().items() if name not in self.WORDS}


class Propose(Payload):
    """A further label. Labels of one feature stand beside each other."""

    VERSION: ClassVar[int] = 3
    WORDS: ClassVar[tuple[str, ...]] = ("text", "explanation")

    kind: Literal["propose"] = "propose"
    text: LabelText
    confidence: Confidence | None = None


class Revise(Payload):
    """Other words for a label. Votes, ratings and acceptance of its words do not carry over."""

    WORDS: ClassVar[tuple[str, ...]] = ("text",)

    kind: Literal["revise"] = "revise"
    label: LabelStream
    text: LabelText


class Vote(Payload):
    """For or against a label, as it is worded now; the last vote of a person counts."""

    kind: Literal["vote"] = "vote"
    label: LabelStream
    value: Literal["up", "down", "withdrawn"]


class Rate(Payload):
    """Answers to the rubric, about a label or, without one, about the feature. The last ones of a person count."""

    WORDS: ClassVar[tuple[str, ...]] = ("evidence",)

    kind: Literal["rate"] = "rate"
    label: LabelStream | None = None
    one_concept: OneConcept | None = Field(default=None, description="Is it one concept?")
    specificity: int | None = Field(default=None, ge=1, le=5, description="1: fires on much else; 5: on this alone.")
    confidence: Confidence | None = None
    evidence: Annotated[Prose, Field(max_length=5000)] | None = None

    @model_validator(mode="after")
    def _says_something(self, info: ValidationInfo) -> Self:
        answers = (self.one_concept, self.specificity, self.confidence)
        if info.context is not STORED and answers == (None, None, None):
            raise ValueError("one of one_concept, specificity and confidence must be answered")
        return self


def _tag(text: str) -> str:
    return text.casefold()


TagText = Annotated[Line, AfterValidator(_tag), Field(max_length=60)]


class Tag(Payload):
    """A word for what sort of feature it is. Tags belong to the feature: anyone may put one there or take it off."""

    WORDS: ClassVar[tuple[str, ...]] = ("tag",)

    kind: Literal["tag"] = "tag"
    tag: TagText


class Untag(Payload):
    """Takes a tag off."""

    WORDS: ClassVar[tuple[str, ...]] = ("tag",)

    kind: Literal["untag"] = "untag"
    tag: TagText


class Comment(Payload):
    """A remark on the feature or on a label, or an answer to another remark."""

    WORDS: ClassVar[tuple[str, ...]] = ("text",)

    kind: Literal["comment"] = "comment"
    text: Annotated[Prose, Field(max_length=5000)]
    reply_to: Target | None = Field(default=None, description="The comment that this one answers.")
    label: LabelStream | None = None
    mentions: list[Annotated[Text, Field(min_length=1, max_length=200)]] = Field(
        default_factory=list, max_length=20, description="Ids of people whom it addresses."
    )


class FeatureName(Schema):
    """A feature of the same model."""

    source: Text = Field(max_length=200)
    index: int = Field(ge=0, lt=2**31)


class Flag(Payload):
    """Something that stands against naming the feature."""

    WORDS: ClassVar[tuple[str, ...]] = ("parts",)

    kind: Literal["flag"] = "flag"
    flag: Literal["dead", "unclear", "duplicate", "polysemantic"]
    of: FeatureName | None = Field(default=None, description="What it is a duplicate of.")
    parts: list[LabelText] = Field(
        default_factory=list, max_length=20, description="What a polysemantic feature would have to be split into."
    )

    @model_validator(mode="after")
    def _fits(self, info: ValidationInfo) -> Self:
        if (self.of is not None) != (self.flag == "duplicate"):
            raise ValueError("of: belongs to `duplicate`, and to nothing else")
        if self.parts and self.flag != "polysemantic":
            raise ValueError("parts: belong to `polysemantic`, and to nothing else")
        return self


class Opinion(Payload):
    """What one person makes of a feature in a campaign: a label, or why there is none, and answers to the rubric.

    It is one event, so that it is there whole or not at all: who gave theirs may see what the others said.
    """

    WORDS: ClassVar[tuple[str, ...]] = ("text", "evidence", "tags")

    kind: Literal["opinion"] = "opinion"
    campaign: UUID
    text: LabelText | None = None
    flag: Literal["dead", "unclear", "polysemantic"] | None = Field(
        default=None, description="What stands against naming it; there may be a label all the same."
    )
    one_concept: OneConcept | None = Field(default=None, description="Is it one concept?")
    specificity: int | None = Field(default=None, ge=1, le=5, description="1: fires on much else; 5: on this alone.")
    confidence: Confidence | None = None
    evidence: Annotated[Prose, Field(max_length=5000)] | None = None
    tags: list[TagText] = Field(default_factory=list, max_length=10)

    @model_validator(mode="after")
    def _says_something(self, info: ValidationInfo) -> Self:
        if info.context is not STORED and self.text is None and self.flag is None:
            raise ValueError("text: give a label, or a flag that says why there is none")
        return self


class Skip(Payload):
    """Nothing to say of it, now. The reason may say why."""

    kind: Literal["skip"] = "skip"


class Retract(Payload):
    """Takes back a label, a comment or a flag of one's own. It leaves the page, not the history."""

    kind: Literal["retract"] = "retract"
    target: Target


class Undo(Payload):
    """Everything as if an event had not been. An undo can be undone."""

    kind: Literal["undo"] = "undo"
    target: Target


class Accept(Payload):
    """This label, as it is worded now, is the one that holds."""

    kind: Literal["accept"] = "accept"
    label: LabelStream


class Adjudicate(Payload):
    """A reviewer's decision where people disagree, with its reason: this label holds, or none does."""

    kind: Literal["adjudicate"] = "adjudicate"
    label: LabelStream | None = None


class Redact(Payload):
    """An admin takes out an event's words and reason for good. That it was there, whose and when, stays visible."""

    kind: Literal["redact"] = "redact"
    target: Target


class Withdraw(Payload):
    """A program takes back what it proposed."""

    VERSION: ClassVar[int] = 2
    model_config = ConfigDict(extra="ignore")  # once it repeated the fields of a proposal, all of them empty

    kind: Literal["withdraw"] = "withdraw"


class StoredPropose(Propose):
    """A proposal as the log has it: a program's may be that the feature is unclear, and say where it is from."""

    unclear: bool = False
    explanation: JsonObject | None = None


Said = Annotated[
    Propose | Revise | Vote | Rate | Tag | Untag | Comment | Flag | Skip | Retract | Undo, Field(discriminator="kind")
]
"""What a person who labels may say."""

Decision = Annotated[Accept | Adjudicate, Field(discriminator="kind")]
"""What a reviewer may say besides."""

_KINDS: Mapping[str, type[Payload]] = {
    "propose": StoredPropose,
    **{
        str(kind.model_fields["kind"].default): kind
        for kind in (
            *(Revise, Vote, Rate, Tag, Untag, Comment, Flag, Opinion, Skip),
            *(Retract, Undo, Accept, Adjudicate, Redact),
        )
    },
    "withdraw": Withdraw,
}
KINDS = tuple(_KINDS)


def read_payload(kind: str, version: int, payload: Mapping[str, Any]) -> Payload:
    """A payload of the log.

    Raises:
        PayloadError: a newer version of the app wrote it.
    """
    stored = {**_BLANK.get(kind, {}), **payload}
    return kind_of(_KINDS, "label", kind, version).model_validate(stored, context=STORED)


# what redaction may have taken out of required fields
_BLANK: Mapping[str, Mapping[str, Any]] = {
    "propose": {"text": ""},
    "revise": {"text": ""},
    "comment": {"text": ""},
    "tag": {"tag": ""},
    "untag": {"tag": ""},
}
