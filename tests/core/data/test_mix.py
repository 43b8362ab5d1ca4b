"""Generated text, the vocabulary, and packing."""

from __future__ import annotations

import ast
import base64
import csv
import json
import re
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from mfn_core.data.mix import Source, cut, pack, sample_text
from mfn_core.data.structured import KINDS, structured_documents
from mfn_core.data.tokenizer import fit_tokenizer


def documents(kind: str, count: int = 20) -> list[str]:
    return list(islice((d.text for d in structured_documents(0) if d.meta["kind"] == kind), count))


def test_structured_text_is_what_it_claims_to_be() -> None:
    for text in documents("json"):
        json.loads(text)
    for text in documents("python"):
        ast.parse(text)
    for text in documents("base64"):
        base64.b64decode(text.replace("\n", ""), validate=True)
    for text in documents("dna"):
        assert re.fullmatch(r"(>.*\n)?[ACGTacgt\n]+", text)
    for text in documents("url"):
        assert all(re.match(r"https?://\S+$|\S+@\S+$", line) for line in text.splitlines())
    for text in documents("csv"):
        separator = max(",;\t", key=text.splitlines()[0].count)
        assert len({len(row) for row in csv.reader(text.splitlines(), delimiter=separator)}) == 1
    for text in documents("arithmetic"):
        for line in text.splitlines():
            left, right = line.split(" = ")
            assert eval(left) == int(right)
    for text in documents("html"):
        assert text.startswith("<!DOCTYPE html>")
        assert text.endswith("</html>")


def test_structured_text_follows_from_its_seed_and_has_every_kind() -> None:
    first, again, other = (list(islice(structured_documents(seed), 200)) for seed in (0, 0, 1))
    assert first == again != other
    assert {d.meta["kind"] for d in first} == set(KINDS)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return fit_tokenizer([d.text for d in islice(structured_documents(3), 60)] + ["It's 1984, नमस्ते!"] * 9, 400)


def test_every_text_survives_the_vocabulary(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer) == 400
    assert tokenizer.convert_ids_to_tokens(0) == "<|end|>"
    for text in ("It's 1984, नमस्ते!", "emoji 🙂\n\ttabs  and   spaces ", "\r\n\x00", "العربية"):
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert tokenizer.decode(ids) == text
    assert len(tokenizer("2024", add_special_tokens=False)["input_ids"]) == 4  # digits stand alone


def test_packing_keeps_shares_order_and_beginnings(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"text number {n}"}) + "\n" for n in range(50)))
    sources = [Source("a", 3.0, str(tmp_path / "a.jsonl")), Source("structured", 1.0)]
    packed = pack(sources, tokenizer, 4000, 32, seed=5, max_characters=500)
    assert packed.rows.shape == (125, 32)
    assert packed.recipe["a"]["tokens"] == pytest.approx(3000, rel=0.02)
    assert packed.recipe["structured"]["tokens"] == pytest.approx(1000, rel=0.05)
    assert packed.recipe["a"]["epochs"] > 1
    assert packed.recipe["structured"]["epochs"] == 1
    np.testing.assert_array_equal(packed.rows, pack(sources, tokenizer, 4000, 32, 5, 500).rows)
    assert not np.array_equal(packed.rows, pack(sources, tokenizer, 4000, 32, 6, 500).rows)
    assert (packed.rows[:, 0] == 0).all()
    whole = tokenizer.decode(packed.rows[3, 1:].tolist())
    assert whole


def test_rows_of_one_document_do_not_follow_each_other(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    for name in "abcdefgh":
        (tmp_path / f"{name}.txt").write_text(f"{name} " * 200)
    packed = pack([Source("letters", 1.0, str(tmp_path / "*.txt"))], tokenizer, 16_000, 20, 0, 10_000)
    letter = np.array([np.bincount(row).argmax() for row in packed.rows])
    same = float((letter[1:] == letter[:-1]).mean())
    assert same < 0.25  # in the documents' order it would be near 1


def test_cutting_repeats_nothing_and_loses_nothing() -> None:
    stream = np.array([0, 5, 6, 7, 0, 8, 9, 10, 11, 12, 13, 14, 15, 16], dtype=np.uint16)
    rows = cut(stream, 3, 4, start=0)
    np.testing.assert_array_equal(rows, [[0, 5, 6, 7], [0, 8, 9, 10], [0, 11, 12, 13]])
    np.testing.assert_array_equal(cut(stream, 3, 5, start=0), [[0, 5, 6, 7, 0], [0, 8, 9, 10, 11], [0, 12, 13, 14, 15]])


def test_a_sample_for_the_vocabulary_has_every_source(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 50)
    texts = sample_text([Source("a", 1.0, str(tmp_path / "a.txt")), Source("structured", 1.0)], 2000, 0, 500)
    assert sum(len(t) for t in texts if set(t) == {"x"}) == 1000
    assert sum(len(t) for t in texts) > 2000
