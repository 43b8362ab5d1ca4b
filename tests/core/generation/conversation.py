"""What tests of the engine ask for and read off: requests, the events of one, texts of `generate` to compare with."""

from __future__ import annotations

import torch

from mfn_core import MFNModel
from mfn_core.generation import Done, TokenEvent


def tokens(events: list, name: str, request_id: str | None = None) -> list[TokenEvent]:
    """A stream's tokens."""
    return [
        event
        for event in events
        if isinstance(event, TokenEvent) and event.stream == name and request_id in (None, event.request)
    ]


def done(events: list, name: str) -> Done:
    """How a stream ended."""
    (found,) = [event for event in events if isinstance(event, Done) and event.stream == name]
    return found


def content(events: list, name: str, request_id: str | None = None) -> list[tuple]:
    """All that a stream says, to the last bit."""
    return [
        (e.step, e.token, e.delta, e.logprob, (e.kl, e.plain_logprob, e.shifts), e.alternatives, e.fired)
        for e in tokens(events, name, request_id)
    ]


def said(events: list, name: str) -> list[tuple]:
    """The same without what it takes a twin to tell."""
    return [row[:4] + row[5:] for row in content(events, name)]


def assert_same_greedy(model: MFNModel, prompt: tuple[int, ...], ours: list[int], theirs: list[int]) -> None:
    """Equal, or apart only from a step on at which the two likeliest tokens are closer than rounding can tell."""
    for step, (a, b) in enumerate(zip(ours, theirs, strict=False)):
        if a != b:
            with torch.inference_mode():
                logits = model(torch.tensor([[*prompt, *ours[:step]]])).logits[0, -1]
            best, second = logits.topk(2).values.tolist()
            assert best - second < 1e-4, f"step {step}: {a} against {b}"
            return
    assert len(ours) == len(theirs)
