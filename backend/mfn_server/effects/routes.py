"""Routes that say what interventions will do, and what they did."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request

from mfn_core.steering.results import Texts
from mfn_core.steering.spots import Answer, Budget, Plain, Spot, Trial, plan
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

TURN = 1280
"""Tokens written in one turn of the model, if not those of a single dose are more. Streams wait for a turn: a second
or two on the demo model."""


async def _placed(studio: StudioDep) -> AsyncIterator[Served]:
    """The served model, with a place for the length of the request."""
    served = await studio.served()
    with studio.effects.place():
        yield served


T = TypeVar("T")
ServedHere = Annotated[Served, Depends(_placed)]


@router.post("/predict")
async def post_predict(studio: StudioDep, served: ServedHere, body: PredictBody) -> PredictionBody:
    """What interventions change about the next token: predicted to first order and by the direct lens, and measured;
    and which other features they change."""
    tokens = ids_of(body.tokens, served, "tokens")
    found = await studio.worker.run(work.predict, body, tokens, served.facts.sources)
    return Told(served).prediction(found)


@router.post("/sweep")
async def post_sweep(studio: StudioDep, served: ServedHere, request: Request, body: SweepBody) -> SweepAnswer:
    """Dose and response: log-probabilities, KL, and what is written, over a range of strengths."""
    tokens = ids_of(body.tokens, served, "tokens")
    sources = served.facts.sources
    found = await studio.worker.run(work.sweep, body, tokens, sources)
    if body.max_new_tokens:
        doses = [None, *(point.dose for point in found.points)]
        texts: list[Texts] = []
        for part in _turns(doses, body.samples * body.max_new_tokens):
            await _still_there(request)
            texts += await studio.worker.run(work.write_doses, body, sources, found.swept, part)
        found = found.with_texts(texts[0], texts[1:])
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
        texts = len(body.prompts) * (body.samples if ask.temperature > 0 else 1)
        for part in _turns(ask.doses, texts * body.max_new_tokens):
            await _still_there(request)
            asked = replace(ask, doses=tuple(part), plain=plain)
            answer = await studio.worker.run(work.try_spot, body, tokens, sources, swept, most, asked)
            plain, trials = answer.plain, [*trials, *answer.trials]
        assert plain is not None
        try:
            ask = search.send(Answer(plain, tuple(trials)))
        except StopIteration as end:
            spot: Spot = end.value
            return Told(served).spot(spot, body, swept, most)


def _turns(doses: Sequence[T], tokens: int) -> Iterator[Sequence[T]]:
    """The doses in parts that a turn of the model has time for; `tokens` are written at each."""
    at_once = max(1, TURN // tokens)
    for begin in range(0, len(doses), at_once):
        yield doses[begin : begin + at_once]


async def _still_there(request: Request) -> None:
    """Ends the work for a client that has left."""
    if await request.is_disconnected():
        raise APIError(400, "client_left", "nobody waits for this answer any more")
