"""What is said of a model without running it: names, sizes, sources, the figures in its card."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfn_core.model import MFNModel

CARD = "card.json"


@dataclass(frozen=True)
class SourceFacts:
    """One set of features.

    `key` is `kind.site.layer-hash`. `k` and `alpha` are those of layers that have them; `signed` says that values may
    be negative.
    """

    key: str
    kind: str
    site: str
    layer: int
    weights_hash: str
    n_features: int
    k: int | None
    alpha: float | None
    signed: bool = False


@dataclass(frozen=True)
class ModelFacts:
    """One model. `card` is its card.json as it stands, empty where there is none."""

    name: str
    fingerprint: str
    n_parameters: int
    d_model: int
    n_layers: int
    vocab_size: int
    max_context: int
    sources: tuple[SourceFacts, ...]
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """One sentence, from the card."""
        return str(self.card.get("description", ""))

    @classmethod
    def of(cls, model: MFNModel, folder: Path) -> ModelFacts:
        """The facts of a loaded model and of the folder it came from."""
        card = read_card(folder)
        sources = tuple(
            SourceFacts(
                key=model.source_key(layer),
                kind=coder.config.kind,
                site=coder.config.site,
                layer=layer,
                weights_hash=model.source_hash(layer),
                n_features=coder.n_features,
                k=getattr(coder, "k", None),
                alpha=getattr(coder, "alpha", None),
                signed=coder.signed,
            )
            for layer, coder in sorted(model.coders.items())
        )
        return cls(
            name=str(card.get("name") or folder.resolve().name),
            fingerprint=model.fingerprint,
            n_parameters=sum(p.numel() for p in model.parameters()),
            d_model=model.d_model,
            n_layers=model.n_blocks,
            vocab_size=model.vocab_size,
            max_context=model.max_context,
            sources=sources,
            card=card,
        )


def read_card(folder: Path) -> dict[str, Any]:
    """A card is for readers: a missing or broken one takes nothing away from the model."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"), parse_constant=lambda name: None)
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}
