"""Explanations become automatic labels, and labels explanations.

What comes in is marked as written by a program, whoever wrote it: nobody here has looked at the feature. Reading the
same explanations again adds nothing, and nothing is withdrawn.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from mfn_core.errors import ConfigError
from mfn_server.campaigns.withheld import withheld_from_files
from mfn_server.db.session import Database
from mfn_server.db.tables import Label, LabelEvent, Model, Origin, Source
from mfn_server.exchange.neuronpedia.explanations import Explanation, write_explanations
from mfn_server.exchange.neuronpedia.naming import SourceName, name_of
from mfn_server.exchange.new_folder import new_folder
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.log import Place, lock_log
from mfn_server.model_facts import ModelFacts, SourceFacts

AUTHOR = "neuronpedia"
DEFAULT_USER = "clkht01d40000jv08hvalcvly"
"""Neuronpedia's own importers put this id of a fresh instance's first user where an author is required."""

_LONGEST_AUTHOR = 100
_AT_ONCE = 1_000  # features


def layers_of(facts: ModelFacts, explanations: Sequence[Explanation], layer: int | None) -> list[int]:
    """Which layer of the model each explanation is about.

    Args:
        facts: the model.
        explanations: those named as `name_of` names the model's sources need no help.
        layer: for explanations of another's source: the layer that holds that source's features.

    Raises:
        ConfigError: an explanation is about no source of the model, or about a feature that its layer does not have.
    """
    ours = {name_of(source).id: source.layer for source in facts.sources}
    n_features = {source.layer: source.n_features for source in facts.sources}
    if layer is not None and layer not in n_features:
        raise ConfigError(f"{facts.name} has no features in layer {layer}")
    others = sorted({each.layer for each in explanations} - ours.keys())
    if others and layer is None:
        raise ConfigError(f"{others[0]!r} is no source of {facts.name}; if its features are a layer's, say --layer N")
    if len(others) > 1:
        raise ConfigError(f"these explain {len(others)} sources ({others[0]!r}, {others[1]!r}): import them one by one")
    found = []
    for each in explanations:
        number = ours.get(each.layer, layer)
        assert number is not None
        if layer is not None and number != layer:
            raise ConfigError(f"{each.layer!r} is layer {number} of {facts.name}, not {layer}")
        if each.index >= n_features[number]:
            raise ConfigError(
                f"there is no feature {each.index} in layer {number}: it has features 0 to {n_features[number] - 1}"
            )
        found.append(number)
    return found


def install_explanations(
    connection: Connection, model_id: int, facts: ModelFacts, placed: Sequence[tuple[int, Explanation]]
) -> int:
    """Record explanations, each with its layer, that do not stand yet. Needs a write transaction.

    Returns:
        How many there were of those.
    """
    lock_log(connection)
    source_of = _sources(connection, model_id, facts)
    rows = connection.execute(
        select(Label.source_id, Label.number, Label.author, Label.text).where(
            Label.origin == Origin.AUTOMATIC, Label.source_id.in_(source_of.values())
        )
    )
    standing = {tuple(row) for row in rows}
    new: dict[tuple[Any, ...], Statement] = {}
    for layer, each in placed:
        author = _author(each)
        key = (source_of[layer], each.index, author, each.description)
        if key not in standing:
            new.setdefault(key, Statement((source_of[layer], each.index), author, _payload(each), each.notes))
    record_statements(connection, list(new.values()))
    return len(new)


def explanations_of(connection: Connection, model_id: int, facts: ModelFacts) -> dict[SourceName, list[Explanation]]:
    """Every label that stands and has a text, by source, in order of feature, the one that is shown first.

    What is hidden in blind campaigns is left out.
    """
    withheld = withheld_from_files(connection).places
    source_of = _sources(connection, model_id, facts)
    found: dict[SourceName, list[Explanation]] = {}
    for source in facts.sources:
        here = Label.source_id == source_of[source.layer]
        found[name_of(source)] = _explanations(connection, facts.name, name_of(source), withheld, here)
    return found


def explanation_pages(database: Database, model_id: int) -> Iterator[tuple[SourceName, list[Explanation]]]:
    """The same, some features at a time, each read by itself; of each source at least one page."""
    with database.snapshot() as connection:
        model = connection.scalars(select(Model.name).where(Model.id == model_id)).one()
        rows = connection.execute(select(Source).where(Source.model_id == model_id).order_by(Source.layer, Source.key))
        sources = rows.all()
    for row in sources:
        kept = {name: getattr(row, name) for name in ("key", "kind", "site", "layer", "weights_hash", "n_features")}
        name = name_of(SourceFacts(**kept, k=None, alpha=None))
        for begin in range(0, row.n_features, _AT_ONCE):
            with database.snapshot() as connection:
                withheld = withheld_from_files(connection).places
                here = (Label.source_id == row.id, Label.number.between(begin, begin + _AT_ONCE - 1))
                yield name, _explanations(connection, model, name, withheld, *here)


def explanation_lines(database: Database, model_id: int) -> Iterator[str]:
    """All of them as lines of one file."""
    for _, explanations in explanation_pages(database, model_id):
        yield from (each.line() + "\n" for each in explanations)


def write_explanation_folders(database: Database, model_id: int, folder: Path) -> str:
    """A folder for each source, as Neuronpedia has them. It is there once it is whole. Gives how much is in it.

    Raises:
        MFNError: there is something of that name already.
    """
    count = 0
    with new_folder(folder) as partial:
        for name, pages in groupby(explanation_pages(database, model_id), lambda page: page[0]):
            explanations = [each for _, page in pages for each in page]
            if explanations:
                write_explanations(partial / name.id / "explanations", explanations)
            count += len(explanations)
    return f"{count:,} explanations"


def _explanations(
    connection: Connection, model: str, name: SourceName, withheld: Collection[Place], *where: ColumnElement[bool]
) -> list[Explanation]:
    statement = (
        select(Label, LabelEvent.id.label("event"), LabelEvent.payload)
        .join(LabelEvent, LabelEvent.stream == Label.stream)
        .where(Label.text != "", *where)
        .order_by(Label.number, Label.is_primary.desc(), Label.stream)
    )
    rows = connection.execute(statement).all()
    return [_explanation(row, model, name) for row in rows if (row.source_id, row.number) not in withheld]


def _sources(connection: Connection, model_id: int, facts: ModelFacts) -> dict[int, int]:
    """Layers and the rows of their sources."""
    rows = connection.execute(select(Source.key, Source.id).where(Source.model_id == model_id))
    ids = {row.key: row.id for row in rows}
    return {source.layer: ids[source.key] for source in facts.sources}


def _author(explanation: Explanation) -> str:
    """Never a bare name: it might be that of a person here."""
    who = explanation.explanationModelName
    return " ".join(f"{AUTHOR}/{who}".split())[:_LONGEST_AUTHOR] if who else AUTHOR


def _payload(explanation: Explanation) -> Mapping[str, Any]:
    origin = explanation.model_dump(
        exclude_none=True, include={"id", "modelId", "layer", "typeName", "explanationModelName"}
    )
    return {"text": explanation.description, "confidence": None, "unclear": False, "explanation": origin}


def _explanation(row: Row[Any], model: str, source: SourceName) -> Explanation:
    came = row.payload.get("explanation", {})
    said = f"written by {'a person' if row.origin == Origin.HUMAN else 'a program'} ({row.author}) in MFN Studio"
    notes = row.reason if came else "; ".join(part for part in (said, row.reason) if part)
    return Explanation(
        id=came.get("id") or row.event.hex,
        modelId=model,
        layer=source.id,
        index=row.number,
        description=row.text,
        authorId=DEFAULT_USER,
        typeName=came.get("typeName"),
        explanationModelName=came.get("explanationModelName"),
        notes=notes,
        createdAt=row.created_at.isoformat(),
    )
