"""Bodies of the routes of evidence."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mfn_core.evidence.document import Kind
from mfn_server.schemas import Schema


class VerdictStatus(Schema):
    """How one prediction stands."""

    name: str
    status: str


class EvidenceItem(Schema):
    """A document, as a list shows it."""

    key: str = Field(description="How it is named in URLs.")
    kind: Kind
    name: str
    title: str
    summary: str
    model: str | None = Field(description="Fingerprint of the model that it is about, where it is about one.")
    time: str | None = Field(description="When it was made.")
    verdicts: list[VerdictStatus]
    tables: int
    figures: int
    bytes: int
    digest: str


class RunItem(Schema):
    """A training run, as a list shows it."""

    key: str
    name: str
    bytes: int = Field(description="Length of its log.")


class BrokenItem(Schema):
    """A file that cannot be shown, and why."""

    file: str
    reason: str


class EvidenceList(Schema):
    """All there is."""

    documents: list[EvidenceItem]
    runs: list[RunItem]
    broken: list[BrokenItem]
    left_out: int = Field(description="How many files are not looked at, since there are so many.")


class CurveSeries(Schema):
    """One line of a plot."""

    name: str = Field(description="The layer that it is of; empty where there is but one series.")
    steps: list[int]
    values: list[float]


class Curve(Schema):
    """One figure of a run over its steps."""

    name: str
    series: list[CurveSeries]


class RunCurves(Schema):
    """What a run's log says, by step."""

    key: str
    name: str
    config: dict[str, Any]
    curves: list[Curve]
