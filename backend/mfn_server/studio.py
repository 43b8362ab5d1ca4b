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
from sqlalchemy import Connection

from mfn_server.access.passwords import Passwords
from mfn_server.access.throttle import Allowance
from mfn_server.build import Build
from mfn_server.chats.rendering import TemplateRenderer
from mfn_server.db.registry import register
from mfn_server.db.session import Database
from mfn_server.db.writer import Writer
from mfn_server.effects.desk import EffectDesk
from mfn_server.evidence.store import EvidenceStore
from mfn_server.features.catalogue import Catalogues
from mfn_server.features.token_texts import TokenTexts
from mfn_server.live.hub import LiveHub
from mfn_server.model_facts import ModelFacts
from mfn_server.operating.meters import Meters
from mfn_server.served_model import Description
from mfn_server.settings import Settings
from mfn_server.threads import to_the_end
from mfn_server.worker import Worker
from mfn_server.worker.standing import PATIENCE

if TYPE_CHECKING:
    from mfn_server.foreign.store import ForeignStore
    from mfn_server.index_task import IndexTask
    from mfn_server.naming.desk import NamingDesk
    from mfn_server.steering.service import GenerationService

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
        token_bytes: the bytes that each adds to a text; of a special one its name.
        special_tokens: ids that add nothing to a text.
        build: what it is computed with.
    """

    facts: ModelFacts
    model_id: int
    token_texts: list[str]
    tokens: TokenTexts
    token_bytes: list[bytes]
    special_tokens: frozenset[int]
    build: Build


@dataclass
class Studio:
    """One running app. Hangs on `app.state.studio`; routes take it as a `StudioDep`."""

    settings: Settings
    database: Database
    worker: Worker
    index_task: IndexTask
    generation: GenerationService
    foreign: ForeignStore
    meters: Meters
    catalogues: Catalogues = field(default_factory=Catalogues)
    effects: EffectDesk = field(default_factory=EffectDesk)
    passwords: Passwords = field(default_factory=Passwords)
    allowance: Allowance = field(default_factory=Allowance)
    templates: TemplateRenderer = field(default_factory=TemplateRenderer)
    readers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(READERS))
    known: Served | None = None
    startup: asyncio.Task[None] | None = None
    live: LiveHub = field(init=False)
    writer: Writer = field(init=False)
    naming: NamingDesk = field(init=False)
    evidence: EvidenceStore = field(init=False)

    def __post_init__(self) -> None:
        self.live = LiveHub(self.database)
        self.writer = Writer(self.database)
        model = self.settings.model
        self.evidence = EvidenceStore(self.settings.evidence, [] if model is None else [model / "evidence"])

    async def read(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what reads the database in a thread; a few at a time, the others in the order in which they came."""
        return await run_sync(partial(function, *args, **kwargs), limiter=self.readers)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """What a short write says, which is called in a transaction, once that is committed: see `db.writer`."""
        return await self.writer.write(work)

    async def served(self) -> Served:
        """What is known of the model, waited for if it is still loading.

        Raises ModelNotReadyError, which becomes a 503.
        """
        if self.known is None:
            await self.worker.wait_loaded(PATIENCE)
            self.known = await to_the_end(_entered, self.database, self.worker.facts)
        return self.known


def _entered(database: Database, said: Description) -> Served:
    """A model that was loaded, once it has its rows."""
    with database.write() as connection:
        registered = register(connection, said.facts)
    return Served(
        facts=said.facts,
        model_id=registered.model_id,
        token_texts=said.token_texts,
        tokens=TokenTexts(said.token_texts),
        token_bytes=said.token_bytes,
        special_tokens=said.special_tokens,
        build=said.build,
    )


async def _studio(request: Request) -> Studio:
    """It waits for nothing: were it no coroutine, FastAPI would have a thread of its pool run it, for every request."""
    studio: Studio = request.app.state.studio
    return studio


StudioDep = Annotated[Studio, Depends(_studio)]
