"""Builds the corpus that ships: what was written for the project, text in generated formats, and samples of the model.

    python scripts/build_demo_corpus.py demo/model demo

reads `demo/corpus/passages`, `demo/concepts` and `demo/text` and writes `demo/corpus/corpus.jsonl.xz`, one document a
line with `text`, `title`, `tags` and `origin` (written, generated or sampled). Half of the samples start from nothing
and show the mix that the model was trained on; half continue the opening words of something written, so that rarer
domains and scripts come up. The same model, seed and machine give the same file.
"""

from __future__ import annotations

import argparse
import json
import lzma
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from rich.progress import Progress

from mfn_core import MFNModel
from mfn_core.evaluation.sources import formats

PER_FORMAT = 20
FORMATS_SEED = 30_000  # neither that of training text nor that of labelled text
FACETS = {"topic": "domain", "discourse": "discourse"}  # kinds of labelled text, as tags say it
OPENING_TOKENS = 8  # of a passage, given to the model to continue; then it soon goes its own way
BATCH = 96


Row = dict[str, Any]


def written(demo: Path) -> Iterator[Row]:
    """Passages, labelled texts, and texts in Arabic and Hebrew, in the order of their files."""
    for _, row in _lines(demo / "corpus" / "passages"):
        yield {key: row[key] for key in ("text", "title", "tags")} | {"origin": "written", "id": row["id"]}
    for _, row in _lines(demo / "concepts"):
        concept = row.get("concept", "")
        tags = [f"{FACETS[row['kind']]}:{concept}"] if concept else []
        title = concept.capitalize().replace("-", " ") if row["kind"] == "topic" else ""
        yield {"text": row["text"], "title": title, "tags": tags, "origin": "written", "id": row["id"]}
    for script, row in _lines(demo / "text"):
        yield {"text": row["text"], "title": row["title"], "tags": [f"script:{script}"], "origin": "written"}


def _lines(folder: Path) -> Iterator[tuple[str, Row]]:
    """Each line of each file there, with the first word of the file's name."""
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line.strip():
                yield path.name.partition(".")[0], json.loads(line)


def generated() -> Iterator[Row]:
    """So many documents of each format."""
    for made in formats(PER_FORMAT, FORMATS_SEED):
        (concept,) = made.concepts
        yield {"text": made.text, "title": "", "tags": [concept.replace("/", ":")], "origin": "generated"}


@torch.inference_mode()
def sample(model: MFNModel, openings: list[list[int]], length: int, temperature: float, top_p: float) -> list[str]:
    """Continues openings of equal length, all at once, up to `length` tokens or the end of the text."""
    inputs = torch.tensor(openings, device=model.device)
    end = model.bos_token_id
    out = cast(Any, model.base).generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        max_length=length,
        do_sample=True,
        temperature=temperature,
        top_p=top_p,
        eos_token_id=end,
        pad_token_id=end,
    )
    tokenizer = model.tokenizer
    assert tokenizer is not None
    texts = tokenizer.batch_decode(out[:, 1:], skip_special_tokens=True)
    # A sample may break off inside a character, and a small model may write bytes that are no character at all.
    return [text.replace("\ufffd", "").strip() for text in texts]


def sampled_documents(model: MFNModel, passages: list[Row], n_tokens: int, seed: int) -> Iterator[tuple[Row, int]]:
    """Documents written by the model, each with its number of tokens, until there are `n_tokens`."""
    torch.manual_seed(seed)
    order = random.Random(seed)
    start = [cast(int, model.bos_token_id)]
    ids = [model.encode_text(p["text"])[: 1 + OPENING_TOKENS] for p in passages]
    openings = [opening for opening in ids if len(opening) == 1 + OPENING_TOKENS]
    made, batch = 0, 0
    while made < n_tokens:
        free = batch % 2 == 0
        chosen = [start] * BATCH if free else order.choices(openings, k=BATCH)
        for text in sample(model, chosen, model.max_context, temperature=0.8, top_p=0.95):
            if len(text) < 40:
                continue
            count = len(model.encode_text(text))
            made += count
            yield {"text": text, "title": "", "tags": ["origin:sampled"], "origin": "sampled"}, count
        batch += 1


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="bundle of the demo model")
    parser.add_argument("demo", type=Path, help="folder with corpus/, concepts/ and text/")
    parser.add_argument("--tokens", type=int, default=640_000, help="in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = MFNModel.from_pretrained(options.model)
    openings = list(written(options.demo))
    documents = openings + list(generated())
    made = sum(len(model.encode_text(d["text"])) for d in documents)
    with Progress() as progress:
        task = progress.add_task("sampling", total=options.tokens - made)
        for document, count in sampled_documents(model, openings, options.tokens - made, options.seed):
            documents.append(document)
            progress.advance(task, count)
    target = options.demo / "corpus" / "corpus.jsonl.xz"
    with lzma.open(target, "wt", preset=9, encoding="utf-8") as out:
        for document in documents:
            out.write(json.dumps(document, ensure_ascii=False) + "\n")
    print(f"{target}: {len(documents)} documents, {target.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
