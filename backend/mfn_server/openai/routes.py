"""Routes of OpenAI's API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from mfn_server.db.tables import Model
from mfn_server.openai.answering import Answering, answer_chat, answer_completion
from mfn_server.openai.answers import Json
from mfn_server.openai.names import Named, find_named, list_named
from mfn_server.openai.schemas import ChatBody, CompletionBody
from mfn_server.steering.routes import User
from mfn_server.studio import Served, StudioDep

PREFIX = "/v1"
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "The request was wrong; the body says how, as OpenAI's does."},
    "5XX": {"description": "The server could not answer; the body says why, as OpenAI's does."},
}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "OpenAI's answer; with `stream` its chunks as server-sent events, `[DONE]` last.",
        "content": {"application/json": {}, "text/event-stream": {}},
    }
}
router = APIRouter(prefix=PREFIX, tags=["openai"], responses=_ERRORS)


@router.get("/models")
async def get_models(studio: StudioDep) -> JSONResponse:
    """The served model under each of its names, and with each preset."""
    served = await studio.served()

    def read() -> list[Json]:
        with studio.database.snapshot() as connection:
            made = connection.scalars(select(Model.created_at).where(Model.id == served.model_id)).one()
            return [_model(n, served, made) for n in list_named(connection, served, studio.settings.model_aliases)]

    return JSONResponse({"object": "list", "data": await run_in_threadpool(read)})


@router.get("/models/{name:path}")
async def get_model(studio: StudioDep, name: str) -> JSONResponse:
    """One of them."""
    served = await studio.served()

    def read() -> Json:
        with studio.database.snapshot() as connection:
            made = connection.scalars(select(Model.created_at).where(Model.id == served.model_id)).one()
            return _model(find_named(connection, served, studio.settings.model_aliases, name), served, made)

    return JSONResponse(await run_in_threadpool(read))


async def _completion(studio: StudioDep, user: User, body: CompletionBody) -> AsyncIterator[Answering]:
    """A checked request that is being written. Refusals happen here, while there is still a status to send."""
    answering = await answer_completion(studio, user, body)
    try:
        yield answering
    finally:
        answering.close()  # when the answer is over, however it came to that


async def _chat(studio: StudioDep, user: User, body: ChatBody) -> AsyncIterator[Answering]:
    """The same for a chat."""
    answering = await answer_chat(studio, user, body)
    try:
        yield answering
    finally:
        answering.close()


@router.post("/completions", responses=_ANSWER)
async def post_completions(
    request: Request, body: CompletionBody, answering: Annotated[Answering, Depends(_completion)]
) -> Response:
    """Continue texts."""
    return await _answered(request, body.stream, answering)


@router.post("/chat/completions", responses=_ANSWER)
async def post_chat_completions(
    request: Request, body: ChatBody, answering: Annotated[Answering, Depends(_chat)]
) -> Response:
    """Write a chat's next message."""
    return await _answered(request, body.stream, answering)


async def _answered(request: Request, streamed: bool, answering: Answering) -> Response:
    if not streamed:
        return JSONResponse(await answering.whole(request))
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(answering.stream(), media_type="text/event-stream", headers=headers)


def _model(named: Named, served: Served, made: datetime) -> Json:
    preset = named.preset
    said: Json = {"fingerprint": served.facts.fingerprint, "description": served.facts.description}
    if preset is not None:
        said |= {"description": preset.description, "preset": {"id": str(preset.id), "version": preset.version}}
    created = int((preset.changed_at if preset else made).timestamp())
    return {"id": named.name, "object": "model", "created": created, "owned_by": "mfn-studio", "mfn": said}
