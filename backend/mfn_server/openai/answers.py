"""Answers as OpenAI gives them: whole ones, and the chunks of a stream; of texts, and of chats."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mfn_core.generation.events import Reason, StreamName, TokenEvent
from mfn_server.openai.scoring import Scored
from mfn_server.steering.digests import StreamDigest
from mfn_server.studio import Served

Json = dict[str, Any]

LEAST = -9999.0  # what OpenAI writes for a token that cannot come; JSON has no infinity
FINISH: dict[Reason, str] = {"eos": "stop", "stop": "stop", "length": "length", "context": "length"}


class Vocabulary:
    """Token ids as OpenAI's answers show them."""

    def __init__(self, served: Served) -> None:
        self._bytes = served.token_bytes
        self._special = served.special_tokens
        self._keys = {source.layer: source.key for source in served.facts.sources}

    def bytes(self, token: int) -> list[int]:
        """The UTF-8 bytes that it adds."""
        return list(self._bytes[token])

    def text(self, token: int) -> str:
        """Its text; a piece of a character as `bytes:\\xe2\\x96`, which is how OpenAI wrote it."""
        try:
            return self._bytes[token].decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in self._bytes[token])

    def written(self, tokens: Sequence[int]) -> str:
        """The text that tokens write: special ones nothing."""
        return b"".join(self._bytes[token] for token in tokens if token not in self._special).decode(errors="replace")

    def length(self, token: int) -> int:
        """How many characters it adds to a text, about: pieces of characters count as they are shown."""
        return 0 if token in self._special else len(self.text(token))

    def fired(self, event: TokenEvent) -> list[Json]:
        """The features that fired at the position which predicted a token, strongest first."""
        return [{"source": self._keys[f.layer], "index": f.feature, "value": f.value} for f in event.fired]

    def effect(self, event: TokenEvent) -> Json:
        """What steering does to a token, while both texts are the same."""
        shifts = [
            {"token": self.text(s.token), "logprob": _number(s.logprob), "plain_logprob": _number(s.plain_logprob)}
            for s in event.shifts
        ]
        assert event.plain_logprob is not None, "it comes with the divergence"
        return {"kl": event.kl, "plain_logprob": _number(event.plain_logprob), "shifts": shifts}


@dataclass(frozen=True, slots=True)
class Shown:
    """A token as answers show it, of the prompt or of what was written; `offset` counts characters of the text."""

    token: int
    logprob: float | None
    alternatives: tuple[tuple[int, float], ...]
    offset: int


class Form(Protocol):
    """What answers of texts and of chats differ by."""

    prefix: str
    whole: str
    chunk: str

    def opening(self, echo: str) -> Json | None:
        """What a stream begins each choice with, before anything is written."""
        ...

    def written(self, text: str, streamed: bool) -> Json:
        """The text of a choice, or a piece of it."""
        ...

    def logprobs(self, tokens: Sequence[Shown]) -> Json:
        """Log-probabilities of tokens."""
        ...


class TextForm:
    """Of /v1/completions."""

    prefix, whole, chunk = "cmpl", "text_completion", "text_completion"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def opening(self, echo: str) -> Json | None:
        """The prompt, where it is echoed."""
        return {"text": echo} if echo else None

    def written(self, text: str, streamed: bool) -> Json:
        """The text."""
        return {"text": text}

    def logprobs(self, tokens: Sequence[Shown]) -> Json:
        """Four lists of equal length. The likeliest tokens of each place include the one that came."""
        text = self._vocabulary.text
        top = []
        for shown in tokens:
            chances = {text(token): _number(logprob) for token, logprob in shown.alternatives}
            if shown.logprob is not None:
                chances.setdefault(text(shown.token), _number(shown.logprob))
            top.append(chances if shown.logprob is not None else None)
        return {
            "tokens": [text(shown.token) for shown in tokens],
            "token_logprobs": [None if shown.logprob is None else _number(shown.logprob) for shown in tokens],
            "top_logprobs": top,
            "text_offset": [shown.offset for shown in tokens],
        }


