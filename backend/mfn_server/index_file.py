"""An index as one compressed file: what ships with a model, so that nobody has to wait for it to be computed.

Format: an xz stream of a NumPy .npz archive (no pickles). `header` holds JSON: format version, the model's
fingerprint, settings, the documents' metadata, which layers there are. Token ids of all documents lie end to end in
`tokens`, cut by `offsets`; each layer's arrays are named LAYER/FIELD, its contexts' LAYER/contexts/FIELD.
"""

from __future__ import annotations

import io
import json
import lzma
import zipfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfn_core.errors import MFNError
from mfn_core.files import replace_file
from mfn_core.indexing.types import Contexts, CorpusIndex, IndexSettings, LayerIndex

FORMAT_VERSION = 3
READABLE = (1, 2, 3)
"""Version 1 has no token R², version 2 no sample of tokens: they are read, and what is missing is not known."""


class IndexFileError(MFNError):
    """The file is missing, damaged, or of a format that this version does not read."""


def save_index(index: CorpusIndex, path: Path) -> None:
    """Write an index file. A file of that name is replaced only once the new one is complete."""
    header = {
        "format_version": FORMAT_VERSION,
        "model_fingerprint": index.model_fingerprint,
        "n_tokens": index.n_tokens,
        "settings": asdict(index.settings),
        "meta": list(index.meta),
        "layers": [
            {
                "layer": layer.layer,
                "n_features": layer.n_features,
                "token_pairs": layer.token_pairs,
                "sampled_tokens": layer.sampled_tokens,
            }
            for layer in index.layers
        ],
    }
    lengths = [len(ids) for ids in index.documents]
    arrays: dict[str, NDArray[Any]] = {
        "header": np.frombuffer(json.dumps(header).encode(), np.uint8),
        "offsets": np.cumsum([0, *lengths], dtype=np.int64),
        "tokens": np.concatenate(index.documents) if index.documents else np.zeros(0, np.uint16),
    }
    for layer in index.layers:
        for field in fields(LayerIndex):
            value = getattr(layer, field.name)
            if isinstance(value, np.ndarray):
                arrays[f"{layer.layer}/{field.name}"] = value
        for field in fields(Contexts):
            arrays[f"{layer.layer}/contexts/{field.name}"] = getattr(layer.contexts, field.name)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = lzma.compress(buffer.getbuffer(), preset=6)
    replace_file(path, lambda file: file.write(packed))


def load_index(path: Path) -> CorpusIndex:
    """Read an index file.

    Raises:
        IndexFileError: what is wrong with it.
    """
    try:
        with np.load(io.BytesIO(lzma.decompress(path.read_bytes())), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays["header"].tobytes())
        if header["format_version"] not in READABLE:
            raise IndexFileError(
                f"{path} has format version {header['format_version']}; this version reads up to {FORMAT_VERSION}"
            )
        offsets, tokens = arrays["offsets"], arrays["tokens"]
        return CorpusIndex(
            layers=[_layer(arrays, **entry) for entry in header["layers"]],
            documents=[tokens[a:b] for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)],
            meta=header["meta"],
            n_tokens=header["n_tokens"],
            settings=IndexSettings(**header["settings"]),
            model_fingerprint=header["model_fingerprint"],
        )
    except FileNotFoundError:
        raise IndexFileError(f"there is no index file {path}") from None
    except (lzma.LZMAError, zipfile.BadZipFile, KeyError, TypeError, ValueError, EOFError, OSError) as error:
        if isinstance(error, IndexFileError):
            raise
        raise IndexFileError(f"{path} is no index file, or is damaged") from error


def _layer(arrays: dict[str, NDArray[Any]], layer: int, **facts: Any) -> LayerIndex:
    contexts = Contexts(**{field.name: arrays[f"{layer}/contexts/{field.name}"] for field in fields(Contexts)})
    for field in fields(LayerIndex):
        if (name := f"{layer}/{field.name}") in arrays:
            facts[field.name] = arrays[name]
    return LayerIndex(layer=layer, contexts=contexts, **facts)
