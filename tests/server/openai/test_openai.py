"""OpenAI's API as its own Python client sees it, against a real server."""

from __future__ import annotations

import asyncio
import json
import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import openai as client_library
import pytest
import torch
from openai import OpenAI

from mfn_core import Intervention, MFNModel
from mfn_core.generation import Done, GenerationRequest, Sampling, TokenEvent, stream
from mfn_server.chats.prompts import chat_tokens, template_of
from mfn_server.chats.rendering import TemplateRenderer
from mfn_server.errors import APIError
from mfn_server.served_model import ROWS, make_engine
from mfn_server.worker.errors import WorkerLostError
from tests.server.steering import paced
from tests.server.steering.site import PATIENCE, Site, wait_until

TEMPLATE = (
    "{% for m in messages %}{% if m.content == 'refuse' %}{{ raise_exception('not this') }}{% endif %}"
    "[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


def written(model: MFNModel, prompt: tuple[int, ...], most: int, sampling: Sampling, **more: Any) -> tuple[Done, list]:
    """What the engine itself says."""
    asked = GenerationRequest(prompt, most, sampling=sampling, compare=False, **more)
    events = list(stream(make_engine(ROWS, model), asked))
    (done,) = [event for event in events if isinstance(event, Done)]
    return done, [event for event in events if isinstance(event, TokenEvent)]


# -- models ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def preset(site: Site) -> Any:
    made = site.client.post(
        "/api/presets",
        json={"name": "Far out!", "description": "very", "prompt": "ignored", "interventions": [site.clamp(9.0)]},
    ).json()
    changed = {key: made[key] for key in ("name", "description", "prompt", "settings")}
    changed |= {"interventions": [site.clamp(2.0)], "base_version": 1}
    yield site.client.put(f"/api/presets/{made['id']}", json=changed).json()
    site.client.delete(f"/api/presets/{made['id']}")


def test_models_are_listed_under_their_names_and_with_presets(openai: OpenAI, site: Site, preset: dict) -> None:
    models = list(openai.models.list())
    assert [model.id for model in models] == ["tiny", "small", "tiny:far-out"]
    assert all(model.object == "model" and model.owned_by == "mfn-studio" for model in models)
    assert models[0].mfn["fingerprint"] == site.client.get("/api/model").json()["fingerprint"]
    assert models[2].mfn["preset"] == {"id": preset["id"], "version": 2}
    for name in ("small", "tiny:far-out", "small:Far out!@1"):
        assert openai.models.retrieve(name).id == name
    assert openai.models.retrieve("tiny:far-out@1").mfn["preset"]["version"] == 1
    for name in ("gpt-4", "tiny:nothing", "tiny:", "tiny:far-out@3", "tinyfar-out"):
        with pytest.raises(client_library.NotFoundError) as refused:
            openai.models.retrieve(name)
        assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_a_preset_in_the_models_name_steers(openai: OpenAI, site: Site, preset: dict) -> None:
    def text(model: str, *turned: dict) -> str:
        answer = openai.completions.create(
            model=model, prompt="The ship", temperature=0, max_tokens=12, extra_body={"mfn": {"interventions": turned}}
        )
        assert answer.model == model
        return answer.choices[0].text

    plain, nine, two = text("tiny"), text("tiny", site.clamp(9.0)), text("tiny", site.clamp(2.0))
    assert len({plain, nine, two}) == 3  # else this would show nothing
    assert text("tiny:far-out") == two
    assert text("tiny:far-out@1") == nine
    assert text("tiny:far-out", site.clamp(9.0)) == nine  # a preset's come first, so this has the last word
    other = site.client.post("/api/presets", json={"name": "far OUT"}).json()
    with pytest.raises(client_library.BadRequestError, match="2 presets"):
        text("tiny:far-out")
    site.client.delete(f"/api/presets/{other['id']}")


# -- completions -------------------------------------------------------------------------------------------------------


def test_a_completion_is_what_the_engine_writes(openai: OpenAI, site: Site, tiny_model: MFNModel) -> None:
    prompt = tuple(tiny_model.encode_text("The ship"))
    sampling = Sampling(temperature=0.8, top_p=0.9, seed=5)
    turned = (Intervention(1, 7, "set", 9.0),)
    done, tokens = written(tiny_model, prompt, 14, sampling, interventions=turned, alternatives=2, fired=3)
    answer = openai.completions.create(
        model="tiny",
        prompt="The ship",
        max_tokens=14,
        temperature=0.8,
        top_p=0.9,
        seed=5,
        logprobs=2,
        user="ann",
        extra_body={"mfn": {"interventions": [site.clamp(9.0)], "fired": 3}},
    )
    (choice,) = answer.choices
    assert (answer.object, answer.id[:5], choice.index) == ("text_completion", "cmpl-", 0)
    assert choice.text == done.text
    assert choice.finish_reason == {"eos": "stop", "length": "length"}[done.reason]
    assert answer.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": len(prompt),
        "completion_tokens": len(tokens),
        "total_tokens": len(prompt) + len(tokens),
    }
    assert choice.logprobs.token_logprobs == [token.logprob for token in tokens]
    for token, top in zip(tokens, choice.logprobs.top_logprobs, strict=True):
        assert sorted(top.values(), reverse=True)[:2] == [other.logprob for other in token.alternatives]
        assert token.logprob in top.values()
    offsets = [sum(len(token.delta) for token in tokens[:place]) for place in range(len(tokens))]
    assert choice.logprobs.text_offset == offsets
    assert choice.mfn["seed"] == 5
    assert choice.mfn["fired"] == [
        [{"source": site.sources[f.layer], "index": f.feature, "value": f.value} for f in token.fired]
        for token in tokens
    ]


