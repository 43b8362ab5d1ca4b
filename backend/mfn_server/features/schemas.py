"""Bodies of the feature routes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from mfn_server.db.tables import Origin
from mfn_server.features.weight_schemas import WeightFacts
from mfn_server.naming.scorers import Scorer
from mfn_server.schemas import Schema, Text, Token, TokenShare

FeatureStatus = Literal["alive", "ultra_rare", "undetermined", "dead"]
Status = Literal[FeatureStatus, "labelled", "unlabelled", "all"]
Sort = Literal["relevance", "telling", "rate", "max", "mean", "token_r2", "index", "label", "score"]
Order = Literal["asc", "desc"]

ORIGIN = "`automatic`: written by a program; no person has named the feature yet."


class FeatureQuery(Schema):
    """Filters, order and page of the feature list. All of them together must hold."""

    source: str | None = Field(default=None, description="Features of this source alone.")
    layer: int | None = Field(default=None, ge=0, description="Features of this layer alone.")
    q: Text | None = Field(
        default=None,
        max_length=200,
        description="Words in labels, in contexts, or a token it fires on.",
    )
    by: Literal["words", "meaning"] = Field(
        default="words",
        description="How `q` is looked for. `meaning`: what is near it, in labels and contexts, by the corpus that was "
        "indexed; the nearest thousand.",
    )
    status: Status = Field(
        default="alive",
        description="`alive`: whatever fires, however seldom; `unlabelled`: alive and without a label; "
        "`ultra_rare`, `undetermined`, `dead`: see `status` of a feature.",
    )
    min_rate: float | None = Field(default=None, ge=0, le=1, description="Least share of tokens on which it fires.")
    max_rate: float | None = Field(default=None, ge=0, le=1, description="Greatest share of tokens on which it fires.")
    min_max: float | None = Field(default=None, ge=0, description="Least maximum.")
    max_max: float | None = Field(default=None, ge=0, description="Greatest maximum.")
    min_token_r2: float | None = Field(default=None, le=1, description="Least token R²; it may be below 0.")
    max_token_r2: float | None = Field(default=None, le=1, description="Greatest token R².")
    min_half_firings: int | None = Field(
        default=None, ge=0, lt=2**63, description="Least firings in each half of the corpus: see `half_firings`."
    )
    label: Text | None = Field(
        default=None, max_length=200, description="Words in the label that is shown; the last may be unfinished."
    )
    author: Text | None = Field(default=None, max_length=100, description="Features with a label by this author.")
    origin: Origin | None = Field(default=None, description="Who wrote the label that is shown.")
    token: Text | None = Field(
        default=None,
        max_length=100,
        description="Features with this token among those they fire on most; case and blanks do not count.",
    )
    tag: Text | None = Field(
        default=None, max_length=200, description="Features with a stored context in a document that has this tag."
    )
    collection: UUID | None = Field(
        default=None, description="Features of this collection, of those that `status` lets pass."
    )
    sort: Sort | None = Field(
        default=None,
        description="`relevance` where `q` is given, else `rate`. `telling`, as Browse begins: what people have "
        "named, what programs have named, the rest; in each what says most by its firing. `score`: what the label that "
        "is shown scores; those without a score come last.",
    )
    scorer: Scorer = Field(default="detection", description="Which score `sort=score` goes by.")
    order: Order | None = Field(default=None, description="`asc` for `index`, `label` and `token_r2`, else `desc`.")
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=1000, description="`next_cursor` of the page before.")
    at: int | None = Field(
        default=None, ge=0, lt=2**31, description="Begin at this rank of the list, from 0, instead of at a cursor."
    )

    @model_validator(mode="after")
    def _one_beginning(self) -> Self:
        if self.at is not None and self.cursor is not None:
            raise ValueError("at: a page begins at a rank or at a cursor, not at both")
        return self


class TokenLogit(Token):
    """A token and how much the feature's direction, read by the unembedding alone, adds to its logit."""

    logit: float


class Snippet(Schema):
    """A few tokens around a feature's strongest firing."""

    tokens: list[str]
    values: list[float]
    peak: int


