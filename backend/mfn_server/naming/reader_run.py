"""What language models do for labels: suggest them (`mfn labels explain`), and be asked what they are worth."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from mfn_core.errors import ConfigError
from mfn_core.evaluation.journal import Journal
from mfn_server.atlas.dossier import dossier
from mfn_server.campaigns.blind import NOTHING
from mfn_server.db.tables import Label, LabelEvent
from mfn_server.features.catalogue import Catalogues
from mfn_server.features.reading import feature_page
from mfn_server.features.schemas import FeaturePage
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.fold import SUGGESTS
from mfn_server.labels.log import Place, lock_log
from mfn_server.naming.asking import (
    JUDGING,
    LIST_TOKENS,
    MARK_SYSTEM,
    NAME_SYSTEM,
    NAME_TOKENS,
    NAMING,
    TELL_SYSTEM,
    numbered,
    read_list,
    read_name,
)
from mfn_server.naming.corpus import IndexedModel, open_indexed
from mfn_server.naming.endpoint import Endpoint
from mfn_server.naming.held_out import HeldOut, Window
from mfn_server.naming.reader import BudgetSpentError, Purse
from mfn_server.naming.run import FEWEST_FIRINGS
from mfn_server.naming.scoring import Questions, Score, score_of
from mfn_server.progress import Tell

KEY = "MFN_READER_KEY"
AUTHOR = f"{SUGGESTS.removeprefix('program:')}reader"
NOT_READ = "an answer of the language model could not be read"


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


@dataclass(frozen=True)
class ExplainOrder:
    """Which features a language model is asked to name. Fields as of a `SuggestOrder`."""

    model: Path
    database_url: str
    reader: ReaderOrder
    layers: frozenset[int] | None = None
    features: Sequence[tuple[int, int]] | None = None
    anew: bool = False


def run_explain(order: ExplainOrder, tell: Tell) -> str:
    """Ask for names, each stored as soon as it is there, and say in a line what came of it.

    Raises:
        MFNError: what is wrong with the model, the index or what was asked for; or the language model does not answer.
            What was stored before stays, and is not asked again.
    """
    purse = order.reader.open()
    tell("reading the model", 0.0)
    named = unread = 0
    end = ""
    with open_indexed(order.model, order.database_url) as known:
        with known.database.snapshot() as connection:
            layers = None if order.layers is None else set(order.layers)
            wanted = order.features or known.alive(connection, layers, FEWEST_FIRINGS)
            known.check(wanted)
            done = set() if order.anew else _named_by(connection, known, purse.name)
            catalogue = Catalogues().current(connection, known.model_id, known.facts.fingerprint, NOTHING)
        left = [each for each in wanted if (known.sources[each[0]][0], each[1]) not in done]
        for number, (layer, feature) in enumerate(left):
            tell(f"layer {layer}, feature {feature}", number / len(left))
            with known.database.snapshot() as connection:
                source_id, key = known.sources[layer]
                page = feature_page(connection, catalogue, known.model_id, key, feature, known.token_texts)
            try:
                before = purse.spent
                answer = purse.ask(NAME_SYSTEM, dossier(FeaturePage.model_validate(page)), NAME_TOKENS)
            except BudgetSpentError as error:
                end = f"; stopped, since {error}"
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
    return (
        f"{named:,} names for {len(left):,} features; {unread:,} answers could not be read; "
        f"{purse.read:,} tokens read, {purse.written:,} written, cost {purse.spent:.4f}{end}"
    )


class ReadingJudge:
    """Has a language model say what labels expect, and keeps each answer, so that no question is asked twice."""

    def __init__(self, purse: Purse, journal: Journal, token_texts: Sequence[str]) -> None:
        self._purse = purse
        self._journal = journal
        self._texts = token_texts

    @staticmethod
    def settings(purse: Purse) -> dict[str, Any]:
        """What answers depend on, for the journal."""
        return {"reader": purse.name, "version": JUDGING}

    def score(self, held_out: HeldOut, label: str, asked: Questions) -> Score | str:
        """The score for the answers; or why there is none. Raises BudgetSpentError, ReaderError."""
        snippets = [self._shown(held_out, window) for window, _ in asked.snippets]
        told = self._numbers(TELL_SYSTEM, label, snippets)
        marked = [self._shown(held_out, window, set(marks.tolist())) for window, marks, _ in asked.marks]
        right = self._numbers(MARK_SYSTEM, label, marked) if marked else set()
        if told is None or right is None:
            return NOT_READ
        return score_of(
            asked,
            [number in told for number in range(1, len(snippets) + 1)],
            [number in right for number in range(1, len(marked) + 1)],
            None,
        )

    def _numbers(self, system: str, label: str, snippets: Sequence[str]) -> set[int] | None:
        question = numbered(label, snippets)
        key = hashlib.sha256(json.dumps([system, question]).encode()).hexdigest()
        answer = self._journal.once(key, lambda: self._purse.ask(system, question, LIST_TOKENS).text)
        return read_list(answer, len(snippets))

    def _shown(self, held_out: HeldOut, window: Window, marked: set[int] | None = None) -> str:
        begin = int(held_out.offsets[window.document]) + window.start
        pieces = [self._texts[number] for number in held_out.tokens(window).tolist()]
        shown = [f"«{piece}»" if begin + n in (marked or ()) else piece for n, piece in enumerate(pieces)]
        return "".join(shown).replace("\n", "↵").replace("\r", "↵").replace("\t", "⇥")


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