def test_a_stream_says_what_the_whole_answer_says(openai: OpenAI, site: Site) -> None:
    asked: dict[str, Any] = {
        "model": "tiny",
        "prompt": ["The ship", "Snow 東京"],
        "n": 2,
        "max_tokens": 10,
        "seed": 11,
        "logprobs": 1,
        "echo": True,
        "extra_body": {"mfn": {"fired": 2}},
    }
    whole = openai.completions.create(**asked)
    chunks = list(openai.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    assert [choice.mfn["seed"] for choice in whole.choices] == [11, 12, 11, 12]
    assert len({chunk.id for chunk in chunks}) == 1
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)
    for choice in whole.choices:
        mine = [chunk.choices[0] for chunk in chunks if chunk.choices and chunk.choices[0].index == choice.index]
        assert "".join(part.text for part in mine) == choice.text
        assert [part.finish_reason for part in mine] == [None] * (len(mine) - 1) + [choice.finish_reason]
        for name in ("tokens", "token_logprobs", "text_offset", "top_logprobs"):
            parts = [getattr(part.logprobs, name) for part in mine if part.logprobs is not None]
            assert list(chain.from_iterable(parts)) == getattr(choice.logprobs, name)
        fired = [part.mfn["fired"] for part in mine if "fired" in (part.model_extra.get("mfn") or {})]
        assert list(chain.from_iterable(fired)) == choice.mfn["fired"]
        assert mine[-1].mfn["digest"] == choice.mfn["digest"]
    assert [choice.text[: len("The ship")] for choice in whole.choices[:2]] == ["The ship"] * 2
    assert whole.choices[2].text.startswith("Snow 東京")


def test_a_choice_can_be_had_again_by_its_seed(openai: OpenAI) -> None:
    first = openai.completions.create(model="tiny", prompt="Snow", n=3, max_tokens=8, extra_body={"mfn": {}})
    facts = [choice.mfn for choice in first.choices]
    assert len({fact["digest"]["tokens"] for fact in facts}) > 1
    again = openai.completions.create(
        model="tiny", prompt="Snow", seed=facts[2]["seed"], max_tokens=8, extra_body={"mfn": {}}
    )
    assert again.choices[0].mfn == facts[2]
    assert again.choices[0].text == first.choices[2].text
    assert again.system_fingerprint == first.system_fingerprint


def test_sampling_fields_reach_the_engine(openai: OpenAI, tiny_model: MFNModel) -> None:
    prompt = tuple(tiny_model.encode_text("The snow"))
    sampling = Sampling(
        temperature=1.3,
        top_k=40,
        top_p=0.95,
        min_p=0.01,
        repetition_penalty=1.2,
        frequency_penalty=0.7,
        presence_penalty=-0.4,
        logit_bias={65: 3.5, 70: -100.0},
        seed=9,
    )
    done, _ = written(tiny_model, prompt, 20, sampling)
    answer = openai.completions.create(
        model="tiny",
        prompt=list(prompt),
        max_tokens=20,
        temperature=1.3,
        top_p=0.95,
        frequency_penalty=0.7,
        presence_penalty=-0.4,
        logit_bias={"65": 3.5, "70": -100},
        seed=9,
        extra_body={"top_k": 40, "min_p": 0.01, "repetition_penalty": 1.2},
    )
    assert answer.choices[0].text == done.text
    unbiased, _ = written(tiny_model, prompt, 20, Sampling(temperature=1.3, seed=9))
    assert unbiased.text != done.text


