"""`mfn import-explanations`: explanations from Neuronpedia become automatic labels of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mfn_server.db.migrate import open_database
from mfn_server.db.registry import register
from mfn_server.exchange.neuronpedia.explanations import explanation_files, read_explanations
from mfn_server.exchange.neuronpedia.labels import install_explanations, layers_of
from mfn_server.model_facts import ModelFacts


def run_import(folder: Path, places: Sequence[Path], database_url: str, layer: int | None) -> str:
    """Do it, all or nothing, and return a line that says what was done.

    Args:
        folder: the bundle's.
        places: files of explanations, or folders of such files.
        database_url: where the labels go.
        layer: see `layers_of`.

    Raises:
        MFNError: what is wrong with the model, the files or the database.
    """
    explanations = [each for place in places for file in explanation_files(place) for each in read_explanations(file)]
    from mfn_core.model import MFNModel  # torch comes with it: mistakes in the files are answered at once

    facts = ModelFacts.of(MFNModel.from_pretrained(folder), folder)
    placed = list(zip(layers_of(facts, explanations, layer), explanations, strict=True))
    database = open_database(database_url)
    try:
        with database.write() as connection:
            new = install_explanations(connection, register(connection, facts).model_id, facts, placed)
        return f"{new:,} of {len(placed):,} explanations are new; they are automatic labels in {database.name}"
    finally:
        database.close()
