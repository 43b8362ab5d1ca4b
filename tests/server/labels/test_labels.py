"""What is said of features: recorded once, kept for good, checked against what its author saw."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from mfn_core.indexing.types import CorpusIndex
from mfn_server.access.person import Person, Role, current_person
from mfn_server.db.session import Database
from mfn_server.db.tables import Label, LabelEvent
from mfn_server.labels.projections import differences
from tests.server.saying import say

ROLES = {"vera": Role.VIEWER, "rita": Role.REVIEWER, "ada": Role.ADMIN}


@pytest.fixture
def path(client: TestClient) -> str:
    row = client.get("/api/features", params={"limit": 1}).json()["items"][0]
    return f"/api/features/{row['source']}/{row['index']}"


@pytest.fixture
def team(client: TestClient) -> TestClient:
    """A server whose people are who the header says: labellers, but for those in ROLES."""

    def named(request: Any) -> Person:
        name = request.headers.get("x-person", "ann")
        return Person(name, name.title(), ROLES.get(name, Role.LABELLER), is_local=False)

    from starlette.requests import Request

    named.__annotations__["request"] = Request
    client.app.dependency_overrides[current_person] = named  # type: ignore[attr-defined]
    return client


def tell(
    client: TestClient,
    path: str,
    who: str,
    kind: str,
    *,
    base: int | None = None,
    reason: str | None = None,
    **said: Any,
) -> httpx.Response:
    """One event by one person, on the right route."""
    routes = {"accept": "decisions", "adjudicate": "decisions", "redact": "redactions"}
    body: dict[str, Any] = {"id": str(uuid.uuid4()), "event": {"kind": kind, **said}}
    if reason is not None:
        body["reason"] = reason
    headers = {"x-person": who} | ({} if base is None else {"If-Match": f'"{base}"'})
    return client.post(f"{path}/{routes.get(kind, 'events')}", json=body, headers=headers)


def told(client: TestClient, path: str, who: str, kind: str, **said: Any) -> int:
    """The same, which is taken in on the present version. Gives the event's number."""
    base = said.pop("base", client.get(f"{path}/labels").json()["version"])
    answer = tell(client, path, who, kind, base=base, **said)
    assert answer.status_code == 201, answer.text
    stream: int = answer.json()["stream"]
    return stream


def state(client: TestClient, path: str, **query: Any) -> dict[str, Any]:
    answer = client.get(f"{path}/labels", params=query)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def texts(found: dict[str, Any]) -> list[str]:
    return [label["text"] for label in found["labels"]]


def error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_label_is_recorded_and_shown(client: TestClient, path: str) -> None:
    sent = {"id": str(uuid.uuid4()), "event": {"kind": "propose", "text": " ships  at sea "}, "reason": "on harbour"}
    answer = client.post(
        f"{path}/events", json={**sent, "base_version": 0}, headers={"Cookie": f"mfn_name={quote('Ána')}"}
    )
    assert answer.status_code == 201
    event = answer.json()
    assert (event["id"], event["payload"]) == (sent["id"], {"kind": "propose", "text": "ships at sea"})
    assert (event["author"], event["reason"], event["base_version"]) == (
        {"id": "local", "name": "Ána"},
        "on harbour",
        0,
    )
    page = client.get(path).json()
    assert page["label"] == "ships at sea"
    assert [entry["text"] for entry in page["labels"]] == ["ships at sea"]
    assert page["version"] == event["stream"]
    assert answer.headers["etag"] == client.get(f"{path}/labels").headers["etag"] == f'"{event["stream"]}"'
    assert page["labels"][0]["created_at"] == event["created_at"]
    assert client.get("/api/features", params={"status": "labelled"}).json()["total"] == 1
    source = next(s for s in client.get("/api/model").json()["sources"] if s["key"] == page["source"])
    assert source["n_labelled"] == 1


