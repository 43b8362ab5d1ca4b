"""Between the API's names (source keys, texts) and the engine's (layers, token ids).

`request_of` and `interventions_of` run in the worker; what comes back is translated in the web process, without torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mfn_core.generation.events import Done, Ended, Failed, StreamName, TokenEvent, Updated
from mfn_server.errors import APIError
from mfn_server.intervention_bodies import InterventionBody
from mfn_server.schemas import Schema, Token
from mfn_server.steering.interventions import body_of, intervention_of, watch_of
from mfn_server.steering.schemas import (
    AlternativeToken,
    DoneEvent,
    EffectEvent,
    EndEvent,
    ErrorEvent,
    FeaturesEvent,
    FiredFeature,
    GenerateBody,
    ShiftedToken,
    StartEvent,
    TokenEventBody,
    UpdatedEvent,
    WatchedFeature,
)
from mfn_server.steering.streams import Broken, Started, StreamEvent

if TYPE_CHECKING:
    from mfn_core.generation import Engine, GenerationRequest
    from mfn_core.interventions import Intervention
    from mfn_core.model import MFNModel
    from mfn_server.model_facts import SourceFacts
    from mfn_server.steering.streams import Stream
    from mfn_server.studio import Served


def interventions_of(
    bodies: Sequence[InterventionBody], facts: Sequence[SourceFacts], context: int, change: int | None = None
) -> tuple[Intervention, ...]:
    """The interventions as the engine takes them, those of a request or of one of its changes.

    Args:
        bodies: as the API has them.
        facts: of the model's sources.
        context: longest text in tokens.
        change: the number of the change that they are of; None, the request begins with them.

    Raises:
        APIError: 422, one names a source or a feature that is not there, a value that its feature cannot take, a
            condition that a later layer would have to answer, or a range behind the end of every text.
    """
    sources = {source.key: source for source in facts}
    within, which = ("", "") if change is None else (f"changes.{change}.", f"change {change + 1}, ")
    return tuple(
        intervention_of(body, sources, context, f"{which}intervention {number + 1}", f"{within}interventions.{number}")
        for number, body in enumerate(bodies)
    )


def change_of(
    model: MFNModel, engine: Engine, bodies: Sequence[InterventionBody], facts: Sequence[SourceFacts]
) -> tuple[Intervention, ...]:
    """What a text that is being written continues with. Raises as `interventions_of`."""
    return interventions_of(bodies, facts, engine.context)


def request_of(
    model: MFNModel,
    engine: Engine,
    request_id: str,
    body: GenerateBody,
    facts: Sequence[SourceFacts],
    chat: tuple[int, ...] | None = None,
) -> tuple[GenerationRequest, Started]:
    """The request as the engine takes it, checked, and what its stream begins with. `chat`: its messages, as the model
    reads them.

    Raises:
        APIError: 422, what is wrong with it.
    """
    from mfn_core.generation import Change, GenerationRequest, PromptTooLongError, Sampling

    request = GenerationRequest(
        prompt=tuple(model.encode_text(body.prompt or "")) if chat is None else chat,
        max_new_tokens=body.max_new_tokens,
        interventions=interventions_of(body.interventions, facts, engine.context),
        sampling=Sampling(
            temperature=body.temperature,
            top_k=body.top_k,
            top_p=body.top_p,
            min_p=body.min_p,
            repetition_penalty=body.repetition_penalty,
            frequency_penalty=body.frequency_penalty,
            presence_penalty=body.presence_penalty,
            logit_bias=tuple(body.logit_bias.items()),
            seed=body.seed,
        ),
        stop=tuple(body.stop),
        compare=body.compare,
        alternatives=body.alternatives,
        fired=body.top_fired,
        id=request_id,
        watch=watch_of(body.watch, {source.key: source for source in facts}),
        changes=tuple(
            Change(change.step, interventions_of(change.interventions, facts, engine.context, number))
            for number, change in enumerate(body.changes)
        ),
    )
    try:
        engine.check(request)
    except PromptTooLongError as error:
        field = "prompt" if chat is None else "messages"
        raise APIError(422, "prompt_too_long", str(error), hint=f"shorten the {field}", field=field) from error
    return request, started(request, engine)


def started(request: GenerationRequest, engine: Engine) -> Started:
    """What the stream of a checked request begins with."""
    from mfn_core.generation.footprint import footprint

    streams: tuple[StreamName, ...] = ("plain", "steered") if request.compare else ("steered",)
    return Started(request.id, request.prompt, streams, footprint(request, engine.row_bytes, engine.context))


class Translator:
    """Events of a stream → named events of the API."""

    def __init__(self, served: Served, stream: Stream) -> None:
        self._texts = served.token_texts
        self._keys = {source.layer: source.key for source in served.facts.sources}
        self._digests, self._held = stream.digests, stream.bytes

    def __call__(self, event: StreamEvent) -> list[tuple[str, Schema]]:
        """Names and bodies, in order; of a token up to three."""
        match event:
            case Started():
                return [("start", self._start(event))]
            case TokenEvent():
                return self._token(event)
            case Updated():
                bodies = [body_of(intervention, self._keys) for intervention in event.interventions]
                return [("updated", UpdatedEvent(step=event.step, interventions=bodies))]
            case Done():
                done = DoneEvent(
                    stream=event.stream,
                    reason=event.reason,
                    text=event.text,
                    n_tokens=event.n_tokens,
                    seconds=round(event.seconds, 4),
                    digest=self._digests[event.stream].tokens,
                    exact_digest=self._digests[event.stream].exact,
                )
                return [("done", done)]
            case Broken():
                return [("error", ErrorEvent(code=event.code, message=event.message))]
            case Failed():
                return [("error", ErrorEvent(code="generation_failed", message=event.message))]
            case Ended():
                return [("end", EndEvent())]

    def _start(self, event: Started) -> StartEvent:
        return StartEvent(
            request_id=event.request,
            prompt_tokens=[Token(id=token, text=self._texts[token]) for token in event.prompt],
            streams=list(event.streams),
            cache_bytes=event.footprint.cache,
            held_bytes=self._held,
        )

    def _token(self, event: TokenEvent) -> list[tuple[str, Schema]]:
        token = TokenEventBody(
            stream=event.stream,
            step=event.step,
            id=event.token,
            text=self._texts[event.token],
            delta=event.delta,
            logprob=event.logprob,
            alternatives=[
                AlternativeToken(id=a.token, text=self._texts[a.token], logprob=a.logprob) for a in event.alternatives
            ],
        )
        told: list[tuple[str, Schema]] = []
        if event.fired or event.watched:
            fired = [FiredFeature(source=self._keys[f.layer], index=f.feature, value=f.value) for f in event.fired]
            watched = [
                WatchedFeature(source=self._keys[w.layer], index=w.feature, value=w.value, untouched=w.untouched)
                for w in event.watched
            ]
            features = FeaturesEvent(stream=event.stream, step=event.step, fired=fired, watched=watched)
            told.append(("features", features))
        if event.kl is not None:
            told.append(("effect", self._effect(event, event.kl)))
        return [*told, ("token", token)]

    def _effect(self, event: TokenEvent, kl: float) -> EffectEvent:
        assert event.plain_logprob is not None, "it comes with the divergence"
        shifts = [
            ShiftedToken(id=s.token, text=self._texts[s.token], logprob=s.logprob, plain_logprob=s.plain_logprob)
            for s in event.shifts
        ]
        return EffectEvent(step=event.step, kl=kl, plain_logprob=event.plain_logprob, shifts=shifts)
