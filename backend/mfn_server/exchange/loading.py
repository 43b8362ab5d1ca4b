"""A finished index, in whichever of our formats it is."""

from __future__ import annotations

from pathlib import Path

from mfn_core.errors import MFNError
from mfn_core.indexing.types import CorpusIndex
from mfn_server.exchange.checking import check_index
from mfn_server.exchange.checking_weights import check_weights
from mfn_server.exchange.manifest import read_manifest
from mfn_server.index_file import load_index
from mfn_server.model_facts import ModelFacts
from mfn_server.weights.record import WeightRecord

NEEDS_PYARROW = "reading and writing parquet needs pyarrow: pip install 'mfn-studio[parquet]'"


def load_any(path: Path, facts: ModelFacts, scratch: Path | None = None) -> CorpusIndex:
    """Read an index file, or a folder of parquet tables, and check it if it says that it is the model's.

    Args:
        path: of the file, which comes into memory as a whole, or of the folder, which does not.
        facts: the model.
        scratch: a folder with room for the arrays of a folder of tables.

    Raises:
        IndexFileError: what is wrong with it.
        MFNError: a folder, and pyarrow is missing.
    """
    if path.is_dir():
        try:
            from mfn_server.exchange.folder_reading import read_folder
        except ModuleNotFoundError as error:
            raise MFNError(NEEDS_PYARROW) from error
        index = read_folder(path, scratch)
    else:
        index = load_index(path)
    if index.model_fingerprint == facts.fingerprint:
        check_index(index, {source.layer: source.n_features for source in facts.sources}, facts.vocab_size)
    return index


def load_weights(path: Path, facts: ModelFacts) -> WeightRecord | None:
    """What the weights say, where it comes with a finished index of this model: in a folder of tables. Checked.

    Raises:
        IndexFileError: what is wrong with it.
        MFNError: pyarrow is missing.
    """
    if not path.is_dir() or read_manifest(path).model_fingerprint != facts.fingerprint:
        return None
    try:
        from mfn_server.exchange.weight_tables import read_weights
    except ModuleNotFoundError as error:
        raise MFNError(NEEDS_PYARROW) from error
    record = read_weights(path)
    if record is not None:
        check_weights(record, {source.layer: source.n_features for source in facts.sources})
    return record


def corpus_name(path: Path) -> str:
    """What the corpus of a finished index is called: as a folder's manifest says, or like the index file.

    Raises:
        IndexFileError: a folder whose manifest is missing or damaged.
    """
    return (read_manifest(path).corpus if path.is_dir() else "") or path.name.split(".")[0]
