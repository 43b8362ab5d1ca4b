"""`mfn export-index`: the index of a model, out of a database or a file, in a format that others read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mfn_core.errors import MFNError
from mfn_server.db.migrate import open_database
from mfn_server.exchange.loading import NEEDS_PYARROW, load_any
from mfn_server.index_file import IndexFileError


@dataclass(frozen=True)
class ExportOrder:
    """What `mfn export-index` is asked to do.

    Attributes:
        model: the bundle's folder.
        out: the folder to make.
        database_url: where the index is, unless there is a file.
        index: a finished index to export instead: a file, or a folder of parquet tables.
    """

    model: Path
    out: Path
    database_url: str
    index: Path | None = None


def run_export(order: ExportOrder) -> str:
    """Do it, and return a line that says what was done.

    Raises:
        MFNError: what is wrong with the model, the index or the folder.
    """
    if order.out.exists():
        raise MFNError(f"{order.out} is there already; name a folder that is not")
    try:
        from mfn_server.exchange.folder_writing import write_folder
    except ModuleNotFoundError as error:
        raise MFNError(NEEDS_PYARROW) from error
    from mfn_core.model import MFNModel
    from mfn_core.tokens import token_strings
    from mfn_server.exchange.from_database import StoredIndex, index_of_database
    from mfn_server.model_facts import ModelFacts

    model = MFNModel.from_pretrained(order.model)
    if model.tokenizer is None:
        raise MFNError(f"{order.model} has no tokenizer, and without one token ids have no text")
    facts = ModelFacts.of(model, order.model)
    if order.index is not None:
        found = StoredIndex(load_any(order.index, facts), order.index.name.split(".")[0])
        if found.index.model_fingerprint != facts.fingerprint:
            raise IndexFileError(f"{order.index} belongs to another model than {order.model}")
    else:
        database = open_database(order.database_url)
        try:
            found = index_of_database(database, facts)
        finally:
            database.close()
    write_folder(found.index, order.out, token_strings(model.tokenizer), facts.name, found.corpus)
    n_features = sum(layer.n_features for layer in found.index.layers)
    return f"{n_features:,} features over {found.index.n_tokens:,} tokens are in {order.out}"
