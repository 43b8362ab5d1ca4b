"""The search for a good strength, done with a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mfn_core.errors import ConfigError
from mfn_core.interventions import Intervention
from mfn_core.model import MFNModel
from mfn_core.slices import Slices, finish
from mfn_core.steering.concepts import Concept, degree, features_of
from mfn_core.steering.doses import at_dose, check_swept, most_dose
from mfn_core.steering.results import Texts
from mfn_core.steering.spots import CHECK, COARSE, FINE, Answer, Ask, Budget, Plain, Plan, Spot, Trial, plan
from mfn_core.steering.texts import check_room, write_texts_in_slices
from mfn_core.writing import Writing

BATCH = 96  # texts at a time
SAMPLES = 8


@dataclass(frozen=True)
class SpotOrder:
    """What is to be searched.

    Attributes:
        prompts: each is continued `samples` times.
        interventions: in the order in which they act.
        concept: how it is measured.
        swept: the number of the intervention whose value is searched; None for the only one, or for a factor of all.
        most: the greatest dose; by default `doses.most_dose`.
        temperatures: each is searched. At 0 there is one text a prompt, hence little to go by.
        budget: what fluency may cost.
        samples: texts a prompt and dose.
        tokens: length of each.
        seed: all that is random follows from it.
        coarse, fine: doses of the two rounds.
    """

    prompts: tuple[str, ...]
    interventions: tuple[Intervention, ...]
    concept: Concept
    swept: int | None = None
    most: float | None = None
    temperatures: tuple[float, ...] = (0.7,)
    budget: Budget = field(default_factory=Budget)
    samples: int = SAMPLES
    tokens: int = 32
    seed: int = 0
    coarse: int = COARSE
    fine: int = FINE

    def __post_init__(self) -> None:
        if not self.prompts or not self.temperatures:
            raise ConfigError("a search needs at least one prompt and one temperature")
        if min(self.samples, self.tokens, self.coarse) < 1 or self.fine < 0 or min(self.temperatures) < 0:
            raise ConfigError("samples, tokens and doses are at least 1, temperatures at least 0")
        if self.most is not None and not self.most > 0:
            raise ConfigError(f"the greatest dose must be above 0, not {self.most}")

    @property
    def plan(self) -> Plan:
        """What is to be tried. Of an order that `prepared` has seen."""
        assert self.most is not None, "prepare the order first"
        return plan(self.most, self.temperatures, self.budget, self.coarse, self.fine)


def prepared(model: MFNModel, order: SpotOrder) -> SpotOrder:
    """The same with all that was left open filled in.

    Raises:
        ConfigError: there is nothing to search, or a prompt leaves no room for text.
        InterventionError: an intervention names what is not there.
    """
    from mfn_core.interventions import validate

    swept = check_swept(order.interventions, order.swept)
    validate(order.interventions, model.n_features, model.signed)
    for layer, feature in features_of(order.concept):
        if not (layer in model.n_features and 0 <= feature < model.n_features[layer]):
            raise ConfigError(f"the concept names feature {feature} of layer {layer}, which is not there")
    prompts = [model.encode_text(prompt) for prompt in order.prompts]
    check_room(model, prompts, order.tokens)
    most = order.most or most_dose(model, order.interventions, swept, max(prompts, key=len))
    return replace(order, swept=swept, most=most)


def tried(model: MFNModel, order: SpotOrder, ask: Ask) -> Answer:
    """What comes of some doses; see `tried_in_slices`."""
    return finish(tried_in_slices(model, order, ask))


def tried_in_slices(model: MFNModel, order: SpotOrder, ask: Ask) -> Slices[Answer]:
    """What comes of some doses. All that is written shares its noise across doses.

    Args:
        model: in eval mode.
        order: prepared.
        ask: what to try.
    """
    prompts = [prompt for prompt in order.prompts for _ in range(order.samples if ask.temperature > 0 else 1)]
    first = order.seed + (CHECK if ask.fresh else 0)
    writing = Writing(order.tokens, ask.temperature, order.seed, BATCH)
    settings = [at_dose(order.interventions, dose, order.swept) for dose in ask.doses]
    if ask.plain is None:
        settings.append(())
    seeds = range(first, first + len(prompts))
    features = features_of(order.concept)
    steered = yield from write_texts_in_slices(model, prompts, settings, writing, seeds, features)
    base = ask.plain
    if base is None:
        plain = steered.pop()
        base = Plain(ask.temperature, degree(order.concept, plain), plain.perplexity, plain.repetition)
    found = (_trial(order, ask.temperature, dose, texts, base) for dose, texts in zip(ask.doses, steered, strict=True))
    return Answer(base, tuple(found))


def _trial(order: SpotOrder, temperature: float, dose: float, written: Texts, plain: Plain) -> Trial:
    ratio = None
    if written.perplexity is not None and plain.perplexity is not None:
        ratio = written.perplexity / plain.perplexity
    return Trial(
        dose,
        temperature,
        degree(order.concept, written),
        written.perplexity,
        ratio,
        written.repetition,
        ratio is not None
        and ratio <= order.budget.perplexity
        and written.repetition <= plain.repetition + order.budget.repetition,
        written.texts[0],
    )


def search_spot(model: MFNModel, order: SpotOrder) -> Spot:
    """Searches the strength, and the temperature where several are given, that brings most of a concept for a stated
    cost in fluency; see `spots` for why and how. The same order gives the same answer.

    Raises:
        ConfigError: there is nothing to search, or a prompt leaves no room for text.
        InterventionError: an intervention names what is not there.
    """
    order = prepared(model, order)
    search = order.plan
    ask = next(search)
    while True:
        try:
            ask = search.send(tried(model, order, ask))
        except StopIteration as end:
            found: Spot = end.value
            return found


def settings_at(order: SpotOrder, dose: float) -> Sequence[Intervention]:
    """The interventions of a prepared order at a dose."""
    return at_dose(order.interventions, dose, order.swept)
