"""Bodies of the model and health routes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mfn_server.schemas import JsonObject, Schema


class SourceView(Schema):
    """One set of features. Counts and figures are null until there is an index, or a card that gives them."""

    key: str
    layer: int
    kind: str
    site: str
    n_features: int
    k: int | None
    alpha: float | None
    signed: bool = Field(description="Whether its values may be negative, as those of raw neurons.")
    n_alive: int | None
    n_dead: int | None
    n_labelled: int = Field(description="Features with a label, whoever wrote it.")
    n_automatic: int = Field(description="Those among them that only a program has labelled.")
    fvu: float | None
    l0: float | None


class CorpusView(Schema):
    """The corpus of the current index."""

    name: str
    n_documents: int
    n_tokens: int


class BuildView(Schema):
    """What the model is computed with. Two builds that agree write the same texts, bit for bit."""

    version: str = Field(description="Of MFN Studio.")
    torch: str
    transformers: str
    device: str = Field(description="`cpu`, or the accelerator's name.")
    cpu: str = Field(description="The processor's family, and the widest instructions that are used.")
    threads: int
    dtype: str
    rows: int = Field(description="How many streams are written in one pass.")


class ModelView(Schema):
    """The served model."""

    name: str
    fingerprint: str
    description: str
    n_parameters: int
    d_model: int
    n_layers: int
    vocab_size: int
    max_context: int
    sources: list[SourceView]
    card: JsonObject
    build: BuildView
    corpus: CorpusView | None


class IndexHealth(Schema):
    """How the index is."""

    state: Literal["ready", "building", "missing", "error"]
    progress: float
    message: str


class Health(Schema):
    """Whether the app is well. `status` is `error` only where it cannot become well by waiting."""

    status: Literal["ok", "error"]
    version: str
    model_loaded: bool
    busy: bool = Field(
        description="Whether the app is still starting or computes in the background: an index, what the weights say, "
        "a map. Pages are there as soon as the index is; this is for who wants to measure."
    )
    index: IndexHealth
