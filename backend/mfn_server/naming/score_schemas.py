"""Bodies of the routes over scores."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from mfn_server.db.tables import Origin
from mfn_server.naming.scorers import Scorer
from mfn_server.schemas import Schema


class ScoreView(Schema):
    """What the present words of a label score by one scorer: the last time, for each who read it."""

    scorer: Scorer
    version: int = Field(description="Of how the scorer asks and reckons; figures of different ones do not compare.")
    reader: str = Field(description="Who read the label; empty where a program took it at its word.")
    value: float | None = Field(description="1 is best. Null where there is no figure; `why` says why.")
    low: float | None = Field(description="The lower end of its 95 % interval.")
    high: float | None
    chance: float = Field(description="What guessing gives.")
    n: int = Field(description="How many answers it rests on; for `tokens`, how many firings.")
    unread: int = Field(description="How many of them could not be read. They count as chance.")
    why: str | None
    shuffled: float | None = Field(description="What another feature's label scores here; null where nobody asked.")
    random: float | None = Field(description="What a random token scores as a label.")
    precision: float | None = Field(description="Of `tokens`: of those where it is expected, on how many it fires.")
    recall: float | None = Field(description="Of `tokens`: of its activation, how much is expected.")
    corpus: str = Field(description="The text's name; documents that the index was made of are left out of it.")
    documents: int = Field(description="How many documents of it were read.")
    seed: int
    cost: float = Field(description="In the unit of the prices that were told, most often dollars.")
    seconds: float
    created_at: datetime


class LabelScores(Schema):
    """Scores of a label that stands, by scorer."""

    label: int = Field(description="Its `stream`.")
    revision: int = Field(description="The event whose words were scored: the present ones.")
    scores: list[ScoreView]


class KappaView(Schema):
    """Cohen's κ: 1 is perfect agreement, 0 what chance gives. Null where both said the same of everything."""

    value: float | None
    low: float | None
    high: float | None


class BehaviouralAgreement(Schema):
    """How far two labels of a feature expect it in the same snippets, and how far each is right.

    No person is asked: both labels were read by the same questions of detection.
    """

    labels: tuple[int, int]
    readers: tuple[str, str]
    n: int = Field(description="Snippets of which both said something.")
    between: KappaView
    with_truth: tuple[KappaView, KappaView]


class FeatureScores(Schema):
    """What the labels of a feature score. Empty where labels of others are hidden in a blind campaign."""

    source: str
    index: int
    labels: list[LabelScores]
    agreement: list[BehaviouralAgreement]


class ScoredLabel(Schema):
    """A label that stands, and what it scores."""

    source: str
    layer: int
    index: int
    label: int
    text: str
    origin: Origin
    score: ScoreView


class ScoreList(Schema):
    """Labels by what they score."""

    items: list[ScoredLabel]
    total: int
