"""Routes that write text: a stream of events, and changes to it while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.sse import EventSourceResponse, ServerSentEvent

from mfn_core.generation import GenerationRequest
from mfn_server.errors import ERROR_RESPONSES
from mfn_server.schemas import Schema
from mfn_server.steering.schemas import GenerateBody, InterventionsBody
from mfn_server.steering.translation import Translator, interventions_of, request_of, start_event
from mfn_server.studio import StudioDep

router = APIRouter(prefix="/api/generate", tags=["generate"], responses=ERROR_RESPONSES)

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`start` (StartEvent), then `token` (TokenEventBody) and `done` (DoneEvent) of each stream, "
        "`updated` (UpdatedEvent) where interventions change, then `end`; or `error` (ErrorEvent) where it breaks off. "
        "Comments keep the connection alive.",
        "content": {"text/event-stream": {}},
    },
}


async def _admitted(studio: StudioDep, body: GenerateBody) -> AsyncIterator[GenerationRequest]:
    """A checked request with a place in the queue. Refusals happen here, while there is still a status to send."""
    served = await studio.served()
    with studio.generation.place():
        engine = await studio.generation.engine()
        request = await studio.worker.run(request_of, body, served, engine)
        try:
            yield request
        finally:
            # Runs when the answer is over, however it came to that. The iterator below may be left suspended when
            # the client goes away, and would be closed no sooner than the garbage collector finds it.
            studio.generation.drop(request.id)


@router.post("", response_class=EventSourceResponse, responses=_STREAM)
async def post_generate(
    studio: StudioDep, request: Annotated[GenerationRequest, Depends(_admitted)]
) -> AsyncIterator[ServerSentEvent]:
    """Continue a prompt, plain and steered side by side, as server-sent events. Leaving stops it within a token."""
    served = await studio.served()
    translate = Translator(served)
    yield _sent("start", start_event(request, served))
    async for event in studio.generation.stream(request):
        yield _sent(*translate(event))


@router.patch("/{request_id}", status_code=204)
async def patch_generate(
    studio: StudioDep, request_id: Annotated[str, Path(max_length=64)], body: InterventionsBody
) -> None:
    """Replace the interventions of a running generation, from its next token on."""
    served = await studio.served()
    engine = await studio.generation.engine()
    await studio.generation.update(
        request_id, interventions_of(body.interventions, served.facts.sources, engine.context)
    )


def _sent(name: str, body: Schema) -> ServerSentEvent:
    return ServerSentEvent(event=name, raw_data=body.model_dump_json())