def test_a_repeat_changes_nothing_and_gets_the_first_answer(client: TestClient, path: str, indexed: Database) -> None:
    sent = {"id": str(uuid.uuid4()), "event": {"kind": "comment", "text": "one"}}
    first = client.post(f"{path}/events", json=sent)
    say(client, path, text="in between")
    again = client.post(f"{path}/events", json=sent)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    for other in ({"kind": "comment", "text": "two"}, {"kind": "propose", "text": "one"}):
        assert error(client.post(f"{path}/events", json={**sent, "event": other})) == (409, "id_reused")
    with indexed.snapshot() as connection:
        assert connection.scalar(select(func.count()).select_from(LabelEvent)) == 2


def test_events_are_numbered_in_order_without_gaps_under_concurrency(
    client: TestClient, path: str, indexed: Database
) -> None:
    shared = [{"id": str(uuid.uuid4()), "event": {"kind": "propose", "text": f"shared {i}"}} for i in range(4)]
    answers: list[tuple[int, str]] = []

    def write(n: int) -> None:
        own = [{"id": str(uuid.uuid4()), "event": {"kind": "comment", "text": f"{n}-{i}"}} for i in range(4)]
        for sent in [*shared, *own]:
            answer = client.post(f"{path}/events", json=sent)
            answers.append((answer.status_code, answer.json()["id"]))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    created = [identity for status, identity in answers if status == 201]
    assert {status for status, _ in answers} == {200, 201}
    assert len(created) == len(set(created)) == 4 + 5 * 4
    with indexed.snapshot() as connection:
        assert connection.scalars(select(LabelEvent.stream).order_by(LabelEvent.stream)).all() == list(range(1, 25))
        assert connection.scalar(select(func.count()).select_from(Label).where(Label.is_primary)) == 1
        assert list(differences(connection)) == []


def test_labels_outlive_a_new_index(
    client: TestClient,
    path: str,
    indexed: Database,
    store_index: Callable[[Database, CorpusIndex], int],
    tiny_index: CorpusIndex,
) -> None:
    say(client, path, text="stays")
    store_index(indexed, tiny_index)
    assert client.get(path).json()["label"] == "stays"
    assert client.get("/api/features", params={"q": "stays"}).json()["items"][0]["label"] == "stays"


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"event": {"kind": "propose", "text": ""}}, "event.propose.text"),
    ({"event": {"kind": "propose", "text": " \n "}}, "event.propose.text"),
    ({"event": {"kind": "propose", "text": "x" * 501}}, "event.propose.text"),
    ({"event": {"kind": "propose", "text": "a\0b"}}, "event.propose.text"),
    ({"event": {"kind": "propose", "text": "\ud800"}}, "event.propose.text"),
    ({"event": {"kind": "propose", "text": "a", "unclear": True}}, "event.propose.unclear"),
    ({"event": {"kind": "vote", "label": 1, "value": "sideways"}}, "event.vote.value"),
    ({"event": {"kind": "vote", "label": 2**63, "value": "up"}}, "event.vote.label"),
    ({"event": {"kind": "rate", "specificity": 6}}, "event.rate.specificity"),
    ({"event": {"kind": "rate", "evidence": "none"}}, "event.rate"),
    ({"event": {"kind": "tag", "tag": "x" * 61}}, "event.tag.tag"),
    ({"event": {"kind": "comment", "text": "x" * 5001}}, "event.comment.text"),
    ({"event": {"kind": "flag", "flag": "duplicate"}}, "event.flag"),
    ({"event": {"kind": "flag", "flag": "dead", "parts": ["a"]}}, "event.flag"),
    ({"event": {"kind": "accept", "label": 1}}, "event"),
    ({"event": {"kind": "withdraw"}}, "event"),
    ({"id": "7"}, "id"),
    ({"extra": 1}, "extra"),
    ({"base_version": -1}, "base_version"),
    ({"base_version": 99}, "base_version"),
    ({"reason": ""}, "reason"),
]


def test_what_is_wrong_is_refused_and_nothing_is_kept(client: TestClient, path: str) -> None:
    for wrong, field in WRONG:
        body = {"id": str(uuid.uuid4()), "event": {"kind": "propose", "text": "ships"}} | wrong
        # a lone surrogate goes as the escape that it is in JSON
        sent = {"content": json.dumps(body), "headers": {"Content-Type": "application/json"}}
        answer = client.post(f"{path}/events", **sent)
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, field), (wrong, answer.text)
    for header in ('W/"1"', '"x"', "1, 2", '"99999999999999999999"'):
        sent = {"id": str(uuid.uuid4()), "event": {"kind": "skip"}}
        assert client.post(f"{path}/events", json=sent, headers={"If-Match": header}).status_code == 422
    assert client.get(f"{path}/history").json() == {"items": [], "next_before": None}


