"""The file of a backup: a ZIP with a manifest that says what it is of and what each part must be."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from pydantic import TypeAdapter, ValidationError

from mfn_core.errors import MFNError
from mfn_server import __version__

FORMAT = 1
MANIFEST = "manifest.json"
_CHUNK = 1 << 20
_LONGEST_MANIFEST = 1 << 20

Kind = Literal["sqlite", "postgresql"]


class BackupError(MFNError):
    """A backup cannot be made, read or put back; the message is one clear line."""


@dataclass(frozen=True)
class Part:
    """One file within a backup: its name, length in bytes and SHA-256 in hexadecimal."""

    name: str
    bytes: int
    sha256: str


@dataclass
class Manifest:
    """What a backup is of.

    Attributes:
        kind: of database.
        migration: the schema that its rows are in.
        events: the number of the last label event in it.
        format: of this file; a newer one is refused.
        app: the version of MFN Studio that made it.
        made_at: when, in UTC.
        columns: on PostgreSQL, of each table, in the order of its rows' fields.
        parts: what must be in it.
    """

    kind: Kind
    migration: str
    events: int
    format: int = FORMAT
    app: str = __version__
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    columns: dict[str, list[str]] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)


class Writer:
    """Takes the parts of a backup."""

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self.manifest = manifest
        self._archive = archive

    def add(self, name: str, chunks: Iterable[bytes]) -> None:
        """Add a part, which is as long as it is."""
        digest, length = hashlib.sha256(), 0
        with self._archive.open(name, "w", force_zip64=True) as out:
            for chunk in chunks:
                out.write(chunk)
                digest.update(chunk)
                length += len(chunk)
        self.manifest.parts.append(Part(name, length, digest.hexdigest()))


@contextmanager
def writing(path: Path, manifest: Manifest) -> Iterator[Writer]:
    """Make a backup file: whole and on disk at the end of the block, or not there at all.

    It can be read by its owner alone, since hashes of passwords are in it.

    Raises:
        BackupError: there is such a file, or the disk does not take it.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
        if path.exists():
            raise BackupError(f"there is a file {path} already; name another")
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                yield Writer(archive, manifest)
                archive.writestr(MANIFEST, json.dumps(asdict(manifest), default=str, indent=1))
            file.flush()
            os.fsync(file.fileno())
        try:
            place(part, path)
        except FileExistsError:
            raise BackupError(f"there is a file {path} already; name another") from None
    except OSError as error:
        raise BackupError(f"the backup {path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


class Reader:
    """A backup file that was opened."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        """Raises BackupError: it is none, or of a newer version."""
        self.path = path
        self._archive = archive
        self.manifest = self._read_manifest()
        self._parts = {part.name: part for part in self.manifest.parts}
        missing = self._parts.keys() - set(archive.namelist())
        if missing:
            raise BackupError(f"the backup {path} is damaged: it lacks {min(missing)}")

    def check(self) -> None:
        """Read all of it. Raises BackupError where a part is not what the manifest says."""
        for name in self._parts:
            for _ in self.read(name):
                pass

    def read(self, name: str) -> Iterator[bytes]:
        """A part, piece by piece. Raises BackupError, at its end, where it is not what the manifest says."""
        part = self._parts.get(name)
        if part is None:
            raise BackupError(f"the backup {self.path} is damaged: it lacks {name}")
        digest, length = hashlib.sha256(), 0
        try:
            with self._archive.open(name) as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                    length += len(chunk)
                    yield chunk
        except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
            raise BackupError(f"the backup {self.path} is damaged: {name}: {error}") from None
        if (length, digest.hexdigest()) != (part.bytes, part.sha256):
            raise BackupError(f"the backup {self.path} is damaged: {name} is not what its manifest says")

    def _read_manifest(self) -> Manifest:
        none = BackupError(f"{self.path} is no backup of MFN Studio")
        try:
            if self._archive.getinfo(MANIFEST).file_size > _LONGEST_MANIFEST:
                raise none
            said = json.loads(self._archive.read(MANIFEST))
        except (KeyError, ValueError, zipfile.BadZipFile):
            raise none from None
        if isinstance(said, dict) and isinstance(said.get("format"), int) and said["format"] > FORMAT:
            raise BackupError(f"{self.path} was made by a newer version of MFN Studio ({said.get('app')}); update")
        try:
            return TypeAdapter(Manifest).validate_python(said)
        except ValidationError:
            raise none from None


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Open a backup. Raises BackupError: it is none, is damaged, or of a newer version."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield Reader(archive, path)
    except zipfile.BadZipFile:
        raise BackupError(f"{path} is no backup of MFN Studio, or is cut short") from None
    except FileNotFoundError:
        raise BackupError(f"there is no backup {path}") from None


def chunks_of(file: IO[bytes]) -> Iterator[bytes]:
    """A file, piece by piece."""
    while chunk := file.read(_CHUNK):
        yield chunk


def place(file: Path, name: Path) -> None:
    """Give a file a name, never over another, and have that on disk. Raises FileExistsError."""
    try:
        os.link(file, name)
        file.unlink()
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if name.exists():
            raise FileExistsError(name) from None
        file.rename(name)
    sync_folder(name.parent)


def sync_folder(folder: Path) -> None:
    """Have a folder's new names on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
