"""Routes that write text: a stream of events, and what can be done to it while it runs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from mfn_server.access.audit import address_of
from mfn_server.access.person import CurrentPerson
from mfn_server.chats.prompts import chat_prompt
from mfn_server.errors import ERROR_RESPONSES, APIError
from mfn_server.steering.schemas import GenerateBody, InterventionsBody
from mfn_server.steering.streams import Reader
from mfn_server.steering.translation import Translator, change_of, request_of
from mfn_server.studio import StudioDep

router = APIRouter(prefix="/api/generate", tags=["generate"], responses=ERROR_RESPONSES)

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`start` (StartEvent); then for each token of a stream `features` (FeaturesEvent), "
        "`effect` (EffectEvent) where there is one, and `token` (TokenEventBody); `done` (DoneEvent) of each stream; "
        "`updated` (UpdatedEvent) where interventions change; "
        "then `end`. Or `error` (ErrorEvent) where it breaks off. Every event has an `id`; comments keep "
        "the connection alive.",
        "content": {"text/event-stream": {}},
    },
}
_ID = re.compile(r"(\d{1,9})(?:\.(\d))?")

RequestId = Annotated[str, Path(max_length=64)]


async def user_of(request: Request, person: CurrentPerson) -> str:
    """Who asks, for limits: the account; without accounts the client's address, or what a trusted proxy says it is."""
    return address_of(request) if person.is_local else person.id


User = Annotated[str, Depends(user_of)]


async def _admitted(studio: StudioDep, user: User, body: GenerateBody) -> AsyncIterator[Reader]:
    """A checked request with a place in the queue. Refusals happen here, while there is still a status to send."""
    served, service = await studio.served(), studio.generation
    chat = await chat_prompt(studio, body.messages) if body.messages else None
    stream = await service.open(user, request_of, body, served.facts.sources, chat, keep=body.keep)
    reader = service.attend(stream)
    try:
        yield reader
    finally:
        # Runs when the answer is over, however it came to that. The iterators below may be left suspended when the
        # client goes away, and would be closed no sooner than the garbage collector finds them.
        service.leave(reader)


async def _resumed(
    studio: StudioDep,
    request_id: RequestId,
    last_event_id: Annotated[str | None, Header(max_length=32, description="The last event that was read.")] = None,
) -> AsyncIterator[tuple[Reader, int]]:
    """A stream that was opened before, from behind an event; and how many parts of the first one were read."""
    after, parts = _place(last_event_id)
    service = studio.generation
    reader = service.attend(service.find(request_id), after)
    try:
        yield reader, parts
    finally:
        service.leave(reader)


@router.post("", response_class=EventSourceResponse, responses=_STREAM)
async def post_generate(
    studio: StudioDep, reader: Annotated[Reader, Depends(_admitted)]
) -> AsyncIterator[ServerSentEvent]:
    """Continue a prompt, plain and steered side by side, as server-sent events. Leaving stops it within a token.

    With `keep`, a client that was cut off reads on with GET /api/generate/{request_id}.
    """
    async for event in _sent(studio, reader):
        yield event


@router.get("/{request_id}", response_class=EventSourceResponse, responses=_STREAM)
async def get_generate(
    studio: StudioDep, resumed: Annotated[tuple[Reader, int], Depends(_resumed)]
) -> AsyncIterator[ServerSentEvent]:
    """Read on where a connection broke, after the event named by `Last-Event-ID`; from the start without it.

    Whoever reads the stream still, reads no further. 410 where events in between are not kept any more, 422 where that
    event has not happened.
    """
    reader, parts = resumed
    async for event in _sent(studio, reader, parts):
        yield event


@router.patch("/{request_id}", status_code=204)
async def patch_generate(studio: StudioDep, request_id: RequestId, body: InterventionsBody) -> None:
    """Replace the interventions of a running generation, from its next token on."""
    served = await studio.served()
    await studio.generation.update(request_id, change_of, body.interventions, served.facts.sources)


@router.delete("/{request_id}", status_code=204)
async def delete_generate(studio: StudioDep, request_id: RequestId) -> None:
    """Stop a running generation within a token. Its stream ends with an `error` of code `cancelled`."""
    studio.generation.cancel(request_id)


async def _sent(studio: StudioDep, reader: Reader, parts: int = 0) -> AsyncIterator[ServerSentEvent]:
    """A reader's events as they are sent, without the first `parts` parts of the first.

    One event of the engine is sent in up to three parts, 7.0, 7.1 and 7: the last one's id has no part.
    """
    translate = Translator(await studio.served(), reader.stream)
    async for number, event in reader:
        told = translate(event)
        for part, (name, body) in enumerate(told):
            if part >= parts:
                id = f"{number}.{part}" if part < len(told) - 1 else str(number)
                yield ServerSentEvent(event=name, raw_data=body.model_dump_json(), id=id)
        parts = 0


def _place(last_event_id: str | None) -> tuple[int, int]:
    """Behind which event to go on, and how many parts of the next one were read already."""
    if last_event_id is None:
        return -1, 0
    found = _ID.fullmatch(last_event_id)
    if found is None:
        raise APIError(422, "invalid_request", "Last-Event-ID is none of this server's", field="Last-Event-ID")
    number, part = int(found[1]), found[2]
    return (number, 0) if part is None else (number - 1, int(part) + 1)
