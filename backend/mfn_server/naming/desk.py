"""Runs over labels that are started on the page: one at a time, in a process of their own, as the index is made."""

from __future__ import annotations

import uuid

from mfn_server.background import BackgroundCommand
from mfn_server.db.score_tables import WorkState
from mfn_server.db.session import Database
from mfn_server.naming.runs import end_broken_off
from mfn_server.settings import Settings
from mfn_server.threads import to_the_end

STOPPED = "the server was stopped; it goes on where it stood"


class NamingDesk:
    """Has `mfn labels work` do runs. One for an app."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._command = BackgroundCommand(self._ended)
        self._run_id: uuid.UUID | None = None
        self._stopping = False

    @property
    def working(self) -> bool:
        """Whether a process of this server is at a run."""
        return self._command.working

    async def start(self, run_id: uuid.UUID) -> None:
        """Begin with a run that waits, or go on with it."""
        self._run_id = run_id
        env = {"MFN_DATABASE": self._settings.database_url, "OMP_NUM_THREADS": "1"}
        await self._command.start("labels", "work", str(self._settings.model), str(run_id), env=env)

    async def stop(self) -> None:
        """End the process, if it is still at it. Its run can be taken up again."""
        self._stopping = True
        await self._command.stop()

    async def _ended(self, status: int, error: str) -> None:
        """A process that was killed could not say so itself."""
        if status and self._run_id is not None:
            state, why = (WorkState.STOPPED, STOPPED) if self._stopping else (WorkState.FAILED, error)
            await to_the_end(self._note, self._run_id, state, why)

    def _note(self, run_id: uuid.UUID, state: WorkState, why: str) -> None:
        with self._database.write() as connection:
            end_broken_off(connection, run_id, state, why)
