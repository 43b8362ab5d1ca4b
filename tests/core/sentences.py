"""A little text that the tests of training and of ablations train on."""

from __future__ import annotations

import json
from pathlib import Path

SENTENCES = [
    f"The {adjective} {noun} went to the {place}. It was {feeling} there, and it stayed until the evening."
    for adjective in ("old", "young", "quick", "tired")
    for noun in ("fox", "hen", "miller", "sailor", "child")
    for place in ("river", "market", "hill")
    for feeling in ("happy", "cold")
]


def write_sentences(folder: Path) -> Path:
    """Puts `train.jsonl` and `valid.jsonl` into a folder."""
    for split, part in (("train", SENTENCES[:100]), ("valid", SENTENCES[100:])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps({"text": s}) + "\n" for s in part))
    return folder