def test_an_unknown_feature_cannot_be_spoken_of(client: TestClient, path: str) -> None:
    source = path.split("/")[3]
    for where in (f"/api/features/{source}/48", "/api/features/none/1"):
        assert say(client, where, text="a").status_code == 404
        assert client.get(f"{where}/labels").status_code == client.get(f"{where}/history").status_code == 404


def test_text_is_kept_as_it_was_written(client: TestClient, path: str) -> None:
    text = '<img src=x onerror="alert(1)"> ‮ 東京 \\ %s {} \' \u200b'
    say(client, path, text=text)
    say(client, path, kind="comment", text=f"{text}\n\n  {text}")
    say(client, path, kind="tag", tag="% İSTANBUL ' OR 1=1 --")
    found = state(client, path)
    assert client.get(path).json()["label"] == texts(found)[0] == text
    assert found["comments"][0]["text"] == f"{text}\n\n  {text}"
    assert found["tags"][0]["tag"] == "% İstanbul ' or 1=1 --".casefold()


def test_a_stale_change_is_refused_with_what_happened_and_ways_on(team: TestClient, path: str) -> None:
    label = told(team, path, "ann", "propose", text="ships")
    seen = label
    told(team, path, "bob", "comment", text="why?", label=label)
    newer = told(team, path, "bob", "revise", base=seen, label=label, text="ships at sea")
    late = tell(team, path, "ann", "revise", base=seen, label=label, text="boats")
    assert error(late) == (409, "stale")
    conflict = late.json()["conflict"]
    assert (conflict["version"], conflict["base_version"]) == (newer, seen)
    assert [change["kind"] for change in conflict["changes"]] == ["comment", "revise"]
    assert conflict["changes"][1]["author"] == {"id": "bob", "name": "Bob"}
    assert texts(conflict["now"]) == ["ships at sea"]
    ways = {way["name"]: way["event"] for way in conflict["ways_on"]}
    assert ways["merge"] == {"kind": "revise", "label": label, "text": "ships at sea; boats"}
    assert (ways["replace"]["text"], ways["keep_both"]) == ("boats", {"kind": "propose", "text": "boats"})
    for name, expected in (("keep_both", {"boats", "ships at sea"}), ("merge", {"boats", "ships at sea; boats"})):
        told(team, path, "ann", **ways[name])
        assert set(texts(state(team, path))) == expected


def test_only_what_a_change_rests_on_makes_it_stale(team: TestClient, path: str) -> None:
    one = told(team, path, "ann", "propose", text="one")
    two = told(team, path, "bob", "propose", text="two")
    seen = two
    told(team, path, "bob", "comment", text="aside")
    told(team, path, "bob", "vote", label=one, value="up")
    assert tell(team, path, "ann", "propose", base=seen, text="three").status_code == 201
    assert error(tell(team, path, "rita", "accept", base=seen, label=one)) == (409, "stale"), "a label has come"
    assert tell(team, path, "bob", "revise", base=seen, label=two, text="two of them").status_code == 201
    assert error(tell(team, path, "ann", "vote", base=seen, label=two, value="up")) == (409, "stale")
    assert tell(team, path, "ann", "vote", base=seen, label=one, value="up").status_code == 201


def test_changes_that_others_see_need_the_version_they_rest_on(team: TestClient, path: str) -> None:
    label = told(team, path, "ann", "propose", text="one")
    for kind, said in (
        ("revise", {"label": label, "text": "two"}),
        ("retract", {"target": label}),
        ("undo", {"target": label}),
    ):
        assert error(tell(team, path, "ann", kind, **said)) == (428, "version_required")
    assert error(tell(team, path, "rita", "accept", label=label)) == (428, "version_required")
    assert state(team, path)["version"] == label


