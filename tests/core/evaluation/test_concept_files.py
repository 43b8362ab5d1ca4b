"""Parquet files as labelled text: by their columns, in which half, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from mfn_core.errors import CorpusError
from mfn_core.evaluation import concept_files
from mfn_core.evaluation.concept_files import ConceptFile, read_concepts
from mfn_core.evaluation.labelled import LabelledText


def file(path: Path, **columns: list[object]) -> Path:
    parquet.write_table(arrow.table(columns), path)
    return path


def marked(text: LabelledText) -> list[tuple[str, str]]:
    return [(text.text[span.start : span.stop], span.concept) for span in text.spans]


def test_labels_of_whole_texts(tmp_path: Path) -> None:
    label = ["b", "a", "c/d", "b"]
    found = read_concepts(file(tmp_path / "mood.parquet", text=["one", "two", "three", " "], label=label))
    assert [(t.text, t.concepts) for t in found.texts] == [
        ("one", ("mood/b",)),
        ("two", ("mood/a",)),
        ("three", ("mood/c-d",)),
    ]
    assert found.whole == {"mood"}
    assert {text.kinds for text in found.texts} == {frozenset({"mood"})}


def test_of_two_labels_one_is_a_concept(tmp_path: Path) -> None:
    found = read_concepts(file(tmp_path / "mood.parquet", text=["one", "two"], label=["pos", "neg"]))
    assert [text.concepts for text in found.texts] == [("mood/pos",), ()]


def test_words_with_parts_of_speech(tmp_path: Path) -> None:
    words = [["I", "do", "n't", "do", "it"], ["Snow"], ["lost"]]
    upos = [["PRON", "AUX", "PART", "VERB", "PRON"], ["NOUN"], ["VERB"]]
    found = read_concepts(file(tmp_path / "pos.parquet", words=words, upos=upos, text=["I don't do it", None, "other"]))
    first, second = found.texts  # the third's words are not in its text
    assert marked(first) == [
        ("I", "pos/PRON"), ("do", "pos/AUX"), ("n't", "pos/PART"), ("do", "pos/VERB"), ("it", "pos/PRON"),
    ]  # fmt: skip
    assert first.spans[3].start == 8
    assert (second.text, marked(second)) == ("Snow", [("Snow", "pos/NOUN")])
    assert found.whole == frozenset()


def test_pronouns_wherever_they_stand(tmp_path: Path) -> None:
    text = ["She said that her ship left; there he was.", "He slept."]
    found = read_concepts(file(tmp_path / "who.parquet", text=text, pronoun=["her", "He"], offset=[14, 0]))
    assert [marked(t) for t in found.texts] == [[("her", "who/her"), ("he", "who/he")], [("He", "who/he")]]


def test_pairs_stay_in_one_half(tmp_path: Path) -> None:
    good, bad = [f"good {n}" for n in range(40)], [f"bad {n}" for n in range(40)]
    path = file(tmp_path / "pairs.parquet", good=good, bad=bad, phenomenon=["p", "q"] * 20)
    found = read_concepts(path)
    halves: dict[str, set[bool]] = {}
    for text in found.texts:
        halves.setdefault(text.text.split()[1], set()).add(text.scored)
    assert {len(half) for half in halves.values()} == {1}
    assert {half for each in halves.values() for half in each} == {False, True}
    assert len({text.name for text in found.texts}) == 80
    assert {name for text in found.texts for name in text.concepts} == {"pairs-p/good", "pairs-q/good"}
    assert found.whole == {"pairs-p", "pairs-q"}


def test_a_text_in_pieces_and_names(tmp_path: Path) -> None:
    file(tmp_path / "tongue.parquet", text=["x" * 500, "y" * 10, "z"], language=["xx", "yy", "zz"])
    file(tmp_path / "where.parquet", name=["Oslo", "Po", "Etna"], entity_type=["town", "river", "peak"])
    file(tmp_path / "speech.parquet", text=["Fellow citizens"], title=["1789"])  # nothing is labelled
    found = read_concepts(tmp_path)
    pieces = [text for text in found.texts if text.concepts == ("tongue/xx",)]
    assert [len(text.text) for text in pieces] == [240, 240, 20]
    assert ("Etna", ("where/peak",)) in [(text.text, text.concepts) for text in found.texts]
    assert found.whole == {"tongue", "where"}


def test_no_more_than_so_many_rows_and_concepts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concept_files, "MOST_ROWS", 30)
    monkeypatch.setattr(concept_files, "MOST_CONCEPTS", 2)
    label = ["a"] * 50 + ["b"] * 40 + ["c"] * 2
    path = file(tmp_path / "many.parquet", text=[f"t{n}" for n in range(92)], label=label)

    def names(found: ConceptFile) -> list[str]:
        return [text.text for text in found.texts]

    found = read_concepts(path)
    assert len(found.texts) == 30
    assert {name for text in found.texts for name in text.concepts} == {"many/a", "many/b"}
    assert names(found) == names(read_concepts(path)) != names(read_concepts(path, seed=1))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="has the columns text, title; known are"):
        read_concepts(file(tmp_path / "speech.parquet", text=["a"], title=["b"]))
    with pytest.raises(CorpusError, match="holds no parquet file with columns that are known"):
        read_concepts(tmp_path)
    with pytest.raises(CorpusError, match="is not as its columns upos and words promise"):
        read_concepts(file(tmp_path / "pos.parquet", words=[["a", "b"]], upos=[["X"]]))
    (tmp_path / "no.parquet").write_text("no")
    with pytest.raises(CorpusError, match=r"no\.parquet cannot be read"):
        read_concepts(tmp_path / "no.parquet")
