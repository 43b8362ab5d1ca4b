"""Labels and snippets as vectors, and whether snippets in which a feature fires lie nearer to its label.

One embedder is what search by meaning has (`db/meaning.py`), vectors of words fitted to the corpus of the index. It
knows nothing of word order, nor of what that corpus does not speak of; labels of word pieces are beyond it. It needs
nothing but the database. The other is any encoder of sentences in a folder, whose last hidden states are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from mfn_core.errors import ConfigError
from mfn_server.db.meaning import DIMENSIONS
from mfn_server.db.search import search_words
from mfn_server.db.session import Database
from mfn_server.features.meaning import vector_of
from mfn_server.naming import figures
from mfn_server.naming.figures import Figure
from mfn_server.naming.held_out import HeldOut, Window
from mfn_server.naming.judging import Wording
from mfn_server.naming.questions import Questions
from mfn_server.naming.scorers import NOT_KNOWN, Scorer

_KEPT = 4_096
_LONGEST = 512


class Embedder(Protocol):
    """Makes vectors of texts."""

    @property
    def name(self) -> str:
        """Kept with every figure."""
        ...

    def embed(self, text: str) -> NDArray[np.float64]:
        """Of unit length; 0 where it knows nothing of the text."""
        ...


class WordEmbedder:
    """Sums of word vectors that were fitted to the corpus of an index."""

    name = "words of the indexed corpus"

    def __init__(self, database: Database, run_id: int) -> None:
        self._database, self._run_id = database, run_id

    def embed(self, text: str) -> NDArray[np.float64]:
        """See `Embedder`."""
        with self._database.read() as connection:
            found = vector_of(connection, self._run_id, search_words(text))
        return np.zeros(DIMENSIONS) if found is None else found.astype(np.float64)


class FolderEmbedder:
    """An encoder of sentences in a Hugging Face folder: safetensors alone, and no code of the folder is run."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError: there is no such model."""
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model: Any = AutoModel.from_pretrained(folder, trust_remote_code=False, use_safetensors=True)
        except (OSError, ValueError) as error:
            why = str(error).partition("\n")[0]  # transformers' advice fills a screen
            raise ConfigError(f"{folder} holds no encoder that can be read: {why}") from None
        self._model = model.eval()
        self._folder = folder

    @property
    def name(self) -> str:
        """The folder's."""
        return self._folder.name

    @torch.inference_mode()
    def embed(self, text: str) -> NDArray[np.float64]:
        """See `Embedder`. The mean of the last hidden states; texts beyond the model's length are cut off."""
        longest = min(_LONGEST, getattr(self._model.config, "max_position_embeddings", _LONGEST))
        ids = self._tokenizer(text, return_tensors="pt", truncation=True, max_length=longest).input_ids
        if not ids.shape[1]:
            return np.zeros(1)
        states = self._model(ids).last_hidden_state[0].double().mean(dim=0).numpy()
        unit: NDArray[np.float64] = states / max(float(np.linalg.norm(states)), 1e-12)
        return unit


class EmbeddingJudge:
    """Ranks snippets by their nearness to a label."""

    scorers: Sequence[Scorer] = ("embedding",)

    def __init__(self, held_out: HeldOut, token_texts: Sequence[str], embedder: Embedder) -> None:
        self._held_out, self._texts, self._embedder = held_out, token_texts, embedder
        self._vector = lru_cache(_KEPT)(embedder.embed)

    @property
    def name(self) -> str:
        """The embedder's."""
        return self._embedder.name

    def judge(self, scorer: Scorer, label: Wording, asked: Questions) -> Figure:
        """See `Judge`."""
        if scorer != "embedding":
            raise ValueError(f"an embedding has no score by {scorer}")
        meant = self._vector(label.text)
        if not meant.any():
            return Figure(None, why=NOT_KNOWN)
        shown = [self._vector(self._shown(window)) for window, _ in asked.snippets]
        return figures.embedding(asked, np.array([float(meant @ each) if each.any() else 0.0 for each in shown]))

    def _shown(self, window: Window) -> str:
        return "".join(self._texts[number] for number in self._held_out.tokens(window).tolist())