def test_stop_strings_end_a_text_and_are_no_part_of_it(openai: OpenAI) -> None:
    def complete(**more: Any) -> Any:
        asked = {"model": "tiny", "prompt": "The ship", "temperature": 0, "max_tokens": 20, **more}
        return openai.completions.create(**asked).choices[0]

    free = complete()
    stop = free.text[5:8]
    for given in (stop, [stop, "never to be seen"]):
        ended = complete(stop=given)
        assert (ended.text, ended.finish_reason) == (free.text[: free.text.index(stop)], "stop")
    streamed = openai.completions.create(
        model="tiny", prompt="The ship", temperature=0, max_tokens=20, stop=stop, stream=True
    )
    assert "".join(chunk.choices[0].text for chunk in streamed if chunk.choices) == free.text[: free.text.index(stop)]


def test_more_choices_than_are_written_at_once_all_come(openai: OpenAI, site: Site, monkeypatch: Any) -> None:
    monkeypatch.setattr("mfn_server.openai.writing.LANES", 2)
    answer = openai.completions.create(model="tiny", prompt=["a", "b", "c"], n=3, max_tokens=3, seed=1)
    assert [choice.index for choice in answer.choices] == list(range(9))
    alone = openai.completions.create(model="tiny", prompt="c", n=3, max_tokens=3, seed=1)
    assert [choice.text for choice in answer.choices[6:]] == [choice.text for choice in alone.choices]
    wait_until(lambda: site.studio.generation.admitted == 0)


def test_an_echoed_prompt_is_scored_as_the_model_scores_it(openai: OpenAI, site: Site, tiny_model: MFNModel) -> None:
    ids = tiny_model.encode_text("The harbour was quiet.")
    with torch.inference_mode():
        logits = tiny_model(torch.tensor([ids])).logits[0].double()
    expected = torch.log_softmax(logits, -1)
    for prompt in ("The harbour was quiet.", ids):
        answer = openai.completions.create(model="tiny", prompt=prompt, max_tokens=0, echo=True, logprobs=3)
        (choice,) = answer.choices
        assert choice.text == "The harbour was quiet."
        assert (choice.finish_reason, answer.usage.completion_tokens) == ("length", 0)
        assert choice.logprobs.token_logprobs[0] is None
        for place in range(1, len(ids)):
            assert math.isclose(
                choice.logprobs.token_logprobs[place], expected[place - 1, ids[place]], rel_tol=0, abs_tol=1e-4
            )
            best = expected[place - 1].topk(3).values.tolist()
            assert sorted(choice.logprobs.top_logprobs[place].values())[-3:] == pytest.approx(best[::-1], abs=1e-4)
        texts = [token for token, place in zip(choice.logprobs.tokens, choice.logprobs.text_offset, strict=True)]
        assert "".join(texts[1:]) == "The harbour was quiet."
        assert choice.logprobs.text_offset[:3] == [0, 0, len(texts[1])]
    turned = {**site.clamp(9.0), "scope": {"kind": "prompt"}}
    steered = openai.completions.create(
        model="tiny", prompt=ids, max_tokens=0, echo=True, logprobs=0, extra_body={"mfn": {"interventions": [turned]}}
    )
    assert steered.choices[0].logprobs.token_logprobs[1:] != choice.logprobs.token_logprobs[1:]
    assert steered.choices[0].logprobs.top_logprobs[1].keys() == {texts[1]}


def test_an_answer_that_would_take_too_much_memory_is_refused(openai: OpenAI, site: Site) -> None:
    ask = partial(openai.completions.create, model="tiny", prompt="The ship", max_tokens=20, logprobs=20)
    site.use(memory=500_000)
    assert len(ask(n=2).choices) == 2
    with pytest.raises(client_library.APIStatusError) as refused:
        ask(n=16)
    assert (refused.value.status_code, refused.value.code, refused.value.param) == (413, "too_much_memory", "n")


# -- twins -------------------------------------------------------------------------------------------------------------


