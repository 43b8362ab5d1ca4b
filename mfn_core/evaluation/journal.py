"""A file that keeps what is done, so that work that was interrupted goes on where it stood."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mfn_core.errors import ConfigError
from mfn_core.files import replace_file


class Journal:
    """JSON lines: the settings of the work, then each finished piece of it under its key."""

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        """Opens or begins a journal. What a process that was killed had half written is left out.

        Args:
            path: the file; None for work that is kept in memory alone.
            settings: what the work depends on, as plain data.

        Raises:
            ConfigError: the file belongs to work with other settings, or is no journal.
        """
        self._path = path
        self._prefix = ""
        self._done: dict[str, Any] = {}
        if path is None:
            return
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        try:
            whole = [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may have been cut off
        except ValueError:
            raise ConfigError(f"{path} is no journal: remove it, or write somewhere else") from None
        if not whole:
            path.write_text(json.dumps({"settings": settings}) + "\n", encoding="utf-8")
            return
        was, now = whole[0].get("settings", {}), json.loads(json.dumps(settings))
        other = sorted(key for key in {*was, *now} if was.get(key) != now.get(key))
        if other:
            raise ConfigError(
                f"{path} is of work with other settings ({', '.join(other)}): remove it, or write somewhere else"
            )
        self._done = {row["key"]: row["value"] for row in whole[1:]}
        if not lines[-1].endswith("\n"):
            kept = "".join(lines[:-1]).encode()
            replace_file(path, lambda file: file.write(kept))

    def __contains__(self, key: str) -> bool:
        return self._prefix + key in self._done

    def __getitem__(self, key: str) -> Any:
        return self._done[self._prefix + key]

    def __len__(self) -> int:
        return len(self._done)

    def under(self, prefix: str) -> Journal:
        """The same journal for a part of the work, whose keys begin with this."""
        part = Journal(None, {})
        part._path, part._done, part._prefix = self._path, self._done, f"{self._prefix}{prefix}"
        return part

    def remove(self) -> None:
        """Removes the file, once all is done and the result is written elsewhere."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def once(self, key: str, compute: Callable[[], Any]) -> Any:
        """What was kept under a key; computed and kept first where there is nothing. Plain data alone."""
        key = self._prefix + key
        if key not in self._done:
            line = json.dumps({"key": key, "value": compute()})
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as out:
                    out.write(line + "\n")
            self._done[key] = json.loads(line)["value"]
        return self._done[key]
