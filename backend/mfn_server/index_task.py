"""The index of the served model: is it there, and if not, a process that makes it while the app is already running.

A process of its own, of low priority, so that neither the model nor the web server waits for it; it is `mfn index`, and
its progress travels through the database like anyone else's.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from sqlalchemy import func, select

from mfn_core.errors import MFNError
from mfn_server.background import BackgroundCommand
from mfn_server.db.session import Database
from mfn_server.db.tables import IndexRun, Model, RunState, Source
from mfn_server.settings import Settings
from mfn_server.threads import to_the_end

if TYPE_CHECKING:
    from mfn_server.studio import Served

logger = logging.getLogger(__name__)

State = Literal["ready", "building", "missing", "error"]
_SILENCE = timedelta(seconds=90)  # after which a run that says nothing is taken for dead


@dataclass(frozen=True)
class IndexStatus:
    """How the index is. `progress` runs from 0 to 1."""

    state: State
    progress: float
    message: str


class IndexTask:
    """Makes the served model's index when there is none. One for an app."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._command = BackgroundCommand(self._ended)
        self._error: str | None = None

    @property
    def working(self) -> bool:
        """Whether a process computes in the background."""
        return self._command.working

    def has_index(self, served: Served) -> bool:
        """Whether every source of the model shows a finished run."""
        statement = select(func.count()).where(
            Source.model_id == served.model_id,
            Source.key.in_([source.key for source in served.facts.sources]),
            Source.current_run_id.is_not(None),
        )
        with self._database.read() as connection:
            return connection.scalar(statement) == len(served.facts.sources)

    def lacks_weights(self, served: Served) -> bool:
        """Whether what the weights say is not in the database, or the map that is wanted: an older database, say."""
        from mfn_server.weights.bringing import missing
        from mfn_server.weights.record import kept_settings

        with self._database.read() as connection:
            keys = [source.key for source in served.facts.sources]
            of = select(Source.layer, Source.id).where(Source.model_id == served.model_id, Source.key.in_(keys))
            sources = {row.layer: row.id for row in connection.execute(of)}
        n_features = sum(source.n_features for source in served.facts.sources)
        found = missing(self._database, sources, kept_settings(self._settings.map), n_features)
        return found.facts or found.umap

    async def start(self, served: Served) -> None:
        """Begin to make the index if it is missing and there is something to make it from; else what the weights say.

        Raises MFNError when it is missing, cannot be made, and the database holds another model's.
        """
        if await to_the_end(self.has_index, served):
            if await to_the_end(self.lacks_weights, served):
                await self._begin("weights")
            return
        sources = [*self._settings.corpus]
        if self._settings.index_file is not None and self._settings.index_file.is_file():
            sources += ["--import", str(self._settings.index_file)]
        if sources and self._settings.corpus_name is not None:
            sources += ["--name", self._settings.corpus_name]
        if not sources:
            await to_the_end(self._refuse_foreign, served)
            return
        await self._begin("index", *sources)

    async def _begin(self, command: str, *arguments: str) -> None:
        threads = {}
        if command == "weights" or "--import" in arguments:
            # What comes of the weights meets a server that is in use already, and whose model has half of the cores
            # (`served_model.load`). Threads that wait for each other's cores would take several times as long.
            threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))}
        env = {**threads, "MFN_DATABASE": self._settings.database_url, "MFN_MAP": self._settings.map}
        await self._command.start(command, str(self._settings.model), *arguments, env=env)

    async def stop(self) -> None:
        """End the process, if it is still at it. The next start goes on where it stood."""
        await self._command.stop()

    def status(self, served: Served) -> IndexStatus:
        """How the index is now."""
        if self.has_index(served):
            return IndexStatus("ready", 1.0, "")
        statement = select(IndexRun).where(IndexRun.model_id == served.model_id).order_by(IndexRun.id.desc()).limit(1)
        with self._database.read() as connection:
            run = connection.execute(statement).one_or_none()
        if run is not None and run.state == RunState.BUILDING and datetime.now(UTC) - run.heard_at < _SILENCE:
            return IndexStatus("building", run.progress, run.phase)
        if self.working:
            return IndexStatus("building", 0.0, "starting")
        error = self._error or (run.message if run is not None and run.state == RunState.FAILED else None)
        if error:
            return IndexStatus("error", 0.0, error)
        return IndexStatus("missing", 0.0, "this model has no index yet: make one with `mfn index MODEL CORPUS`")

    async def _ended(self, status: int, error: str) -> None:
        if status:
            self._error = error
            if status > 0:  # else it was ended, by `stop`, say
                logger.warning("indexing in the background: %s", error)

    def _refuse_foreign(self, served: Served) -> None:
        statement = (
            select(Model.name)
            .join(Source, Source.model_id == Model.id)
            .where(Source.current_run_id.is_not(None), Model.id != served.model_id)
        )
        with self._database.read() as connection:
            other = connection.scalar(statement.limit(1))
        if other is not None:
            raise MFNError(
                f"{self._database.name} holds the index of another model ({other}), none of {served.facts.name}: "
                "add one with `mfn index MODEL CORPUS --db ...` or name another database"
            )
