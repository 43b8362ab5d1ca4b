"""What our sources are called on Neuronpedia, and back."""

from __future__ import annotations

from typing import NamedTuple

from mfn_server.model_facts import SourceFacts


class SourceName(NamedTuple):
    """A source: its layer, the set that it shares with its model's other layers, and what tells it from namesakes."""

    layer: int
    set: str
    suffix: str

    @property
    def id(self) -> str:
        """As in URLs and in the `layer` of explanations: 3-mfn-resid-mid__1a2b3c4d."""
        return f"{self.layer}-{self.set}__{self.suffix}"


def name_of(source: SourceFacts) -> SourceName:
    """A source's name. The suffix is that of its key, a hash of its weights: another model's source has another."""
    return SourceName(source.layer, f"{source.kind}-{source.site}".replace("_", "-"), source.key.rpartition("-")[2])
