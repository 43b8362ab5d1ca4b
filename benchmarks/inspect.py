"""Inspection through HTTP on the demo model: 200 tokens, beside the bare forward pass of the same text.

The server is `mfn demo` in a process of its own, with its index, so that the time has everything in it: tokenising, the
forward pass, shares of the residual, names out of the database, JSON. The other side of each pair is a forward pass of
the same tokens in this process, with as many threads as the server gives its model. Beside it: short texts, sent
together in one request and one after the other.
"""

from __future__ import annotations

import itertools
import json
import lzma
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch

from benchmarks.harness import Metric, Result, paired, percentile
from benchmarks.serving import serving
from mfn_core import MFNModel

T = TypeVar("T")

TARGET_P95_MS = 200.0
TOKENS, SHORT_TOKENS, SHORT_TEXTS = 200, 24, 16
TOP = 5
DEMO = Path(__file__).resolve().parents[1] / "demo"


def run(quick: bool) -> Result:
    """Pairs of a request and a forward pass, each of another text of the demo's corpus."""
    pairs = 20 if quick else 100
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))  # as the server does
    model = MFNModel.from_pretrained(DEMO / "model")
    texts = _texts(model, TOKENS, pairs)
    short = _texts(model, SHORT_TOKENS, SHORT_TEXTS)
    with TemporaryDirectory(prefix="mfn-bench-") as home, serving("demo", "--home", home) as (_, _, client):
        request = _cycle(texts, lambda text: client.post("/api/inspect", {"text": text, "top": TOP}))
        ids = [torch.tensor([model.encode_text(text)]) for text in texts]
        forward = _cycle(ids, lambda tokens: _forward(model, tokens))
        single = paired(request, forward, pairs)
        batch = paired(
            lambda: client.post("/api/inspect/batch", {"texts": short, "top": TOP}),
            lambda: [client.post("/api/inspect", {"text": text, "top": TOP}) for text in short],
            20,
            warmup=1,
        )
        answer = client.post("/api/inspect", {"text": texts[0], "top": TOP})
    median, forward_median = single.times()
    together, one_by_one = batch.times()
    metrics = {
        "request_p95": Metric(1e3 * percentile(single.first, 0.95), "ms", None if quick else TARGET_P95_MS),
        "request": median,
        "forward": forward_median,
        "forward_p95": Metric(1e3 * percentile(single.second, 0.95), "ms"),
        "request_over_forward": single.ratio(),
        "batch": together,
        "one_by_one": one_by_one,
        "batch_over_one_by_one": batch.ratio(),
        "answer": Metric(len(answer) / 1e3, "kB"),
    }
    settings = {
        "tokens": TOKENS,
        "top": TOP,
        "layers": len(model.coders),
        "batch": f"{SHORT_TEXTS} texts of {SHORT_TOKENS} tokens",
        "requests": pairs,
        "threads_of_the_server's_model": torch.get_num_threads(),
    }
    return Result(metrics, settings)


def _texts(model: MFNModel, tokens: int, count: int) -> list[str]:
    """Beginnings of the demo corpus' documents that the model reads as so many tokens."""
    tokenizer = model.required_tokenizer
    found: list[str] = []
    with lzma.open(DEMO / "corpus" / "corpus.jsonl.xz", "rt", encoding="utf-8") as lines:
        for line in itertools.islice(lines, 0, None, 7):
            ids = model.encode_text(json.loads(line)["text"])
            text = str(tokenizer.decode(ids[1:tokens]))
            if len(ids) >= tokens and "\0" not in text and len(model.encode_text(text)) == tokens:
                found.append(text)
                if len(found) == count:
                    return found
    raise RuntimeError(f"the demo corpus has only {len(found)} texts of {tokens} tokens")


def _cycle(things: Sequence[T], use: Callable[[T], object]) -> Callable[[], object]:
    """Each call uses the next one."""
    following = itertools.cycle(things)
    return lambda: use(next(following))


@torch.inference_mode()
def _forward(model: MFNModel, tokens: torch.Tensor) -> None:
    model(tokens, logits_to_keep=1)
