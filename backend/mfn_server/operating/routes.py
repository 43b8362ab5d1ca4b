"""Whether the server lives, whether it can serve, and what it measured."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Depends, Response
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool

from mfn_server.access.person import Permission, anybody, needs
from mfn_server.errors import ERROR_RESPONSES
from mfn_server.operating.meters import CONTENT_TYPE
from mfn_server.schemas import Schema
from mfn_server.studio import StudioDep
from mfn_server.worker import WorkerState

router = APIRouter(tags=["operating"], responses=ERROR_RESPONSES)


class Alive(Schema):
    """The web process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Schema):
    """Whether requests can be served now, and what stands in the way."""

    ready: bool
    model: WorkerState
    database: Literal["ok", "unavailable"]
    stopping: bool


@router.get("/healthz", dependencies=[Depends(anybody)])
async def get_healthz() -> Alive:
    """The web process lives. Nothing else is looked at: a server whose model is down need not be started again."""
    return Alive()


@router.get(
    "/readyz",
    responses={503: {"model": Readiness, "description": "Not now."}},
    dependencies=[Depends(anybody)],
)
async def get_readyz(studio: StudioDep, response: Response) -> Readiness:
    """Whether requests should be sent here: the model is loaded, the database answers, the server is not stopping."""

    def ask() -> bool:
        try:
            with studio.database.read() as connection:
                connection.execute(text("SELECT 1"))
        except DBAPIError:
            return False
        return True

    answers = await run_in_threadpool(ask)
    found = Readiness(
        ready=answers and studio.worker.loaded and not studio.generation.stopping,
        model=studio.worker.state,
        database="ok" if answers else "unavailable",
        stopping=studio.generation.stopping,
    )
    response.status_code = 200 if found.ready else 503
    return found


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
    dependencies=[needs(Permission.MEASURE)],
)
async def get_metrics(studio: StudioDep) -> Response:
    """What was counted and timed, in Prometheus' text format."""
    return Response(studio.meters.text(), media_type=CONTENT_TYPE)
