"""One feature, looked at by itself and used to steer."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from torch import Tensor

from mfn_core.indexing.from_weights import WeightFacts, weight_facts
from mfn_core.interventions import Condition, Intervention, Ramp, Scope
from mfn_core.model import MFNModel
from mfn_core.reading import markup
from mfn_core.reading.text import TokenValues, check_feature
from mfn_core.reading.units import Tokens

_FACTS = 10  # tokens each way, and neighbours (ours)

EVERYWHERE = Scope()


class TokenLogit(NamedTuple):
    """A token, and how far a feature's direction moves its logit.

    Attributes:
        token: its display text.
        id: its number.
        logit: per unit of z · s over the final norm's scale, relative to the mean over the vocabulary.
    """

    token: str
    id: int
    logit: float


class Neighbour(NamedTuple):
    """A feature of the same layer, and the cosine of the two decoder directions."""

    feature: int
    cosine: float


@dataclass(frozen=True)
class Feature:
    """A handle on one feature of a model: `model.feature(layer, index)`.

    What it says of logits and neighbours comes from the weights alone, and is computed when it is first asked for.

    Attributes:
        model: whose.
        layer: number of the equipped block.
        index: number of the feature in that layer.
    """

    model: MFNModel = field(repr=False)
    layer: int
    index: int

    def __post_init__(self) -> None:
        check_feature(self.model.n_features, self.layer, self.index)

    @property
    def direction(self) -> Tensor:
        """D_j, float [d], without gradient: what one unit of the feature adds to the normalised stream."""
        return self.model.coders[self.layer].directions[self.index].detach()

    @property
    def promoted(self) -> list[TokenLogit]:
        """The tokens whose logit its direction raises most, if nothing between here and the output reacted to it.

        Later layers do react: it is a lens, not a prediction.
        """
        return self._logits(self._facts.promoted_ids[0].tolist(), self._facts.promoted_logits[0].tolist())

    @property
    def suppressed(self) -> list[TokenLogit]:
        """Those whose logit it lowers most, lowest first; as `promoted` otherwise."""
        return self._logits(self._facts.suppressed_ids[0].tolist(), self._facts.suppressed_logits[0].tolist())

    @property
    def neighbours(self) -> list[Neighbour]:
        """The features of the same layer whose decoder directions are most like this one's, most similar first."""
        ids, cosines = self._facts.neighbour_ids[0].tolist(), self._facts.neighbour_cos[0].tolist()
        return [Neighbour(*pair) for pair in zip(ids, cosines, strict=True)]

    def on(self, text: str) -> TokenValues:
        """Its value on every token of a text. For several features of one text, `model.codes(text)` reads it once."""
        return self.model.codes(text).feature(self.layer, self.index)

    def set(
        self,
        value: float,
        scope: Scope = EVERYWHERE,
        condition: int | Condition | None = None,
        ramp: Ramp | None = None,
    ) -> Intervention:
        """The intervention that sets it to a value, in units of z; arguments as `Intervention` has them."""
        return Intervention(self.layer, self.index, "set", value, scope, condition, ramp)

    def add(
        self,
        value: float,
        scope: Scope = EVERYWHERE,
        condition: int | Condition | None = None,
        ramp: Ramp | None = None,
    ) -> Intervention:
        """The intervention that adds to it, in units of z."""
        return Intervention(self.layer, self.index, "add", value, scope, condition, ramp)

    def scale(
        self,
        factor: float,
        scope: Scope = EVERYWHERE,
        condition: int | Condition | None = None,
        ramp: Ramp | None = None,
    ) -> Intervention:
        """The intervention that multiplies it by a factor of at least 0."""
        return Intervention(self.layer, self.index, "scale", factor, scope, condition, ramp)

    def ablate(self, scope: Scope = EVERYWHERE, condition: int | Condition | None = None) -> Intervention:
        """The intervention that silences it."""
        return Intervention(self.layer, self.index, "ablate", scope=scope, condition=condition)

    def _repr_html_(self) -> str:
        def chips(moved: list[TokenLogit]) -> str:
            return " ".join(markup.chip(token, f"{logit:+.3f}") for token, _, logit in moved)

        alike = ", ".join(f"{j} ({cosine:.2f})" for j, cosine in self.neighbours)
        facts = markup.facts([("raises", chips(self.promoted)), ("lowers", chips(self.suppressed)), ("alike", alike)])
        lens = (
            "Tokens by the direct lens: what its direction alone writes to the logits. Later layers may say otherwise."
        )
        kind = self.model.coders[self.layer].config
        title = markup.heading(f"Feature {self.index} of layer {self.layer}", f"{kind.kind} at {kind.site}")
        return markup.frame(title, facts, markup.note(lens))

    @cached_property
    def _facts(self) -> WeightFacts:
        return weight_facts(self.model, self.layer, _FACTS, _FACTS, [self.index])

    def _logits(self, ids: list[int], logits: list[float]) -> list[TokenLogit]:
        shown = Tokens.of(ids, self.model.tokenizer)
        return [TokenLogit(*entry) for entry in zip(shown, ids, logits, strict=True)]
