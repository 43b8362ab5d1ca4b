"""The key of a quiz: which snippets are the right answer, and what the score needs to know beside them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Question(_Strict):
    """One feature. Snippets are numbered from 1."""

    layer: int
    feature: int
    label: str
    fires: list[int] = Field(description="The snippets in which it fires: some, not all.")
    windows: list[tuple[int, int, int]] = Field(
        description="Each snippet: its document, counted from 0, its first token there and the one after its last."
    )
    token_r2: float | None = Field(default=None, description="None where it is not known, or might be chance.")


class LeftOut(_Strict):
    """A feature that could not be asked about."""

    layer: int
    feature: int
    why: str


class QuizKey(_Strict):
    """The whole key."""

    format: Literal["mfn-atlas-quiz"] = "mfn-atlas-quiz"
    version: Literal[1] = 1
    model: str = Field(description="Fingerprint.")
    corpus: str
    documents: int
    tokens: int = Field(description="All but the first position of each document.")
    seed: int
    strong: float = Field(
        description="From which share of its maximum in the index on a feature's firings were drawn; 0: all."
    )
    labels: int = Field(description="Labelled features that were considered.")
    often_enough: int = Field(description="Those of them that fire often enough, and in enough documents.")
    questions: list[Question]
    left_out: list[LeftOut]
