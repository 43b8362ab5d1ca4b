"""Nothing that is hidden in a blind campaign comes out of any route: one table, in which every route of the app stands.

An admin takes part and has yet to give her opinion of a feature; another admin does not take part. Both ask for
everything before and after others have spoken of the feature. What she gets must be the same both times, byte by byte;
what he gets must not, wherever the table says that a route tells. So a request that would not notice fails as well.

A new route: add a line. `Tells` has requests whose answers depend on what is said of a feature; `Silent`, requests
whose answers never do; `Apart` says why a route has nothing to do with it.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from mfn_core.indexing.types import CorpusIndex
from mfn_server.access.roles import Person, Role
from mfn_server.app import create_app
from mfn_server.db.score_tables import WorkState
from mfn_server.db.session import Database
from mfn_server.db.tables import Source
from mfn_server.labels.automatic import Statement, record_statements
from mfn_server.labels.log import lock_log
from mfn_server.live.hub import LiveHub
from mfn_server.naming.figures import Figure
from mfn_server.naming.runs import Starter, end_broken_off, new_run
from mfn_server.naming.score_store import Judged, add_scores
from mfn_server.settings import Settings
from tests.conftest import TINY_TEXTS
from tests.server.access.people import ORIGIN, Team, cheap
from tests.server.access.test_permissions import routes_of

COOKIE = "mfn_session"
MARK = "zebra"
"""Stands in everything that is said, and nowhere else."""

WORDS = f"{MARK} harbour quiet"
"""A label; its other words are of the corpus, so that a search by meaning finds it."""


class Tells(NamedTuple):
    """Requests (method, path, body) whose answers depend on what is said of the feature."""

    requests: Callable[[Case], list[Any]]


class Silent(NamedTuple):
    """Requests whose answers do not."""

    requests: Callable[[Case], list[Any]]


class Apart(NamedTuple):
    """Why a route is not asked."""

    why: str


@dataclass
class Case:
    """What the requests are about.

    Attributes:
        source, index: the feature that is hidden.
        beside: a feature of the same source on whose page it is.
        label: the number that the first label said of it will have.
        bob: the id of the one who says it.
        blind: the campaign that hides it.
        open: another campaign, in which it is not hidden.
        collection: a collection that it is put into.
    """

    source: str
    index: int
    beside: int
    label: int
    bob: str
    blind: str
    open: str
    collection: str

    @property
    def feature(self) -> str:
        return f"/api/features/{self.source}/{self.index}"


def get(*paths: str) -> list[Any]:
    return [("GET", path, None) for path in paths]


def said(kind: str, **event: Any) -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "base_version": 0, "reason": "so", "event": {"kind": kind, **event}}


LISTS = [
    "/api/features?limit=100",
    "/api/features?status=labelled",
    "/api/features?status=unlabelled&limit=100",
    f"/api/features?q={MARK}",
    "/api/features?by=meaning&q=harbour+quiet",
    f"/api/features?label={MARK}",
    "/api/features?author=Bob",
    "/api/features?origin=human",
    "/api/features?origin=automatic",
    "/api/features?sort=label&limit=100",
    "/api/features?sort=label&limit=1",
    "/api/features?sort=score&status=all&limit=100",
]
NO_LABELS = "computes with the model alone, and reads nothing of what was said"
PEOPLE = "is about accounts, not features"
PRESETS = "is about presets, not features"

TABLE: dict[str, Tells | Silent | Apart] = {
    "GET /{path:path}": Silent(lambda case: get("/", f"/feature/{case.source}/{case.index}")),
    "GET /assets": Silent(lambda case: get("/assets/app.js")),
    "GET /vendor/plotly.min.js": Apart("a file of another package"),
    "GET /openapi.json": Silent(lambda case: get("/openapi.json")),
    "GET /healthz": Silent(lambda case: get("/healthz")),
    "GET /readyz": Silent(lambda case: get("/readyz")),
    "GET /api/health": Silent(lambda case: get("/api/health")),
    "GET /metrics": Apart("counts requests by route, without a feature, a person or a word"),
    "GET /api/model": Tells(lambda case: get("/api/model")),
    "GET /api/features": Tells(lambda case: get(*LISTS, f"/api/features?collection={case.collection}&status=all")),
    "GET /api/features/rows": Tells(lambda case: get(f"/api/features/rows?f={case.source}:{case.index}")),
    "GET /api/features/{source}/{index}": Tells(
        lambda case: get(case.feature, f"/api/features/{case.source}/{case.beside}")
    ),
    "GET /api/features/{source}/{index}/labels": Tells(
        lambda case: get(f"{case.feature}/labels", f"{case.feature}/labels?at={case.label + 2}")
    ),
    "GET /api/features/{source}/{index}/history": Tells(
        lambda case: get(f"{case.feature}/history", f"{case.feature}/history?before={case.label + 2}")
    ),
    "GET /api/features/{source}/{index}/scores": Tells(lambda case: get(f"{case.feature}/scores")),
    "POST /api/features/{source}/{index}/events": Tells(
        lambda case: [
            ("POST", f"{case.feature}/events", said("revise", label=case.label, text="mine")),
            ("POST", f"{case.feature}/events", said("vote", label=case.label, value="up")),
            ("POST", f"{case.feature}/events", said("undo", target=case.label)),
        ]
    ),
    "POST /api/features/{source}/{index}/decisions": Tells(
        lambda case: [("POST", f"{case.feature}/decisions", said("accept", label=case.label))]
    ),
    "POST /api/features/{source}/{index}/redactions": Tells(
        lambda case: [("POST", f"{case.feature}/redactions", said("redact", target=case.label + 1))]
    ),
    "GET /api/evidence": Silent(lambda case: get("/api/evidence")),
    "GET /api/evidence/{key}": Apart("a file of an experiment, with nothing that people said"),
    "GET /api/evidence/{key}/html": Apart("the same as a page"),
    "GET /api/evidence/runs/{key}": Apart("curves of a training run"),
    "GET /api/labels/scores": Tells(lambda case: get("/api/labels/scores")),
    "GET /api/labels/runs": Silent(lambda case: get("/api/labels/runs")),
    "POST /api/labels/runs": Apart("starts work, and says nothing of a feature"),
    "GET /api/labels/runs/{run}": Apart("says of a run what the list does"),
    "POST /api/labels/runs/{run}/stop": Apart("says of a run what the list does"),
    "POST /api/labels/runs/{run}/resume": Apart("says of a run what the list does"),
    "GET /api/labels/people": Tells(lambda case: get("/api/labels/people")),
    "GET /api/labels/people/{author}/history": Tells(
        lambda case: get(f"/api/labels/people/{case.bob}/history", "/api/labels/people/program:atlas/history?limit=1")
    ),
    "GET /api/labels/agreement": Tells(
        lambda case: get("/api/labels/agreement?question=verdict", f"/api/labels/agreement?tag={MARK}+tag")
    ),
    # files leave the server, so what is hidden from anybody is in none: the answer is the same for all
    "GET /api/labels/export": Silent(
        lambda case: get(*(f"/api/labels/export?format={format}" for format in ("jsonl", "csv", "neuronpedia")))
    ),
    "POST /api/labels/import": Apart("reads a file of whoever asks, and tells of what is in that"),
    "GET /api/campaigns": Tells(lambda case: get("/api/campaigns")),
    "GET /api/campaigns/{campaign}": Tells(
        lambda case: get(f"/api/campaigns/{case.blind}", f"/api/campaigns/{case.open}")
    ),
    "POST /api/campaigns": Tells(
        lambda case: [
            (
                "POST",
                "/api/campaigns",
                {
                    "id": str(uuid.uuid4()),
                    "name": "by words",
                    "opinions": 1,
                    "blind": False,
                    "features": {"kind": "filter", "query": {"q": MARK}},
                },
            )
        ]
    ),
    "GET /api/campaigns/people": Silent(lambda case: get("/api/campaigns/people")),
    "POST /api/campaigns/{campaign}/events": Silent(
        lambda case: [
            (
                "POST",
                f"/api/campaigns/{case.blind}/events",
                {"id": str(uuid.uuid4()), "base_version": 0, "event": {"kind": "close"}},
            )
        ]
    ),
    "GET /api/campaigns/{campaign}/review": Tells(
        lambda case: get(f"/api/campaigns/{case.open}/review", f"/api/campaigns/{case.blind}/review")
    ),
    "POST /api/campaigns/{campaign}/next": Silent(
        lambda case: [("POST", f"/api/campaigns/{case.blind}/next", {"lease": str(uuid.UUID(int=1))})]
    ),
    "PUT /api/campaigns/{campaign}/leases/{lease}": Silent(
        lambda case: [("PUT", f"/api/campaigns/{case.blind}/leases/{uuid.UUID(int=2)}", None)]
    ),
    "DELETE /api/campaigns/{campaign}/leases/{lease}": Silent(
        lambda case: [("DELETE", f"/api/campaigns/{case.blind}/leases/{uuid.UUID(int=2)}", None)]
    ),
    "POST /api/campaigns/{campaign}/opinions": Silent(
        lambda case: [
            (
                "POST",
                f"/api/campaigns/{case.blind}/opinions",
                {"id": str(uuid.uuid4()), "source": case.source, "index": case.beside, "text": "mine"},
            )
        ]
    ),
    "POST /api/campaigns/{campaign}/skips": Silent(
        lambda case: [
            (
                "POST",
                f"/api/campaigns/{case.blind}/skips",
                {"id": str(uuid.uuid4()), "source": case.source, "index": case.beside},
            )
        ]
    ),
    "GET /api/collections": Tells(
        lambda case: get("/api/collections", f"/api/collections?feature={case.source}:{case.index}")
    ),
    "GET /api/collections/{collection}": Tells(lambda case: get(f"/api/collections/{case.collection}")),
    "GET /api/collections/{collection}/history": Tells(lambda case: get(f"/api/collections/{case.collection}/history")),
    "POST /api/collections": Silent(lambda case: [("POST", "/api/collections", {"id": str(uuid.UUID(int=4))})]),
    "POST /api/collections/{collection}/events": Tells(
        lambda case: [
            (
                "POST",
                f"/api/collections/{case.collection}/events",
                {"id": str(uuid.UUID(int=5)), "base_version": 1, "event": {"kind": "note", "item": it, "note": "mine"}},
            )
            for it in [{"source": case.source, "index": case.index}]
        ]
    ),
    "POST /api/collections/{collection}/redactions": Tells(
        lambda case: [
            (
                "POST",
                f"/api/collections/{case.collection}/redactions",
                {"id": str(uuid.UUID(int=6)), "event": {"kind": "redact", "target": 2}, "reason": "private"},
            )
        ]
    ),
    "GET /api/live": Tells(lambda case: [("HEAR", "/api/live", None)]),
    "POST /api/live/presence": Silent(
        lambda case: [("POST", "/api/live/presence", {"tab": str(uuid.UUID(int=3)), "source": case.source, "index": 0})]
    ),
    "GET /api/map": Silent(lambda case: get("/api/map")),
    "GET /api/map/points": Tells(lambda case: get("/api/map/points")),
    "GET /api/cosines": Silent(lambda case: get(f"/api/cosines?f={case.source}:0&f={case.source}:1")),
    "GET /api/foreign": Silent(lambda case: get("/api/foreign")),
    "GET /api/foreign/{source}/features": Apart("shows files of others, whose features are named nowhere else"),
    "GET /api/foreign/{source}/features/{index}": Apart("shows files of others"),
    "POST /api/inspect": Tells(lambda case: [("POST", "/api/inspect", {"text": TINY_TEXTS[5], "top": 6})]),
    "POST /api/inspect/batch": Tells(
        lambda case: [("POST", "/api/inspect/batch", {"texts": TINY_TEXTS[4:7], "top": 6})]
    ),
    "POST /api/features/{source}/{index}/activations": Silent(
        lambda case: [("POST", f"{case.feature}/activations", {"text": TINY_TEXTS[5]})]
    ),
    "POST /api/generate": Apart(NO_LABELS),
    "GET /api/generate/{request_id}": Apart(NO_LABELS),
    "PATCH /api/generate/{request_id}": Apart(NO_LABELS),
    "DELETE /api/generate/{request_id}": Apart(NO_LABELS),
    "POST /api/effect/predict": Apart(NO_LABELS),
    "POST /api/effect/sweep": Apart(NO_LABELS),
    "POST /api/effect/sweet-spot": Apart(NO_LABELS),
    "GET /v1/models": Silent(lambda case: get("/v1/models")),
    "GET /v1/models/{name:path}": Silent(lambda case: get("/v1/models/tiny")),
    "POST /v1/completions": Apart(NO_LABELS),
    "POST /v1/chat/completions": Apart(NO_LABELS),
    "GET /api/presets": Silent(lambda case: get("/api/presets")),
    "GET /api/presets/export": Silent(lambda case: get("/api/presets/export")),
    "GET /api/presets/{preset_id}": Apart(PRESETS),
    "GET /api/presets/{preset_id}/versions": Apart(PRESETS),
    "POST /api/presets": Apart(PRESETS),
    "POST /api/presets/import": Apart(PRESETS),
    "PUT /api/presets/{preset_id}": Apart(PRESETS),
    "POST /api/presets/{preset_id}/restore": Apart(PRESETS),
    "DELETE /api/presets/{preset_id}": Apart(PRESETS),
    "GET /api/session": Silent(lambda case: get("/api/session")),
    "PUT /api/session": Apart(PEOPLE),
    "POST /api/session": Apart(PEOPLE),
    "DELETE /api/session": Apart(PEOPLE),
    "POST /api/join/look": Apart(PEOPLE),
    "POST /api/join": Apart(PEOPLE),
    "POST /api/reset/look": Apart(PEOPLE),
    "POST /api/reset": Apart(PEOPLE),
    "PUT /api/account/password": Apart(PEOPLE),
    "GET /api/account/sessions": Apart(PEOPLE),
    "DELETE /api/account/sessions": Apart(PEOPLE),
    "DELETE /api/account/sessions/{session_id}": Apart(PEOPLE),
    "GET /api/account/tokens": Apart(PEOPLE),
    "POST /api/account/tokens": Apart(PEOPLE),
    "DELETE /api/account/tokens/{token_id}": Apart(PEOPLE),
    "GET /api/admin/people": Apart(PEOPLE),
    "PATCH /api/admin/people/{account_id}": Apart(PEOPLE),
    "POST /api/admin/people/{account_id}/reset": Apart(PEOPLE),
    "GET /api/admin/invitations": Apart(PEOPLE),
    "POST /api/admin/invitations": Apart(PEOPLE),
    "DELETE /api/admin/invitations/{invitation_id}": Apart(PEOPLE),
    "GET /api/admin/audit": Apart(PEOPLE),
}
LAST = ("decisions", "redactions", "POST /api/campaigns")
"""Routes that do something where what they are about is seen; those are asked at the end."""


@dataclass
class Server(Team):
    """A running server. All ask by the client that it was started with: the model answers in its event loop alone."""

    client: TestClient

    def someone(self, name: str) -> Someone:
        """A person with a login."""
        return Someone(self.client, {"cookie": f"{COOKIE}={self.enter(name).cookies[COOKIE]}", "origin": ORIGIN})


@dataclass
class Someone:
    """Who asks, by the headers that say so."""

    client: TestClient
    headers: dict[str, str]

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.client.request(method, path, headers=self.headers, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)


@pytest.fixture
def team(indexed: Database, database_url: str, tiny_bundle: Any) -> Iterator[Server]:
    """A server with accounts and an index, on each kind of database."""
    settings = Settings(model=tiny_bundle, database=database_url, accounts=True)
    app = create_app(settings, passwords=cheap())
    with TestClient(app, base_url=ORIGIN) as client:
        end = time.monotonic() + 300
        while client.get("/api/health").json()["busy"]:
            assert time.monotonic() < end
            time.sleep(0.05)
        yield Server(app, tiny_bundle, client)


def test_every_route_stands_in_the_table(bare_client: TestClient) -> None:
    assert sorted(TABLE) == sorted(routes_of(bare_client.app))  # type: ignore[arg-type]


def test_nothing_hidden_comes_out_of_any_route(team: Server, indexed: Database) -> None:
    team.add("Ann", Role.ADMIN)
    bob = team.add("Bob", Role.LABELLER)
    team.add("Rick", Role.ADMIN)
    ann, rick = team.someone("Ann"), team.someone("Rick")
    ann_id = ann.get("/api/session").json()["person"]["id"]
    row = next(
        row for row in rick.get("/api/features", params={"limit": 100}).json()["items"] if row["firing_count"] > 20
    )
    page = rick.get(f"/api/features/{row['source']}/{row['index']}").json()
    mentioning = next(
        other["index"]
        for other in page["neighbours"]
        if any(
            each["index"] == row["index"]
            for each in rick.get(f"/api/features/{row['source']}/{other['index']}").json()["neighbours"]
        )
    )
    hidden = {"kind": "list", "features": [{"source": row["source"], "index": row["index"]}]}
    blind, opened = str(uuid.uuid4()), str(uuid.uuid4())
    for body in (
        {"id": blind, "name": "blind", "features": hidden, "opinions": 2, "people": [ann_id, bob]},
        {"id": opened, "name": "open", "features": hidden, "opinions": 1, "blind": False, "people": [bob]},
    ):
        answer = rick.post("/api/campaigns", json=body)
        assert answer.status_code == 201, answer.text
    assert ann.get(f"/api/campaigns/{blind}").json()["takes_part"]
    collection = str(uuid.uuid4())
    beside = [{"source": row["source"], "index": mentioning, "note": "beside"}]
    assert rick.post("/api/collections", json={"id": collection, "name": "list", "items": beside}).status_code == 201
    case = Case(row["source"], row["index"], mentioning, 1, bob, blind, opened, collection)
    with indexed.write() as connection:  # that something is scored somewhere is no secret
        run_id = new_run(connection, 1, "score", {"corpus": "text", "seed": 0}, Starter())
        end_broken_off(connection, run_id, WorkState.DONE, "")  # or it would count as dead on a slow machine
    asked = {route: requests(entry, case) for route, entry in TABLE.items()}

    before = {who: ask_all(team, browser, asked, last=False) for who, browser in (("ann", ann), ("rick", rick))}
    speak(team, indexed, case, run_id)
    after_ann = ask_all(team, ann, asked, last=True)
    after_rick = ask_all(team, rick, asked, last=True)

    wrong = {}
    for route, entry in TABLE.items():
        if isinstance(entry, Apart):
            continue
        pairs = list(zip(asked[route], before["ann"][route], after_ann[route], strict=True))
        told = [request for request, was, is_ in pairs if was != is_ or MARK in is_]
        if told:
            wrong[route] = f"tells her: {told}"
        differs = before["rick"][route] != after_rick[route]
        if differs != isinstance(entry, Tells):
            wrong[route] = f"tells him {'something' if differs else 'nothing'}, unlike the table"
    assert wrong == {}

    # a token that may only read is hers all the same
    token = ann.post("/api/account/tokens", json={"name": "reader", "scopes": ["read"]}).json()["token"]
    program = Someone(team.client, {"authorization": f"Bearer {token}"})
    for path in (f"{case.feature}/labels", f"{case.feature}/history", case.feature):
        assert MARK not in program.get(path).text

    # once she has given hers, she sees all of it
    mine = {"id": str(uuid.uuid4()), "source": case.source, "index": case.index, "text": "mine"}
    assert ann.post(f"/api/campaigns/{blind}/opinions", json=mine).status_code == 201
    assert ann.post(f"/api/campaigns/{blind}/opinions", json=mine).status_code == 200
    for path in (f"{case.feature}/labels", f"{case.feature}/history", case.feature, f"/api/features?q={MARK}"):
        assert MARK in ann.get(path).text
        assert ann.get(path).json() == rick.get(path).json()
    assert MARK in hear(team, ann)


def requests(entry: Tells | Silent | Apart, case: Case) -> list[Any]:
    return [] if isinstance(entry, Apart) else entry.requests(case)


def ask_all(team: Server, browser: Someone, asked: dict[str, list[Any]], *, last: bool) -> dict[str, list[str]]:
    """The answers of every route. What does something is asked at the end, or (`last` false) is refused anyway."""
    order = sorted(asked, key=lambda route: any(route.endswith(end) for end in LAST))
    answers: dict[str, list[str]] = {}
    for route in order:
        answers[route] = [ask(team, browser, *request) for request in asked[route]]
    return answers


def ask(team: Server, browser: Someone, method: str, path: str, body: Any) -> str:
    """An answer without what differs between any two: times, and validators."""
    if method == "HEAR":
        return hear(team, browser)
    answer: httpx.Response = browser.request(method, path, json=body)
    assert answer.status_code < 500, f"{path}: {answer.text}"
    if answer.content and answer.headers.get("content-type", "").startswith("application/json"):
        return f"{answer.status_code} {json.dumps(without_times(answer.json()), sort_keys=True)}"
    text = answer.text if re.search("text|ndjson", str(answer.headers)) else ""
    if text:  # of a file of labels, without when it was made
        return f"{answer.status_code} " + re.sub(r'"exported_at":"[^"]*"', "", text)
    return f"{answer.status_code} {answer.content.hex()}"


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if key not in ("expires_at", "seconds")}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def hear(team: Server, browser: Someone) -> str:
    """All that the live stream tells of the log from its beginning, and whether more is told while it is open."""
    me = browser.get("/api/session").json()["person"]
    person = Person(me["id"], me["name"], Role(me["role"]), is_local=False)

    async def listen() -> str:
        studio = team.studio
        served = await studio.served()
        hub: LiveHub = studio.live
        listener, behind = await hub.join(served.model_id, uuid.uuid4(), person)
        heard = []
        async for message in hub.messages(served.model_id, listener, behind, 0):
            if message.name == "presence":
                break
            if message.name == "said":
                heard.append(message.data)
        await hub.leave(listener)
        return " ".join(heard)

    text: str = team.client.portal.call(listen)  # type: ignore[union-attr]
    return re.sub(r"\s+", " ", text)


def speak(team: Server, database: Database, case: Case, run_id: uuid.UUID) -> None:
    """Says everything that can be said of the feature, under another's name and a program's."""
    bob = team.someone("Bob")

    def tell(kind: str, **event: Any) -> None:
        base = bob.get(f"{case.feature}/labels").json()["version"]
        body = {**said(kind, **event), "base_version": base, "reason": f"{MARK} reason"}
        answer = bob.post(f"{case.feature}/events", json=body)
        assert answer.status_code == 201, answer.text

    tell("propose", text=WORDS)
    tell("comment", text=f"{MARK} comment")
    with database.write() as connection:
        source_id = connection.scalar(select(Source.id).where(Source.key == case.source))
        assert source_id is not None
        lock_log(connection)
        statement = Statement((source_id, case.index), "atlas", {"text": f"{MARK} atlas", "confidence": "low"}, "seen")
        record_statements(connection, [statement])
        figure = Figure(0.75, 0.5, 0.9, 20, details={"told": "01", "true": "01"})
        place = (source_id, case.index)
        add_scores(connection, run_id, [Judged(place, case.label, case.label, "detection", f"{MARK} reader", figure)])
    tell("rate", label=case.label, specificity=2, evidence=f"{MARK} evidence")
    tell("tag", tag=f"{MARK} tag")
    tell("flag", flag="polysemantic", parts=[f"{MARK} part", "other"])
    tell("vote", label=case.label, value="up")
    these = [{"source": case.source, "index": case.index, "note": f"{MARK} note"}]
    put = {"id": str(uuid.uuid4()), "event": {"kind": "add", "items": these}}
    assert bob.post(f"/api/collections/{case.collection}/events", json=put).status_code == 201
    for campaign in (case.blind, case.open):
        body = {
            "id": str(uuid.uuid4()),
            "source": case.source,
            "index": case.index,
            "text": f"{MARK} opinion",
            "flag": "unclear",
            "evidence": f"{MARK} evidence",
            "tags": [f"{MARK} other tag"],
        }
        answer = bob.post(f"/api/campaigns/{campaign}/opinions", json=body)
        assert answer.status_code == 201, answer.text


def test_the_local_person_is_blind_too(client: TestClient, tiny_index: CorpusIndex) -> None:
    """Without accounts an atlas is hidden until the one person has said what they think."""
    row = client.get("/api/features", params={"limit": 1}).json()["items"][0]
    path = f"/api/features/{row['source']}/{row['index']}"
    say = client.post(f"{path}/events", json={"id": str(uuid.uuid4()), "event": {"kind": "comment", "text": "own"}})
    assert say.status_code == 201
    campaign = str(uuid.uuid4())
    features = {"kind": "filter", "query": {"layer": row["layer"]}, "most": 1}
    body = {"id": campaign, "name": "alone", "features": features}
    refused = client.post("/api/campaigns", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "too_few_people")
    made = client.post("/api/campaigns", json=body | {"opinions": 1})
    assert (made.status_code, made.json()["progress"]["features"]) == (201, 1)
    item = client.post(f"/api/campaigns/{campaign}/next", json={"lease": str(uuid.uuid4())}).json()["item"]
    path = f"/api/features/{item['source']}/{item['index']}"
    database = client.app.state.studio.database  # type: ignore[attr-defined]
    with database.write() as connection:
        source_id = connection.scalar(select(Source.id).where(Source.key == item["source"]))
        lock_log(connection)
        record_statements(connection, [Statement((source_id, item["index"]), "atlas", {"text": MARK}, None)])
    assert MARK not in client.get(path).text
    opinion = {"id": str(uuid.uuid4()), "source": item["source"], "index": item["index"], "text": "snow"}
    assert client.post(f"/api/campaigns/{campaign}/opinions", json=opinion).status_code == 201
    assert MARK in client.get(path).text
    nothing = client.post(f"/api/campaigns/{campaign}/next", json={"lease": str(uuid.uuid4())}).json()
    assert (nothing["item"], nothing["why"], nothing["progress"]["complete"]) == (None, "done", 1)
