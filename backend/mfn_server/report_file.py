"""The file that a long command writes its report to, and the journal from which an interrupted run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class ReportFile:
    """Where `--json FILE` says; None for a report that is only shown, and work that is kept in memory."""

    def __init__(self, path: Path | None) -> None:
        """
        Raises:
            ConfigError: there is no such folder; rather told now than at the end.
        """
        from mfn_core.errors import ConfigError

        if path is not None and not path.resolve().parent.is_dir():
            raise ConfigError(f"{path} cannot be written: there is no such folder")
        self.path = path

    @property
    def journal(self) -> Path | None:
        """FILE.journal."""
        return None if self.path is None else self.path.with_name(self.path.name + ".journal")

    def write(self, report: dict[str, Any]) -> None:
        """Writes all of it or nothing."""
        from mfn_core.files import replace_file

        if self.path is not None:
            written = json.dumps(report, indent=2).encode() + b"\n"
            replace_file(self.path, lambda file: file.write(written))
