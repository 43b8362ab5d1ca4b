"""Continuations of prompts under interventions, many at a time, and how strange a model finds them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache

from mfn_core.interventions import EditBuffers, Intervention
from mfn_core.model import MFNModel
from mfn_core.slices import Slices, at_once, finish
from mfn_core.tokens import ending_ids


@dataclass(frozen=True)
class Writing:
    """How continuations are written.

    Attributes:
        tokens: in each.
        temperature: 0 for the likeliest token at each step.
        seed: of the choice of tokens.
        batch: prompts at a time.
    """

    tokens: int = 40
    temperature: float = 0.0
    seed: int = 0
    batch: int = 25


class SharedNoise:
    """Makes the likeliest token of each row one that is sampled, rows of the same seed with the same noise.

    A Gumbel race, argmax of log p_i − log e_i with e_i exponential: rows that predict alike mostly take the same token,
    so that what differs between two texts is what steers them and not chance (ours). What a row draws depends on its
    seed and on the step, hence neither on its batch nor on other rows.
    """

    def __init__(self, seeds: Sequence[int], temperature: float) -> None:
        """Args: seeds: of each row, each at least 0. temperature: above 0."""
        chosen = dict.fromkeys(seeds)
        self._generators = [torch.Generator().manual_seed(seed) for seed in chosen]
        self._row = torch.tensor([list(chosen).index(seed) for seed in seeds])
        self._temperature = temperature

    def __call__(self, logits: Tensor) -> Tensor:
        """Scores [rows, V] whose greatest entry is the token that wins. Logits [rows, V]; a call a step."""
        drawn = [torch.empty(logits.shape[-1]).exponential_(generator=g) for g in self._generators]
        noise = torch.stack(drawn)[self._row].to(logits.device)
        return torch.log_softmax(logits.float() / self._temperature, -1) - noise.log()


@torch.no_grad()
def write(
    model: MFNModel,
    prompts: Sequence[str],
    interventions: Sequence[Sequence[Intervention]],
    writing: Writing,
    seeds: Sequence[int] | None = None,
) -> list[list[int]]:
    """Continuations, each under its own interventions; token ids without the prompt, up to the end of the text.

    Args:
        model: that writes.
        prompts: one a text.
        interventions: of each text, in the order in which they act.
        writing: how texts are written.
        seeds: of each text: those of one seed share their random numbers, and none depends on its batch. Left out, the
            rows of a batch draw from one stream of random numbers, and a text that is sampled depends on its batch.
    """
    if seeds is not None:
        return finish(write_in_slices(model, prompts, interventions, writing, seeds))
    out: list[list[int]] = []
    end = model.bos_token_id
    options: dict[str, Any] = {"do_sample": writing.temperature > 0, "pad_token_id": end or 0}
    if options["do_sample"]:
        options |= {"temperature": writing.temperature, "top_k": 0}
        torch.manual_seed(writing.seed)
    for at in range(0, len(prompts), writing.batch):
        part = slice(at, at + writing.batch)
        ids, mask, edits = _padded(model, prompts[part], interventions[part])
        with model.run(edits):
            texts = cast(Any, model.base).generate(ids, attention_mask=mask, max_new_tokens=writing.tokens, **options)
        out += [_until(text, end) for text in texts[:, ids.shape[1] :].tolist()]
    return out


@torch.no_grad()
def write_in_slices(
    model: MFNModel,
    prompts: Sequence[str],
    interventions: Sequence[Sequence[Intervention]],
    writing: Writing,
    seeds: Sequence[int],
) -> Slices[list[list[int]]]:
    """The same for texts with seeds of their own: prompts are read in pieces, and each further token is a slice."""
    out: list[list[int]] = []
    for at in range(0, len(prompts), writing.batch):
        part = slice(at, at + writing.batch)
        noise = SharedNoise(seeds[part], writing.temperature) if writing.temperature > 0 else None
        ids, mask, edits = _padded(model, prompts[part], interventions[part])
        texts = yield from _continued(model, ids, mask, edits, writing.tokens, noise)
        out += [_until(text, model.bos_token_id) for text in texts]
    return out


def _padded(
    model: MFNModel, prompts: Sequence[str], interventions: Sequence[Sequence[Intervention]]
) -> tuple[Tensor, Tensor, EditBuffers]:
    """Prompts as a batch, padded in front: ids [B, T], mask [B, T], and what is done to each."""
    rows = [model.encode_text(prompt) for prompt in prompts]
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), model.bos_token_id or 0, device=model.device)
    mask = torch.zeros_like(ids)
    edits = EditBuffers.allocate(model.n_features, len(rows), device=model.device, signed=model.signed)
    for row, tokens in enumerate(rows):
        ids[row, longest - len(tokens) :] = torch.tensor(tokens)
        mask[row, longest - len(tokens) :] = 1
        edits.write(row, interventions[row], len(tokens))
    return ids, mask, edits


def _continued(
    model: MFNModel, ids: Tensor, mask: Tensor, edits: EditBuffers, most: int, noise: SharedNoise | None
) -> Slices[list[list[int]]]:
    """What follows on a padded batch, up to `most` tokens each; behind the end of a text anything."""
    cache = DynamicCache(config=model.base.config)
    width = at_once(len(ids))  # columns of the prompts
    for begin in range(0, ids.shape[1], width):
        end = min(begin + width, ids.shape[1])
        logits = model(ids[:, begin:end], mask[:, :end], cache, True, edits, logits_to_keep=1).logits[:, -1]
        yield
    endings = ids.new_tensor(sorted(ending_ids(model.base.generation_config, model.base.config)))
    over = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    columns: list[Tensor] = []
    while True:
        chosen = (logits if noise is None else noise(logits)).argmax(-1)
        chosen = chosen.masked_fill(over, model.bos_token_id or 0)
        columns.append(chosen)
        over |= torch.isin(chosen, endings)
        if len(columns) == most or bool(over.all()):
            texts: list[list[int]] = torch.stack(columns, dim=1).tolist()
            return texts
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        logits = model(chosen[:, None], mask, cache, True, edits, logits_to_keep=1).logits[:, -1]
        yield


def _until(text: list[int], end: int | None) -> list[int]:
    return text[: text.index(end)] if end in text else text


def decoded(model: MFNModel, texts: Sequence[Sequence[int]]) -> list[str]:
    """Token ids as text, without special tokens."""
    decode = model.required_tokenizer.decode
    return [cast(str, decode(list(text), skip_special_tokens=True)) for text in texts]


def perplexity(judge: MFNModel, prompts: Sequence[str], texts: Sequence[Sequence[int]]) -> float:
    """e to the mean nats of the continuations' tokens after their prompts. NaN where nothing was written."""
    found = nats(judge, prompts, texts)
    return float(torch.cat(found).mean().exp()) if any(map(len, found)) else float("nan")


