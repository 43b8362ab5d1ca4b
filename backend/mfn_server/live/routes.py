"""One stream of events a tab, and where tabs are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from mfn_server.access.person import Permission, Person, StillIn, require
from mfn_server.errors import ERROR_RESPONSES, APIError
from mfn_server.live.hub import Message
from mfn_server.live.schemas import PresenceBody
from mfn_server.live.tabs import put_tab
from mfn_server.studio import StudioDep

router = APIRouter(prefix="/api/live", tags=["live"], responses=ERROR_RESPONSES)

Reader = Annotated[Person, Depends(require(Permission.READ))]

RETRY = 1000
"""Milliseconds after which a browser whose stream has ended asks again."""

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`hello` (HelloEvent); `said` (EventView) for each label event, whose number is the `id`; "
        "`reset` (ResetEvent) instead of very many; `collections` (CollectionsEvent) when one has changed; "
        "`presence` (PresenceEvent), without an `id`, whenever it changes. "
        "Comments keep the connection alive. The stream of a reader that cannot keep up ends: come back by `id`.",
        "content": {"text/event-stream": {}},
    },
}


async def _joined(
    studio: StudioDep,
    person: Reader,
    tab: Annotated[UUID, Query(description="Made by the page when it was opened.")],
    after: Annotated[
        int | None, Query(ge=0, lt=2**63, description="Tell also what was said behind this event.")
    ] = None,
    last_event_id: Annotated[
        str | None, Header(max_length=32, description="The last event that was read; goes before `after`.")
    ] = None,
) -> AsyncIterator[AsyncIterator[Message]]:
    served = await studio.served()
    if last_event_id:
        if not (last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) <= 18):
            raise APIError(422, "invalid_request", "Last-Event-ID: must be a number", field="Last-Event-ID")
        after = int(last_event_id)
    listener, behind = await studio.live.join(served.model_id, tab, person)
    try:
        yield studio.live.messages(served.model_id, listener, behind, after)
    finally:
        # runs when the answer is over, however it came to that
        await studio.live.leave(listener)


@router.get("", response_class=EventSourceResponse, responses=_STREAM)
async def get_live(
    request: Request, person: Reader, messages: Annotated[AsyncIterator[Message], Depends(_joined)]
) -> AsyncIterator[ServerSentEvent]:
    """What is said of features, and who is there, as it happens. One stream a tab is enough: it has everything."""
    still_in = StillIn(request, person, Permission.READ, same_role=True)
    async for message in messages:
        if not await still_in():
            return
        id = None if message.id is None else str(message.id)
        retry = RETRY if message.name == "hello" else None
        yield ServerSentEvent(event=message.name, raw_data=message.data, id=id, retry=retry)


@router.post("/presence", status_code=204)
async def post_presence(studio: StudioDep, person: Reader, body: PresenceBody) -> None:
    """Say which feature a tab shows, and whether its person is writing. Nothing of it is kept."""
    served = await studio.served()
    await studio.write(lambda connection: put_tab(connection, served.model_id, person, body))
    studio.live.wake()
