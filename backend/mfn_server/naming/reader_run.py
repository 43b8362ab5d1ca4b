"""Which language model is asked about labels, and its suggestions (`mfn labels explain`)."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from mfn_core.errors import ConfigError
from mfn_server.atlas.dossier import dossier
from mfn_server.campaigns.blind import NOTHING
from mfn_server.db.score_tables import WorkState
from mfn_server.db.tables import Label, LabelEvent
from mfn_server.features.catalogue import Catalogues
from mfn_server.features.reading import feature_page
from mfn_server.features.schemas import FeaturePage
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.fold import SUGGESTS
from mfn_server.labels.log import Place, lock_log
from mfn_server.naming.asking import NAME_SYSTEM, NAME_TOKENS, NAMING, read_name
from mfn_server.naming.corpus import IndexedModel, open_indexed
from mfn_server.naming.endpoint import Endpoint
from mfn_server.naming.reader import BudgetSpentError, Purse
from mfn_server.naming.run import FEWEST_FIRINGS
from mfn_server.naming.runs import LIMITS, Work, begin_work
from mfn_server.progress import Tell

KEY = "MFN_READER_KEY"
AUTHOR = f"{SUGGESTS.removeprefix('program:')}reader"


@dataclass(frozen=True)
class ReaderOrder:
    """Which language model is asked, and what that may cost.

    Attributes:
        endpoint: address of an OpenAI-compatible endpoint, and the model there.
        folder: of a Hugging Face model instead.
        prices: of a million tokens read, and of a million written.
        budget: in the same unit; None for no limit.
    """

    endpoint: tuple[str, str] | None = None
    folder: Path | None = None
    prices: tuple[float, float] = (0.0, 0.0)
    budget: float | None = None

    def open(self) -> Purse:
        """Raises ConfigError: none or two are named, or a limit without prices would never be reached."""
        if (self.endpoint is None) == (self.folder is None):
            raise ConfigError("name a language model: --endpoint URL with --reader NAME, or --local FOLDER")
        if self.budget is not None and not any(self.prices):
            raise ConfigError("--budget is reached with --price alone: what a million tokens read and written cost")
        if self.endpoint is not None:
            return Purse(Endpoint(*self.endpoint, key=os.environ.get(KEY)), self.prices, self.budget)
        from mfn_server.naming.local_reader import LocalReader  # torch comes with it

        assert self.folder is not None
        return Purse(LocalReader(self.folder), self.prices, self.budget)

    def whom(self) -> dict[str, Any]:
        """Which model it is, as plain data. There is no key in it."""
        folder = None if self.folder is None else str(self.folder.resolve())
        return {"endpoint": None if self.endpoint is None else list(self.endpoint), "folder": folder}

    def limits(self) -> dict[str, Any]:
        """What it may cost, as plain data."""
        return {"prices": list(self.prices), "budget": self.budget}

    @classmethod
    def from_json(cls, whom: Mapping[str, Any], limits: Mapping[str, Any]) -> ReaderOrder:
        """What `whom` and `limits` gave."""
        endpoint, folder, (read, written) = whom["endpoint"], whom["folder"], limits["prices"]
        where = None if endpoint is None else (endpoint[0], endpoint[1])
        return cls(where, None if folder is None else Path(folder), (read, written), limits["budget"])


@dataclass(frozen=True)
class ExplainOrder:
    """Which features a language model is asked to name. Fields as of a `SuggestOrder`."""

    model: Path
    database_url: str
    reader: ReaderOrder
    layers: frozenset[int] | None = None
    features: Sequence[tuple[int, int]] | None = None
    anew: bool = False

    def to_json(self) -> dict[str, Any]:
        """What a run is told, as plain data."""
        return {
            "layers": None if self.layers is None else sorted(self.layers),
            "features": None if self.features is None else [list(each) for each in self.features],
            "reader": self.reader.whom(),
            "anew": self.anew,
            LIMITS: self.reader.limits(),
        }

    @classmethod
    def from_json(cls, model: Path, database_url: str, told: Mapping[str, Any]) -> ExplainOrder:
        """What `to_json` gave."""
        layers, features = told["layers"], told["features"]
        return cls(
            model=model,
            database_url=database_url,
            reader=ReaderOrder.from_json(told["reader"], told[LIMITS]),
            layers=None if layers is None else frozenset(layers),
            features=None if features is None else [(layer, number) for layer, number in features],
            anew=told["anew"],
        )


def run_explain(order: ExplainOrder, tell: Tell, run_id: uuid.UUID | None = None) -> str:
    """Ask for names, each stored as soon as it is there, and say in a line what came of it.

    Raises:
        MFNError: what is wrong with the model, the index or what was asked for; or the language model does not answer.
            What was stored before stays, and is not asked again.
        RunStoppedError: somebody asked it to end; the same holds.
    """
    purse = order.reader.open()
    tell("reading the model", 0.0)
    with (
        open_indexed(order.model, order.database_url) as known,
        begin_work(known.database, known.model_id, "explain", order.to_json(), tell, run_id) as work,
    ):
        work.pays(purse)
        return _explain(order, known, work, purse)


def _explain(order: ExplainOrder, known: IndexedModel, work: Work, purse: Purse) -> str:
    with known.database.snapshot() as connection:
        layers = None if order.layers is None else set(order.layers)
        wanted = order.features or known.alive(connection, layers, FEWEST_FIRINGS)
        known.check(wanted)
        done = set() if order.anew else _named_by(connection, known, purse.name)
        catalogue = Catalogues().current(connection, known.model_id, known.facts.fingerprint, NOTHING)
    left = [each for each in wanted if (known.sources[each[0]][0], each[1]) not in done]
    named = unread = 0
    end = ""
    for number, (layer, feature) in enumerate(left):
        work.tell(f"layer {layer}, feature {feature}", number / len(left))
        with known.database.snapshot() as connection:
            source_id, key = known.sources[layer]
            page = feature_page(connection, catalogue, known.model_id, key, feature, known.token_texts)
        before = purse.spent
        try:
            answer = purse.ask(NAME_SYSTEM, dossier(FeaturePage.model_validate(page)), NAME_TOKENS)
        except BudgetSpentError as error:
            end = f"; stopped, since {error}"
            work.outcome = WorkState.STOPPED
            break
        name = read_name(answer.text)
        if name is None:
            unread += 1
            continue
        facts = {
            "reader": purse.name,
            "prompt": NAME_SYSTEM,
            "version": NAMING,
            "run": known.run_id,
            "read": answer.read,
            "written": answer.written,
            "cost": round(purse.spent - before, 8),
        }
        with known.database.write() as connection:
            lock_log(connection)
            payload = {"text": name, "explanation": facts}
            record_statements(connection, [Statement((source_id, feature), AUTHOR, payload, f"by {purse.name}")])
        named += 1
    work.message = (
        f"{named:,} names for {len(left):,} features; {unread:,} answers could not be read; "
        f"{purse.read:,} tokens read, {purse.written:,} written, cost {purse.spent:.4f}{end}"
    )
    return work.message


def _named_by(connection: Connection, known: IndexedModel, reader: str) -> set[Place]:
    """Features that this language model has named from this index, by this question."""
    rows = connection.execute(
        select(Label.source_id, Label.number, LabelEvent.payload)
        .join(LabelEvent, LabelEvent.stream == Label.revision)
        .where(Label.author_id == f"program:{AUTHOR}", Label.source_id.in_([row for row, _ in known.sources.values()]))
    )
    asked = {"reader": reader, "version": NAMING, "run": known.run_id}
    found = set()
    for row in rows:
        facts: Mapping[str, Any] = row.payload.get("explanation") or {}
        if {name: facts.get(name) for name in asked} == asked:
            found.add((row.source_id, row.number))
    return found
