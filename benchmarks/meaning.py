"""Search by meaning on the demo index: is a feature found by a paraphrase of its label?

Forty labels of the demo's atlas, each with a query in other words, written without looking at what it finds. Recall at
k: the share of queries whose feature is among the first k, of all features, and of those with a label. Beside it, how
many of the labels a search by words finds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer

from benchmarks.harness import Metric, Result
from mfn_core.tokens import token_bytes
from mfn_server.db.browse_build import Terms, tags_of
from mfn_server.db.context_rows import windows_of
from mfn_server.db.meaning import DIMENSIONS, WindowVectors, about_document, feature_vectors, fit_words
from mfn_server.db.search import search_words
from mfn_server.features.meaning import CONTEXTS_COUNT
from mfn_server.index_file import load_index

DEMO = Path(__file__).parents[1] / "demo"

QUERIES = (
    (0, 887, "seeing and watching"),
    (0, 1824, "nationwide institutions"),
    (0, 1934, "a few, a number of"),
    (0, 2577, "small town, settlement"),
    (0, 2913, "until then, days ago"),
    (0, 2964, "resided, dwelled"),
    (1, 461, "together, along with"),
    (1, 1672, "website url"),
    (1, 514, "documentation site url"),
    (1, 1772, "the child heard a noise"),
    (1, 2126, "east asian script"),
    (1, 2509, "continuing a quotation, she replied"),
    (2, 899, "titles before surnames"),
    (2, 1718, "kids playing happily"),
    (2, 1776, "quran vocalised text"),
    (2, 128, "tall old tiny words that describe"),
    (2, 1040, "function definition parameters"),
    (2, 2778, "genome, gene sequence"),
    (2, 2882, "miami, orlando"),
    (3, 972, "end of main in a program written in C"),
    (3, 1217, "ls output, file permissions"),
    (3, 1569, "csv row values"),
    (3, 1958, "database query select from"),
    (3, 2493, "searching files with a pattern"),
    (3, 2842, "knight bishop move, checkmate"),
    (4, 93, "Russian fairy tale"),
    (4, 120, "scene divider"),
    (4, 975, "spreadsheet numbers"),
    (4, 1351, "victorian prose style"),
    (4, 2034, "object notation key value"),
    (4, 2112, "Swahili Zulu text"),
    (4, 2398, "iteration, repeat until in code"),
    (5, 143, "kilograms, metres"),
    (5, 260, "timestamp of a server log entry"),
    (5, 1105, "ordinary paragraphs of text"),
    (5, 1315, "fairy tale beginning"),
    (5, 1550, "the girl went to play outdoors"),
    (5, 2804, "scripture in Ukrainian"),
    (5, 2292, "bibliography pages"),
    (5, 388, "mathematical equation symbol"),
)
"""Layer, feature, and its label in other words."""


def run(quick: bool) -> Result:
    """The demo's index file and atlas. `quick` asks ten of the queries."""
    index = load_index(DEMO / "index" / "index.npz.xz")
    tokenizer = AutoTokenizer.from_pretrained(DEMO / "model")
    pieces, special = token_bytes(tokenizer), set(tokenizer.all_special_ids)

    def decode(ids: Sequence[int]) -> str:
        return b"".join(pieces[number] for number in ids if number not in special).decode(errors="replace")

    begun = time.process_time()
    windows = windows_of(index)
    texts = windows.texts(slice(0, len(windows)), index.documents, decode)
    about = [set(search_words(about_document(meta, tags_of(meta)))) for meta in index.meta]
    places = zip(texts, windows.document.tolist(), strict=True)
    terms = Terms.of(set(search_words(text)) | about[document] for text, document in places)
    words = fit_words(terms)
    assert words is not None
    in_space = WindowVectors(terms, words)
    of_layers = [feature_vectors(layer, windows, in_space) for layer in index.layers]
    features = _unit(np.concatenate(of_layers).astype(np.float32))
    fitted = time.process_time() - begun
    known = {name: words.vectors[row] for name, row in zip(terms.names, words.number, strict=True) if row >= 0}

    def direction(text: str) -> NDArray[np.float32]:
        vectors = [known[word] for word in search_words(text) if word in known]
        return _unit(np.sum(vectors, axis=0, dtype=np.float32)) if vectors else np.zeros(DIMENSIONS, np.float32)

    starts = dict(
        zip((x.layer for x in index.layers), np.cumsum([0, *(x.n_features for x in index.layers)]), strict=False)
    )
    lines = [json.loads(line) for line in (DEMO / "atlas.jsonl").read_text(encoding="utf-8").splitlines()[1:]]
    labels = {starts[entry["layer"]] + entry["feature"]: entry["label"] for entry in lines if entry.get("label")}
    rows, of_labels = np.array(list(labels)), np.stack([direction(label) for label in labels.values()])
    among_all, among_labelled, by_words = [], [], []
    for layer, feature, query in QUERIES[:10] if quick else QUERIES:
        row, asked = starts[layer] + feature, direction(query)
        scores = CONTEXTS_COUNT * (features @ asked)
        scores[rows] += np.maximum(of_labels @ asked, 0)
        among_all.append(int((scores > scores[row]).sum()))
        among_labelled.append(int((scores[rows] > scores[row]).sum()))
        by_words.append(set(search_words(query)) <= set(search_words(labels[row])))
    metrics = {
        **{f"recall_at_{k}": _share(np.array(among_all) < k) for k in (10, 50, 200)},
        **{f"recall_at_{k}_of_labelled": _share(np.array(among_labelled) < k) for k in (10, 50)},
        "found_by_words": _share(np.array(by_words)),
        "fit": Metric(fitted, "s of processor time"),
    }
    return Result(metrics, {"queries": len(by_words), "features": len(features), "labelled": len(labels)})


def _share(found: NDArray[np.bool_]) -> Metric:
    return Metric(float(found.mean()), "of queries", better="higher")


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit
