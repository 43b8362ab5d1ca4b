"""Language models that read for us: endpoints that behave and that do not, what it costs, what is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sqlalchemy import select
from transformers import LlamaConfig, LlamaForCausalLM
from typer.testing import CliRunner

from mfn_core.data.tokenizer import fit_tokenizer
from mfn_core.errors import ConfigError
from mfn_server.cli import app
from mfn_server.db.session import Database
from mfn_server.db.tables import Label, LabelEvent
from mfn_server.naming.asking import enumerated, numbered, read_list, read_name, read_number, read_strengths
from mfn_server.naming.endpoint import TRIES, Endpoint
from mfn_server.naming.judging import Wording
from mfn_server.naming.local_reader import LocalReader
from mfn_server.naming.questions import Questions, questions_of
from mfn_server.naming.reader import Answer, BudgetSpentError, Purse, ReaderError, Said
from mfn_server.naming.reader_run import ExplainOrder, ReaderOrder, run_explain
from mfn_server.naming.reading_judge import ReadingJudge
from mfn_server.naming.scorers import CHANCE, NOT_READ
from mfn_server.settings import Settings
from tests.conftest import TINY_TEXTS
from tests.server.naming.planted import PLACE, SCORERS, TEXTS, Scripted, guesses, knows_cats, planted
from tests.server.steering.site import running_site

Handler = Callable[[httpx.Request], httpx.Response]
CHOICE: dict[str, Any] = {"message": {"content": "LABEL: cats"}}
DONE: dict[str, Any] = {"choices": [CHOICE], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


def endpoint(handler: Handler, waited: list[float] | None = None) -> Endpoint:
    kept: list[float] = [] if waited is None else waited
    return Endpoint("https://host/v1/", "m", "secret", httpx.MockTransport(handler), sleep=kept.append)


def test_what_is_asked_of_an_endpoint() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=DONE)

    reader = endpoint(answer)
    assert reader.ask("be brief", "what?", 9) == Answer("LABEL: cats", 7, 3)
    assert reader.name == "m at host"
    (request,) = seen
    assert str(request.url) == "https://host/v1/chat/completions"
    assert request.headers["Authorization"] == "Bearer secret"
    body = json.loads(request.content)
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 9, 0)
    assert [m["content"] for m in body["messages"]] == ["be brief", "what?"]


def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    def away(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(307, headers={"Location": "https://elsewhere/v1/chat/completions"})

    with pytest.raises(ReaderError, match="nobody follows"):
        endpoint(away).ask("s", "q", 1)
    assert asked == ["host"]


def test_a_busy_endpoint_is_asked_again_as_it_says() -> None:
    waited: list[float] = []
    answers = iter(
        [httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(503), httpx.Response(200, json=DONE)]
    )
    assert endpoint(lambda request: next(answers), waited).ask("s", "q", 1).text == "LABEL: cats"
    assert waited == [7, 2]
    with pytest.raises(ReaderError, match=f"answered 500, {TRIES} times"):
        endpoint(lambda request: httpx.Response(500)).ask("s", "q", 1)


@pytest.mark.parametrize(
    "response",
    [httpx.Response(401, text="no"), httpx.Response(200, text="<html>"), httpx.Response(200, json={"choices": []})],
)
def test_an_answer_that_is_none_is_told_and_holds_no_key(response: httpx.Response) -> None:
    with pytest.raises(ReaderError, match="host answered") as found:
        endpoint(lambda request: response).ask("s", "q", 1)
    assert "secret" not in str(found.value)


@pytest.mark.parametrize(
    "url", ["host/v1", "ftp://host", "https://me:pw@host/v1", "https://host/v1?x=1", "http://host/v1"]
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Endpoint(url, "m", "secret")


def test_this_projects_own_endpoint(tiny_bundle: Path, tmp_path: Path) -> None:
    settings = Settings(model=tiny_bundle, database=str(tmp_path / "studio.sqlite3"), chat_template="plain")
    with running_site(settings) as site:
        url = str(site.client.base_url.join("/v1"))
        reader = Endpoint(url, "tiny")
        answer = reader.ask("Say something.", "The ship", 5)
        sure = reader.ask("Say something.", "The ship", 5, logprobs=4)
        assert (sure.text, sure.tokens[0].text) == (answer.text, answer.text[: len(sure.tokens[0].text)])
        assert len(sure.tokens) == 5
        assert all(max(chance for _, chance in token.likely) <= 0 for token in sure.tokens)
        assert answer.written == 5
        assert answer.read > 5
        assert answer == reader.ask("Say something.", "The ship", 5)
        with pytest.raises(ReaderError, match="answered 404"):
            Endpoint(url, "other").ask("s", "q", 5)


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of random weights, as transformers saves one."""
    folder = tmp_path_factory.mktemp("llama") / "small"
    tokenizer = fit_tokenizer(TINY_TEXTS, 300)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, max_position_embeddings=64, **size)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_model_on_this_machine(language_model: Path, tmp_path: Path) -> None:
    reader = LocalReader(language_model)
    answer = reader.ask("Say something.", "The ship", 5)
    assert 0 < answer.written <= 5
    assert answer.read > 3
    assert answer == reader.ask("Say something.", "The ship", 5)
    sure = reader.ask("Say something.", "The ship", 5, logprobs=4)
    assert "".join(token.text for token in sure.tokens) == sure.text == answer.text
    assert [len(token.likely) for token in sure.tokens] == [4] * len(sure.tokens)
    with pytest.raises(ReaderError, match="reads 64 tokens"):
        reader.ask("Say something.", "The ship " * 30, 5)
    with pytest.raises(ConfigError, match="no language model"):
        LocalReader(tmp_path)


