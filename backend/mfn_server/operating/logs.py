"""Logs as lines for people, or as JSON objects for programs. Neither holds prompts, texts, queries or addresses."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Literal

LogFormat = Literal["text", "json"]


def log(logger: logging.Logger, event: str, **fields: Any) -> None:
    """Note an event with plain fields, at INFO."""
    logger.info(event, extra={"fields": fields})


class JSONLines(logging.Formatter):
    """One JSON object a record: `time`, `level`, `logger`, `event`, the event's fields, and a `traceback` if any."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class Lines(logging.Formatter):
    """The same for people."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback where there is one."""
        fields = getattr(record, "fields", {})
        line = super().format(record)
        return " ".join([line, *(f"{name}={value}" for name, value in fields.items())]) if fields else line


def configure(format: LogFormat, level: str) -> None:
    """Have everything that is logged go to standard error in this format."""
    handler = logging.StreamHandler()
    handler.setFormatter(JSONLines() if format == "json" else Lines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
