"""A file that keeps what is done, so that work that was interrupted goes on where it stood."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mfn_core.errors import ConfigError


class Journal:
    """JSON lines: the settings of the work, then each finished piece of it under its key."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        """Opens or begins a journal.

        Raises:
            ConfigError: the file belongs to work with other settings.
        """
        self._path = path
        self._done: dict[str, Any] = {}
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may have been cut off
        if not whole:
            path.write_text(json.dumps({"settings": settings}) + "\n", encoding="utf-8")
            return
        was, now = whole[0].get("settings", {}), json.loads(json.dumps(settings))
        other = sorted(key for key in {*was, *now} if was.get(key) != now.get(key))
        if other:
            raise ConfigError(
                f"{path} is of a search with other settings ({', '.join(other)}): remove it, or give another folder"
            )
        self._done = {row["key"]: row["value"] for row in whole[1:]}
        path.write_text("".join(line for line in lines if line.endswith("\n")), encoding="utf-8")

    def __contains__(self, key: str) -> bool:
        return key in self._done

    def once(self, key: str, compute: Callable[[], Any]) -> Any:
        """What was kept under a key; computed and kept first where there is nothing. Plain data alone."""
        if key not in self._done:
            line = json.dumps({"key": key, "value": compute()})
            with self._path.open("a", encoding="utf-8") as out:
                out.write(line + "\n")
            self._done[key] = json.loads(line)["value"]
        return self._done[key]
