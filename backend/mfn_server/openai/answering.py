"""From a request of OpenAI's API to its answer, for texts and for chats."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from mfn_core.generation.events import Done, TokenEvent
from mfn_core.generation.footprint import event_bytes
from mfn_server.chats.prompts import chat_prompt
from mfn_server.errors import APIError
from mfn_server.intervention_bodies import InterventionBody
from mfn_server.leaving import unless_left
from mfn_server.openai.answers import Answer, ChatForm, Choice, Form, Json, TextForm, Vocabulary
from mfn_server.openai.errors import openai_error
from mfn_server.openai.names import Named, find_named
from mfn_server.openai.prompts import tokens_of
from mfn_server.openai.schemas import ChatBody, CompletionBody, SamplingBody
from mfn_server.openai.scoring import Scored, score
from mfn_server.openai.writing import Order, Writing, checked_interventions
from mfn_server.worker.errors import ModelNotReadyError

if TYPE_CHECKING:
    from mfn_core.model import MFNModel
    from mfn_server.model_facts import SourceFacts
    from mfn_server.studio import Served, Studio

LEAST_TOP_P = 1e-9  # OpenAI's top_p may be 0: the likeliest token alone


@dataclass
class Answering:
    """One request while it is answered.

    Attributes:
        answer: builds what is sent.
        choices: as they grow, in the order of their numbers.
        writing: where they come from; None where nothing is to be written.
        prompt_tokens: how many were read.
        include_usage: whether a stream ends by saying how many tokens there were.
    """

    answer: Answer
    choices: list[Choice]
    writing: Writing | None
    vocabulary: Vocabulary
    prompt_tokens: int
    include_usage: bool

    async def whole(self, request: Request) -> Json:
        """The answer, once all is written.

        Raises:
            APIError: it broke off; or its client has left, so that nobody will know.
        """
        await unless_left(request, self._write())
        return self.answer.whole(self.choices, self.prompt_tokens)

    async def stream(self) -> AsyncIterator[bytes]:
        """The answer as server-sent events. One that breaks off ends with the error, and without `[DONE]`."""
        try:
            for choice in self.choices:
                if (opening := self.answer.opening(choice)) is not None:
                    yield _sent(opening)
            async for chunk in self._chunks():
                yield _sent(chunk) if chunk is not None else b": ping\n\n"
            if self.include_usage:
                yield _sent(self.answer.usage(self.choices, self.prompt_tokens))
            yield b"data: [DONE]\n\n"
        except APIError as error:
            yield _sent(openai_error(error))
        except ModelNotReadyError as error:
            yield _sent(openai_error(APIError(503, error.code, str(error))))

    def close(self) -> None:
        """Ends what is still being written."""
        if self.writing is not None:
            self.writing.close()

    async def _write(self) -> None:
        async for _ in self._chunks():
            pass

    async def _chunks(self) -> AsyncIterator[Json | None]:
        """Takes in what is written. Chunks as they come; None where nothing came for a while."""
        if self.writing is None:
            for choice in self.choices:
                yield self.answer.closing(choice)
            return
        async for found in self.writing.events():
            if found is None:
                yield None
                continue
            index, event = found
            choice = self.choices[index]
            if isinstance(event, TokenEvent):
                chunk = self._token(choice, event)
                if chunk is not None:
                    yield chunk
            elif isinstance(event, Done):
                mine = choice.stream(event.stream)
                mine.reason, mine.n_tokens = event.reason, event.n_tokens
                if choice.complete:
                    yield self.answer.closing(choice)

    def _token(self, choice: Choice, event: TokenEvent) -> Json | None:
        """Takes a token in. Its chunk, if it says anything."""
        shown = choice.stream(event.stream).add(event, self.vocabulary)
        piece = self.answer.plain_piece if event.stream == "plain" else self.answer.piece
        return piece(choice, shown, event.delta)


async def answer_completion(studio: Studio, user: str, body: CompletionBody) -> Answering:
    """Checks a request for texts, reads its prompts, and begins to write.

    Raises:
        APIError: what is wrong with it, or that there is no room.
    """
    served, named = await _named(studio, body.model)
    prompts = await studio.worker.run(tokens_of, body.prompts)
    orders = _orders(body, named, prompts, body.max_tokens or 1, body.logprobs or 0, "prompt")
    _check_memory(studio, orders)
    vocabulary = Vocabulary(served)
    seed = _seed(body)
    choices = [Choice.of(order.index, seed + order.index % body.n, order.compare) for order in orders]
    if body.echo:
        for choice in choices:
            prompt = body.prompts[choice.index // body.n]
            choice.echo = prompt if isinstance(prompt, str) else vocabulary.written(prompt)
        if body.logprobs is not None:
            await _score(studio, served, orders, choices, body.logprobs, body.n)
    answering = _answering(served, body, TextForm(vocabulary), vocabulary, choices, prompts, body.logprobs is not None)
    if body.max_tokens:
        answering.writing = Writing(studio, user, _seeded(orders, choices), served.facts.sources)
        await _begin(answering.writing)
    return answering


async def answer_chat(studio: Studio, user: str, body: ChatBody) -> Answering:
    """Checks a request for a chat's next message, reads the chat, and begins to write.

    Raises:
        APIError: what is wrong with it, or that there is no room.
    """
    served, named = await _named(studio, body.model)
    prompt = await chat_prompt(studio, body.messages)
    most = body.max_completion_tokens or body.max_tokens
    orders = _orders(body, named, [prompt], most, body.top_logprobs, "messages")
    _check_memory(studio, orders)
    vocabulary = Vocabulary(served)
    seed = _seed(body)
    choices = [Choice.of(order.index, seed + order.index, order.compare) for order in orders]
    answering = _answering(served, body, ChatForm(vocabulary), vocabulary, choices, [prompt], body.logprobs)
    answering.writing = Writing(studio, user, _seeded(orders, choices), served.facts.sources)
    await _begin(answering.writing)
    return answering


async def _named(studio: Studio, asked: str) -> tuple[Served, Named]:
    served = await studio.served()

    def find() -> Named:
        with studio.database.snapshot() as connection:
            return find_named(connection, served, studio.settings.model_aliases, asked)

    return served, await run_in_threadpool(find)


def _orders(
    body: SamplingBody,
    named: Named,
    prompts: Sequence[tuple[int, ...]],
    max_new_tokens: int | None,
    alternatives: int,
    prompt_field: str,
) -> list[Order]:
    """What is to be written: n choices of each prompt, prompt after prompt."""
    preset = _preset_interventions(named)
    sampling = {
        "temperature": body.temperature,
        "top_k": body.top_k,
        "top_p": max(body.top_p, LEAST_TOP_P),
        "min_p": body.min_p,
        "repetition_penalty": body.repetition_penalty,
        "frequency_penalty": body.frequency_penalty,
        "presence_penalty": body.presence_penalty,
        "logit_bias": tuple(body.logit_bias.items()),
    }
    return [
        Order(
            index=number,
            prompt=prompts[number // body.n],
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            stop=body.stops,
            interventions=(*preset, *body.options.interventions),
            preset_interventions=len(preset),
            alternatives=alternatives,
            fired=body.options.fired,
            prompt_field=prompt_field,
            compare=body.options.compare,
        )
        for number in range(len(prompts) * body.n)
    ]


def _check_memory(studio: Studio, orders: Sequence[Order]) -> None:
    """Refuses an answer that would take too much memory: all that is written stays until the last choice has ended.

    Raises:
        APIError: 413.
    """
    context = studio.worker.engine.context
    needed = 0
    for order in orders:
        new = max(0, context - len(order.prompt))
        new = new if order.max_new_tokens is None else min(new, order.max_new_tokens)
        streams = 2 if order.compare else 1
        needed += streams * new * event_bytes(order.alternatives, order.fired, 0, order.compare)
    studio.generation.check_memory(needed, "this answer", "n")


def _preset_interventions(named: Named) -> list[InterventionBody]:
    return [InterventionBody.model_validate(one) for one in named.preset.interventions] if named.preset else []


def _seed(body: SamplingBody) -> int:
    return secrets.randbelow(2**53) if body.seed is None else body.seed


def _seeded(orders: Sequence[Order], choices: Sequence[Choice]) -> list[Order]:
    return [
        replace(order, sampling={**order.sampling, "seed": choice.seed})
        for order, choice in zip(orders, choices, strict=True)
    ]


def _answering(
    served: Served,
    body: SamplingBody,
    form: Form,
    vocabulary: Vocabulary,
    choices: list[Choice],
    prompts: Sequence[tuple[int, ...]],
    logprobs: bool,
) -> Answering:
    answer = Answer(
        form,
        vocabulary,
        body.model,
        system_fingerprint(served),
        logprobs=logprobs,
        mfn=body.mfn is not None,
        fired=body.options.fired > 0,
    )
    usage = body.stream_options is not None and body.stream_options.include_usage
    return Answering(answer, choices, None, vocabulary, sum(map(len, prompts)), usage)


def system_fingerprint(served: Served) -> str:
    """What decides, besides a request and its seed, to which digit its answer comes out the same: model and build."""
    facts = json.dumps([served.facts.fingerprint, served.build.as_dict()], sort_keys=True)
    return f"fp_{hashlib.sha256(facts.encode()).hexdigest()[:16]}"


async def _begin(writing: Writing) -> None:
    try:
        await writing.begin()
    except BaseException:
        writing.close()
        raise


async def _score(
    studio: Studio, served: Served, orders: Sequence[Order], choices: Sequence[Choice], alternatives: int, n: int
) -> None:
    """Has the prompts' own tokens scored, each once."""
    for first in range(0, len(orders), n):
        scored = await studio.worker.run(
            _scored, orders[first], studio.worker.engine.context, served.facts.sources, alternatives
        )
        for choice in choices[first : first + n]:
            choice.scored = scored


def _scored(
    model: MFNModel, order: Order, context: int, facts: Sequence[SourceFacts], alternatives: int
) -> list[Scored]:
    """Runs where the model is."""
    if len(order.prompt) > context:
        message = f"the prompt has {len(order.prompt)} tokens; the model reads at most {context}"
        raise APIError(400, "prompt_too_long", message, field=order.prompt_field)
    return score(model, order.prompt, checked_interventions(order, facts, context), alternatives)


def _sent(body: Json) -> bytes:
    return f"data: {json.dumps(body, ensure_ascii=False, allow_nan=False)}\n\n".encode()
