"""Routes that say what interventions will do, and what they did."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from mfn_core.steering.results import Sweep
from mfn_core.steering.spots import Budget, Spot, plan
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
from mfn_server.errors import ERROR_RESPONSES
from mfn_server.leaving import unless_left
from mfn_server.studio import Served, StudioDep

router = APIRouter(prefix="/api/effect", tags=["effect"], responses=ERROR_RESPONSES)


async def _placed(studio: StudioDep) -> AsyncIterator[Served]:
    """The served model, with a place for the length of the request."""
    served = await studio.served()
    with studio.effects.place():
        yield served


ServedHere = Annotated[Served, Depends(_placed)]


@router.post("/predict")
async def post_predict(studio: StudioDep, served: ServedHere, request: Request, body: PredictBody) -> PredictionBody:
    """What interventions change about the next token: predicted through the model and by the direct lens, and measured;
    and which other features they change."""
    tokens = ids_of(body.tokens, served, "tokens")
    work_on = studio.worker.run_in_slices(work.predict, body, tokens, served.facts.sources)
    return Told(served).prediction(await unless_left(request, work_on))


@router.post("/sweep")
async def post_sweep(studio: StudioDep, served: ServedHere, request: Request, body: SweepBody) -> SweepAnswer:
    """Dose and response: log-probabilities, KL, and what is written, over a range of strengths."""
    tokens = ids_of(body.tokens, served, "tokens")

    async def sweep() -> Sweep:
        found = await studio.worker.run_in_slices(work.sweep, body, tokens, served.facts.sources)
        if not body.max_new_tokens:
            return found
        doses = [None, *(point.dose for point in found.points)]
        texts = await studio.worker.run_in_slices(work.write_doses, body, served.facts.sources, found.swept, doses)
        return found.with_texts(texts[0], texts[1:])

    return Told(served).sweep(await unless_left(request, sweep()))


@router.post("/sweet-spot")
async def post_sweet_spot(
    studio: StudioDep, served: ServedHere, request: Request, body: SweetSpotBody
) -> SweetSpotAnswer:
    """Search the strength that brings most of a concept for a stated cost in fluency. The same body gives the same
    answer. A client that leaves ends the search."""
    tokens = (
        ids_of(body.concept.tokens, served, "concept.tokens") if isinstance(body.concept, TokensConceptBody) else []
    )
    sources = served.facts.sources
    swept, most = await studio.worker.run(work.prepare_spot, body, tokens, sources)

    async def search() -> Spot:
        budget = Budget(body.budget.perplexity, body.budget.repetition)
        steps = plan(most, body.temperatures, budget)
        ask = next(steps)
        while True:
            answer = await studio.worker.run_in_slices(work.try_spot, body, tokens, sources, swept, most, ask)
            try:
                ask = steps.send(answer)
            except StopIteration as end:
                found: Spot = end.value
                return found

    return Told(served).spot(await unless_left(request, search()), body, swept, most)
