"""Results of the effect routes, with the texts and names that the API gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from mfn_server.effects.schemas import (
    AgreementBody,
    DosePointBody,
    PlainBody,
    PredictionBody,
    ShareBody,
    SideEffectBody,
    SideEffectsBody,
    SweepAnswer,
    SweetSpotAnswer,
    SweetSpotBody,
    TokenChangeBody,
    TokenName,
    TrialBody,
    TurnoverBody,
    WrittenBody,
)
from mfn_server.errors import APIError
from mfn_server.intervention_bodies import InterventionBody
from mfn_server.schemas import Token

if TYPE_CHECKING:
    from mfn_core.steering.results import (
        Agreement,
        DosePoint,
        PredictionReport,
        SideEffects,
        Sweep,
        Texts,
        TokenChange,
    )
    from mfn_core.steering.spots import Plain, Spot, Trial
    from mfn_server.studio import Served


def ids_of(names: Sequence[TokenName], served: Served, field: str) -> list[int]:
    """The ids that tokens are named by, each once.

    Raises:
        APIError: 422, there is no such token.
    """
    found: dict[int, None] = {}
    for number, name in enumerate(names):
        if isinstance(name, int):
            ids = [name] if 0 <= name < len(served.token_texts) else []
        else:
            ids = served.tokens.exactly(name)
        if not ids:
            raise APIError(
                422,
                "unknown_token",
                f"this model has no token {name!r}",
                hint=f"give its text, or an id from 0 to {len(served.token_texts) - 1}; a word may be several tokens",
                field=f"{field}.{number}",
            )
        found.update(dict.fromkeys(ids))
    return list(found)


class Told:
    """Results → bodies, for one model."""

    def __init__(self, served: Served) -> None:
        self._texts = served.token_texts
        self._keys = {source.layer: source.key for source in served.facts.sources}

    def prediction(self, found: PredictionReport) -> PredictionBody:
        """A prediction beside its measurement."""
        return PredictionBody(
            prompt_tokens=self._tokens(found.ids),
            position=found.position,
            kl=found.kl,
            agreement=_agreement(found.agreement),
            lens_agreement=_agreement(found.lens_agreement),
            raised=self._changes(found.raised),
            lowered=self._changes(found.lowered),
            gained=self._changes(found.gained),
            followed=self._changes(found.followed),
            shares=[ShareBody(raised=[(id_, self._texts[id_], value) for id_, value in one]) for one in found.each],
            side_effects=self._side_effects(found.side_effects),
            method=found.method,
        )

    def sweep(self, found: Sweep) -> SweepAnswer:
        """Doses."""
        return SweepAnswer(
            swept=found.swept,
            tokens=self._tokens(found.tokens),
            plain_logprobs=list(found.plain_logprobs),
            plain_written=_written(found.plain_written),
            points=[_point(point) for point in found.points],
        )

    def spot(self, found: Spot, body: SweetSpotBody, swept: int | None, most: float) -> SweetSpotAnswer:
        """What a search found."""
        return SweetSpotAnswer(
            optimised=found.optimised,
            swept=swept,
            most=most,
            best=_trial(found.best),
            interventions=None if found.best is None else bodies_at(body.interventions, found.best.dose, swept),
            checked=_trial(found.checked),
            checked_plain=None if found.checked_plain is None else _plain(found.checked_plain),
            plain=list(map(_plain, found.plain)),
            trials=[TrialBody(**asdict(trial)) for trial in found.trials],
            frontier=[TrialBody(**asdict(trial)) for trial in found.frontier],
        )

    def _tokens(self, ids: Sequence[int]) -> list[Token]:
        return [Token(id=number, text=self._texts[number]) for number in ids]

    def _changes(self, changes: Sequence[TokenChange]) -> list[TokenChangeBody]:
        return [
            TokenChangeBody(
                id=change.token,
                text=self._texts[change.token],
                predicted=change.predicted,
                lens=change.lens,
                measured=change.measured,
                logprob=change.logprob,
                steered_logprob=change.steered_logprob,
            )
            for change in changes
        ]

    def _side_effects(self, found: SideEffects) -> SideEffectsBody:
        features = []
        for effect in found.strongest:
            values = asdict(effect)
            layer, index = values.pop("layer"), values.pop("feature")
            features.append(SideEffectBody(source=self._keys[layer], index=index, **values))
        layers = [TurnoverBody(source=self._keys[t.layer], layer=t.layer, replaced=t.replaced) for t in found.turnover]
        return SideEffectsBody(begins=found.begins, changed=found.changed, features=features, layers=layers)


def _agreement(found: Agreement) -> AgreementBody:
    return AgreementBody(**asdict(found), agrees=found.agrees)


def _written(found: Texts | None) -> WrittenBody | None:
    if found is None:
        return None
    return WrittenBody(texts=list(found.texts), perplexity=found.perplexity, repetition=found.repetition)


def _point(point: DosePoint) -> DosePointBody:
    return DosePointBody(
        dose=point.dose,
        logprobs=list(point.logprobs),
        kl=point.kl,
        agreement=_agreement(point.agreement),
        written=_written(point.written),
    )


def _trial(trial: Trial | None) -> TrialBody | None:
    return None if trial is None else TrialBody(**asdict(trial))


def _plain(plain: Plain) -> PlainBody:
    return PlainBody(**asdict(plain))


def bodies_at(bodies: Sequence[InterventionBody], dose: float, swept: int | None) -> list[InterventionBody]:
    """The request's interventions at a dose; as `mfn_core.steering.at_dose` has it."""

    def moved(number: int, body: InterventionBody) -> InterventionBody:
        if body.mode == "ablate" or swept not in (None, number):
            return body
        if swept is not None:
            return body.model_copy(update={"value": dose})
        ramp = body.ramp and body.ramp.model_copy(update={"start": body.ramp.start * dose})
        return body.model_copy(update={"value": body.value * dose, "ramp": ramp})

    return [moved(number, body) for number, body in enumerate(bodies)]
