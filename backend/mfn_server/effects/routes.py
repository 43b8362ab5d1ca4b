"""Routes that say what interventions will do, and what they did."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from mfn_core.steering.spots import Answer, Ask, Budget, Plain, Spot, Trial, plan
from mfn_server.effects import work
from mfn_server.effects.schemas import (
    PredictBody,
    PredictionBody,
    SweepAnswer,
    SweepBody,
    SweetSpotAnswer,
    SweetSpotBody,
    TokensConceptBody,
)
from mfn_server.effects.translation import Told, ids_of
from mfn_server.errors import ERROR_RESPONSES, APIError
from mfn_server.studio import Served, StudioDep

router = APIRouter(prefix="/api/effect", tags=["effect"], responses=ERROR_RESPONSES)

ROWS = 40
"""Texts written in one turn of the model. Streams wait for such a turn: a second or two on the demo model."""


async def _placed(studio: StudioDep) -> AsyncIterator[Served]:
    """The served model, with a place for the length of the request."""
    served = await studio.served()
    with studio.effects.place():
        yield served


ServedHere = Annotated[Served, Depends(_placed)]


@router.post("/predict")
async def post_predict(studio: StudioDep, served: ServedHere, body: PredictBody) -> PredictionBody:
    """What interventions change about the next token: predicted to first order and by the direct lens, and measured;
    and which other features they change."""
    tokens = ids_of(body.tokens, served, "tokens")
    found = await studio.worker.run(work.predict, body, tokens, served.facts.sources)
    return Told(served).prediction(found)


@router.post("/sweep")
async def post_sweep(studio: StudioDep, served: ServedHere, body: SweepBody) -> SweepAnswer:
    """Dose and response: log-probabilities, KL, and what is written, over a range of strengths in one batch."""
    tokens = ids_of(body.tokens, served, "tokens")
    found = await studio.worker.run(work.sweep, body, tokens, served.facts.sources)
    return Told(served).sweep(found)


@router.post("/sweet-spot")
async def post_sweet_spot(
    studio: StudioDep, served: ServedHere, request: Request, body: SweetSpotBody
) -> SweetSpotAnswer:
    """Search the strength that brings most of a concept for a stated cost in fluency. The same body gives the same
    answer. A client that leaves ends the search at its next turn."""
    tokens = (
        ids_of(body.concept.tokens, served, "concept.tokens") if isinstance(body.concept, TokensConceptBody) else []
    )
    sources = served.facts.sources
    swept, most = await studio.worker.run(work.prepare_spot, body, tokens, sources)
    budget = Budget(body.budget.perplexity, body.budget.repetition)
    search = plan(most, body.temperatures, budget)
    ask = next(search)
    while True:
        plain: Plain | None = ask.plain
        trials: list[Trial] = []
        for part in _parts(ask, len(body.prompts) * (body.samples if ask.temperature > 0 else 1)):
            if await request.is_disconnected():
                raise APIError(400, "client_left", "nobody waits for this search any more")
            asked = replace(part, plain=plain)
            answer = await studio.worker.run(work.try_spot, body, tokens, sources, swept, most, asked)
            plain, trials = answer.plain, [*trials, *answer.trials]
        assert plain is not None
        try:
            ask = search.send(Answer(plain, tuple(trials)))
        except StopIteration as end:
            spot: Spot = end.value
            return Told(served).spot(spot, body, swept, most)


def _parts(ask: Ask, texts: int) -> Iterator[Ask]:
    """The same in turns of at most `ROWS` texts, or of one dose."""
    at_once = max(1, ROWS // texts)
    doses: Sequence[float] = ask.doses
    for begin in range(0, len(doses), at_once):
        yield replace(ask, doses=tuple(doses[begin : begin + at_once]))
