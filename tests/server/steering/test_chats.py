"""A chat in place of a prompt: the chat template makes the text that is continued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from mfn_core import MFNModel
from tests.server.steering.site import PATIENCE, Site, tokens

TEMPLATE = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]"
CHAT = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "The ship"}]},
]
TEXT = "[system] Be brief.\n[user] The ship\n[assistant]"


def refused(site: Site, **body: Any) -> httpx.Response:
    return site.client.post("/api/generate", json={"messages": CHAT, **body})


@pytest.fixture
def template(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "chat.jinja").write_text(TEMPLATE)
    monkeypatch.setattr(site.studio.settings, "chat_template", str(tmp_path / "chat.jinja"))
    monkeypatch.setattr(site.studio.templates, "seconds", PATIENCE)  # a machine may have much else to do


@pytest.mark.usefixtures("template")
def test_a_chat_is_steered_beside_its_plain_twin(site: Site, tiny_model: MFNModel) -> None:
    ids = tiny_model.required_tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    steered: dict[str, Any] = {"interventions": [site.clamp()], "max_new_tokens": 9, "temperature": 1.0, "seed": 4}
    events = site.read(prompt=None, messages=CHAT, **steered)
    name, start = events[0]
    assert (name, [token["id"] for token in start["prompt_tokens"]]) == ("start", ids)
    plain = [token["id"] for token in tokens(events, "plain")]
    body = {"model": "tiny", "messages": CHAT, "temperature": 1.0, "seed": 4, "max_tokens": 9}
    answer = site.client.post("/v1/chat/completions", json=body).json()["choices"][0]
    done = next(data for name, data in events if name == "done" and data["stream"] == "plain")
    assert done["text"] == answer["message"]["content"]
    assert len(plain) == 9
    assert plain != [token["id"] for token in tokens(events, "steered")]


def test_what_is_wrong_with_a_chat_is_said_before_a_stream_begins(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = refused(site)
    error = none.json()["error"]
    assert (none.status_code, error["code"], error["field"]) == (422, "no_chat_template", "messages")
    (tmp_path / "chat.jinja").write_text("{{ raise_exception('not this') }}")
    monkeypatch.setattr(site.studio.settings, "chat_template", str(tmp_path / "chat.jinja"))
    monkeypatch.setattr(site.studio.templates, "seconds", PATIENCE)
    error = refused(site).json()["error"]
    assert (error["code"], error["field"]) == ("chat_template_error", "messages")
    assert "not this" in error["message"]
    monkeypatch.setattr(site.studio.settings, "chat_template", "plain")
    error = refused(site, messages=[{"role": "user", "content": "night " * 200}]).json()["error"]
    assert (error["code"], error["field"]) == ("prompt_too_long", "messages")
    assert site.studio.generation.admitted == 0
    assert site.steps == 0
