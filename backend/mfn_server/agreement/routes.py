"""The route that says how far people agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from sqlalchemy import Connection

from mfn_server.access.person import Permission, Person, require
from mfn_server.agreement.alpha import Agreement
from mfn_server.agreement.opinions import ASKED, QUESTIONS, QuestionName, Scope
from mfn_server.agreement.report import report_of, total_of
from mfn_server.agreement.schemas import (
    AgreementQuery,
    AgreementReport,
    AgreementView,
    OfPair,
    OfPeriod,
    OfTag,
    QuestionView,
)
from mfn_server.campaigns.blind import hidden_from
from mfn_server.campaigns.queue import campaign_of
from mfn_server.errors import ERROR_RESPONSES
from mfn_server.features.reading import source_named
from mfn_server.labels.reading import source_keys
from mfn_server.labels.schemas import PersonView
from mfn_server.studio import StudioDep

router = APIRouter(prefix="/api", tags=["labels"], responses=ERROR_RESPONSES)

Reader = Annotated[Person, Depends(require(Permission.READ))]


@router.get("/labels/agreement")
async def get_agreement(
    studio: StudioDep, person: Reader, query: Annotated[AgreementQuery, Query()]
) -> AgreementReport:
    """How far people agree: Krippendorff's alpha with its interval, on all questions, and one of them taken apart."""
    served = await studio.served()

    def read() -> AgreementReport:
        with studio.database.snapshot() as connection:
            scope = _scope(connection, served.model_id, query, person)
            report = report_of(connection, query.question, scope, query.period)
            totals = {
                name: report.total if name == query.question else total_of(connection, name, scope)
                for name in QUESTIONS
            }
        return AgreementReport(
            question=query.question,
            questions=[_question(name, found) for name, found in totals.items()],
            by_tag=[OfTag(tag=tag, **_fields(found)) for tag, found in report.by_tag.items()],
            by_pair=[
                OfPair(pair=_pair(pair, report.names), **_fields(found)) for pair, found in report.by_pair.items()
            ],
            by_time=[OfPeriod(begins=day, **_fields(found)) for day, found in report.by_time.items()],
        )

    return await studio.read(read)


def _scope(connection: Connection, model_id: int, query: AgreementQuery, person: Person) -> Scope:
    """Raises APIError (404): no such source or campaign. Features of which something is hidden do not count at all."""
    places = hidden_from(connection, person).places
    if query.source is not None:
        sources = {source_named(connection, model_id, query.source).id}
    else:
        sources = set(source_keys(connection, model_id))
    if query.campaign is not None:
        campaign_of(connection, model_id, query.campaign)
    tag = None if query.tag is None else " ".join(query.tag.split()).casefold()
    return Scope(
        sources,
        campaign=query.campaign,
        people=query.person,
        tag=tag,
        since=query.since,
        until=query.until,
        hidden=lambda place, author: place in places,
    )


def _question(name: QuestionName, found: Agreement) -> QuestionView:
    asked = ASKED[name]
    return QuestionView(
        question=name, level=asked.level, values=list(asked.values), total=AgreementView(**_fields(found))
    )


def _pair(pair: tuple[str, str], names: Mapping[str, str]) -> tuple[PersonView, PersonView]:
    one, other = (PersonView(id=person, name=names.get(person, person)) for person in pair)
    return one, other


def _fields(found: Agreement) -> dict[str, Any]:
    said = dict(vars(found))
    return {"people": said.pop("raters"), **said}
