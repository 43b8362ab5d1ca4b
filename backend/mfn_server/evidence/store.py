"""Which documents and runs lie in some folders, looked up anew at each question: what changes on disk is seen at once.

A file that is as it was (size and time) is not read again. One that is no document is told of, with the reason in a
line.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from mfn_core.errors import MFNError
from mfn_core.evidence.document import Document, DocumentError
from mfn_server.evidence.curves import CONFIG, LOG

MOST_BYTES = 32 * 2**20  # of one document, or one run's log
MOST_FILES = 500  # in all folders together
LEAST_DIGEST = 8  # letters, to name a document by


class EvidenceError(MFNError):
    """What was asked for cannot be had any more."""


@dataclass(frozen=True)
class Found:
    """A document: what a list says of it.

    Attributes:
        key: how it is named in URLs.
        digest: of the file's bytes, hex.
        path, bytes: of the file.
        head: kind, name, title, summary, model, time, verdicts, tables, figures: plain data.
    """

    key: str
    digest: str
    path: Path
    bytes: int
    head: dict[str, Any]


@dataclass(frozen=True)
class FoundRun:
    """A training run. `stamp` changes whenever its log does."""

    key: str
    name: str
    path: Path
    bytes: int
    stamp: str


@dataclass(frozen=True)
class Broken:
    """A file that is no document. `file`: its name below the folder that was given."""

    file: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """All there is now. `left_out`: how many files there are beyond the most that are looked at."""

    documents: Sequence[Found]
    runs: Sequence[FoundRun]
    broken: Sequence[Broken]
    left_out: int


class EvidenceStore:
    """Documents and runs of some folders."""

    def __init__(self, folders: Sequence[Path], at_will: Sequence[Path] = ()) -> None:
        """
        Args:
            folders: that somebody named. One that is a run's folder, or holds such, shows its curves.
            at_will: folders that need not be there.
        """
        self._folders, self._at_will = list(folders), list(at_will)
        self._known: dict[Path, tuple[tuple[int, int], Found | str]] = {}
        self._lock = Lock()

    def listing(self) -> Listing:
        """What there is, by name."""
        with self._lock:
            return self._look()

    def document(self, key: str) -> tuple[Found, Document]:
        """By its key, or the beginning of its digest.

        Raises:
            KeyError: there is none.
            EvidenceError: its file has changed since, and is no document any more.
        """
        found = next((each for each in self.listing().documents if _is(each, key)), None)
        if found is None:
            raise KeyError(key)
        try:
            return found, _read(found.path)[1]
        except (DocumentError, OSError) as error:
            raise EvidenceError(f"{found.path.name}: {_reason(error)}") from error

    def run(self, key: str) -> FoundRun:
        """By its key. Raises KeyError."""
        found = next((each for each in self.listing().runs if each.key == key), None)
        if found is None:
            raise KeyError(key)
        return found

    def _look(self) -> Listing:
        files, runs, broken = [], [], []
        for folder in dict.fromkeys((*self._folders, *self._at_will)):
            if not folder.is_dir():
                if folder in self._folders:
                    broken.append(Broken(folder.name, "there is no such folder"))
                continue
            inside = _run_folders(folder)
            runs += inside
            if folder not in inside:
                files += sorted(path for path in folder.glob("*.json") if path.is_file())
        files = list(dict.fromkeys(files))
        left_out = max(0, len(files) - MOST_FILES) + max(0, len(runs) - MOST_FILES)
        known: dict[Path, tuple[tuple[int, int], Found | str]] = {}
        for path in files[:MOST_FILES]:
            try:
                known[path] = self._entry(path)
            except OSError as error:
                broken.append(Broken(_shown(path), _reason(error)))
        self._known = known
        found = [(path, entry) for path, (_, entry) in known.items()]
        broken += [Broken(_shown(path), entry) for path, entry in found if isinstance(entry, str)]
        documents = _named([entry for _, entry in found if isinstance(entry, Found)])
        return Listing(documents, list(_runs(runs[:MOST_FILES])), broken, left_out)

    def _entry(self, path: Path) -> tuple[tuple[int, int], Found | str]:
        stat = path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if path in self._known and self._known[path][0] == stamp:
            return self._known[path]
        try:
            digest, document = _read(path)
        except DocumentError as error:
            return stamp, _reason(error)
        return stamp, Found("", digest, path, stat.st_size, _head(document))


def _read(path: Path) -> tuple[str, Document]:
    """Digest and document. Raises DocumentError or OSError."""
    with path.open("rb") as file:
        written = file.read(MOST_BYTES + 1)
    if len(written) > MOST_BYTES:
        raise DocumentError(f"it is larger than {MOST_BYTES // 2**20} MiB")
    try:
        data = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"it is no JSON: {error}") from error
    return hashlib.blake2b(written, digest_size=16).hexdigest(), Document.from_json(data)


def _head(document: Document) -> dict[str, Any]:
    model, time = document.settings.get("model"), document.made.get("time")
    return {
        "kind": document.kind,
        "name": document.name,
        "title": document.title,
        "summary": document.summary,
        "model": model if isinstance(model, str) else None,
        "time": time if isinstance(time, str) else None,
        "verdicts": [{"name": str(each.get("name")), "status": str(each.get("status"))} for each in document.verdicts],
        "tables": len(document.tables),
        "figures": len(document.figures),
    }


def _named(found: Sequence[Found]) -> list[Found]:
    """With their keys: the name where it is nobody else's, else the beginning of the digest. A copy is shown once."""
    once = list({each.digest: each for each in reversed(found)}.values())[::-1]
    slugs = [_slug(each.head["name"]) for each in once]
    taken = {slug for slug in slugs if slugs.count(slug) > 1}
    named = [
        Found(each.digest[:16] if slug in taken else slug, each.digest, each.path, each.bytes, each.head)
        for slug, each in zip(slugs, once, strict=True)
    ]
    return sorted(named, key=lambda each: (each.head["name"].casefold(), each.key))


def _is(found: Found, key: str) -> bool:
    return found.key == key or (len(key) >= LEAST_DIGEST and found.digest.startswith(key))


def _slug(name: str) -> str:
    return re.sub(r"[^\w.@-]+", "_", name)[:100] or "_"


def _run_folders(folder: Path) -> list[Path]:
    """The folder, where it is a run's; else those in it that are."""
    if (folder / LOG).is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{LOG}") if path.is_file())


def _runs(folders: Sequence[Path]) -> Iterator[FoundRun]:
    resolved = list(dict.fromkeys(folder.resolve() for folder in folders))
    names = [folder.name for folder in resolved]
    for folder in resolved:
        try:
            stat = (folder / LOG).stat()
        except OSError:
            continue  # it has just gone
        name = folder.name if names.count(folder.name) == 1 else f"{folder.parent.name}/{folder.name}"
        stamp = hashlib.blake2b(f"{folder} {stat.st_mtime_ns} {stat.st_size}".encode(), digest_size=16).hexdigest()
        yield FoundRun(_slug(name), name, folder, stat.st_size, stamp)


def run_config(found: FoundRun) -> dict[str, Any]:
    """What a run was told to do; empty where its folder does not say."""
    try:
        with (found.path / CONFIG).open("rb") as file:
            data = json.loads(file.read(2**20), parse_constant=lambda name: None)
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _shown(path: Path) -> str:
    """Not where it lies: whoever may read evidence need not know the server's folders."""
    return f"{path.parent.name}/{path.name}"


def _reason(error: Exception) -> str:
    told = (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
    return " ".join(told.split())[:300]
