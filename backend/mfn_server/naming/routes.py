"""Routes over scores of labels, and over runs that suggest names and score labels."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import Connection

from mfn_server.access.person import Permission, Person, require
from mfn_server.errors import ERROR_RESPONSES, APIError
from mfn_server.features.routes import FeatureIndex, SourceKey
from mfn_server.naming.run_schemas import RunBody, RunList, RunView
from mfn_server.naming.runs import (
    RunBusyError,
    Starter,
    any_alive,
    ask_to_stop,
    find_run,
    free_again,
    list_runs,
    new_run,
    run_by_id,
)
from mfn_server.naming.score_reading import feature_scores, score_list
from mfn_server.naming.score_schemas import FeatureScores, ScoreList
from mfn_server.naming.scorers import Scorer
from mfn_server.naming.starting import check_asking, may_ask, most_of, reader_name, reader_of, run_view, told_by
from mfn_server.studio import Served, Studio, StudioDep

router = APIRouter(prefix="/api", tags=["scores"], responses=ERROR_RESPONSES)

Reader = Annotated[Person, Depends(require(Permission.READ))]
Reviewer = Annotated[Person, Depends(require(Permission.REVIEW))]
_MANY = 10_000
_REPEATED: dict[int | str, dict[str, Any]] = {
    200: {"description": "Started before, by an earlier request with this id."}
}


@router.get("/features/{source}/{index}/scores")
async def get_scores(studio: StudioDep, person: Reader, source: SourceKey, index: FeatureIndex) -> FeatureScores:
    """What a feature's labels score: how well they tell, on held-out text, where it fires; how far they agree in it."""
    served = await studio.served()

    def read() -> FeatureScores:
        with studio.database.snapshot() as connection:
            return feature_scores(connection, served.model_id, source, index, person)

    return await studio.read(read)


@router.get("/labels/scores")
async def get_score_list(
    studio: StudioDep,
    person: Reader,
    scorer: Scorer = "detection",
    order: Literal["asc", "desc"] = "asc",
    at: Annotated[int, Query(ge=0, lt=2**31, description="Begin at this rank, from 0.")] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ScoreList:
    """Labels by what they score, the worst first unless told otherwise: the last time, by each who read them."""
    served = await studio.served()

    def read() -> ScoreList:
        with studio.database.snapshot() as connection:
            return score_list(
                connection, served.model_id, person, scorer, descending=order == "desc", at=at, limit=limit
            )

    return await studio.read(read)


@router.get("/labels/runs")
async def get_runs(studio: StudioDep, person: Reviewer, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> RunList:
    """Runs that suggest names or score labels, the latest first, and what can be started here."""
    served, settings = await studio.served(), studio.settings
    whom = reader_of(settings)

    def read() -> RunList:
        with studio.database.snapshot() as connection:
            rows = list_runs(connection, served.model_id, limit)
            busy = any_alive(connection, served.model_id)
        items = [run_view(row) for row in rows]
        return RunList(
            items=items,
            busy=busy or studio.naming.working,
            held_out=settings.held_out.rsplit("/", 1)[-1] or None,
            reader=reader_name(whom) if may_ask({"reader": whom}, settings) else None,
            budget=most_of(settings),
        )

    return await studio.read(read)


@router.post("/labels/runs", status_code=201, responses=_REPEATED)
async def post_run(studio: StudioDep, person: Reviewer, body: RunBody, response: Response) -> RunView:
    """Start a run. One at a time: 409 `busy` while another is at work."""
    served = await studio.served()
    told = told_by(body, studio.settings, served.facts)

    def write(connection: Connection) -> tuple[RunView, bool]:
        known = find_run(connection, body.id)
        if known is not None:
            return run_view(known), False
        _check_free(studio, any_alive(connection, served.model_id))
        new_run(connection, served.model_id, body.kind, told, Starter(person.id, person.name), body.id)
        return run_view(run_by_id(connection, body.id)), True

    view, new = await studio.write(write)
    if new:
        await studio.naming.start(body.id)
    else:
        response.status_code = 200
    return view


@router.get("/labels/runs/{run}")
async def get_run(studio: StudioDep, person: Reviewer, run: UUID) -> RunView:
    """One run."""
    return await _view(studio, await studio.served(), run)


@router.post("/labels/runs/{run}/stop")
async def post_stop(studio: StudioDep, person: Reviewer, run: UUID) -> RunView:
    """Have a run end at the next feature. What it stored stays."""
    served = await studio.served()
    await _view(studio, served, run)

    await studio.write(lambda connection: ask_to_stop(connection, run))
    return await _view(studio, served, run)


@router.post("/labels/runs/{run}/resume")
async def post_resume(studio: StudioDep, person: Reviewer, run: UUID) -> RunView:
    """Take up a run that has stopped, where it stood. 409 `busy` while one is at work."""
    served = await studio.served()
    await _view(studio, served, run)

    def write(connection: Connection) -> None:
        check_asking(run_by_id(connection, run).told, studio.settings)
        _check_free(studio, any_alive(connection, served.model_id))
        try:
            free_again(connection, run)
        except RunBusyError as error:
            raise APIError(409, "not_possible", str(error)) from None

    await studio.write(write)
    await studio.naming.start(run)
    return await _view(studio, served, run)


async def _view(studio: Studio, served: Served, run: UUID) -> RunView:
    def read() -> RunView:
        with studio.database.read() as connection:
            row = find_run(connection, run)
        if row is None or row.model_id != served.model_id:
            raise APIError(404, "not_found", f"there is no run {run}")
        return run_view(row)

    return await studio.read(read)


def _check_free(studio: Studio, alive: bool) -> None:
    if alive or studio.naming.working:
        raise APIError(409, "busy", "another run is at work", hint="wait for it, or stop it")
