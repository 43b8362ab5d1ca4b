"""What every route of one running app may reach: settings, database, model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, ParamSpec, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, Request

from mfn_server.db.session import Database
from mfn_server.effects.desk import EffectDesk
from mfn_server.features.catalogue import Catalogues
from mfn_server.features.token_texts import TokenTexts
from mfn_server.model_facts import ModelFacts
from mfn_server.model_worker import ModelWorker
from mfn_server.settings import Settings

if TYPE_CHECKING:
    from mfn_core.model import MFNModel
    from mfn_server.foreign.store import ForeignStore
    from mfn_server.index_task import IndexTask
    from mfn_server.steering.service import GenerationService

MODEL_WAIT_SECONDS = 20.0
"""How long a request waits for a model that is still loading before it is told to come again."""

READERS = 4
"""How many requests read at once. Python runs one thread at a time, so that many that are answered at once take turns
every few milliseconds, and all of them end late. One that waits for the disk, or computes in numpy, leaves the turn to
the others.
"""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Served:
    """The served model as routes that only read the database need it.

    Attributes:
        facts: names, sizes, sources.
        model_id: its row.
        token_texts: the text that each token id is shown as.
        tokens: the same, to be looked up by what a person types.
    """

    facts: ModelFacts
    model_id: int
    token_texts: list[str]
    tokens: TokenTexts


@dataclass
class Studio:
    """One running app. Hangs on `app.state.studio`; routes take it as a `StudioDep`."""

    settings: Settings
    database: Database
    worker: ModelWorker
    index_task: IndexTask
    generation: GenerationService
    foreign: ForeignStore
    catalogues: Catalogues = field(default_factory=Catalogues)
    effects: EffectDesk = field(default_factory=EffectDesk)
    readers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(READERS))
    known: Served | None = None
    startup: asyncio.Task[None] | None = None

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what reads the database in a thread; a few at a time, the others in the order in which they came."""
        return await run_sync(partial(function, *args, **kwargs), limiter=self.readers)

    async def model(self) -> MFNModel:
        """The model, waited for if it is still loading.

        Raises ModelNotReadyError, which becomes a 503.
        """
        return await self.worker.wait_loaded(MODEL_WAIT_SECONDS)

    async def served(self) -> Served:
        """What is known of the model, waited for like the model itself."""
        if self.known is None:
            await self.model()
            self.known = await self.worker.run(describe, self.settings, self.database)
        return self.known


def describe(model: MFNModel, settings: Settings, database: Database) -> Served:
    """Collect the facts of a loaded model and make sure that it has its rows."""
    from mfn_core.tokens import vocabulary_strings
    from mfn_server.db.registry import register

    assert settings.model is not None
    assert model.tokenizer is not None, "checked when it was loaded"
    facts = ModelFacts.of(model, settings.model)
    with database.write() as connection:
        registered = register(connection, facts)
    texts = vocabulary_strings(model.tokenizer, facts.vocab_size)
    return Served(facts, registered.model_id, texts, TokenTexts(texts))


def _studio(request: Request) -> Studio:
    studio: Studio = request.app.state.studio
    return studio


StudioDep = Annotated[Studio, Depends(_studio)]
