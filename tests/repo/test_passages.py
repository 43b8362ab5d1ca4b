"""The labelled passages: readable, unique, tagged from the vocabulary, in the sizes and mixture their README states."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "demo" / "corpus" / "passages"
REQUIRED_FACETS = ("domain", "form", "lang", "script", "format")
SHORT_WORD_COUNT = {"ar", "cs", "fi", "he", "hu", "ko", "la", "pl", "ru", "sw", "tr", "uk"}
UNSPACED = {"ja", "zh"}
FREE_FORMS = {"joke", "poem"}
# Unicode character names begin with these words for letters of the script.
SCRIPT_NAMES = {
    "arabic": ("ARABIC",),
    "cyrillic": ("CYRILLIC",),
    "devanagari": ("DEVANAGARI",),
    "greek": ("GREEK",),
    "han": ("CJK",),
    "hangul": ("HANGUL",),
    "hebrew": ("HEBREW",),
    "kana": ("HIRAGANA", "KATAKANA"),
    "latin": ("LATIN",),
}


@dataclass(frozen=True)
class Passage:
    file: str
    id: str
    title: str
    tags: tuple[str, ...]
    text: str

    def values(self, facet: str) -> set[str]:
        return {tag.split(":", 1)[1] for tag in self.tags if tag.startswith(f"{facet}:")}


@cache
def passages() -> tuple[Passage, ...]:
    found = []
    for path in sorted(FOLDER.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
            row = json.loads(line)
            assert list(row) == ["id", "title", "tags", "text"], f"{path.name}: keys {list(row)}"
            found.append(Passage(path.name, row["id"], row["title"], tuple(row["tags"]), row["text"]))
    return tuple(found)


@cache
def vocabulary() -> frozenset[str]:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("| facet | values |") :]
    rows = re.findall(r"^\| ([a-z]+) \| (.+) \|$", table, re.MULTILINE)[1:]
    return frozenset(f"{facet}:{value}" for facet, values in rows for value in values.split(", "))


def with_tag(tag: str) -> list[Passage]:
    return [passage for passage in passages() if tag in passage.tags]


def test_every_line_is_a_complete_passage() -> None:
    for passage in passages():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", passage.id), passage.id
        assert passage.title.strip() == passage.title != "", passage.id
        assert passage.text.strip(), passage.id
        assert "\ufffd" not in passage.text, f"{passage.id}: replacement character"


def test_ids_titles_and_texts_are_unique() -> None:
    for field in ("id", "text"):
        counts = Counter(getattr(passage, field) for passage in passages())
        assert [value for value, n in counts.items() if n > 1] == []
    # No opening is reused, whatever follows it.
    openings = Counter(p.text[:60] for p in passages() if "format:prose" in p.tags)
    assert [opening for opening, n in openings.items() if n > 1] == []


def test_tags_come_from_the_vocabulary_and_cover_the_required_facets() -> None:
    for passage in passages():
        assert len(set(passage.tags)) == len(passage.tags), passage.id
        assert set(passage.tags) <= vocabulary(), f"{passage.id}: {set(passage.tags) - vocabulary()}"
        for facet in REQUIRED_FACETS:
            assert passage.values(facet), f"{passage.id} has no {facet}"


def test_every_tag_of_the_vocabulary_is_used() -> None:
    used = {tag for passage in passages() for tag in passage.tags}
    assert vocabulary() - used == set()


def test_lengths() -> None:
    for passage in passages():
        langs = passage.values("lang")
        if "format:prose" not in passage.tags:
            assert 20 <= len(passage.text) <= 1500, passage.id
        elif langs & UNSPACED:
            assert 100 <= len(passage.text) <= 400, f"{passage.id}: {len(passage.text)} characters"
        elif passage.values("rendering") or passage.values("form") & FREE_FORMS:
            assert 20 <= len(passage.text.split()) <= 140, passage.id
        else:
            least = 40 if langs & SHORT_WORD_COUNT else 60
            n = len(passage.text.split())
            assert least <= n <= 140, f"{passage.id}: {n} words"


@pytest.mark.parametrize("script", sorted(SCRIPT_NAMES))
def test_script_tag_matches_the_letters(script: str) -> None:
    """A tagged script is really there; in natural-language prose no other one is frequent without a tag."""
    for passage in passages():
        letters = [unicodedata.name(c, "") for c in passage.text if c.isalpha()]
        share = sum(name.startswith(SCRIPT_NAMES[script]) for name in letters) / max(len(letters), 1)
        if script in passage.values("script"):
            arithmetic = "format:arithmetic" in passage.tags or not letters
            assert share > 0.05 or arithmetic, f"{passage.id}: {script} {share:.2f}"
        elif "format:prose" in passage.tags:
            assert share < 0.05, f"{passage.id}: untagged {script} {share:.2f}"


def test_the_promised_mixture() -> None:
    assert len(passages()) >= 330
    least = {
        "form:childrens-story": 40,
        "form:fiction-19c": 25,
        "lang:ar": 8,
        "lang:he": 8,
        "script:cyrillic": 8,
        "discourse:dialogue": 25,
        "discourse:question": 25,
        "syntax:imperative": 25,
        "syntax:past-tense": 100,
        "domain:sport": 8,
        "domain:war": 8,
        "domain:music": 8,
        "domain:sea": 8,
        "domain:religion": 8,
        "domain:food": 8,
        "domain:animals": 8,
        "domain:family": 8,
    }
    short = {tag: len(with_tag(tag)) for tag, n in least.items() if len(with_tag(tag)) < n}
    assert short == {}
    other_languages = [p for p in passages() if p.values("lang") - {"en", "zxx"} and "format:prose" in p.tags]
    structured = [p for p in passages() if not p.values("format") & {"prose", "verse"}]
    assert len(other_languages) >= 100
    assert len(structured) >= 40


def test_structured_passages_are_what_their_tag_says() -> None:
    for passage in with_tag("format:json"):
        json.loads(passage.text)
    for passage in with_tag("format:csv"):
        delimiter = ";" if passage.text.splitlines()[0].count(";") > 2 else ","
        widths = {len(row) for row in csv.reader(io.StringIO(passage.text), delimiter=delimiter)}
        assert len(widths) == 1, passage.id
    for passage in with_tag("format:python"):
        if "format:log" not in passage.tags:
            compile(passage.text, passage.id, "exec")
    for passage in with_tag("format:base64"):
        blocks = re.findall(r"[A-Za-z0-9+/]{40,}={0,2}(?:\n[A-Za-z0-9+/]+={0,2})*", passage.text)
        assert blocks, passage.id
        for block in blocks:
            base64.b64decode(block.replace("\n", ""), validate=True)
    for passage in with_tag("format:dna"):
        assert re.search(r"[ACGT]{20,}", passage.text), passage.id


def test_rendering_passages_hold_what_their_tag_says() -> None:
    patterns = {
        "combining-accents": r"[\u0300-\u036f]",
        "control-like": r"[\u200b\u00ad]|<\|end\|>",
        "emoji": "[\U0001f300-\U0001faff]",
        "html-tag": r"<b>.*</b>",
        "long-word": r"\w{32,}",
        "mixed-direction": r"[\u0590-\u06ff][^\n]*[A-Za-z][^\n]*[\u0590-\u06ff]",
    }
    for value, pattern in patterns.items():
        tagged = with_tag(f"rendering:{value}")
        assert tagged, value
        for passage in tagged:
            assert re.search(pattern, passage.text), f"{passage.id}: {value}"
