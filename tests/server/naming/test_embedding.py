"""Labels beside snippets as vectors of an encoder of sentences: the same as by hand, from a folder of one's own."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sqlalchemy import select
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel
from typer.testing import CliRunner

from mfn_core.data.tokenizer import fit_tokenizer
from mfn_core.errors import ConfigError
from mfn_server.cli import app
from mfn_server.db.score_tables import LabelScore
from mfn_server.db.session import Database
from mfn_server.db.tables import Source
from mfn_server.labels.payloads import Propose
from mfn_server.naming import figures
from mfn_server.naming.embedding import EmbeddingJudge, FolderEmbedder
from mfn_server.naming.judging import Wording
from mfn_server.naming.questions import Questions, questions_of
from tests.conftest import TINY_TEXTS
from tests.server.naming.planted import PLACE, TEXTS, planted
from tests.server.saying import ANN, put

LONGEST = 40


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of random weights, as transformers saves one, with words for what the planted text speaks of."""
    folder = tmp_path_factory.mktemp("encoder") / "tiny-bert"
    tokenizer = fit_tokenizer([*TINY_TEXTS, " cat dog sat ran" * 20], 300)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=LONGEST, **size))
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def by_hand(folder: Path, text: str) -> NDArray[np.float64]:
    """The mean of the last hidden states of the first tokens, of unit length; in float64 throughout."""
    ids = AutoTokenizer.from_pretrained(folder)(text).input_ids[:LONGEST]
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder).double().eval()(torch.tensor([ids])).last_hidden_state[0]
    mean: NDArray[np.float64] = states.mean(dim=0).numpy()
    return mean / np.linalg.norm(mean)


def test_an_encoder_in_a_folder_reads_labels_and_snippets_as_it_does_by_hand(encoder: Path) -> None:
    embedder = FolderEmbedder(encoder)
    assert embedder.name == "tiny-bert"
    for text in ("cat", " dog sat ran", "The ship " * 60):
        found = embedder.embed(text)
        assert found == pytest.approx(by_hand(encoder, text), abs=1e-6)
        assert np.linalg.norm(found) == pytest.approx(1)

    held_out = planted()
    asked = questions_of(held_out, PLACE, 0, 20)
    assert isinstance(asked, Questions)
    judge = EmbeddingJudge(held_out, TEXTS, embedder)
    found_figure = judge.judge("embedding", Wording(" cat"), asked)
    shown = ["".join(TEXTS[number] for number in held_out.tokens(window).tolist()) for window, _ in asked.snippets]
    near = np.array([float(by_hand(encoder, " cat") @ by_hand(encoder, text)) for text in shown])
    expected = figures.embedding(asked, near)
    assert found_figure.value == pytest.approx(expected.value, abs=1e-6)
    # by the definition: of all pairs of a snippet in which it fires and one in which it does not, how many are in order
    fires = np.array(asked.fires, bool)
    pairs = [np.sign(yes - no) / 2 + 0.5 for yes in near[fires] for no in near[~fires]]
    assert found_figure.value == pytest.approx(np.mean(pairs), abs=1e-6)


def test_what_is_no_encoder_is_told_and_no_pickle_is_read(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no encoder"):
        FolderEmbedder(tmp_path)
    pickled = tmp_path / "pickled"
    AutoTokenizer.from_pretrained(encoder).save_pretrained(pickled)
    AutoModel.from_pretrained(encoder).config.save_pretrained(pickled)
    torch.save(AutoModel.from_pretrained(encoder).state_dict(), pickled / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="holds no encoder"):
        FolderEmbedder(pickled)


def test_labels_are_scored_by_an_encoder_in_a_folder(
    indexed: Database, database_url: str, tiny_bundle: Path, encoder: Path, tmp_path: Path
) -> None:
    with indexed.write() as connection:
        key = connection.scalar(select(Source.key).where(Source.id == 1)) or ""
        for number in range(4):
            put(connection, ANN, Propose(text="the word “the”"), feature=(key, number))
    rng = random.Random(0)
    words = " ".join(TINY_TEXTS).split()
    corpus = tmp_path / "held-out.jsonl"
    texts = [" ".join(rng.choices(words, k=60)) for _ in range(40)]
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    arguments = ["labels", "score", str(tiny_bundle), "--corpus", str(corpus), "--db", database_url, "--layer", "0"]
    wrong = CliRunner().invoke(app, [*arguments, "--scorer", "embedding", "--embedder", str(tmp_path)])
    assert isinstance(wrong.exception, ConfigError)
    assert "holds no encoder" in str(wrong.exception)
    assert "\n" not in str(wrong.exception)
    done = CliRunner().invoke(app, [*arguments, "--scorer", "embedding", "--embedder", str(encoder)])
    assert done.exit_code == 0, done.output
    with indexed.read() as connection:
        rows = connection.execute(select(LabelScore)).all()
    assert {(row.scorer, row.reader) for row in rows} == {("embedding", "tiny-bert")}
    assert any(row.value is not None for row in rows)
