"""`manifest.json` of a parquet folder: what the folder holds, and how to tell that it is whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mfn_server.index_file import IndexFileError

MANIFEST = "manifest.json"
FORMAT_VERSION = 2
"""Version 1 had nothing of the weights but the foremost tokens and the nearest of a layer; it is read."""

_DTYPES = "bool|u?int(8|16|32|64)|float(16|32|64)"
Dtype = Annotated[str, Field(pattern=f"^({_DTYPES})$")]
Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ArrayEntry(_Strict):
    """An array of every layer that has it: the table whose column it is, and its type in memory."""

    table: str
    dtype: Dtype


class LayerEntry(_Strict):
    """One layer. `shapes` has the arrays that it has."""

    layer: Count
    n_features: Count
    n_contexts: Count
    shapes: dict[str, list[Count]]


class FileEntry(_Strict):
    """One parquet file of the folder."""

    rows: Count
    bytes: Count
    sha256: str


class WeightLayerEntry(_Strict):
    """What the weights say of one layer as a whole, as `Shared` describes it, and the shapes of its arrays."""

    layer: Count
    n_features: Count
    bin_edges: list[float]
    upstream: Count | None
    downstream: Count | None
    explained: list[float] | None
    left_out: list[str]
    shapes: dict[str, list[Count]]


class WeightEntry(_Strict):
    """What the weights say. `settings` are those of `WeightSettings`."""

    settings: dict[str, Any]
    umap_version: str | None
    layers: list[WeightLayerEntry]


class Manifest(_Strict):
    """The whole file. `settings` are those of `IndexSettings`; `contexts` are the types of the arrays of contexts."""

    format: Literal["mfn-index"] = "mfn-index"
    version: Literal[1, 2] = 2
    model_fingerprint: str
    model: str
    corpus: str
    n_tokens: Count
    n_documents: Count
    documents_dtype: Dtype
    settings: dict[str, Any]
    arrays: dict[str, ArrayEntry]
    contexts: dict[str, Dtype]
    layers: list[LayerEntry]
    weights: WeightEntry | None = None
    files: dict[str, FileEntry]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder."""
    text = json.dumps(manifest.model_dump(), indent=1, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder. Raises IndexFileError where there is none, or one that cannot be used."""
    path = folder / MANIFEST
    try:
        raw = json.loads(path.read_bytes())
        version = raw["version"] if raw["format"] == "mfn-index" else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise IndexFileError(f"{path} has format version {version}; this version reads up to {FORMAT_VERSION}")
        return Manifest.model_validate(raw)
    except FileNotFoundError:
        raise IndexFileError(f"{folder} is no exported index: there is no {MANIFEST} in it") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise IndexFileError(f"{path} is damaged: {where}: {first['msg']}") from error
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise IndexFileError(f"{path} is not the manifest of an index, or is damaged") from error


def file_entry(path: Path, rows: int) -> FileEntry:
    """What a manifest says of a file."""
    return FileEntry(rows=rows, bytes=path.stat().st_size, sha256=_sha256(path))


def check_files(folder: Path, manifest: Manifest, names: list[str]) -> None:
    """Whether files are there and as they were written. Raises IndexFileError with the first that is not."""
    for name in names:
        entry, path = manifest.files.get(name), folder / name
        if entry is None or not path.is_file():
            raise IndexFileError(f"{folder} is not whole: {name} is missing")
        if path.stat().st_size != entry.bytes or _sha256(path) != entry.sha256:
            raise IndexFileError(f"{path} is damaged: it is not the file that {MANIFEST} describes")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
