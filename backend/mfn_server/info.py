"""`mfn info`: what is in a model's folder, or in a database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError

from mfn_core.errors import MFNError
from mfn_server.db.migrate import open_database
from mfn_server.db.session import Database, explain
from mfn_server.db.tables import Corpus, IndexRun, Label, LabelEvent, Model, Preset, Source, SourceIndex
from mfn_server.settings import Settings
from mfn_server.token_r2 import lines_of_run


def describe(what: str) -> Iterator[str]:
    """Lines about a model's folder or a database. Raises MFNError where there is neither."""
    if "://" not in what and Path(what).is_dir():
        yield from _model(Path(what))
        return
    if "://" not in what and not Path(what).is_file():
        raise MFNError(f"there is neither a model nor a database at {what}")
    database = open_database(Settings(database=what).database_url)
    try:
        yield from _database(database)
    except DBAPIError as error:
        raise explain(error, database.name) from error
    finally:
        database.close()


def _model(folder: Path) -> Iterator[str]:
    from mfn_core.model import MFNModel
    from mfn_server.model_facts import ModelFacts

    facts = ModelFacts.of(MFNModel.from_pretrained(folder), folder)
    yield f"{facts.name}: {facts.description}" if facts.description else facts.name
    yield f"fingerprint  {facts.fingerprint}"
    yield (
        f"parameters   {facts.n_parameters:,} (width {facts.d_model}, {facts.n_layers} blocks, "
        f"vocabulary {facts.vocab_size:,}, context {facts.max_context})"
    )
    for source in facts.sources:
        yield f"source       {source.key}: {source.n_features:,} features, K {source.k}, alpha {source.alpha:g}"


def _database(database: Database) -> Iterator[str]:
    size = f", {database.path.stat().st_size / 1e6:.1f} MB" if database.path else ""
    yield f"database     {database.name}{size}"
    with database.read() as connection:
        models = connection.execute(select(Model).order_by(Model.id)).all()
        if not models:
            yield "             empty: no model has been indexed or served with it yet"
        for model in models:
            yield f"model        {model.name} ({model.fingerprint[:12]})"
            yield from _runs(connection, model.id)
        counts = [connection.scalar(select(func.count()).select_from(table)) for table in (LabelEvent, Label, Preset)]
        yield "labels       {:,} events, {:,} labels; {:,} presets".format(*counts)


def _runs(connection: Connection, model_id: int) -> Iterator[str]:
    shown = set(connection.scalars(select(Source.current_run_id).where(Source.model_id == model_id)))
    statement = (
        select(IndexRun, Corpus.name, func.sum(SourceIndex.n_alive), func.sum(SourceIndex.n_dead))
        .outerjoin(Corpus, Corpus.id == IndexRun.corpus_id)
        .outerjoin(SourceIndex, SourceIndex.run_id == IndexRun.id)
        .where(IndexRun.model_id == model_id)
        .group_by(IndexRun.id, Corpus.name)
        .order_by(IndexRun.id)
    )
    for run in connection.execute(statement):
        state = "current" if run.id in shown else f"{run.state} ({run.phase}, {run.progress:.0%})"
        alive, dead = run[-2] or 0, run[-1] or 0
        yield f"index        {state}: {run.name}, {run.n_tokens:,} tokens, {alive:,} features fire, {dead:,} are dead"
        if run.id in shown:
            for line in lines_of_run(connection, run.id):
                yield f"token R²     {line}"