def nats(judge: MFNModel, prompts: Sequence[str], texts: Sequence[Sequence[int]], batch: int = 50) -> list[Tensor]:
    """What each token of each continuation costs after its prompt, in nats: float [length of the text] each."""
    return read_back(judge, prompts, texts, batch=batch).nats


@dataclass(frozen=True)
class ReadBack:
    """What a model makes of continuations that it reads without interventions.

    Attributes:
        nats: what each token of each continuation costs after what precedes it: float [length of the text] each.
        fired: bool [length of the text] each: whether one of the features asked for fires on the token.
    """

    nats: list[Tensor]
    fired: list[Tensor]


def read_back(
    judge: MFNModel,
    prompts: Sequence[str],
    texts: Sequence[Sequence[int]],
    features: Collection[tuple[int, int]] = (),
    batch: int = 50,
) -> ReadBack:
    """Has a model read continuations after their prompts.

    Args:
        judge: that reads.
        prompts: one a text.
        texts: token ids.
        features: (layer, feature) of those whose firing is told.
        batch: texts at a time.
    """
    return finish(read_back_in_slices(judge, prompts, texts, features, batch))


@torch.no_grad()
def read_back_in_slices(
    judge: MFNModel,
    prompts: Sequence[str],
    texts: Sequence[Sequence[int]],
    features: Collection[tuple[int, int]] = (),
    batch: int | None = None,
) -> Slices[ReadBack]:
    """The same in slices: with `batch=None` of as many texts as one has room for."""
    begins = [judge.encode_text(prompt) for prompt in prompts]
    whole = [[*begin, *text][: judge.max_context] for begin, text in zip(begins, texts, strict=True)]
    size = batch or at_once(max(map(len, whole), default=1))
    costs: list[Tensor] = []
    fired: list[Tensor] = []
    for at in range(0, len(texts), size):
        rows = whole[at : at + size]
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64, device=judge.device)
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
        output = judge(ids, record=bool(features))  # padded behind: what stands there cannot be seen from before
        any_fires = torch.zeros_like(ids, dtype=torch.bool)
        for layer, feature in features:
            any_fires |= output.traces[layer].codes.value_of(feature) != 0
        for row, (begin, tokens) in enumerate(zip(begins[at : at + size], rows, strict=True)):
            predicted = output.logits[row, len(begin) - 1 : len(tokens) - 1].float()
            costs.append(F.cross_entropy(predicted, ids[row, len(begin) : len(tokens)], reduction="none"))
            fired.append(any_fires[row, len(begin) : len(tokens)])
        yield
    return ReadBack(costs, fired)
