"""What is done with the model. These functions run in its worker, in slices; torch is imported inside of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mfn_server.effects.schemas import (
    FeaturesConcept,
    PatternConcept,
    PredictBody,
    SweepBody,
    SweetSpotBody,
    TokensConceptBody,
    WordsConcept,
)
from mfn_server.errors import APIError
from mfn_server.inspecting.inspection import token_ids
from mfn_server.intervention_bodies import InterventionBody

if TYPE_CHECKING:
    from mfn_core.interventions import Intervention
    from mfn_core.model import MFNModel
    from mfn_core.slices import Slices
    from mfn_core.steering import Answer, Ask, Concept, PredictionReport, SpotOrder, Sweep, Texts
    from mfn_server.model_facts import SourceFacts

Sources = Sequence["SourceFacts"]


def predict(model: MFNModel, body: PredictBody, tokens: Sequence[int], sources: Sources) -> Slices[PredictionReport]:
    """Predicts and measures. `tokens`: ids of those that are asked for. Raises APIError, MFNError."""
    from mfn_core.steering.prediction import predict_in_slices

    ids = token_ids(model, body.prompt, "prompt")
    turned = _interventions(model, body.interventions, sources)
    found = yield from predict_in_slices(model, ids, turned, body.position, body.side_effects, body.method)
    return found.report(body.top, tokens)


def sweep(model: MFNModel, body: SweepBody, tokens: Sequence[int], sources: Sources) -> Slices[Sweep]:
    """Runs all doses, and writes nothing. `tokens`: as above; none: those that gain most. Raises APIError, MFNError."""
    from mfn_core.steering.sweep import dose_response_in_slices

    ids = token_ids(model, body.prompt, "prompt")
    if len(ids) + body.max_new_tokens > model.max_context:
        raise APIError(
            422,
            "text_too_long",
            f"the prompt has {len(ids)} tokens; with {body.max_new_tokens} new ones it does not fit the context",
            hint=f"this model's texts have at most {model.max_context} tokens",
            field="max_new_tokens",
        )
    return (
        yield from dose_response_in_slices(
            model,
            body.prompt,
            _interventions(model, body.interventions, sources),
            body.doses,
            body.swept,
            tokens or None,
            position=body.position,
        )
    )


def write_doses(
    model: MFNModel, body: SweepBody, sources: Sources, swept: int | None, doses: Sequence[float | None]
) -> Slices[list[Texts]]:
    """What is written at some doses of a sweep, None for no interventions."""
    from mfn_core.steering.sweep import write_doses_in_slices
    from mfn_core.writing import Writing

    turned = _interventions(model, body.interventions, sources)
    writing = Writing(body.max_new_tokens, body.temperature, body.seed, batch=96)
    return (yield from write_doses_in_slices(model, body.prompt, turned, doses, swept, writing, body.samples))


def prepare_spot(
    model: MFNModel, body: SweetSpotBody, tokens: Sequence[int], sources: Sources
) -> tuple[int | None, float]:
    """What is swept, and how far. Raises APIError, MFNError where the search is not possible."""
    from mfn_core.steering import prepared

    for number, prompt in enumerate(body.prompts):
        token_ids(model, prompt, f"prompts.{number}")
    order = prepared(model, _order(model, body, tokens, sources, body.swept, body.most))
    assert order.most is not None
    return order.swept, order.most


def try_spot(
    model: MFNModel,
    body: SweetSpotBody,
    tokens: Sequence[int],
    sources: Sources,
    swept: int | None,
    most: float,
    ask: Ask,
) -> Slices[Answer]:
    """Tries some doses of a search that was prepared."""
    from mfn_core.steering.sweet_spot import tried_in_slices

    return (yield from tried_in_slices(model, _order(model, body, tokens, sources, swept, most), ask))


def _order(
    model: MFNModel,
    body: SweetSpotBody,
    tokens: Sequence[int],
    sources: Sources,
    swept: int | None,
    most: float | None,
) -> SpotOrder:
    from mfn_core.steering import Budget, SpotOrder

    turned = _interventions(model, body.interventions, sources)
    return SpotOrder(
        prompts=tuple(body.prompts),
        interventions=turned,
        concept=_concept(body, turned, tokens, sources),
        swept=swept,
        most=most,
        temperatures=tuple(body.temperatures),
        budget=Budget(body.budget.perplexity, body.budget.repetition),
        samples=body.samples,
        tokens=body.max_new_tokens,
        seed=body.seed,
    )


def _concept(body: SweetSpotBody, turned: Sequence[Intervention], tokens: Sequence[int], sources: Sources) -> Concept:
    from mfn_core.steering import FiringConcept, TokensConcept
    from mfn_core.text_tests import TextTest

    match body.concept:
        case WordsConcept(words=words, at_least=enough):
            return TextTest(frozenset(word.casefold() for word in words), at_least=enough)
        case PatternConcept(pattern=pattern):
            return TextTest(pattern=pattern)
        case TokensConceptBody(at_least=enough):
            return TokensConcept(frozenset(tokens), enough)
        case FeaturesConcept(features=features, share=share):
            own = tuple(dict.fromkeys((turn.layer, turn.feature) for turn in turned))
            layers = {source.key: source.layer for source in sources}
            for number, feature in enumerate(features):
                if feature.source not in layers:
                    raise APIError(
                        422,
                        "unknown_source",
                        f"the concept names a source that this model does not have, {feature.source!r}",
                        hint=f"its sources: {', '.join(layers)}",
                        field=f"concept.features.{number}.source",
                    )
            named = tuple((layers[feature.source], feature.index) for feature in features)
            return FiringConcept(named or own, share)


def _interventions(model: MFNModel, bodies: Sequence[InterventionBody], sources: Sources) -> tuple[Intervention, ...]:
    from mfn_server.steering.translation import interventions_of

    return interventions_of(bodies, sources, model.max_context)
