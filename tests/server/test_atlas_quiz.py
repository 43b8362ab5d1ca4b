"""Detection: a quiz of labels against snippets, and its score."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from mfn_core import MFNModel
from mfn_core.data.corpus import Document
from mfn_core.indexing import build_index
from mfn_core.indexing.types import CorpusIndex
from mfn_core.training.card.measured import sections
from mfn_server.db.session import Database
from mfn_server.db.tables import Feature
from mfn_server.naming.held_out import AFTER, BEFORE, HeldOut
from scripts.atlas.__main__ import main
from scripts.atlas.beyond import estimate, together
from tests.conftest import TINY_CONTEXT, TINY_TEXTS
from tests.server.test_atlas_script import lines, name_of

SIZE = BEFORE + 1 + AFTER


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Sentences of the tiny texts in new orders; some texts are longer than the model can hold, some very short."""
    generator = random.Random(3)
    words = " ".join(TINY_TEXTS).split()
    return ["Snow.\tIt fell", *(" ".join(generator.choices(words, k=generator.choice((9, 20, 60)))) for _ in range(60))]


@pytest.fixture(scope="module")
def corpus(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("held-out") / "other.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture(scope="module")
def index(tiny_model: MFNModel, texts: list[str]) -> CorpusIndex:
    return build_index(tiny_model, [Document(text) for text in texts])


@pytest.fixture(scope="module")
def atlas(tiny_model: MFNModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels for features 0 to 19 of both layers but the 7th, which is unclear."""
    entry = {"seen": "as a test has it", "confidence": "low"}
    entries = [
        {"layer": layer, "feature": n, "unclear": True, "seen": "nothing in common"}
        if n == 7
        else {"layer": layer, "feature": n, "label": f"things of kind {layer}/{n}", **entry}
        for layer in (0, 1)
        for n in range(20)
    ]
    path = tmp_path_factory.mktemp("atlas") / "atlas.jsonl"
    return lines(path, {"format": "mfn-atlas", "version": 1, "model": tiny_model.fingerprint}, *entries)


Quiz = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def quiz(atlas: Path, tiny_bundle: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Quiz:
    """Makes a quiz; gives its key and its page."""

    def make(*options: str) -> tuple[dict[str, Any], str]:
        command = ["quiz", str(atlas), str(tiny_bundle), str(corpus), "--key", str(tmp_path / "key.json")]
        assert main([*command, *options]) == 0
        return json.loads((tmp_path / "key.json").read_text()), capsys.readouterr().out

    return make


def test_firings_are_those_of_an_index(tiny_model: MFNModel, index: CorpusIndex) -> None:
    assert max(map(len, index.documents)) > TINY_CONTEXT, "some documents are read in parts"
    asked = [(layer.layer, n) for layer in index.layers for n in range(0, layer.n_features, 2)]
    found = HeldOut.read(tiny_model, index.documents, asked)
    assert found.n_tokens == index.n_tokens
    for layer in index.layers:
        counts = [len(found.firings.get((layer.layer, n), ())) for n in range(layer.n_features)]
        np.testing.assert_array_equal(counts[::2], layer.firing_count[::2])
        assert not any(counts[1::2])
    for (layer, feature), positions in found.firings.items():
        assert (np.diff(positions) > 0).all()
        for n in np.flatnonzero([len(ids) <= TINY_CONTEXT for ids in index.documents])[:5]:
            here = positions[found.document_of(positions) == n] - found.offsets[n]
            values = tiny_model.codes(index.documents[n].tolist())[layer].value_of(feature)
            assert here.tolist() == (1 + np.flatnonzero(values[1:].numpy() > 0)).tolist()
            strengths = found.strengths[layer, feature][found.document_of(positions) == n]
            np.testing.assert_allclose(strengths, values.numpy()[here], rtol=1e-5)


def test_a_feature_fires_in_the_snippets_that_the_key_names_and_in_no_other(
    quiz: Quiz, tiny_model: MFNModel, index: CorpusIndex
) -> None:
    key, page = quiz("--seed", "1", "--sample", "100")
    assert (key["corpus"], key["documents"], key["tokens"]) == ("other.jsonl", len(index.documents), index.n_tokens)
    assert (key["model"], key["seed"], key["labels"]) == (tiny_model.fingerprint, 1, 38)
    assert len(key["questions"]) + len(key["left_out"]) == 38
    assert {row["why"] for row in key["left_out"]} == {"fires in nearly every snippet"}
    assert {len(question["fires"]) for question in key["questions"]} == {3, 4, 5, 6, 7}
    assert {number for question in key["questions"] for number in question["fires"]} == set(range(1, 11))
    tokenizer = tiny_model.required_tokenizer
    codes = {n: tiny_model.codes(ids.tolist()) for n, ids in enumerate(index.documents) if len(ids) <= TINY_CONTEXT}
    parts = page.split("\n## layer ")
    assert parts[0].startswith(f"{len(key['questions'])} of 38 labels, drawn with seed 1")
    seen = {True: 0, False: 0}
    for question, part in zip(key["questions"], parts[1:], strict=True):
        layer, feature, windows = question["layer"], question["feature"], question["windows"]
        shown = part.splitlines()
        assert shown[:2] == [f"{layer}, feature {feature}", f"LABEL  things of kind {layer}/{feature}"]
        snippets = [line for line in shown[2:] if line]
        assert len(snippets) == len(windows) == 10
        for number, ((document, start, stop), snippet) in enumerate(zip(windows, snippets, strict=True), 1):
            ids = index.documents[document]
            assert 1 <= start < stop <= len(ids)
            assert stop - start == min(SIZE, len(ids) - 1)
            text = tokenizer.decode(ids[start:stop]).replace("\n", "↵").replace("\t", "⇥")
            assert snippet == f"{number:4}  {text}"
            if document in codes:
                fires = bool((codes[document][layer].value_of(feature)[start:stop] > 0).any())
                assert fires == (number in question["fires"]), (layer, feature, number)
                seen[fires] += 1
        for document, start, stop in windows:
            others = [(a, b) for d, a, b in windows if d == document and (a, b) != (start, stop)]
            assert all(b <= start or stop <= a for a, b in others)
    assert min(seen.values()) > 20


def test_what_is_drawn_depends_on_seed_and_feature_alone(quiz: Quiz, tmp_path: Path) -> None:
    first, page = quiz("--seed", "1", "--sample", "6")
    assert quiz("--seed", "1", "--sample", "6") == (first, page)
    assert len(first["questions"]) == 6
    other, _ = quiz("--seed", "2", "--sample", "6")
    assert [q["feature"] for q in other["questions"]] != [q["feature"] for q in first["questions"]]
    names = [f"{q['layer']}/{q['feature']}" for q in first["questions"][3:5]]
    some, _ = quiz("--seed", "1", "--features", ",".join(names))
    assert some["questions"] == first["questions"][3:5]
    (tmp_path / "features.txt").write_text("\n".join(names) + "\n")
    assert quiz("--seed", "1", "--features-file", str(tmp_path / "features.txt")) == (
        some,
        quiz("--seed", "1", "--features", ",".join(names))[1],
    )
    upper, _ = quiz("--layers", "1", "--sample", "100")
    assert {row["layer"] for row in (*upper["questions"], *upper["left_out"])} == {1}


def test_features_that_cannot_be_asked_about_are_named(
    quiz: Quiz, tiny_model: MFNModel, texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    key, _ = quiz("--features", "0/4,0/7,1/40,0/4", "--documents", "12")
    assert [(q["layer"], q["feature"]) for q in key["questions"]] == [(0, 4)]
    assert [(row["feature"], row["why"]) for row in key["left_out"]] == [
        (7, "is unclear in the atlas"),
        (40, "is not in the atlas"),
    ]
    key, _ = quiz("--sample", "100", "--documents", "6")
    parts = [build_index(tiny_model, [Document(text)]) for text in texts[:6]]
    firings = {layer: np.array([part.layers[layer].firing_count for part in parts]) for layer in (0, 1)}
    why = {(row["layer"], row["feature"]): row["why"] for row in key["left_out"]}
    met = set()
    for layer, feature in [(layer, n) for layer in (0, 1) for n in range(20) if n != 7]:
        times = firings[layer][:, feature]
        if times.sum() < 20:
            expected = f"fires {times.sum()} times, less than 20"
        elif (times > 0).sum() < 5:
            expected = f"fires in {(times > 0).sum()} documents, less than 5"
        else:
            assert why.get((layer, feature)) in (None, "fires in nearly every snippet")
            continue
        assert why[layer, feature] == expected
        met.add(expected.split()[1] == "in")
    assert met == {True, False}


def test_firings_are_drawn_fairly_and_documents_are_many() -> None:
    documents = [np.arange(400 * n, 400 * (n + 1), dtype=np.uint32) for n in range(6)]
    offsets = np.arange(6, dtype=np.int64) * 400
    place = (0, 0)

    def drawn(firings: list[int], n: int, seed: int, at_least: float = 0.0) -> list[tuple[int, int, int]]:
        strengths = {place: np.array(firings, np.float32)}
        held_out = HeldOut(documents, offsets, {place: np.array(firings, np.int64)}, strengths)
        return list(map(tuple, held_out.with_firing(place, n, at_least, np.random.default_rng(seed))))

    apart = [60, 160, 260, 2060]
    times = dict.fromkeys(apart, 0)
    for seed in range(400):
        ((document, start, stop),) = drawn(apart, 1, seed)
        assert stop - start == SIZE
        times[document * 400 + start + BEFORE] += 1
    assert all(70 < n < 130 for n in times.values()), times
    strongest = {document * 400 + start + BEFORE for document, start, _ in drawn([*apart, 1030], 5, 0, at_least=1030)}
    assert strongest == {1030, 2060}, "so strong and stronger"
    crowded = [*range(50, 350), 450, 850, 1250, 1650]
    assert {document for document, _, _ in drawn(crowded, 5, 0)} == {0, 1, 2, 3, 4}
    assert drawn([1, 399], 2, 0) in ([(0, 1, 1 + SIZE), (0, 400 - SIZE, 400)], [(0, 400 - SIZE, 400), (0, 1, 1 + SIZE)])
    assert len(drawn([*range(50, 60)], 5, 0)) == 1, "windows do not overlap"


def test_token_r2_comes_from_an_index(quiz: Quiz, indexed: Database, tiny_index: CorpusIndex) -> None:
    with indexed.write() as connection:
        connection.execute(update(Feature).values(half_firings=500))
        connection.execute(update(Feature).where(Feature.number == 5).values(half_firings=3))
    key, _ = quiz("--sample", "100", "--db", name_of(indexed))
    known = {(q["layer"], q["feature"]): q["token_r2"] for q in key["questions"]}
    for (layer, feature), token_r2 in known.items():
        r2 = tiny_index.layers[layer].token_r2
        assert r2 is not None
        expected = None if feature == 5 or np.isnan(r2[feature]) else float(r2[feature])
        assert token_r2 == expected
    assert 5 in {feature for _, feature in known}
    assert any(value is not None for value in known.values())


def test_strong_firings_are_those_by_the_index(
    quiz: Quiz, indexed: Database, tiny_index: CorpusIndex, index: CorpusIndex, tiny_model: MFNModel
) -> None:
    key, _ = quiz("--sample", "100", "--db", name_of(indexed), "--strong", "0.9")
    assert key["strong"] == 0.9
    assert "fires strongly in fewer than 3 snippets that lie apart" in {row["why"] for row in key["left_out"]}
    compared = 0
    for question in key["questions"]:
        layer, feature = question["layer"], question["feature"]
        for number in question["fires"]:
            document, start, stop = question["windows"][number - 1]
            ids = index.documents[document].tolist()
            if len(ids) <= TINY_CONTEXT:
                here = tiny_model.codes(ids)[layer].value_of(feature)[start:stop]
                assert float(here.max()) >= 0.9 * tiny_index.layers[layer].maximum[feature] * (1 - 1e-5)
                compared += 1
    assert compared > 20


def test_a_quiz_that_cannot_be_made(
    atlas: Path, tiny_bundle: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key.json"
    command = ["quiz", str(atlas), str(tiny_bundle), str(corpus), "--key", str(key)]
    (tmp_path / "features.txt").write_text("0/4 five")
    for options, message in (
        (["--features", "0/7"], "there is no feature to ask about (for one: is unclear in the atlas)"),
        (["--features-file", str(tmp_path / "features.txt")], "features.txt: 'five' is no LAYER/FEATURE"),
        (["--key", str(tmp_path / "no" / "key.json")], "there is no such folder"),
        (["--strong", "0.5"], "say with --db"),
    ):
        assert main([*command, *options]) == 1
        assert message in capsys.readouterr().err
        assert not key.exists()
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"format": "mfn-atlas", "version": 1, "model": "0" * 64}))
    assert main(["quiz", str(other), *command[2:]]) == 1
    assert "is the atlas of another model" in capsys.readouterr().err


# -- score ------------------------------------------------------------------------------------------------------------


def key_of(path: Path, questions: list[tuple[list[int], float | None]]) -> Path:
    """A key with questions 0, 1, … of layer 2."""
    rows = [
        {"layer": 2, "feature": n, "label": "x", "fires": fires, "windows": [[0, 1, 2]] * 10, "token_r2": token_r2}
        for n, (fires, token_r2) in enumerate(questions)
    ]
    counts = {"documents": 1, "tokens": 2, "seed": 5, "strong": 0.0, "labels": len(rows), "often_enough": len(rows)}
    path.write_text(json.dumps({"model": "f" * 64, "corpus": "c", **counts, "questions": rows, "left_out": []}))
    return path


def answer(feature: int, fires: list[int]) -> dict[str, Any]:
    return {"layer": 2, "feature": feature, "fires": fires}


def scored(key: Path, answers: list[dict[str, Any]], report: Path) -> dict[str, Any]:
    assert main(["score", str(key), str(lines(key.with_name("a.jsonl"), *answers)), "--json", str(report)]) == 0
    return json.loads(report.read_text())


def test_readers_are_scored_by_balanced_accuracy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    firing = [2, 5, 9]
    silent = [n for n in range(1, 11) if n not in firing]
    key = key_of(tmp_path / "key.json", [(firing, None)])
    for fires, expected in (
        (firing, 1.0),
        (silent, 0.0),
        ([], 0.5),
        (list(range(1, 11)), 0.5),
        ([2, 5, 1], (2 / 3 + 6 / 7) / 2),
    ):
        found = scored(key, [answer(0, fires)], tmp_path / "report.json")
        assert found["mean"]["value"] == pytest.approx(expected)
        assert found["mean"]["interval"] == pytest.approx([expected] * 2)
        assert found["at_least_0.7"]["part"] == int(expected >= 0.7)
        assert found["context"] is None
    assert "token R²" not in capsys.readouterr().out


def test_the_report_of_a_quiz(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = [1, 2, 3, 4, 5]
    key = key_of(tmp_path / "key.json", [(half, r2) for r2 in (0.1, 0.29, 0.3, 0.9, None, -0.2, 0.8)])
    # balanced accuracy: 1, exactly 0.7, 0.6, 1, 1; features 5 and 6 are not answered
    answers = [answer(0, half), answer(1, [1, 2, 3, 4, 6, 7]), answer(2, [1, 2, 3, 6, 7]), answer(3, half)]
    report = scored(key, [*answers, answer(4, half)], tmp_path / "report.json")
    shown = capsys.readouterr().out
    assert {name: report[name] for name in ("kind", "model", "corpus", "seed", "features", "unanswered")} == {
        "kind": "detection",
        "model": "f" * 64,
        "corpus": "c",
        "seed": 5,
        "features": 5,
        "unanswered": 2,
    }
    assert report["mean"]["value"] == pytest.approx((1 + 0.7 + 0.6 + 1 + 1) / 5)
    low, high = report["mean"]["interval"]
    assert 0.6 < low < report["mean"]["value"] < high <= 1
    assert (report["at_least_0.7"]["part"], report["at_least_0.7"]["whole"]) == (4, 5)
    assert report["at_least_0.7"]["interval"] == pytest.approx([0.376, 0.964], abs=1e-3)
    assert report["context"]["features"] == 2
    assert report["context"]["mean"]["value"] == pytest.approx(0.85)
    assert report["context"]["at_least_0.7"]["value"] == 1
    assert "2 of 7 features were not answered" in shown
    assert "token R² < 0.3     2 features  mean 0.850" in shown
    heading, note, table, _ = sections({"detection": report})
    assert heading == "## Detection"
    assert "2 more were asked about and not answered" in note
    assert "| all | 5 | 0.860 (" in table
    assert "| fire by context | 2 | 0.850 (" in table


def test_each_layer_is_scored_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half, wrong = [1, 2, 3, 4, 5], [6, 7, 8, 9, 10]
    key = key_of(tmp_path / "key.json", [(half, r2) for r2 in (0.1, 0.9, 0.2, 0.1)])
    whole = json.loads(key.read_text())
    whole["questions"][1]["layer"] = whole["questions"][2]["layer"] = 10
    whole["questions"][2]["feature"] = 0  # as in layer 2
    key.write_text(json.dumps(whole))
    answers = [answer(0, half), {**answer(1, half), "layer": 10}, {**answer(0, wrong), "layer": 10}]
    report = scored(key, answers, tmp_path / "report.json")
    layers = report["layers"]
    assert list(layers) == ["2", "10"]  # in order of their numbers; feature 3 was not answered
    assert [layer["features"] for layer in layers.values()] == [1, 2]
    assert [layer["mean"]["value"] for layer in layers.values()] == [1, 0.5]
    assert [layer["context"]["mean"]["value"] for layer in layers.values()] == [1, 0]
    names = [line.split(" features")[0].split() for line in capsys.readouterr().out.splitlines()[:6]]
    context = ["token", "R²", "<", "0.3"]
    assert names == [
        ["all", "3"], [*context, "2"], ["layer", "2", "1"], [*context, "1"], ["layer", "10", "2"], [*context, "1"]
    ]  # fmt: skip
    *_, table = sections({"detection": report})
    assert "| 2 | 1 | 1.000 (1.00–1.00) | 1.000 (0.21–1.00) | 1 | 1.000 (0.21–1.00) |" in table
    assert "| 10 | 2 | 0.500 (0.00–1.00) | 0.500 (0.09–0.91) | 1 | 0.000 (0.00–0.79) |" in table
    layers["2"]["context"] = None
    assert "| 2 | 1 | 1.000 (1.00–1.00) | 1.000 (0.21–1.00) | 0 |" in [*sections({"detection": report})][-1]


def test_answers_that_are_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = key_of(tmp_path / "key.json", [([1, 2, 3], None)] * 3)
    right = answer(0, [1])
    for wrong, message in (
        ([right, right], "line 2: feature 0 of layer 2 was answered before"),
        ([answer(3, [1])], "line 1: the quiz does not ask about feature 3 of layer 2"),
        ([answer(1, [0])], "line 1: there is no snippet 0: they are numbered from 1 to 10"),
        ([answer(1, [11])], "line 1: there is no snippet 11"),
        ([right, answer(1, [4, 5, 4])], "line 2: snippet 4 stands there twice"),
        ([{**right, "fires": ["1"]}], "line 1: fires: 0: Input should be a valid integer"),
        ([], "holds no answer"),
    ):
        assert main(["score", str(key), str(lines(tmp_path / "a.jsonl", *wrong))]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    (tmp_path / "key.json").write_text("{}")
    assert main(["score", str(key), str(lines(tmp_path / "a.jsonl", right))]) == 1
    assert "key.json: model: Field required" in capsys.readouterr().err
    assert main(["score", str(tmp_path / "none.json"), str(tmp_path / "a.jsonl")]) == 1
    assert "none.json cannot be read" in capsys.readouterr().err


# -- beyond -----------------------------------------------------------------------------------------------------------


def test_what_sees_beyond_its_token_and_is_told_by_its_name(
    quiz: Quiz, atlas: Path, tiny_bundle: Path, indexed: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with indexed.write() as connection:
        connection.execute(update(Feature).values(half_firings=500, token_r2=0.9, firing_count=600))
        connection.execute(update(Feature).where(Feature.number < 12).values(token_r2=0.1))
        connection.execute(update(Feature).where(Feature.number == 3).values(half_firings=3))  # R² may be chance
        connection.execute(update(Feature).where(Feature.number >= 40).values(firing_count=0, half_firings=0))
    key, _ = quiz("--sample", "100", "--db", name_of(indexed))
    asked = [(q["layer"], q["feature"]) for q in key["questions"]]
    good = [place for place in asked if place[0] == 1][::2]
    answers = [
        {"layer": q["layer"], "feature": q["feature"], "fires": q["fires"] if place in good else []}
        for place, q in zip(asked, key["questions"], strict=True)
    ]
    given = ["beyond", str(tmp_path / "key.json"), str(lines(tmp_path / "a.jsonl", *answers)), str(atlas)]
    given += [str(tiny_bundle), "--db", name_of(indexed), "--json", str(tmp_path / "report.json")]
    assert main(given) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    context = {n for n in range(12) if n != 3}
    for number, layer in report["layers"].items():
        mine = [place for place in asked if place[0] == int(number) and place[1] in context]
        told = [place for place in mine if place in good]
        assert (layer["live"], layer["counted"], layer["context"]) == (40, 39, 11)
        assert (layer["named"]["part"], layer["named"]["whole"]) == (10, 11), "of the 20 that were read, those"
        assert (layer["detected"]["part"], layer["detected"]["whole"]) == (len(told), len(mine))
        expected = 11 / 40 * 10 / 11 * len(told) / len(mine)
        assert layer["share"]["value"] == pytest.approx(expected)
        low, high = layer["share"]["interval"]
        assert low < expected < high or (expected == low == high == 0)
    assert report["layers"]["1"]["share"]["value"] > 0
    assert report["upper"] == {"layers": [1], **report["layers"]["1"]}
    assert "upper half" in capsys.readouterr().out
    assert any("| upper half | 40 | 11 | 10 of 11 |" in part for part in sections({"beyond": report}))
    given[3] = str(lines(tmp_path / "other.jsonl", {"format": "mfn-atlas", "version": 1, "model": "f" * 64}))
    assert main(given) == 1
    assert "other.jsonl is of another model" in capsys.readouterr().err


def test_layers_weigh_with_their_live_features_and_chance_is_that_of_drawing_readers_anew() -> None:
    generator = np.random.default_rng(1)
    half = [True, False] * 20
    one, two = estimate(100, 90, 80, half, half, generator), estimate(300, 90, 60, [True] * 9, half, generator)
    assert (one.estimate, two.estimate) == (0.8 * 0.25, 0.2 * 0.5)
    both = together([one, two])
    assert both.estimate == pytest.approx((100 * 0.2 + 300 * 0.1) / 400)
    assert (both.live, both.context, both.named.part, both.detected.whole) == (400, 140, 29, 80)
    products = generator.binomial(40, 0.5, (2, 20_000)) / 40
    assert one.resampled.std() == pytest.approx(0.8 * (products[0] * products[1]).std(), rel=0.05)
    assert estimate(10, 0, 0, [], [], generator).to_json()["share"] == {"value": 0.0, "interval": [0.0, 0.0]}
