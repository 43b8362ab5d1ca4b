"""What an index run has done so far: a folder beside the database from which it goes on when it was killed.

One folder for a model, its settings and a corpus as it is named. It goes once an index of that database is finished,
together with those of other runs that nobody has gone on with.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from mfn_core.files import replace_file
from mfn_core.indexing import forget_work
from mfn_server.db.index_store import IndexStore
from mfn_server.db.session import Database

_RUN = "run.json"


class IndexWork:
    """The work of one index run. Use it under `index_lock`.

    Args:
        database: where the index goes. The work lies beside an SQLite file.
        home: where the work lies if the database is a server.
        what: whatever decides what the index will be.

    Attributes:
        folder: for `build_index`. What is in it when it is made is the work of a run that did not get to its end.
    """

    def __init__(self, database: Database, home: Path, what: Mapping[str, Any]) -> None:
        if database.path:
            self._root = database.path.with_name(database.path.name + ".work")
        else:
            self._root = home / "work" / _hash(database.name)
        self.folder = self._root / _hash(json.dumps(what, sort_keys=True, default=str))
        self.folder.mkdir(parents=True, exist_ok=True)

    def belongs_to(self, run_id: int, begun_at: datetime) -> None:
        """Notes which run the work is for now."""
        note = json.dumps({"run": run_id, "begun_at": begun_at.isoformat()}).encode()
        replace_file(self.folder / _RUN, lambda file: file.write(note))

    def is_stored(self, store: IndexStore) -> bool:
        """Whether its run got as far as to be the current index, and was killed before it could tidy up."""
        try:
            note = json.loads((self.folder / _RUN).read_bytes())
            return store.is_ready(int(note["run"]), datetime.fromisoformat(note["begun_at"]))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def start_anew(self) -> None:
        """Forgets what was done."""
        (self.folder / _RUN).unlink(missing_ok=True)
        forget_work(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def done(self) -> None:
        """The index is stored: the work goes, and that of other runs of this database."""
        shutil.rmtree(self._root, ignore_errors=True)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