class ChatForm:
    """Of /v1/chat/completions."""

    prefix, whole, chunk = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def opening(self, echo: str) -> Json | None:
        """Whose message it is."""
        return {"delta": {"role": "assistant", "content": ""}}

    def written(self, text: str, streamed: bool) -> Json:
        """The message."""
        if streamed:
            return {"delta": {"content": text} if text else {}}
        return {"message": {"role": "assistant", "content": text, "refusal": None}}

    def logprobs(self, tokens: Sequence[Shown]) -> Json:
        """One object a token."""
        return {"content": [self._token(shown) for shown in tokens], "refusal": None}

    def _token(self, shown: Shown) -> Json:
        assert shown.logprob is not None, "a chat does not echo its prompt"
        top = [self._chance(token, logprob) for token, logprob in shown.alternatives]
        return {**self._chance(shown.token, shown.logprob), "top_logprobs": top}

    def _chance(self, token: int, logprob: float) -> Json:
        vocabulary = self._vocabulary
        return {"token": vocabulary.text(token), "logprob": _number(logprob), "bytes": vocabulary.bytes(token)}


@dataclass
class Choice:
    """One choice as it grows.

    Attributes:
        index: its number.
        seed: of its random numbers.
        echo: the prompt's text, where the answer begins with it.
        scored: the prompt's tokens, where their log-probabilities are asked for, too.
        plain: its plain twin, where it is asked for.
    """

    index: int
    seed: int
    echo: str = ""
    scored: Sequence[Scored] = ()
    text: str = ""
    tokens: list[Shown] = field(default_factory=list)
    fired: list[list[Json]] = field(default_factory=list)
    reason: Reason | None = None
    n_tokens: int = 0
    digest: StreamDigest = field(default_factory=StreamDigest)
    effects: list[Json] = field(default_factory=list)
    plain: Choice | None = None

    @classmethod
    def of(cls, index: int, seed: int, compare: bool) -> Choice:
        """An empty one, with a twin or without."""
        return cls(index, seed, plain=cls(index, seed) if compare else None)

    @property
    def complete(self) -> bool:
        """Whether all that belongs to it is written."""
        return self.reason is not None and (self.plain is None or self.plain.complete)

    def stream(self, name: StreamName) -> Choice:
        """The part of it that a stream of the engine fills."""
        if name == "steered":
            return self
        assert self.plain is not None, "nobody asked for a twin"
        return self.plain

    def add(self, event: TokenEvent, vocabulary: Vocabulary) -> Shown:
        """Takes a token in."""
        alternatives = tuple((a.token, a.logprob) for a in event.alternatives)
        shown = Shown(event.token, event.logprob, alternatives, len(self.echo) + len(self.text))
        self.tokens.append(shown)
        self.text += event.delta
        self.fired.append(vocabulary.fired(event))
        self.digest.add(event.token, event.logprob)
        if event.kl is not None:
            self.effects.append(vocabulary.effect(event))
        return shown

    def prompt(self, vocabulary: Vocabulary) -> list[Shown]:
        """The prompt's tokens, to be shown before its own."""
        shown, offset = [], 0
        for scored in self.scored:
            shown.append(Shown(scored.token, scored.logprob, scored.alternatives, offset))
            offset = min(len(self.echo), offset + vocabulary.length(scored.token))
        return shown