def test_acceptance_and_votes_are_of_words(team: TestClient, path: str) -> None:
    one = told(team, path, "ann", "propose", text="one")
    two = told(team, path, "bob", "propose", text="two")
    told(team, path, "ann", "vote", label=one, value="up")
    told(team, path, "cem", "vote", label=one, value="up")
    told(team, path, "bob", "vote", label=one, value="down")
    assert team.get(path).json()["label"] == "one", "the one with more votes"
    told(team, path, "rita", "accept", label=two)
    found = state(team, path)
    assert (found["accepted"], texts(found)[0], found["labels"][0]["accepted"]) == (two, "two", True)
    assert team.get(path).json()["label"] == "two"
    told(team, path, "ann", "revise", label=two, text="two of a kind")
    found = state(team, path)
    assert (found["accepted"], found["labels"][0]["text"]) == (None, "one")
    told(team, path, "ann", "revise", label=one, text="just one")
    (label,) = [each for each in state(team, path)["labels"] if each["stream"] == one]
    assert (label["up"], label["down"], [vote["stale"] for vote in label["votes"]]) == (0, 0, [True] * 3)
    told(team, path, "rita", "adjudicate", reason="neither fits")
    assert state(team, path)["decided_by"] is not None


def test_undo_is_as_if_it_had_not_been_and_can_be_undone(team: TestClient, path: str) -> None:
    label = told(team, path, "ann", "propose", text="ships")
    told(team, path, "bob", "vote", label=label, value="up")
    before = state(team, path)
    changed = told(team, path, "ann", "revise", label=label, text="boats")
    undo = told(team, path, "ann", "undo", target=changed)
    after = state(team, path)
    assert after == before | {"version": undo}
    assert error(tell(team, path, "ann", "undo", base=undo, target=changed)) == (409, "already_undone")
    told(team, path, "ann", "undo", target=undo)
    assert texts(state(team, path)) == ["boats"]
    history = team.get(f"{path}/history").json()["items"]
    assert [entry["kind"] for entry in history] == ["undo", "undo", "revise", "vote", "propose"]
    assert [entry["undone_by"] for entry in history] == [None, history[0]["stream"], None, None, None]


def test_what_others_said_is_for_reviewers_to_take_back(team: TestClient, path: str) -> None:
    label = told(team, path, "ann", "propose", text="ships")
    remark = told(team, path, "ann", "comment", text="why?")
    version = told(team, path, "bob", "revise", label=label, text="boats")
    for target in (label, remark):
        assert error(tell(team, path, "cem", "retract", base=version, target=target)) == (403, "not_yours")
        assert error(tell(team, path, "cem", "undo", base=version, target=target)) == (403, "not_yours")
    for kind in ("undo", "retract"):
        gone = tell(team, path, "ann", kind, base=version, target=label)
        assert error(gone) == (403, "not_yours"), "its words are another's by now"
    told(team, path, "ann", "retract", target=remark)
    told(team, path, "rita", "retract", target=label)
    found = state(team, path)
    assert (found["labels"], found["comments"][0]["retracted"], found["comments"][0]["text"]) == ([], True, "")


@pytest.mark.parametrize(
    ("who", "kind", "said"),
    [
        ("vera", "propose", {"text": "a"}),
        ("ann", "accept", {"label": 1}),
        ("ann", "adjudicate", {}),
        ("rita", "redact", {"target": 1}),
    ],
)
def test_who_may_not_is_refused(team: TestClient, path: str, who: str, kind: str, said: dict[str, Any]) -> None:
    assert error(tell(team, path, who, kind, reason="so", **said)) == (403, "not_allowed")


