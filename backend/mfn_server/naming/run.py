"""`mfn labels suggest`: names for the features of a model, a batch at a time, so that it can be broken off anywhere."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfn_core.evaluation.rules import read_rules
from mfn_core.naming.lexicon import Lexicon
from mfn_core.naming.text import NamedText
from mfn_server.campaigns.blind import NOTHING
from mfn_server.features.catalogue import Catalogues
from mfn_server.features.reading import feature_page
from mfn_server.labels.log import Place
from mfn_server.naming.corpus import IndexedModel, corpus_of, open_indexed
from mfn_server.naming.keeping import keep, settled
from mfn_server.naming.runs import Work, begin_work
from mfn_server.naming.scorers import WAYS, Way
from mfn_server.naming.suggesting import Suggester, Suggestion
from mfn_server.progress import Tell

BATCH = 100
FEWEST_FIRINGS = 20
"""Features that fire less often have too few contexts to learn from."""


@dataclass(frozen=True)
class SuggestOrder:
    """What is to be suggested.

    Attributes:
        model: folder of the bundle.
        database_url: where its index is, and where the suggestions go.
        ways: how.
        layers: of these alone; None for all.
        features: these alone, as (layer, number); None for all that fire often enough.
        rules: files of rules that tell concepts, whose words become classes of tokens.
        anew: also where it was done before.
    """

    model: Path
    database_url: str
    ways: Sequence[Way] = WAYS
    layers: frozenset[int] | None = None
    features: Sequence[tuple[int, int]] | None = None
    rules: Sequence[Path] = ()
    anew: bool = False

    def to_json(self) -> dict[str, Any]:
        """What a run is told, as plain data."""
        return {
            "ways": list(self.ways),
            "layers": None if self.layers is None else sorted(self.layers),
            "features": None if self.features is None else [list(each) for each in self.features],
            "rules": [str(path.resolve()) for path in self.rules],
            "anew": self.anew,
        }

    @classmethod
    def from_json(cls, model: Path, database_url: str, told: Mapping[str, Any]) -> SuggestOrder:
        """What `to_json` gave."""
        layers, features = told["layers"], told["features"]
        return cls(
            model=model,
            database_url=database_url,
            ways=told["ways"],
            layers=None if layers is None else frozenset(layers),
            features=None if features is None else [(layer, number) for layer, number in features],
            rules=[Path(path) for path in told["rules"]],
            anew=told["anew"],
        )


def run_suggest(order: SuggestOrder, tell: Tell, run_id: uuid.UUID | None = None) -> str:
    """Do it, and say in a line what was done.

    Raises:
        MFNError: what is wrong with the model, the index or what was asked for.
        RunStoppedError: somebody asked it to end; what was stored stays.
    """
    tell("reading the model", 0.0)
    with (
        open_indexed(order.model, order.database_url) as known,
        begin_work(known.database, known.model_id, "suggest", order.to_json(), tell, run_id) as work,
    ):
        work.message = _suggest(order, known, work)
        return work.message


def _suggest(order: SuggestOrder, known: IndexedModel, work: Work) -> str:
    with known.database.snapshot() as connection:
        wanted = order.features or known.alive(
            connection, None if order.layers is None else set(order.layers), FEWEST_FIRINGS
        )
        known.check(wanted)
        done = settled(connection, [row for row, _ in known.sources.values()], known.run_id)
        lexicon = Lexicon.of(known.token_texts, concepts_of(order.rules))
        suggester = Suggester(NamedText(lexicon, corpus_of(connection, known.run_id)))
        catalogue = Catalogues().current(connection, known.model_id, known.facts.fingerprint, NOTHING)
    places = {(layer, number): (known.sources[layer][0], number) for layer, number in wanted}
    left = [each for each in wanted if order.anew or not frozenset(order.ways) <= done.get(places[each], frozenset())]
    stand = 0
    for begin in range(0, len(left), BATCH):
        made: dict[Place, dict[Way, Suggestion]] = {}
        with known.database.snapshot() as connection:
            for layer, number in left[begin : begin + BATCH]:
                work.tell(f"layer {layer}, feature {number}", (begin + len(made)) / len(left))
                key = known.sources[layer][1]
                page = feature_page(connection, catalogue, known.model_id, key, number, known.token_texts)
                found = {way: suggester.suggest(way, page) for way in order.ways}
                made[places[layer, number]] = {way: each for way, each in found.items() if each is not None}
        with known.database.write() as connection:
            stand += keep(connection, known.run_id, order.ways, made)
    before = f"; {len(wanted) - len(left):,} had been done before" if len(left) < len(wanted) else ""
    return f"{stand:,} suggestions for {len(left):,} features{before}"


def concepts_of(files: Sequence[Path]) -> dict[str, re.Pattern[str]]:
    """What each concept's instances look like, by its name in words."""
    rules = [rule for path in files for rule in read_rules(path)]
    return {f"words of {rule.concept.split('/')[-1].replace('_', ' ')}": rule.pattern for rule in rules}