def test_a_plain_twin_is_written_beside_each_choice(openai: OpenAI, site: Site, tiny_model: MFNModel) -> None:
    prompt = tuple(tiny_model.encode_text("The ship"))
    asked = GenerationRequest(
        prompt, 14, (Intervention(1, 7, "set", 9.0),), Sampling(temperature=0.8, seed=6), alternatives=2
    )
    events = list(stream(make_engine(ROWS, tiny_model), asked))
    done = {event.stream: event for event in events if isinstance(event, Done)}
    theirs = {
        name: [event for event in events if isinstance(event, TokenEvent) and event.stream == name] for name in done
    }
    assert done["plain"].text != done["steered"].text  # else this would show nothing
    ask = partial(
        openai.completions.create,
        model="tiny",
        prompt="The ship",
        n=2,
        max_tokens=14,
        temperature=0.8,
        seed=5,
        logprobs=2,
        extra_body={"mfn": {"interventions": [site.clamp(9.0)], "compare": True}},
    )
    whole = ask()
    choice = whole.choices[1]
    ours = choice.mfn
    assert (choice.text, ours["plain"]["text"]) == (done["steered"].text, done["plain"].text)
    assert ours["plain"]["completion_tokens"] == done["plain"].n_tokens
    assert ours["plain"]["finish_reason"] == {"eos": "stop", "length": "length"}[done["plain"].reason]
    assert ours["plain"]["logprobs"]["token_logprobs"] == [token.logprob for token in theirs["plain"]]
    told = [token for token in theirs["steered"] if token.kl is not None]
    assert [(one["kl"], one["plain_logprob"]) for one in ours["effect"]] == [(t.kl, t.plain_logprob) for t in told]
    assert [[(s["logprob"], s["plain_logprob"]) for s in one["shifts"]] for one in ours["effect"]] == [
        [(s.logprob, s.plain_logprob) for s in token.shifts] for token in told
    ]
    assert whole.usage.completion_tokens == sum(len(one.logprobs.tokens) for one in whole.choices)

    chunks = list(ask(stream=True))
    for choice in whole.choices:
        mine = [chunk.choices[0] for chunk in chunks if chunk.choices and chunk.choices[0].index == choice.index]
        assert "".join(part.text for part in mine) == choice.text
        assert [part.finish_reason for part in mine] == [None] * (len(mine) - 1) + [choice.finish_reason]
        said = [part.model_extra.get("mfn") or {} for part in mine]
        twins = [one["plain"] for one in said[:-1] if "plain" in one]
        assert "".join(one["text"] for one in twins) == choice.mfn["plain"]["text"]
        logprobs = [number for one in twins for number in one["logprobs"]["token_logprobs"]]
        assert logprobs == choice.mfn["plain"]["logprobs"]["token_logprobs"]
        assert list(chain.from_iterable(one.get("effect", []) for one in said)) == choice.mfn["effect"]
        whole_plain = {key: value for key, value in choice.mfn["plain"].items() if key not in ("text", "logprobs")}
        assert said[-1] == {key: choice.mfn[key] for key in ("seed", "digest")} | {"plain": whole_plain}


@pytest.mark.usefixtures("template")
def test_a_chat_has_a_plain_twin_too(openai: OpenAI, site: Site) -> None:
    asked: dict[str, Any] = {"model": "tiny", "messages": MESSAGES, "seed": 2, "max_tokens": 9}
    twin = {"interventions": [site.clamp(9.0)], "compare": True}
    plain = openai.chat.completions.create(**asked).choices[0].message.content
    whole = openai.chat.completions.create(**asked, extra_body={"mfn": twin}).choices[0]
    assert whole.mfn["plain"]["text"] == plain != whole.message.content
    chunks = list(openai.chat.completions.create(**asked, extra_body={"mfn": twin}, stream=True))
    said = [chunk.choices[0] for chunk in chunks]
    assert "".join(part.delta.content or "" for part in said) == whole.message.content
    twins = [(part.model_extra.get("mfn") or {}).get("plain", {}).get("text", "") for part in said]
    assert "".join(twins) == plain


# -- chats -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def template(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chat.jinja").write_text(TEMPLATE)
    monkeypatch.setattr(site.studio.settings, "chat_template", str(tmp_path / "chat.jinja"))
    monkeypatch.setattr(site.studio.templates, "seconds", PATIENCE)  # a machine may have much else to do


MESSAGES: list[Any] = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "The "}, {"type": "text", "text": "ship"}]},
]


