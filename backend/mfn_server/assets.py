"""Files of the dashboard as they are sent: scripts and style sheets without comments and indentation, compressed once.

That is a fifth of what is written, and browsers need not read it. Lines keep their numbers, so that an error's place is
that of the source. `python -m scripts.js_sent`, in `make lint`, has a parser compare the two.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

_MEDIA = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml"}
_TRIMMED = (".js", ".css")
_VENDORED = ".min.js"
_GZIP_LEVEL = 6
_COMMENT = re.compile(r"^[ \t]*(?:/\*.*?\*/|//[^\n]*)", re.MULTILINE | re.DOTALL)
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)


def without_comments(text: str) -> str:
    """A script or style sheet without indentation, and without comments that a line begins with.

    Not for text in which a string of several lines has a line that begins with blanks or looks like a comment.
    """
    return _INDENT.sub("", _COMMENT.sub(lambda found: "\n" * found.group().count("\n"), text))


@dataclass(frozen=True)
class _Ready:
    """One file, as it stood at `changed` (nanoseconds) with `size` bytes: what is sent, also compressed."""

    changed: int
    size: int
    body: bytes
    packed: bytes
    etag: str


class Assets(StaticFiles):
    """The files of a folder. Browsers ask each time whether one has changed: after an update no old module stays."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)
        self._ready: dict[str, _Ready] = {}

    def ready(self, path: str, found: os.stat_result) -> _Ready:
        """What is sent of a file; made at the first call, and when the file has changed. Takes milliseconds then.

        Args:
            path: of the file.
            found: what the file system says of it.
        """
        known = self._ready.get(path)
        if known and (known.changed, known.size) == (found.st_mtime_ns, found.st_size):
            return known
        body = Path(path).read_bytes()
        if path.endswith(_TRIMMED) and not path.endswith(_VENDORED):
            body = without_comments(body.decode()).encode()
        etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
        made = _Ready(found.st_mtime_ns, found.st_size, body, gzip.compress(body, _GZIP_LEVEL, mtime=0), etag)
        self._ready[path] = made
        return made

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Answers with the file, compressed where it may be, or that it has not changed."""
        path = os.fspath(full_path)
        made, asked = self.ready(path, stat_result), Headers(scope=scope)
        headers = {"Cache-Control": "no-cache", "ETag": made.etag, "Vary": "Accept-Encoding"}
        if self.is_not_modified(Headers(headers), asked):
            return NotModifiedResponse(Headers(headers))
        packed = "gzip" in asked.get("accept-encoding", "")
        if packed:
            headers["Content-Encoding"] = "gzip"
        media = _MEDIA.get(Path(path).suffix, "application/octet-stream")
        return Response(made.packed if packed else made.body, status_code, headers, media)
