"""Routes that say what is served and how it is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool

from mfn_server import __version__
from mfn_server.access.person import Permission, Person, anybody, require
from mfn_server.campaigns.blind import hidden_from
from mfn_server.db.tables import Corpus, IndexRun, Source, SourceIndex
from mfn_server.errors import ERROR_RESPONSES
from mfn_server.model_info.labelled import count_labelled
from mfn_server.model_info.schemas import BuildView, CorpusView, Health, IndexHealth, ModelView, SourceView
from mfn_server.studio import Served, StudioDep

router = APIRouter(prefix="/api", tags=["model"], responses=ERROR_RESPONSES)


@router.get("/health", dependencies=[Depends(anybody)])
async def get_health(studio: StudioDep) -> Health:
    """How the app is. Answers at once, also while the model is loading."""
    error = studio.worker.error
    if error is not None:
        index = IndexHealth(state="error", progress=0.0, message=f"the model could not be loaded: {error}")
    elif studio.known is None:
        index = IndexHealth(state="building", progress=0.0, message="the model is loading")
    else:
        status = await run_in_threadpool(studio.index_task.status, studio.known)
        index = IndexHealth(state=status.state, progress=status.progress, message=status.message)
    return Health(
        status="ok" if error is None else "error",
        version=__version__,
        model_loaded=studio.worker.loaded,
        busy=studio.startup is None or not studio.startup.done() or studio.index_task.working,
        index=index,
    )


@router.get("/model")
async def get_model(studio: StudioDep, person: Annotated[Person, Depends(require(Permission.READ))]) -> ModelView:
    """What the served model is."""
    served = await studio.served()

    def read() -> ModelView:
        with studio.database.snapshot() as connection:
            return _view(connection, served, person)

    return await run_in_threadpool(read)


def _view(connection: Connection, served: Served, person: Person) -> ModelView:
    labelled = count_labelled(connection, served.model_id, hidden_from(connection, person))
    statement = (
        select(Source.id, Source.key, Source.current_run_id, SourceIndex.n_alive, SourceIndex.n_dead)
        .outerjoin(SourceIndex, (SourceIndex.source_id == Source.id) & (SourceIndex.run_id == Source.current_run_id))
        .where(Source.model_id == served.model_id)
    )
    rows = {row.key: row for row in connection.execute(statement)}
    facts = served.facts
    sources = []
    for source in facts.sources:
        row, figures = rows[source.key], _layer_figures(facts.card, source.layer)
        sources.append(
            SourceView(
                key=source.key,
                layer=source.layer,
                kind=source.kind,
                site=source.site,
                n_features=source.n_features,
                k=source.k,
                alpha=source.alpha,
                signed=source.signed,
                n_alive=row.n_alive,
                n_dead=row.n_dead,
                n_labelled=labelled[row.id].all,
                n_automatic=labelled[row.id].automatic,
                fvu=_number(figures.get("fvu")),
                l0=_number(figures.get("l0")),
            )
        )
    runs = [row.current_run_id for row in rows.values() if row.current_run_id is not None]
    corpus = connection.execute(
        select(Corpus).join(IndexRun, IndexRun.corpus_id == Corpus.id).where(IndexRun.id.in_(runs)).limit(1)
    ).one_or_none()
    return ModelView(
        name=facts.name,
        fingerprint=facts.fingerprint,
        description=facts.description,
        n_parameters=facts.n_parameters,
        d_model=facts.d_model,
        n_layers=facts.n_layers,
        vocab_size=facts.vocab_size,
        max_context=facts.max_context,
        sources=sources,
        card=facts.card,
        build=BuildView.model_validate(served.build.as_dict()),
        corpus=corpus and CorpusView(name=corpus.name, n_documents=corpus.n_documents, n_tokens=corpus.n_tokens),
    )


def _layer_figures(card: dict[str, Any], layer: int) -> dict[str, Any]:
    """What the card says of a layer: `card["layers"]` is a list of objects with a `layer` each."""
    layers = card.get("layers")
    for entry in layers if isinstance(layers, list) else []:
        if isinstance(entry, dict) and entry.get("layer") == layer:
            return entry
    return {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