@pytest.mark.usefixtures("template")
def test_a_chat_goes_through_its_template(openai: OpenAI, tiny_model: MFNModel) -> None:
    tokenizer = tiny_model.required_tokenizer
    ids = tuple(tokenizer("[system] Be brief.\n[user] The ship\n[assistant]", add_special_tokens=False)["input_ids"])
    done, tokens = written(tiny_model, ids, 9, Sampling(temperature=1.0, seed=2), alternatives=2)
    asked: dict[str, Any] = {"model": "tiny", "messages": MESSAGES, "seed": 2, "logprobs": True, "top_logprobs": 2}
    answer = openai.chat.completions.create(**asked, max_completion_tokens=9)
    (choice,) = answer.choices
    assert (answer.object, choice.message.role, choice.message.content) == ("chat.completion", "assistant", done.text)
    assert answer.usage.prompt_tokens == len(ids)
    assert [token.logprob for token in choice.logprobs.content] == [token.logprob for token in tokens]
    raw = b"".join(bytes(token.bytes) for token in choice.logprobs.content)
    assert raw.decode(errors="replace").startswith(done.text)
    assert [[top.logprob for top in token.top_logprobs] for token in choice.logprobs.content] == [
        [other.logprob for other in token.alternatives] for token in tokens
    ]
    chunks = list(openai.chat.completions.create(**asked, max_tokens=9, stream=True))
    assert chunks[0].object == "chat.completion.chunk"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == done.text
    assert chunks[-1].choices[0].finish_reason == choice.finish_reason
    streamed = [token for chunk in chunks if chunk.choices[0].logprobs for token in chunk.choices[0].logprobs.content]
    assert streamed == choice.logprobs.content


@pytest.mark.usefixtures("template")
def test_what_a_template_refuses_is_a_bad_request(openai: OpenAI) -> None:
    with pytest.raises(client_library.BadRequestError, match="not this") as refused:
        openai.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "refuse"}])
    assert (refused.value.code, refused.value.param) == ("chat_template_error", "messages")


def test_a_model_without_a_template_says_so_and_goes_on_plainly_where_asked(
    openai: OpenAI, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(client_library.BadRequestError) as refused:
        openai.chat.completions.create(model="tiny", messages=MESSAGES)
    assert refused.value.code == "no_chat_template"
    monkeypatch.setattr(site.studio.settings, "chat_template", "plain")
    chat = openai.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=6, temperature=0)
    text = openai.completions.create(model="tiny", prompt="Be brief.\n\nThe ship", max_tokens=6, temperature=0)
    assert chat.choices[0].message.content == text.choices[0].text
    open_end = openai.chat.completions.create(model="tiny", messages=MESSAGES, temperature=0)
    assert open_end.choices[0].finish_reason in ("stop", "length")
    assert open_end.usage.completion_tokens > 16


ENDLESS = "{% for a in range(99999) %}" * 4 + "{% endfor %}" * 4


async def test_a_template_is_rendered_in_a_sandbox_and_in_bounds(tiny_bundle: Path) -> None:
    model = MFNModel.from_pretrained(tiny_bundle)
    model.required_tokenizer.chat_template = TEMPLATE
    message = [{"role": "user", "content": "Snow"}]
    renderer = TemplateRenderer()
    try:
        template, names = template_of(model, None)
        text = await renderer.render(template, message, names)
        assert text == "[user] Snow\n[assistant]"
        assert model.required_tokenizer.decode(chat_tokens(model, text)) == text
        assert await renderer.render("{{ eos_token }}", message, names) == model.required_tokenizer.eos_token
        for attack in (
            "{{ messages.append(1) }}",
            "{{ ''.__class__.__mro__[1].__subclasses__() }}",
            "{{ nothing.at.all }}",
            "{{ 'a' * 2000000 }}",
            "{{ 'a' * 2000000000 }}",
            ENDLESS,
        ):
            renderer.seconds = 0.5 if attack == ENDLESS else 60.0
            with pytest.raises(APIError) as refused:
                await renderer.render(attack, message, {})
            assert (refused.value.status, refused.value.detail.code) == (422, "chat_template_error"), attack
        assert "0.5 s" in refused.value.detail.message
        renderer.seconds = 60.0
        assert await renderer.render(TEMPLATE, message, {}) == text  # by another process
        renderer.most_waiting = 1
        looping, waiting = (asyncio.create_task(renderer.render(t, message, {})) for t in (ENDLESS, TEMPLATE))
        await asyncio.sleep(0)  # both have asked
        with pytest.raises(APIError, match="wait for their template") as refused:
            await renderer.render(TEMPLATE, message, {})
        assert (refused.value.status, refused.value.detail.code) == (503, "busy")
        looping.cancel()
        assert await waiting == text
    finally:
        await renderer.close()