class FeatureRow(Schema):
    """A feature in a list."""

    source: str
    layer: int
    index: int
    rate: float = Field(description="Share of the corpus's tokens on which it fires.")
    firing_count: int
    max: float
    mean: float = Field(description="Mean over the tokens on which it fires.")
    token_r2: float | None = Field(
        description="Share of its variance that a look-up by the current token explains, at most 1. Null where unknown."
    )
    half_firings: int | None = Field(
        description="Firings in the half of the corpus with fewer: with less than some 200, token R² is mostly chance."
    )
    status: FeatureStatus = Field(
        description="`dead`: it never fired on this corpus; `ultra_rare`: on fewer than one token in a million; "
        "`undetermined`: on so few of so few tokens that nobody can tell whether it is ultra-rare; `alive`: the rest."
    )
    label: str | None
    label_origin: Origin | None = Field(description=ORIGIN)
    score: float | None = Field(
        default=None, description="What the label scores by `scorer`, in a list with `sort=score`; not told elsewhere."
    )
    top_tokens: list[TokenShare]
    promoted: list[TokenLogit]
    sparkline: list[int] = Field(description="The activation histogram in 16 bins.")
    snippet: Snippet | None


class FeatureList(Schema):
    """One page of features."""

    items: list[FeatureRow]
    total: int = Field(description="How many features match, over all pages.")
    start: int = Field(description="Rank of the first of them in the whole list, from 0.")
    next_cursor: str | None


class FeatureRows(Schema):
    """Features that were asked for one by one, in that order."""

    items: list[FeatureRow]


class Histogram(Schema):
    """Counts of activations; `edges` has one entry more than `counts`."""

    edges: list[float]
    counts: list[int]


class Context(Schema):
    """A piece of a document with the feature's value on each token, 0 where it is silent."""

    document: int
    start: int
    title: str | None
    tags: list[str]
    tokens: list[str]
    values: list[float]
    peak: int
    peak_value: float
    truncated_left: bool
    truncated_right: bool


class Band(Schema):
    """One decile of a feature's contexts by strength, weakest first, with a fair sample of it.

    `count` is of contexts (a context is a window in which the feature fires), and `share` is of all of them.
    """

    band: int
    low: float
    high: float
    count: int
    share: float
    contexts: list[Context]


class Neighbour(Schema):
    """A feature whose decoder direction is close."""

    source: str
    index: int
    cosine: float
    label: str | None
    label_origin: Origin | None = Field(description=ORIGIN)
    top_tokens: list[TokenShare]


class CofiringFeature(Schema):
    """A feature of the same source that fires on the same tokens, more often than by chance."""

    source: str
    index: int
    lift: float = Field(description="How many times as often as by chance the two fire on the same token.")
    joint: int = Field(description="On how many of the sampled tokens they do.")
    label: str | None
    label_origin: Origin | None = Field(description=ORIGIN)
    top_tokens: list[TokenShare]


class LabelView(Schema):
    """A label that stands.

    Automatic ones come from an atlas, whose `reason` says what was seen, or from elsewhere. Unclear ones have no text,
    and neither have those whose words an admin took out.
    """

    stream: int = Field(description="What it is known by: the event that proposed it.")
    text: str
    author: str
    author_id: str
    created_at: datetime
    origin: Origin
    reason: str | None
    confidence: Literal["high", "medium", "low"] | None
    unclear: bool
    accepted: bool
    up: int
    down: int


class FeaturePage(FeatureRow):
    """All that is known of one feature."""

    histogram: Histogram
    suppressed: list[TokenLogit]
    counted_share: float = Field(
        description="On which share of all tokens `top_tokens`, `token_r2` and `half_firings` were counted: 1, but "
        "less for a feature that fires on very many different tokens, and 0 where they are not known."
    )
    neighbours: list[Neighbour]
    cofiring: list[CofiringFeature] | None = Field(
        description="What it fires together with most remarkably (by the log-likelihood ratio G²), counted on "
        "`sampled_tokens`. Null in an index without such a sample, and so are the three below."
    )
    next_tokens: list[TokenShare] | None = Field(
        description="The tokens that most often come after one it fires on, each with the share of its "
        "`sampled_firings` that it follows."
    )
    sampled_tokens: int | None = Field(description="Tokens of the sample, each of the corpus with the same chance.")
    sampled_firings: int | None = Field(description="On how many of these it fires.")
    weights: WeightFacts | None = Field(
        description="What else the weights say. Null until it has been computed, some seconds after the first start."
    )
    contexts: list[Context]
    bands: list[Band]
    n_tokens: int = Field(description="Tokens of the corpus.")
    labels: list[LabelView] = Field(description="The one that is shown first, then people's, the latest first.")
    version: int = Field(description="Number of the last label event on this feature; 0 without any.")
    previous: int | None = Field(description="The next lower feature of the source that is alive.")
    next: int | None = Field(description="The next higher feature of the source that is alive.")
