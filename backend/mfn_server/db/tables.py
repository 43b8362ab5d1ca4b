"""The tables. What each row is, and what points to what.

    model 1──n source           an equipped layer (or another code) of a model: kind, site, layer, weights
    model 1──n index_run n──1 corpus 1──n document        one pass over a corpus
    index_run 1──n feature n──1 source                    the figures of a feature that lists filter and sort by
    feature 1──1 feature_detail                           the rest that the pass found about it
    feature 1──1 top_contexts, sampled_contexts           where it fires, as sparse values over pieces of documents
    index_run 1──n document_window n──1 document          those pieces, and which features fire in each
    index_run 1──n token_posting                          which features a token is among the foremost of
    source 1──1 source_weights, 1──n feature_weights      what the weights alone say, whichever run is shown
    source.current_run_id       the finished run that readers see; set for all sources in one transaction
    label_event                 append-only log of what people and programs say about features
    label, label_vote, label_rating, label_tag, label_comment, label_flag, label_summary
                                what follows from that log, for reading: see `labels/projections.py`
    live_tab                    who is looking at what at the moment
    preset 1──n preset_version  saved settings of the Steer page; every change adds a version

Features carry their source and number, and labels refer to those, not to rows of a run: labels outlive every index.
Token strings are stored nowhere. Arrays are blobs without a header, and each table says of what: little-endian u1, u4,
f2 or f4 (see `blobs.py`), or *ints*, whole numbers as LEB128 (see `varints.py`).

The features of a run have consecutive ids from its `first_feature_id`, its windows from its `first_window_id`. Within
blobs they stand as *ordinals*, that is without that first id: smaller, and the same in every database.
"""

from __future__ import annotations

import enum
import uuid
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

BigKey = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time. Goes in and comes out aware, in UTC, on databases that know time zones and those that do not."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """On the way in: to UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """On the way out: aware, also where the database dropped the zone."""
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


class RunState(enum.StrEnum):
    """A run is `building` until its last transaction makes it `ready`; `failed` keeps the reason for the reader."""

    BUILDING = "building"
    READY = "ready"
    FAILED = "failed"


class Origin(enum.StrEnum):
    """Who wrote a label: a person here, or a program (an atlas, one elsewhere). Agreement counts people alone."""

    HUMAN = "human"
    AUTOMATIC = "automatic"