def test_texts_are_written_while_a_template_loops(
    openai: OpenAI, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "endless.jinja").write_text(ENDLESS)
    monkeypatch.setattr(site.studio.settings, "chat_template", str(tmp_path / "endless.jinja"))
    monkeypatch.setattr(site.studio.templates, "seconds", PATIENCE)
    ask = partial(openai.chat.completions.create, model="tiny", messages=MESSAGES)
    with ThreadPoolExecutor(1) as pool:
        looping = pool.submit(ask)
        wait_until(lambda: site.studio.templates.busy)
        assert site.read(max_new_tokens=20)[-1] == ("end", {})
        assert not looping.done()
        asyncio.run_coroutine_threadsafe(site.studio.templates.close(), site.studio.worker.loop).result(PATIENCE)
        with pytest.raises(client_library.InternalServerError) as lost:
            looping.result(PATIENCE)
        assert lost.value.code == "templates_lost"


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"temperature": 3}, "invalid_request", "temperature"),
        ({"temperature": math.nan}, "invalid_request", "temperature"),
        ({"n": 0}, "invalid_request", "n"),
        ({"n": 129}, "invalid_request", "n"),
        ({"prompt": ["a"] * 65, "n": 2}, "invalid_request", "prompt"),
        ({"prompt": []}, "invalid_request", "prompt"),
        ({"prompt": [300]}, "unknown_token", "prompt"),
        ({"prompt": [-1]}, "invalid_request", "prompt"),
        ({"prompt": "nul \0"}, "invalid_request", "prompt"),
        ({"prompt": "night " * 200}, "context_length_exceeded", "prompt"),
        ({"max_tokens": 0}, "invalid_request", "max_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "invalid_request", "stop"),
        ({"stop": ""}, "invalid_request", "stop"),
        ({"logit_bias": {"65": 101}}, "invalid_request", None),
        ({"logit_bias": {"sea": 1}}, "invalid_request", None),
        ({"logit_bias": {"5000": 1}}, "invalid_request", None),
        ({"stream_options": {"include_usage": True}}, "invalid_request", "stream_options"),
        ({"best_of": 3}, "unsupported_parameter", "best_of"),
        ({"suffix": "the end"}, "unsupported_parameter", "suffix"),
        ({"temprature": 1}, "unknown_parameter", "temprature"),
        ({"seed": -1}, "invalid_request", "seed"),
        ({"model": "gpt-4"}, "model_not_found", "model"),
        ({"mfn": {"interventions": [{"source": "x"}]}}, "unknown_source", "mfn.interventions.0.source"),
        ({"mfn": {"interventions": ["OK", {"index": 48}]}}, "unknown_feature", "mfn.interventions.1.index"),
        ({"mfn": {"interventions": ["OK"] * 17}}, "invalid_request", "mfn.interventions"),
        ({"mfn": {"strength": 3}}, "invalid_request", "mfn.strength"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_a_bad_request(site: Site, body: dict, code: str, param: str | None) -> None:
    turned = site.clamp()
    if "interventions" in body.get("mfn", {}):
        given = body["mfn"]["interventions"]
        given = [turned if one == "OK" else {**turned, **one} for one in given]
        body = {**body, "mfn": {"interventions": given}}
    content = json.dumps({"model": "tiny", "prompt": "The ship", **body})
    answer = site.client.post("/v1/completions", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == (404 if code == "model_not_found" else 400)
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["code"], error["type"]) == (code, "invalid_request_error")
    assert error["message"]
    if param is not None:
        assert error["param"] == param
    assert site.studio.generation.admitted == 0


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"messages": []}, "invalid_request", "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "invalid_request", "messages.0.role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "invalid_request",
            "messages.0.content",
        ),
        ({"max_tokens": 3, "max_completion_tokens": 3}, "invalid_parameter_combination", "max_tokens"),
        ({"top_logprobs": 2}, "invalid_request", "top_logprobs"),
        ({"tools": [{"type": "function"}]}, "unsupported_parameter", "tools"),
        ({"response_format": {"type": "json_object"}}, "unsupported_parameter", "response_format"),
        ({"audio": {"voice": "x"}}, "unsupported_parameter", "audio"),
    ],
)
def test_a_wrong_chat_is_a_bad_request(site: Site, body: dict, code: str, param: str | None) -> None:
    answer = site.client.post("/v1/chat/completions", json={"model": "tiny", "messages": MESSAGES, **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == code
    if param is not None:
        assert answer.json()["error"]["param"] == param


def test_every_error_below_v1_is_openais(openai: OpenAI, site: Site) -> None:
    for answer in (
        site.client.get("/v1/nowhere"),
        site.client.get("/v1/completions"),
        site.client.post("/v1/completions", content="{", headers={"Content-Type": "application/json"}),
        site.client.get("/v1/models", headers={"Host": "evil.example"}),
        site.client.post("/v1/completions", json={}, headers={"Origin": "http://evil.example"}),
        site.client.post("/v1/completions", content="x" * 1_100_000),
    ):
        assert answer.status_code in (400, 403, 404, 405, 413, 421)
        assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert site.client.get("/api/nowhere").json()["error"].keys() == {"code", "message", "hint", "field"}
    assert openai.completions.create(model="tiny", prompt="", max_tokens=1).usage.completion_tokens == 1
    ignored = {"metadata": {"a": "b"}, "store": True, "service_tier": "auto", "n": None, "stop": None, "best_of": 1}
    assert openai.completions.create(model="tiny", prompt="", max_tokens=1, extra_body=ignored).choices


# -- crowds, departures, faults ----------------------------------------------------------------------------------------


def test_too_many_at_once_are_told_when_to_come_again(openai: OpenAI, site: Site) -> None:
    site.use(per_user=1, waiting=1)
    site.pace()
    first = openai.completions.create(model="tiny", prompt="The ship", max_tokens=4, stream=True)
    with pytest.raises(client_library.RateLimitError) as refused:
        openai.completions.create(model="tiny", prompt="The ship")
    assert refused.value.code == "rate_limit_exceeded"
    assert int(refused.value.response.headers["retry-after"]) >= 1
    site.free()
    assert list(first)[-1].choices[0].finish_reason
    site.use(waiting=0)
    site.pace()
    with pytest.raises(client_library.APIStatusError) as busy:
        openai.completions.create(model="tiny", prompt="The ship")
    assert busy.value.status_code == 503
    assert "retry-after" in busy.value.response.headers
    site.free()


@pytest.mark.parametrize("streamed", [True, False])
def test_leaving_frees_every_choice_within_a_step(openai: OpenAI, site: Site, streamed: bool) -> None:
    site.pace()
    site.allow()
    hasty = openai.with_options(timeout=0.5)
    with pytest.raises(client_library.APITimeoutError):
        list(hasty.completions.create(model="tiny", prompt="The ship", n=2, max_tokens=80, stream=streamed))
    wait_until(lambda: site.studio.generation.admitted == 0)
    wait_until(lambda: not site.busy)
    site.free()
    assert openai.completions.create(model="tiny", prompt="The ship", max_tokens=2).choices


def test_a_fault_is_told_in_the_stream_and_in_the_answer(openai: OpenAI, site: Site) -> None:
    site.job(paced.tell, break_at=3)
    streamed = openai.completions.create(model="tiny", prompt="The ship", max_tokens=20, stream=True)
    with pytest.raises(client_library.APIError, match="stopped while it was writing") as told:
        list(streamed)
    assert told.value.code == "generation_failed"
    site.use()
    site.job(paced.tell, break_at=3)
    with pytest.raises(client_library.InternalServerError) as failed:
        openai.completions.create(model="tiny", prompt="The ship", max_tokens=20)
    assert failed.value.status_code == 500
    site.use()
    assert openai.completions.create(model="tiny", prompt="The ship", max_tokens=2).choices


def test_a_lost_worker_ends_the_stream_with_its_error(openai: OpenAI, site: Site) -> None:
    site.pace()
    streamed = openai.completions.create(model="tiny", prompt="The ship", max_tokens=20, stream=True)
    with pytest.raises(WorkerLostError):
        site.job(paced.die)
    with pytest.raises(client_library.APIError) as told:
        list(streamed)
    assert told.value.code == "worker_lost"
    patient = openai.with_options(max_retries=8)  # as the client does by itself, when told to come again
    assert patient.completions.create(model="tiny", prompt="The ship", max_tokens=2).choices
