"""Does a run that somebody started elsewhere: `mfn labels work`."""

from __future__ import annotations

import uuid
from pathlib import Path

from mfn_core.errors import MFNError
from mfn_server.db.migrate import open_database
from mfn_server.naming.reader_run import ExplainOrder, run_explain
from mfn_server.naming.run import SuggestOrder, run_suggest
from mfn_server.naming.runs import run_by_id
from mfn_server.naming.score_run import ScoreOrder, run_score
from mfn_server.progress import Tell


def do_run(model: Path, database_url: str, run: str, tell: Tell) -> str:
    """Do it, and say in a line what came of it.

    Raises:
        MFNError: there is no such run, or it cannot be done.
        RunStoppedError: somebody asked it to end.
    """
    try:
        run_id = uuid.UUID(run)
    except ValueError:
        raise MFNError(f"{run!r} is no id of a run") from None
    database = open_database(database_url, make=False)
    try:
        with database.read() as connection:
            row = run_by_id(connection, run_id)
    finally:
        database.close()
    if row.kind == "suggest":
        return run_suggest(SuggestOrder.from_json(model, database_url, row.told), tell, run_id)
    if row.kind == "explain":
        return run_explain(ExplainOrder.from_json(model, database_url, row.told), tell, run_id)
    scored = run_score(ScoreOrder.from_json(model, database_url, row.told), tell, run_id)
    return scored.message or f"{len(scored.lines):,} scores"