class Table(DeclarativeBase):
    """Base of all tables. Constraints are named, so that migrations can change them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[Any]: JSON,
        datetime: UtcDateTime,
        bytes: LargeBinary,
        float: Double,
        str: Text,
        uuid.UUID: Uuid,
    }


class Model(Table):
    """A model, by its fingerprint (weights, configuration and tokenizer)."""

    __tablename__ = "model"

    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    created_at: Mapped[datetime]


class Source(Table):
    """One set of features of a model. `key` is unique within the model and stands in URLs."""

    __tablename__ = "source"
    __table_args__ = (UniqueConstraint("model_id", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"))
    key: Mapped[str]
    kind: Mapped[str]
    site: Mapped[str]
    layer: Mapped[int]
    weights_hash: Mapped[str]
    n_features: Mapped[int]
    current_run_id: Mapped[int | None] = mapped_column(ForeignKey("index_run.id", ondelete="SET NULL"), index=True)


class Corpus(Table):
    """Documents as one tokenizer cut them. `content_hash` covers all token ids, so that a corpus is stored once."""

    __tablename__ = "corpus"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    name: Mapped[str]
    content_hash: Mapped[str] = mapped_column(index=True)
    n_documents: Mapped[int]
    n_tokens: Mapped[int] = mapped_column(BigInteger)


class Document(Table):
    """One document. `token_ids` is u4; its first token is the beginning-of-text token where the model has one."""

    __tablename__ = "document"
    __table_args__ = (UniqueConstraint("corpus_id", "ordinal"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=False)
    corpus_id: Mapped[int] = mapped_column(ForeignKey("corpus.id", ondelete="CASCADE"))
    ordinal: Mapped[int]
    title: Mapped[str | None]
    tags: Mapped[list[str]]
    meta: Mapped[dict[str, Any]]
    n_tokens: Mapped[int]
    token_ids: Mapped[bytes]


class IndexRun(Table):
    """One pass over a corpus with one model. Immutable once ready.

    While it is built, `phase`, `progress` (0 to 1) and `heard_at` say that and how it goes on. The first ids are given
    out before its first row is written, so that whoever goes on with a run writes the same rows; they are null before.
    `digest` is set with `ready`: see `run_digest.py`.
    """

    __tablename__ = "index_run"

    id: Mapped[int] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"), index=True)
    corpus_id: Mapped[int | None] = mapped_column(ForeignKey("corpus.id"))
    state: Mapped[str]
    phase: Mapped[str]
    progress: Mapped[float]
    message: Mapped[str | None]
    settings: Mapped[dict[str, Any]]
    n_tokens: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[datetime]
    heard_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    first_feature_id: Mapped[int | None] = mapped_column(BigKey)
    n_features: Mapped[int | None] = mapped_column(BigInteger)
    first_window_id: Mapped[int | None] = mapped_column(BigKey)
    n_windows: Mapped[int | None] = mapped_column(BigInteger)
    digest: Mapped[str | None]


class SourceIndex(Table):
    """What a run found about one source as a whole. `bin_edges` is f4: histogram edges common to its features.

    `sampled_tokens` is how many tokens are in the sample on which is counted what fires together and what comes next;
    null in a run from before there was one. `token_pairs` is how many distinct (half of the corpus, feature, token)
    occurred; null in a run from before it was kept.
    """

    __tablename__ = "source_index"

    run_id: Mapped[int] = mapped_column(ForeignKey("index_run.id", ondelete="CASCADE"), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    n_alive: Mapped[int]
    n_dead: Mapped[int]
    bin_edges: Mapped[bytes]
    sampled_tokens: Mapped[int | None] = mapped_column(BigInteger)
    token_pairs: Mapped[int | None] = mapped_column(BigInteger)


class Feature(Table):
    """One feature in one run: the figures that lists filter and sort by. Small, so that reading many is cheap.

    `token_r2` is null where it is not known; `half_firings`, the firings in the half of the corpus with fewer, is null
    in a run from before either was kept.
    """

    __tablename__ = "feature"
    __table_args__ = (UniqueConstraint("run_id", "source_id", "number"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=False)
    run_id: Mapped[int] = mapped_column(ForeignKey("index_run.id", ondelete="CASCADE"))
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"))
    number: Mapped[int]
    firing_count: Mapped[int] = mapped_column(BigInteger)
    rate: Mapped[float]
    maximum: Mapped[float]
    mean: Mapped[float]
    token_r2: Mapped[float | None]
    half_firings: Mapped[int | None] = mapped_column(BigInteger)


class FeatureDetail(Table):
    """The rest that a run found about a feature, read for one feature or one page of them.

    Ids, numbers and counts are ints, all else f4. `histogram` [bins] of firings; `band_edges` [bands+1] and
    `band_counts` [bands] of contexts, weakest band first; `promoted`, `suppressed` and `neighbour` with their numbers,
    strongest first; `token_ids` it fires on most with the share of its firings that each accounts for.

    Counted on the sample of tokens, and null in a run without one: `cofiring` numbers, best first, with their lifts and
    counts of joint firings; `next` token ids, most frequent first, with their shares of the firings in the sample, of
    which there are `sampled_firings`.

    `counted_share` is on which share of all tokens `token_ids` and token R² were counted; null: on all.
    """

    __tablename__ = "feature_detail"

    feature_id: Mapped[int] = mapped_column(
        BigKey, ForeignKey("feature.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    histogram: Mapped[bytes]
    band_edges: Mapped[bytes]
    band_counts: Mapped[bytes]
    token_ids: Mapped[bytes]
    token_shares: Mapped[bytes]
    promoted_ids: Mapped[bytes]
    promoted_logits: Mapped[bytes]
    suppressed_ids: Mapped[bytes]
    suppressed_logits: Mapped[bytes]
    neighbour_numbers: Mapped[bytes]
    neighbour_cosines: Mapped[bytes]
    cofiring_numbers: Mapped[bytes | None]
    cofiring_lifts: Mapped[bytes | None]
    cofiring_counts: Mapped[bytes | None]
    next_ids: Mapped[bytes | None]
    next_shares: Mapped[bytes | None]
    sampled_firings: Mapped[int | None] = mapped_column(BigInteger)
    counted_share: Mapped[float | None]


class TopContexts(Table):
    """A feature's strongest contexts, strongest first; no row where there are none.

    Of each context: `windows` ints, the ordinal of its window; `firings` ints, on how many of the window's tokens the
    feature fires; `peaks` u1, where it fires most strongly; `peak_values` f4, how strongly. Of each of those tokens,
    context after context: `positions` u1 in the window, and `values` f2. Elsewhere it is silent.
    """

    __tablename__ = "top_contexts"

    feature_id: Mapped[int] = mapped_column(
        BigKey, ForeignKey("feature.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    windows: Mapped[bytes]
    firings: Mapped[bytes]
    peaks: Mapped[bytes]
    peak_values: Mapped[bytes]
    positions: Mapped[bytes]
    values: Mapped[bytes]


class SampledContexts(Table):
    """Contexts drawn from a feature's bands, as `TopContexts`; `bands` u1 says which band each is of, weakest first."""

    __tablename__ = "sampled_contexts"

    feature_id: Mapped[int] = mapped_column(
        BigKey, ForeignKey("feature.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    bands: Mapped[bytes]
    windows: Mapped[bytes]
    firings: Mapped[bytes]
    peaks: Mapped[bytes]
    peak_values: Mapped[bytes]
    positions: Mapped[bytes]
    values: Mapped[bytes]


class DocumentWindow(Table):
    """A piece of a document that at least one feature shows as context: tokens [start, start + length)."""

    __tablename__ = "document_window"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=False)
    run_id: Mapped[int] = mapped_column(ForeignKey("index_run.id", ondelete="CASCADE"), index=True)
    document_id: Mapped[int] = mapped_column(BigKey, ForeignKey("document.id"), index=True)
    start: Mapped[int]
    length: Mapped[int] = mapped_column(SmallInteger)


class TokenPosting(Table):
    """The features of a run that have a token among those they fire on most.

    `features`: their ordinals in the run, ascending, as ints: the first, then each one's distance from the last.
    `shares` u1: which share of each one's firings falls on the token, in 255ths,
    rounded, at least 1 (`FeatureDetail` has it exactly).
    """

    __tablename__ = "token_posting"

    run_id: Mapped[int] = mapped_column(
        ForeignKey("index_run.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    token_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    features: Mapped[bytes]
    shares: Mapped[bytes]


class FeatureColumn(Table):
    """One figure of all features of a source in one run, as one array: what lists filter and order by, in memory.

    `name` is one of `browse_build.COLUMNS`, which has the types. The figures stand in `feature`, too; a million rows
    take seconds to read, a column takes milliseconds. A column is cut into parts of `browse_store.PART` features.
    """

    __tablename__ = "feature_column"

    run_id: Mapped[int] = mapped_column(ForeignKey("index_run.id", ondelete="CASCADE"), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes]


class TermFeatures(Table):
    """Which features of a run belong to a term: a word of their contexts, a tag of their documents (`TermKind`).

    Features are known by their ordinals in the run: `block` says which 65,536 of them, `level` how strongly they belong
    to it, and `rows` which they are (see `term_sets`).
    """

    __tablename__ = "term_features"
    __table_args__ = ({"sqlite_with_rowid": False},)

    run_id: Mapped[int] = mapped_column(
        ForeignKey("index_run.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    kind: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    term: Mapped[str] = mapped_column(Text().with_variant(Text(collation="C"), "postgresql"), primary_key=True)
    block: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    level: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    rows: Mapped[bytes]


class SourceWeights(Table):
    """What the weights of a source say as a whole. There once the rows of all its features are.

    It depends on the model alone, so it outlives index runs. `settings` are those of `WeightSettings`, `layout` says
    what `FeatureWeights.facts` is made of. `bin_edges` f4 of the histograms of logits, in standard deviations;
    `upstream` and `downstream`, the layers that connections lead to, null where there is no direct path; `left_out`,
    a sentence for each part that would have cost too much. The map: `pca` and `umap` f4 [features, 2], null where not
    drawn, `explained` f4 [2], and `umap_version` of umap-learn once it was asked to draw.
    """

    __tablename__ = "source_weights"

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True, autoincrement=False)
    settings: Mapped[dict[str, Any]]
    layout: Mapped[list[Any]]
    bin_edges: Mapped[bytes]
    upstream: Mapped[int | None]
    downstream: Mapped[int | None]
    left_out: Mapped[list[str]]
    explained: Mapped[bytes | None]
    pca: Mapped[bytes | None]
    umap: Mapped[bytes | None]
    umap_version: Mapped[str | None]


class FeatureWeights(Table):
    """What the weights say of one feature: `facts`, the fields that the `layout` of its source lists, end to end."""

    __tablename__ = "feature_weights"
    __table_args__ = ({"sqlite_with_rowid": False},)

    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    facts: Mapped[bytes]


class WordVector(Table):
    """A word of a run's corpus in the space that search by meaning looks things up in (see `meaning`).

    `direction` is i1 [128], `weight` the vector's length: the word's inverse document frequency.
    """

    __tablename__ = "word_vector"
    __table_args__ = ({"sqlite_with_rowid": False},)

    run_id: Mapped[int] = mapped_column(
        ForeignKey("index_run.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    word: Mapped[str] = mapped_column(primary_key=True)
    weight: Mapped[float]
    direction: Mapped[bytes]


class Counter(Table):
    """Numbers given out in commit order: the row stays locked until the transaction that took one is over.

    A database's own sequences do not promise that, hence they cannot number a stream that readers follow.
    """

    __tablename__ = "counter"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


class LabelEvent(Table):
    """Something that someone said about a feature. Rows are only ever added; what they may say: `labels/payloads.py`.

    `id` comes from the client, so that a repeated request is recognised. `stream` counts events in commit order.
    `base_version` is the feature's version (its last `stream`) that the author saw. `author` is how they were called
    then, `author_id` who they are. Where `redacted_by` names an event, an admin took out the words of this one: they
    are gone, its other fields stand.
    """

    __tablename__ = "label_event"
    __table_args__ = (Index(None, "source_id", "number", "stream"), Index(None, "author_id", "stream"))

    stream: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[uuid.UUID] = mapped_column(unique=True)
    type: Mapped[str]
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"))
    number: Mapped[int]
    author: Mapped[str]
    author_id: Mapped[str] = mapped_column(server_default="")
    origin: Mapped[str] = mapped_column(server_default=Origin.HUMAN)
    created_at: Mapped[datetime]
    base_version: Mapped[int | None] = mapped_column(BigInteger)
    payload: Mapped[dict[str, Any]]
    payload_version: Mapped[int] = mapped_column(SmallInteger)
    reason: Mapped[str | None]
    redacted_by: Mapped[int | None] = mapped_column(BigInteger)


class Label(Table):
    """A label that stands, by the event that proposed it. `is_primary` marks the one that lists show for its feature.

    `revision` is the event that its present words are from: votes, ratings and acceptance are about words, so those on
    an earlier revision no longer count. `up` and `down` count the votes on the present one. `text` is empty where a
    program found a feature unclear, and where the words were redacted.
    """

    __tablename__ = "label"
    __table_args__ = (Index(None, "source_id", "number", "is_primary"), Index(None, "author"))

    stream: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("label_event.stream"), primary_key=True, autoincrement=False
    )
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"))
    number: Mapped[int]
    text: Mapped[str]
    author: Mapped[str]
    author_id: Mapped[str]
    origin: Mapped[str] = mapped_column(server_default=Origin.HUMAN)
    created_at: Mapped[datetime]
    reason: Mapped[str | None]
    confidence: Mapped[str | None]
    unclear: Mapped[bool]
    revision: Mapped[int] = mapped_column(BigInteger)
    up: Mapped[int]
    down: Mapped[int]
    is_accepted: Mapped[bool]
    is_primary: Mapped[bool]


class LabelVote(Table):
    """A person's vote on a label: +1 or -1, given on the words of `revision`."""

    __tablename__ = "label_vote"

    label: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    author_id: Mapped[str] = mapped_column(primary_key=True)
    source_id: Mapped[int]
    number: Mapped[int]
    value: Mapped[int] = mapped_column(SmallInteger)
    revision: Mapped[int] = mapped_column(BigInteger)
    stream: Mapped[int] = mapped_column(BigInteger)


class LabelRating(Table):
    """A person's answers to the rubric, about a label's words (`revision`) or, with label 0, about the feature."""

    __tablename__ = "label_rating"

    source_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    label: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    author_id: Mapped[str] = mapped_column(primary_key=True)
    one_concept: Mapped[str | None]
    specificity: Mapped[int | None] = mapped_column(SmallInteger)
    confidence: Mapped[str | None]
    evidence: Mapped[str | None]
    revision: Mapped[int] = mapped_column(BigInteger)
    stream: Mapped[int] = mapped_column(BigInteger)


class LabelTag(Table):
    """A tag on a feature, by the event that put it there."""

    __tablename__ = "label_tag"
    __table_args__ = (Index(None, "tag"),)

    source_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tag: Mapped[str] = mapped_column(primary_key=True)
    author_id: Mapped[str]
    stream: Mapped[int] = mapped_column(BigInteger)


class LabelComment(Table):
    """A comment on a feature, on one of its labels, or in answer to another one. Empty where it was taken back."""

    __tablename__ = "label_comment"
    __table_args__ = (Index(None, "source_id", "number"), Index(None, "author_id"))

    stream: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    source_id: Mapped[int]
    number: Mapped[int]
    author_id: Mapped[str]
    text: Mapped[str]
    reply_to: Mapped[int | None] = mapped_column(BigInteger)
    label: Mapped[int | None] = mapped_column(BigInteger)
    mentions: Mapped[list[Any]]
    is_retracted: Mapped[bool]


class LabelFlag(Table):
    """What someone holds against a feature. `of_source` and `of_number` say what it is a duplicate of."""

    __tablename__ = "label_flag"
    __table_args__ = (Index(None, "source_id", "number"), Index(None, "flag"))

    stream: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    source_id: Mapped[int]
    number: Mapped[int]
    flag: Mapped[str]
    author_id: Mapped[str]
    of_source: Mapped[str | None]
    of_number: Mapped[int | None]
    parts: Mapped[list[Any]]


class LabelSummary(Table):
    """A feature of which something was said. `version` is its last event; `n_people` named, rated or voted on it.

    `accepted` is the label that holds, `decided_by` the event of a reviewer who decided, also that none does.
    """

    __tablename__ = "label_summary"

    source_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(BigInteger)
    accepted: Mapped[int | None] = mapped_column(BigInteger)
    decided_by: Mapped[int | None] = mapped_column(BigInteger)
    n_labels: Mapped[int]
    n_people: Mapped[int]
    n_comments: Mapped[int]
    n_skips: Mapped[int]


class LiveTab(Table):
    """A page that is open somewhere, and where its person is: known to all servers, gone soon after it is closed."""

    __tablename__ = "live_tab"
    __table_args__ = (Index(None, "seen_at"),)

    tab: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    author_id: Mapped[str]
    author: Mapped[str]
    source_id: Mapped[int | None]
    number: Mapped[int | None]
    typing: Mapped[bool]
    seen_at: Mapped[datetime]


class Preset(Table):
    """Saved settings of the Steer page; what they are stands in its versions, and `version` says which one is shown.

    `builtin` ones come with the model: its file changes them, nobody else.
    """

    __tablename__ = "preset"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("model.id"), index=True)
    builtin: Mapped[bool]
    version: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[datetime]


class PresetVersion(Table):
    """What a preset said from `created_at` on. Versions count from 1 and are never changed."""

    __tablename__ = "preset_version"

    preset_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("preset.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    description: Mapped[str]
    prompt: Mapped[str]
    interventions: Mapped[list[Any]]
    settings: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


OF_FEATURES = (FeatureDetail, TopContexts, SampledContexts)
"""What a run keeps of its features beside `Feature` itself, by `feature_id`: one row each at most."""