class Answer:
    """Builds one answer, in whichever form, out of what is written."""

    def __init__(
        self,
        form: Form,
        vocabulary: Vocabulary,
        model: str,
        fingerprint: str,
        *,
        logprobs: bool,
        mfn: bool,
        fired: bool,
    ) -> None:
        """How it is built.

        Args:
            form: of texts or of chats.
            vocabulary: of the model.
            model: the name it was asked for by.
            fingerprint: OpenAI's `system_fingerprint`: of model and build.
            logprobs: whether log-probabilities are shown.
            mfn: whether seeds and digests are.
            fired: whether features are.
        """
        self._form, self._vocabulary = form, vocabulary
        self._logprobs, self._mfn, self._fired = logprobs, mfn, fired
        self._head = {
            "id": f"{form.prefix}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": fingerprint,
        }

    def whole(self, choices: Sequence[Choice], prompt_tokens: int) -> Json:
        """The answer in one piece."""
        usage = usage_of(choices, prompt_tokens)
        return {**self._head, "object": self._form.whole, "choices": [self._choice(c) for c in choices], "usage": usage}

    def opening(self, choice: Choice) -> Json | None:
        """The chunk that a choice begins with, if it has one."""
        said = self._form.opening(choice.echo)
        if said is None and not choice.scored:
            return None
        tokens = choice.prompt(self._vocabulary)
        logprobs = self._form.logprobs(tokens) if self._logprobs and tokens else None
        body = said if said is not None else self._form.written("", True)
        return self._chunk({"index": choice.index, **body, "logprobs": logprobs, "finish_reason": None})

    def piece(self, choice: Choice, shown: Shown, delta: str) -> Json | None:
        """The chunk of a token; None where it says nothing, since its character is unfinished, say."""
        ours: Json = {"fired": [choice.fired[-1]]} if self._fired else {}
        if len(choice.effects) == len(choice.tokens):
            ours["effect"] = [choice.effects[-1]]
        if not (delta or self._logprobs or ours):
            return None
        logprobs = self._form.logprobs([shown]) if self._logprobs else None
        body = self._form.written(delta, True)
        said = {"index": choice.index, **body, "logprobs": logprobs, "finish_reason": None}
        return self._chunk(said | ({"mfn": ours} if ours else {}))

    def plain_piece(self, choice: Choice, shown: Shown, delta: str) -> Json | None:
        """The chunk of a token of the plain twin: for clients that do not know of it, one that adds nothing."""
        if not (delta or self._logprobs):
            return None
        plain: Json = {"text": delta}
        if self._logprobs:
            plain["logprobs"] = self._form.logprobs([shown])
        body = self._form.written("", True)
        said = {"index": choice.index, **body, "logprobs": None, "finish_reason": None, "mfn": {"plain": plain}}
        return self._chunk(said)

    def closing(self, choice: Choice) -> Json:
        """The chunk that a choice ends with."""
        body = self._form.written("", True)
        said = {"index": choice.index, **body, "logprobs": None, "finish_reason": _finish(choice)}
        if self._mfn:
            said["mfn"] = self._facts(choice)
        return self._chunk(said)

    def usage(self, choices: Sequence[Choice], prompt_tokens: int) -> Json:
        """The chunk that a stream ends with, where it is asked for."""
        return {**self._head, "object": self._form.chunk, "choices": [], "usage": usage_of(choices, prompt_tokens)}

    def _chunk(self, choice: Json) -> Json:
        return {**self._head, "object": self._form.chunk, "choices": [choice]}

    def _choice(self, choice: Choice) -> Json:
        tokens = [*choice.prompt(self._vocabulary), *choice.tokens]
        said = {
            "index": choice.index,
            **self._form.written(choice.echo + choice.text, False),
            "logprobs": self._form.logprobs(tokens) if self._logprobs else None,
            "finish_reason": _finish(choice),
        }
        if self._mfn:
            said["mfn"] = self._facts(choice) | ({"fired": choice.fired} if self._fired else {})
            if choice.plain is not None:
                said["mfn"]["effect"] = choice.effects
                said["mfn"]["plain"]["text"] = choice.plain.text
                if self._logprobs:
                    said["mfn"]["plain"]["logprobs"] = self._form.logprobs(choice.plain.tokens)
        return said

    def _facts(self, choice: Choice) -> Json:
        facts: Json = {"seed": choice.seed, "digest": _digest(choice)}
        if choice.plain is not None:
            facts["plain"] = {
                "finish_reason": _finish(choice.plain),
                "completion_tokens": choice.plain.n_tokens,
                "digest": _digest(choice.plain),
            }
        return facts


def usage_of(choices: Sequence[Choice], prompt_tokens: int) -> Json:
    """Tokens read and written. A prompt counts once, however many choices continue it."""
    written = sum(choice.n_tokens for choice in choices)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": written,
        "total_tokens": prompt_tokens + written,
    }


def _finish(choice: Choice) -> str:
    """Why it ended. One of which nothing was asked has its length."""
    return FINISH[choice.reason] if choice.reason is not None else "length"


def _digest(choice: Choice) -> Json:
    return {"tokens": choice.digest.tokens, "exact": choice.digest.exact}


def _number(logprob: float) -> float:
    return max(logprob, LEAST)
