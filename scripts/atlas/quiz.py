"""A quiz: from its label alone, in which snippets of a text does a feature fire? (The literature's detection score.)"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerBase

from mfn_core.data.corpus import read_corpus
from mfn_core.errors import ConfigError, CorpusError
from mfn_core.model import MFNModel
from mfn_core.tokens import token_bytes
from mfn_server.atlas.dossier import visible
from mfn_server.atlas.file import Atlas, read_atlas
from mfn_server.naming.held_out import SNIPPETS, HeldOut, Window, draw_snippets
from scripts.atlas.files import read_text, write_json
from scripts.atlas.index import FEWEST_FIRINGS, Place, indexed
from scripts.atlas.key import LeftOut, Question, QuizKey

FEWEST_DOCUMENTS = 5


def make_quiz(given: argparse.Namespace) -> None:
    """`quiz`."""
    if not given.key.resolve().parent.is_dir():  # rather now than after the model has read the text
        raise ConfigError(f"{given.key} cannot be written: there is no such folder")
    if given.strong and given.db is None:
        raise ConfigError("--strong is a share of the maximum in the index: say with --db where that is")
    atlas, model = read_atlas(given.atlas), MFNModel.from_pretrained(given.model)
    if atlas.header.model != model.fingerprint:
        raise ConfigError(f"{given.atlas} is the atlas of another model than {given.model}")
    atlas.check(model.n_features)
    labels = {(e.layer, e.feature): e.label for e in atlas.entries.values() if not e.unclear}
    token_r2: dict[Place, float] = {}
    maximum: dict[Place, float] = {}
    if given.db is not None:
        with indexed(given.model, given.db, model) as index:
            token_r2, maximum = index.token_r2(), index.maximum()
    asked = _asked(given, labels)
    known = [place for place in asked if place in labels]
    left_out = {place: _no_label(place, atlas) for place in asked if place not in labels}

    texts = [document.text for document in read_corpus(given.corpus, limit=given.documents)]
    if not texts:
        raise CorpusError(f"{given.corpus} holds no text")
    held_out = HeldOut.read(model, [np.array(model.encode_text(text), np.uint32) for text in texts], known)
    seldom = {place: why for place in known if (why := _too_seldom(held_out, place))}
    often = [place for place in known if place not in seldom]
    left_out |= seldom
    drawn = random.Random(given.seed).sample(often, len(often))
    most = len(drawn) if given.features or given.features_file else given.sample
    chosen: dict[Place, list[tuple[Window, bool]]] = {}
    for place in drawn:
        if len(chosen) == most:
            break
        at_least = given.strong * maximum.get(place, np.inf) if given.strong else 0.0
        snippets = draw_snippets(held_out, place, given.seed, at_least)
        if isinstance(snippets, str):
            left_out[place] = snippets
        else:
            chosen[place] = snippets
    if not chosen:
        why = f" (for one: {next(iter(left_out.values()))})" if left_out else ""
        raise ConfigError(f"there is no feature to ask about{why}")

    key = QuizKey(
        model=model.fingerprint,
        corpus=given.corpus if given.corpus.startswith("hf:") else Path(given.corpus).name,
        documents=len(texts),
        tokens=held_out.n_tokens,
        seed=given.seed,
        strong=given.strong,
        labels=len(known),
        often_enough=len(often),
        questions=[
            Question(
                layer=place[0],
                feature=place[1],
                label=labels[place],
                fires=[number for number, (_, fires) in enumerate(snippets, 1) if fires],
                windows=[(window.document, window.start, window.stop) for window, _ in snippets],
                token_r2=token_r2.get(place),
            )
            for place, snippets in sorted(chosen.items())
        ],
        left_out=[LeftOut(layer=place[0], feature=place[1], why=why) for place, why in sorted(left_out.items())],
    )
    write_json(given.key, key.model_dump())
    print(_page(key, held_out, model.required_tokenizer), end="")
    if left_out:
        print(f"{len(left_out)} features left out: {given.key} says why", file=sys.stderr)


def read_places(text: str) -> list[Place]:
    """ "3/785, 4/17" -> [(3, 785), (4, 17)]; commas or white space between them. Each once, in the order given.

    Raises:
        ConfigError: something else stands there, or nothing.
    """
    found: dict[Place, None] = {}
    for part in re.split(r"[\s,]+", text.strip(" \n\t,")):
        match = re.fullmatch(r"(\d+)/(\d+)", part)
        if match is None:
            raise ConfigError(f"{part!r} is no LAYER/FEATURE, such as 3/785")
        found[int(match[1]), int(match[2])] = None
    return list(found)


def _asked(given: argparse.Namespace, labels: Mapping[Place, str]) -> list[Place]:
    """The features in question, in order."""
    asked: Iterable[Place] = given.features or labels
    if given.features_file is not None:
        try:
            asked = read_places(read_text(given.features_file))
        except ConfigError as error:
            raise ConfigError(f"{given.features_file}: {error}") from error
    return sorted(place for place in asked if given.layers is None or place[0] in given.layers)


def _no_label(place: Place, atlas: Atlas) -> str:
    unclear = any((entry.layer, entry.feature) == place for entry in atlas.entries.values())
    return "is unclear in the atlas" if unclear else "is not in the atlas"


def _too_seldom(held_out: HeldOut, place: Place) -> str | None:
    fires = held_out.firings.get(place)
    n, documents = (0, 0) if fires is None else (len(fires), len(np.unique(held_out.document_of(fires))))
    if n < FEWEST_FIRINGS:
        return f"fires {n} times, less than {FEWEST_FIRINGS}"
    return f"fires in {documents} documents, less than {FEWEST_DOCUMENTS}" if documents < FEWEST_DOCUMENTS else None


def _page(key: QuizKey, held_out: HeldOut, tokenizer: PreTrainedTokenizerBase) -> str:
    pieces = token_bytes(tokenizer)

    def shown(ids: Sequence[int]) -> str:
        return visible(b"".join(pieces[number] for number in ids).decode(errors="replace"))

    lines = [
        f"{len(key.questions)} of {key.labels} labels, drawn with seed {key.seed} from those whose features fire at "
        f"least {FEWEST_FIRINGS} times and in {FEWEST_DOCUMENTS} documents of this text ({key.often_enough}).",
        f"Each label says on what a feature fires. Below it are {SNIPPETS} snippets, cut out of texts at any place. In "
        "some the feature fires on at least one token, in the others on none; how many differs from feature to "
        "feature. ↵ is the end of a line, ⇥ a tab.",
        "Say from the label alone in which it fires. For each feature write one line, with the numbers of these "
        "snippets:",
        '{"layer": 3, "feature": 785, "fires": [1, 4, 5, 8, 10]}',
    ]
    for question in key.questions:
        lines += ["", f"## layer {question.layer}, feature {question.feature}", f"LABEL  {question.label}"]
        for number, window in enumerate(question.windows, 1):
            lines.append(f"{number:4}  {shown(held_out.tokens(Window(*window)).tolist())}")
    return "\n".join(lines) + "\n"