def test_redaction_leaves_a_tombstone_and_no_words_anywhere(team: TestClient, path: str, indexed: Database) -> None:
    label = told(team, path, "ann", "propose", text="SECRETWORD", reason="SECRETWORD")
    remark = told(team, path, "bob", "comment", text="SECRETWORD", label=label)
    answer = told(team, path, "bob", "comment", text="fine", reply_to=remark)
    for target in (label, remark):
        told(team, path, "ada", "redact", target=target, reason="personal data")
    found = state(team, path)
    assert [(each["text"], each["redacted"]) for each in found["labels"]] == [("", True)]
    assert [(each["stream"], each["text"], each["redacted"]) for each in found["comments"]] == [
        (remark, "", True),
        (answer, "fine", False),
    ]
    assert team.get(path).json()["label"] is None
    history = team.get(f"{path}/history").json()["items"]
    tombstones = {entry["stream"]: entry for entry in history if entry["redacted_by"]}
    assert (tombstones[label]["author"]["id"], tombstones[label]["payload"]) == ("ann", {"kind": "propose", "text": ""})
    for where in (f"{path}/labels?at={label}", f"{path}/history", path, "/api/labels/people/ann/history"):
        assert "SECRETWORD" not in team.get(where).text
    assert team.get("/api/features", params={"q": "SECRETWORD"}).json()["total"] == 0
    with indexed.snapshot() as connection:
        assert "SECRETWORD" not in repr(connection.execute(select(LabelEvent)).all())
        assert list(differences(connection)) == []
    again = tell(team, path, "ada", "redact", target=label, reason="again")
    assert error(again) == (409, "already_redacted")


def test_any_past_state_can_be_shown(team: TestClient, path: str) -> None:
    seen: dict[int, dict[str, Any]] = {}
    label = told(team, path, "ann", "propose", text="ships")
    for kind, said in (
        ("vote", {"label": label, "value": "up"}),
        ("tag", {"tag": "Nautical"}),
        ("revise", {"label": label, "text": "boats"}),
        ("untag", {"tag": "nautical"}),
        ("retract", {"target": label}),
    ):
        seen[state(team, path)["version"]] = state(team, path)
        told(team, path, "ann", kind, **said)
    for version, then in seen.items():
        assert state(team, path, at=version) == then | {"at": version}
    assert state(team, path, at=0)["labels"] == []


def test_histories_come_page_by_page(team: TestClient, path: str) -> None:
    other = path.rsplit("/", 1)[0] + "/0"
    streams = [told(team, where, "ann", "comment", text="x") for where in (path, other) * 4]
    told(team, path, "bob", "comment", text="y")
    for where, expected in (
        ("/api/labels/people/ann/history", streams[::-1]),
        (f"{other}/history", streams[1::2][::-1]),
    ):
        got: list[int] = []
        before = None
        while True:
            page = team.get(where, params={"limit": 3} | ({"before": before} if before else {})).json()
            got += [entry["stream"] for entry in page["items"]]
            before = page["next_before"]
            if before is None:
                break
        assert got == expected
    people = team.get("/api/labels/people").json()["items"]
    assert people == [{"id": "ann", "name": "Ann"}, {"id": "bob", "name": "Bob"}]


def test_mentions_are_of_people_who_are_known(team: TestClient, path: str) -> None:
    told(team, path, "bob", "skip", reason="no idea")
    wrong = tell(team, path, "ann", "comment", text="@zoe", mentions=["zoe"])
    assert error(wrong) == (422, "unknown_person")
    told(team, path, "ann", "comment", text="@Bob look", mentions=["bob"])
    found = state(team, path)
    assert found["comments"][0]["mentions"] == [{"id": "bob", "name": "Bob"}]
    assert found["n_skips"] == 1


def test_a_local_person_can_be_renamed(client: TestClient, path: str) -> None:
    assert client.get("/api/session").json()["person"]["name"] == "anonymous"
    for wrong in ("", "  ", "x" * 101, "a\0"):
        assert client.put("/api/session", json={"name": wrong}).status_code == 422
    answer = client.put("/api/session", json={"name": ' Zoë; "Q"  Ö '})
    assert answer.json()["person"]["name"] == 'Zoë; "Q" Ö'
    assert client.get("/api/session").json()["person"]["name"] == 'Zoë; "Q" Ö', "the cookie brings it back"
    sent = client.post(f"{path}/events", json={"id": str(uuid.uuid4()), "event": {"kind": "skip"}})
    assert sent.json()["author"] == {"id": "local", "name": 'Zoë; "Q" Ö'}
