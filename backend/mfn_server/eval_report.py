"""Where `mfn eval` writes its report, and what of it is there already."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfn_server.report_file import ReportFile

if TYPE_CHECKING:
    from mfn_core.evaluation.verdicts import Verdict


class EvalReport:
    """NAME.json and NAME.html in a folder, or one file of JSON, or nothing."""

    def __init__(self, out: Path | None, json_file: Path | None, name: str) -> None:
        """Makes the folder.

        Args:
            out: folder for both files.
            json_file: file for the JSON alone.
            name: what the model is called.

        Raises:
            ConfigError: both are given, or there is no such folder.
        """
        from mfn_core.errors import ConfigError

        if out is not None and json_file is not None:
            raise ConfigError("--out writes the JSON, too: give either --out or --json")
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            json_file = out / f"{_file_name(name)}.json"
        self.html = None if out is None else out / f"{_file_name(name)}.html"
        self._file, self._name = ReportFile(json_file), name

    @property
    def path(self) -> Path | None:
        """Of the JSON."""
        return self._file.path

    @property
    def journal(self) -> Path | None:
        """Of work that is not done yet."""
        return self._file.journal

    def kept(self, settings: dict[str, Any]) -> list[Verdict] | None:
        """The verdicts of a report with the same settings, texts and models that is in the folder already; its HTML is
        written anew. Only with `--out`: `--json` computes what it is asked for.
        """
        from mfn_core.evaluation.verdicts import Verdict
        from mfn_core.evidence.document import Document, DocumentError
        from mfn_core.evidence.html import write_html

        path = self._file.path
        if path is None or self.html is None or not path.exists():
            return None
        try:
            found = Document.read(path)
            if dict(found.settings) != json.loads(json.dumps(settings)):
                return None
            verdicts = [Verdict.from_json(dict(verdict)) for verdict in found.verdicts]
            if [verdict.status for verdict in verdicts] != [verdict["status"] for verdict in found.verdicts]:
                return None
        except (DocumentError, KeyError, TypeError):
            return None  # something else, or half of it: written anew
        write_html(found, self.html)
        return verdicts

    def write(self, verdicts: list[Verdict], settings: dict[str, Any], beside: dict[str, Any]) -> list[Path]:
        """Both files, or that of the JSON; which, in the order in which they were written.

        Args:
            verdicts: of the predictions.
            settings: what they depend on.
            beside: what `mfn_core.experiments.measures` gave.
        """
        from mfn_core.evidence.eval_document import eval_document
        from mfn_core.evidence.html import write_html
        from mfn_core.provenance import provenance

        path = self._file.path
        if path is None:
            return []
        told = [verdict.to_json() for verdict in verdicts]
        document = eval_document(self._name, told, settings, provenance(), beside)
        document.write(path)
        if self.html is None:
            return [path]
        write_html(document, self.html)
        return [path, self.html]


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"