def test_answers_are_read_or_they_are_not() -> None:
    assert read_name("Let me see.\nLABEL:  “ships  at sea”\n") == "ships at sea"
    assert read_name("**Label:** ships") == "ships"
    for answer in ("ships", "LABEL:", "LABEL: " + "x" * 201):
        assert read_name(answer) is None
    assert read_list("I think [1, 3].", 5) == {1, 3}
    assert read_list("Not [9] but\n[ ]", 5) == set()
    for answer in ("1, 3", "[6]", "[0]", "[a]", ""):
        assert read_list(answer, 5) is None


def test_a_budget_is_never_overdrawn() -> None:
    reader = Scripted(lambda system, question: "yes")
    purse = Purse(reader, (1000.0, 2000.0), 0.5)
    for _ in range(2):
        purse.ask("", "x" * 100, 100)
    assert purse.spent == pytest.approx(2 * (100 * 1000 + 10 * 2000) / 1e6)
    with pytest.raises(BudgetSpentError, match=r"0.2400 of 0.5 are spent.* might cost 0.3000"):
        purse.ask("", "x" * 100, 100)
    assert len(reader.asked) == 2


@pytest.mark.parametrize("seed", range(3))
def test_a_language_model_that_knows_scores_1_and_its_figures_are_kept(seed: int) -> None:
    text = planted(seed)
    asked = questions_of(text, PLACE, seed, 20)
    assert isinstance(asked, Questions)
    reader = Scripted(knows_cats)
    judge = ReadingJudge(text, TEXTS, Purse(reader), seed)
    found = {scorer: judge.judge(scorer, Wording("cats"), asked) for scorer in judge.scorers}
    assert {name: (each.value, each.unread) for name, each in found.items()} == dict.fromkeys(judge.scorers, (1, 0))
    n = {name: len([1 for system, _ in reader.asked if SCORERS[system] == name]) for name in judge.scorers}
    halves = -(-len(asked.marks) // 10)
    assert n == {"detection": 2, "fuzzing": halves, "intruder": len(asked.groups), "simulation": 20}
    assert all(question.startswith("It fires on: cats\n") for _, question in reader.asked)
    mute = ReadingJudge(text, TEXTS, Purse(Scripted(lambda system, question: "hm")), seed)
    for scorer in judge.scorers:
        unread = mute.judge(scorer, Wording("cats"), asked)
        assert (unread.value, unread.why, unread.unread) == (None, NOT_READ, unread.n)
    assert numbered("cats", ["a", "b"]) == "It fires on: cats\n\n1. a\n2. b"
    assert enumerated("cats", ["a", "b"]) == "It fires on: cats\n\n1 a\n2 b"


def test_a_language_model_that_guesses_scores_what_chance_gives() -> None:
    text = planted()
    values: dict[str, list[float]] = {}
    for seed in range(40):
        asked = questions_of(text, PLACE, seed, 20)
        assert isinstance(asked, Questions)
        judge = ReadingJudge(text, TEXTS, Purse(Scripted(guesses(seed))), seed)
        for scorer in judge.scorers:
            found = judge.judge(scorer, Wording("cats"), asked).value
            assert found is not None
            values.setdefault(scorer, []).append(found)
    for scorer in judge.scorers:
        error = np.std(values[scorer]) / 40**0.5
        assert abs(np.mean(values[scorer]) - CHANCE[scorer]) < 4 * error + 1e-9, scorer


def test_strengths_are_read_with_what_could_have_been_said() -> None:
    plain = Answer("1: 0\n2: 10", 1, 1)
    found, wavering = read_strengths(plain, 2)
    assert found is not None
    assert (found.tolist(), wavering) == ([0, 10], False)
    pieces = [("1", []), (":", []), (" 4", [(" 4", np.log(0.5)), (" 6", np.log(0.25)), (" x", np.log(0.25))])]
    pieces += [("\n", []), ("2", []), (": ", []), ("10", [("10", np.log(0.9)), ("1", np.log(0.1))])]
    tokens = [Said(token, likely) for token, likely in pieces]
    found, wavering = read_strengths(Answer("1: 4\n2: 10", 1, 1, tokens), 2)
    assert found is not None
    assert wavering
    assert found.tolist() == pytest.approx([(0.5 * 4 + 0.25 * 6) / 0.75, 0.9 * 10 + 0.1 * 1])
    apart = [Said("1", [("1", 0.0)]), Said("0", [("0", 0.0)])]  # 10 in two tokens: neither says how likely it is
    assert read_strengths(Answer("1: 10", 1, 1, [Said("1", []), Said(": ", []), *apart]), 1)[1] is False
    for answer in ("1: 0", "1: 0\n2: 11", "1: 0\n1: 0\n2: 1", "1 0\n2 1", ""):
        assert read_strengths(Answer(answer, 1, 1), 2) == (None, False)
    assert (read_number("It is 3.", 5), read_number("3 or 4", 5), read_number("6", 5), read_number("x3", 5)) == (
        3,
        None,
        None,
        None,
    )


def test_an_endpoint_gives_log_probabilities_or_is_asked_without() -> None:
    bodies: list[dict[str, Any]] = []
    token = {"token": " 4", "logprob": -0.7, "top_logprobs": [{"token": " 4", "logprob": -0.7}]}

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        choice = {**CHOICE, "logprobs": {"content": [token]}}
        return httpx.Response(200, json={**DONE, "choices": [choice]})

    assert endpoint(answer).ask("s", "q", 9, logprobs=5).tokens == (Said(" 4", [(" 4", -0.7)]),)
    assert (bodies[0]["logprobs"], bodies[0]["top_logprobs"]) == (True, 5)
    bodies.clear()

    def refuses(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(400, text="no logprobs") if "logprobs" in bodies[-1] else httpx.Response(200, json=DONE)

    reader = endpoint(refuses)
    assert [reader.ask("s", "q", 9, logprobs=5).text for _ in range(2)] == ["LABEL: cats"] * 2
    assert ["logprobs" in body for body in bodies] == [True, False, False]


def test_names_are_kept_one_by_one_and_not_asked_for_twice(
    indexed: Database, database_url: str, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Scripted(lambda system, question: "LABEL: cats" if "feature 1 " not in question else "no idea")
    monkeypatch.setattr(ReaderOrder, "open", lambda self: Purse(reader, self.prices, self.budget))
    features = [(0, number) for number in range(4)]
    limited = ReaderOrder(prices=(1.0, 1.0), budget=0.1)
    done = run_explain(ExplainOrder(tiny_bundle, database_url, limited, features=features), lambda what, share: None)
    assert "3 names for 4 features; 1 answers could not be read; 400 tokens read, 40 written, cost 0.0004" in done
    with indexed.read() as connection:
        statement = select(Label, LabelEvent.payload).join(LabelEvent, LabelEvent.stream == Label.revision)
        rows = connection.execute(statement).all()
    assert {(row.number, row.text, row.origin, row.is_primary) for row in rows} == {
        (number, "cats", "automatic", False) for number in (0, 2, 3)
    }
    explanation = rows[0].payload["explanation"]
    assert (explanation["reader"], explanation["version"], explanation["cost"]) == ("scripted", 1, 0.00011)
    assert explanation["prompt"].startswith("You name features")
    order = ExplainOrder(tiny_bundle, database_url, ReaderOrder(prices=(1.0, 1.0), budget=1e-9), features=features)
    assert "0 names for 1 features" in run_explain(order, lambda what, share: None)
    assert "stopped, since 0.0000 of 1e-09 are spent" in run_explain(order, lambda what, share: None)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name a language model"),
        (["--reader", "m"], "MFN_READER_URL"),
        (["--local", "x", "--price", "3"], "READ/WRITTEN"),
        (["--local", "x", "--budget", "1"], "--budget is reached with --price alone"),
    ],
)
def test_options_that_say_too_little(arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MFN_READER_URL", raising=False)
    done = CliRunner().invoke(app, ["labels", "explain", "nowhere", *arguments])
    assert done.exit_code != 0
    assert says in str(done.exception)
