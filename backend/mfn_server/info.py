"""`mfn info`: what is in a model's folder, or in a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError

from mfn_core.errors import MFNError
from mfn_server.db.migrate import open_database
from mfn_server.db.session import Database, explain
from mfn_server.db.sizes import index_size
from mfn_server.db.tables import Corpus, IndexRun, Label, LabelEvent, Model, Preset, Source, SourceIndex
from mfn_server.settings import Settings
from mfn_server.token_r2 import lines_of_run, summaries_of_run


def describe(what: str) -> Iterator[str]:
    """Lines about a model's folder or a database. Raises MFNError where there is neither."""
    if "://" not in what and Path(what).is_dir():
        yield from _model(Path(what))
        return
    if "://" not in what and not Path(what).is_file():
        raise MFNError(f"there is neither a model nor a database at {what}")
    with _opened(what) as database:
        yield from _database(database)


def index_report(what: str) -> dict[str, Any]:
    """The current index of the only model in a database as a report for the model's card.

    Raises:
        MFNError: there is no such database, or not exactly one model with an index in it.
    """
    if "://" not in what and not Path(what).is_file():
        raise MFNError(f"--json tells of an index, and {what} is no database")
    with _opened(what) as database, database.read() as connection:
        shown = Source.current_run_id.is_not(None)
        found = connection.execute(
            select(Model.fingerprint, Source.current_run_id).join(Source).where(shown).distinct()
        ).all()
        if len(found) != 1 or found[0].current_run_id is None:
            raise MFNError(f"{database.name} holds {len(found)} indexes that are shown; a report is of one")
        run_id = found[0].current_run_id
        facts = connection.execute(
            select(IndexRun.n_tokens, Corpus.name).join(Corpus).where(IndexRun.id == run_id)
        ).one()
        counts = connection.execute(
            select(Source.layer, SourceIndex.n_alive, SourceIndex.n_dead)
            .join(Source)
            .where(SourceIndex.run_id == run_id)
        ).all()
        r2 = summaries_of_run(connection, run_id)
    layers = {
        str(row.layer): {
            "alive": row.n_alive,
            "dead": row.n_dead,
            "token_r2": {
                "features": r2[row.layer].n,
                "quantiles": {str(share): value for share, value in r2[row.layer].quantiles.items()},
                "under_0.3": r2[row.layer].context_share,
            },
        }
        for row in sorted(counts, key=lambda row: row.layer)
        if row.layer in r2
    }
    return {
        "kind": "index",
        "model": found[0].fingerprint,
        "corpus": facts.name,
        "tokens": facts.n_tokens,
        "layers": layers,
    }


@contextmanager
def _opened(what: str) -> Iterator[Database]:
    database = open_database(Settings(database=what).database_url)
    try:
        yield database
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
    file = f", {database.path.stat().st_size / 1e6:.1f} MB" if database.path else ""
    yield f"database     {database.name}{file}"
    with database.read() as connection:
        models = connection.execute(select(Model).order_by(Model.id)).all()
        if not models:
            yield "             empty: no model has been indexed or served with it yet"
        for model in models:
            yield f"model        {model.name} ({model.fingerprint[:12]})"
            yield from _runs(connection, model.id)
        counts = [connection.scalar(select(func.count()).select_from(table)) for table in (LabelEvent, Label, Preset)]
        yield "labels       {:,} events, {:,} labels; {:,} presets".format(*counts)
        size = index_size(connection)
        if size is not None and size.n_features:
            whole, weights = (sum(tables.values()) / 1e6 for tables in (size.tables, size.weights))
            said = f", {weights:,.1f} MB for what the weights say of {size.n_weights:,}" if size.n_weights else ""
            yield (
                f"storage      {size.bytes_per_feature / 1e3:.2f} KB a feature ({whole:,.1f} MB for "
                f"{size.n_features:,} in all runs{said}), and {size.documents / 1e6:,.1f} MB of documents"
            )


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
