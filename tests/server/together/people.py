"""A simulated person: a real HTTP client who says this and that of features, with tabs that listen.

Answers get lost, connections break, servers die: whoever does not know whether something was recorded sends it again
under the same id, or leaves it at that.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.server.together.journal import Journal, Place, Sent
from tests.server.together.site import Site

PATIENCE = 120.0
LOST = (httpx.TransportError, TimeoutError)
RETRIED = (429, 503)
"""Answers after which one asks again: too much at once, or a model that is still loading."""


@dataclass
class Plan:
    """What all of them work on.

    Attributes:
        hot: features of which much is said.
        others: the others.
        blind: the blind campaign, and `open` one that is not.
        features: of each campaign.
        over: nobody begins anything new any more.
    """

    hot: list[Place]
    others: list[Place]
    blind: str
    open: str
    features: dict[str, list[Place]]
    over: bool = False


@dataclass
class Tab:
    """An event stream, as a browser keeps it: it comes back for what it missed, on whichever server.

    Attributes:
        heard: the numbers it was told, with the ids of those events, in order.
        first: behind which event it began.
        last: the number it would come back with.
        resets: how often it was told to read anew instead.
        breaks: how often its connection ended.
    """

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    heard: list[tuple[int, str]] = field(default_factory=list)
    first: int | None = None
    last: int | None = None
    resets: int = 0
    breaks: int = 0


class Somebody:
    """One person. `work` until it is over; `listen` until cancelled."""

    def __init__(self, name: str, id: str, token: str, role: str, site: Site, plan: Plan, journal: Journal) -> None:
        self.name, self.id, self.role = name, id, role
        self.tabs = [Tab() for _ in range(2 if name.endswith("0") else 1)]
        self._site, self._plan, self._journal = site, plan, journal
        self._random = random.Random(name)
        self._client = httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30.0)
        self._deeds: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (6, self.propose),
            (6, self.revise),
            (6, self.vote),
            (6, self.comment),
            (3, self.tag),
            (3, self.rate),
            (2, self.flag),
            (4, self.take_back),
            (7, self.next_in_queue),
            (3, self.opinion_unasked),
            (8, self.look),
            (2, self.be_somewhere),
        ]
        if role != "labeller":
            self._deeds.append((6, self.decide))
        if role == "admin":
            self._deeds.append((1, self.redact))

    async def close(self) -> None:
        await self._client.aclose()

    async def work(self) -> None:
        """One thing after the other, with pauses."""
        weights = [weight for weight, _ in self._deeds]
        while not self._plan.over:
            (deed,) = self._random.choices([deed for _, deed in self._deeds], weights)
            with suppress(*LOST):  # of a read: it changed nothing
                await deed()
            await asyncio.sleep(self._random.expovariate(1 / 0.12))

    # what they say

    async def propose(self) -> None:
        await self._on_what_stands(lambda page: ({"kind": "propose", "text": "ships"}, ("text",)))

    async def revise(self) -> None:
        def choose(page: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]] | None:
            label = self._one(page["labels"])
            return label and ({"kind": "revise", "label": label["stream"], "text": "harbours"}, ("text",))

        await self._on_what_stands(choose)

    async def vote(self) -> None:
        def choose(page: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]] | None:
            label = self._one(page["labels"])
            value = self._random.choice(["up", "up", "down", "withdrawn"])
            return label and ({"kind": "vote", "label": label["stream"], "value": value}, ())

        await self._on_what_stands(choose)

    async def rate(self) -> None:
        def choose(page: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
            label = self._one(page["labels"])
            answers = {"specificity": self._random.randint(1, 5), "evidence": "seen"}
            of = {"label": label["stream"]} if label and self._random.random() < 0.7 else {}
            return {"kind": "rate", **of, **answers}, ("evidence",)

        await self._on_what_stands(choose)

    async def comment(self) -> None:
        def choose(page: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
            before = self._one(page["comments"])
            answer = {"reply_to": before["stream"], "mentions": [before["person"]["id"]]} if before else {}
            return {"kind": "comment", "text": "not boats in a river", **answer}, ("text",)

        await self._on_what_stands(choose)

    async def tag(self) -> None:
        def choose(page: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
            there = self._one(page["tags"])
            if there and self._random.random() < 0.4:
                return {"kind": "untag", "tag": there["tag"]}, ()
            return {"kind": "tag", "tag": "sea"}, ("tag",)

        await self._on_what_stands(choose)

    async def flag(self) -> None:
        await self._on_what_stands(
            lambda page: ({"kind": "flag", "flag": self._random.choice(["dead", "unclear", "polysemantic"])}, ())
        )

    async def take_back(self) -> None:
        def choose(page: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]] | None:
            said = [*page["labels"], *page["comments"]]
            own = self._one([each for each in said if (each.get("author") or each["person"])["id"] == self.id])
            return own and ({"kind": self._random.choice(["retract", "undo"]), "target": own["stream"]}, ())

        await self._on_what_stands(choose)

    async def decide(self) -> None:
        def choose(page: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]] | None:
            label = self._one(page["labels"])
            return label and ({"kind": self._random.choice(["accept", "adjudicate"]), "label": label["stream"]}, ())

        await self._on_what_stands(choose, "decisions", reason="it fits")

    async def redact(self) -> None:
        def choose(page: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]] | None:
            comment = self._one([each for each in page["comments"] if not each["redacted"]])
            return comment and ({"kind": "redact", "target": comment["stream"]}, ())

        await self._on_what_stands(choose, "redactions", reason="a name")

    async def next_in_queue(self) -> None:
        """Take the next feature, keep it for a moment, say what one thinks or skip it."""
        campaign = self._random.choice([self._plan.blind, self._plan.open])
        lease = str(uuid.uuid4())
        answer = await self._ask("POST", f"/api/campaigns/{campaign}/next", json={"lease": lease})
        if answer.status_code != 200 or answer.json()["item"] is None:
            self._count("next", answer)
            return
        item = answer.json()["item"]
        place = item["source"], item["index"]
        await self._look_at(place)
        if self._random.random() < 0.3:
            self._count("heartbeat", await self._ask("PUT", f"/api/campaigns/{campaign}/leases/{lease}"))
        if self._random.random() < 0.1:
            self._count("given back", await self._ask("DELETE", f"/api/campaigns/{campaign}/leases/{lease}"))
        elif self._random.random() < 0.2:
            sent = self._journal.new(self.id, place, {"kind": "skip"}, (), campaign=campaign)
            body = {"id": sent.id, "source": place[0], "index": place[1]}
            await self._send(sent, f"/api/campaigns/{campaign}/skips", body)
        else:
            await self._give_opinion(campaign, place)

    async def opinion_unasked(self) -> None:
        """Without a lease, of whatever feature: it may come too late."""
        campaign = self._random.choice([self._plan.blind, self._plan.open])
        await self._give_opinion(campaign, self._random.choice(self._plan.features[campaign]))

    async def _give_opinion(self, campaign: str, place: Place) -> None:
        said = {"kind": "opinion", "text": "ships", "confidence": self._random.choice(["high", "low"])}
        sent = self._journal.new(self.id, place, said | {"evidence": "seen"}, ("text", "evidence"), campaign=campaign)
        told = {name: value for name, value in sent.event.items() if name != "kind"}
        body = {"id": sent.id, "source": place[0], "index": place[1], **told}
        await self._send(sent, f"/api/campaigns/{campaign}/opinions", body)

    async def _on_what_stands(
        self,
        choose: Callable[[dict[str, Any]], tuple[dict[str, Any], tuple[str, ...]] | None],
        route: str = "events",
        reason: str | None = None,
    ) -> None:
        """Look at a feature, think, say something of it; where that was stale, go one of the ways on."""
        place = self._place()
        page = await self._look_at(place)
        chosen = page and choose(page)
        if not page or not chosen:
            return
        await asyncio.sleep(self._random.choice([0, 0, 0.05, 0.3]))
        version, (event, words) = page["version"], chosen
        for _ in range(3):
            sent = self._journal.new(self.id, place, event, words, reason=reason)
            body = {"id": sent.id, "event": sent.event} | ({} if reason is None else {"reason": reason})
            answer = await self._send(sent, f"/api/features/{place[0]}/{place[1]}/{route}", body, version)
            if answer is None or sent.refused != (409, "stale"):
                return
            conflict = answer.json()["conflict"]
            if not conflict["changes"]:
                self._journal.wrong.append(f"{sent.event} is stale, and nothing has changed")
            way = self._one(conflict["ways_on"])
            if way is None:
                return
            self._journal.counts[f"went on: {way['name']}"] += 1
            version, event = conflict["version"], way["event"]
            words = ()  # they carry the marks of both already

    # what they read

    async def look(self) -> None:
        """At any of the places where something of what others said stands."""
        source, index = self._place()
        feature = f"/api/features/{source}/{index}"
        other = self._random.choice(self._journal.sent).who if self._journal.sent else self.id
        campaign = self._random.choice([self._plan.blind, self._plan.open])
        path = self._random.choice(
            [
                feature,
                f"{feature}/history",
                f"{feature}/labels?at={self._random.randrange(2000)}",
                "/api/features?limit=100",
                "/api/features?q=ships&limit=100",
                f"/api/labels/people/{other}/history",
                "/api/labels/people",
                "/api/labels/agreement",
                "/api/campaigns",
                f"/api/campaigns/{campaign}",
                "/api/map/points",
            ]
        )
        self._count(path.split("?")[0].replace(feature, "feature"), await self._ask("GET", path))

    async def be_somewhere(self) -> None:
        source, index = self._place()
        body = {"tab": self.tabs[0].id, "source": source, "index": index, "typing": self._random.random() < 0.5}
        self._count("presence", await self._ask("POST", "/api/live/presence", json=body))

    async def _look_at(self, place: Place) -> dict[str, Any] | None:
        answer = await self._ask("GET", f"/api/features/{place[0]}/{place[1]}/labels")
        if answer.status_code != 200:
            self._count("labels", answer)
            return None
        page: dict[str, Any] = answer.json()
        return page

    # how it is sent

    async def _send(self, sent: Sent, path: str, body: dict[str, Any], version: int | None = None) -> Any:
        """Send it until it is answered, or (now and then) until it is not known whether it was. Gives the answer."""
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        end = time.monotonic() + PATIENCE
        while True:
            try:
                answer = await self._post(sent, path, body, headers)
            except LOST:
                self._journal.counts["answers lost"] += 1
                if self._random.random() < 0.2:
                    self._journal.counts["left at that"] += 1
                    return None
            else:
                if answer.status_code not in RETRIED:
                    break
            assert time.monotonic() < end, f"nobody takes in {sent}"
            await asyncio.sleep(0.1)
        if answer.status_code in (200, 201):
            sent.answer = answer.json()
            if answer.status_code == 200 and sent.tries == 1:
                self._journal.wrong.append(f"{sent} was sent once, and had been recorded before")
            page = await self._after(sent)
            if page is not None and page["version"] < sent.answer["stream"]:
                self._journal.wrong.append(f"{sent} was acknowledged, and is not in what was read after it")
        else:
            sent.refused = answer.status_code, answer.json()["error"]["code"]
        self._count(str(sent.event["kind"]), answer)
        return answer

    async def _after(self, sent: Sent) -> dict[str, Any] | None:
        """What stands of the feature now, on any server; not always asked."""
        if self._random.random() < 0.7:
            return None
        with suppress(*LOST):
            return await self._look_at(sent.place)
        return None

    async def _post(self, sent: Sent, path: str, body: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
        """Once; or twice at the same time, as it happens; or it is given up before the answer has come."""
        chance = self._random.random()
        sent.tries += 1
        if chance < 0.06:
            sent.tries += 1
            twice = (self._ask("POST", path, json=body, headers=headers) for _ in range(2))
            found = await asyncio.gather(*twice, return_exceptions=True)
            answers = [each for each in found if isinstance(each, httpx.Response)]
            done = [each for each in answers if each.status_code in (200, 201)]
            if len({each.json()["stream"] for each in done}) > 1 or sum(each.status_code == 201 for each in done) > 1:
                self._journal.wrong.append(f"{body} was recorded twice")
            self._journal.counts["sent twice at once"] += 1
            # where one was taken in, the other cannot have been refused for good
            if done and any(each.status_code not in (200, 201, *RETRIED) for each in answers):
                self._journal.wrong.append(f"{body} was both taken in and refused")
            if not answers:
                raise httpx.ReadError("both were lost")
            return (done or answers)[0]
        if chance < 0.12:
            async with asyncio.timeout(self._random.choice([0.002, 0.01, 0.03])):
                return await self._ask("POST", path, json=body, headers=headers)
        return await self._ask("POST", path, json=body, headers=headers)

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Any server. Whatever it answers was seen."""
        server = self._random.choice(self._site.servers)
        answer = await self._client.request(method, f"{server.url}{path}", **more)
        self._journal.read(self.id, answer.text)
        return answer

    def _count(self, what: str, answer: httpx.Response) -> None:
        code = ""
        if answer.status_code >= 400:
            code = f" {answer.json()['error']['code']}"
            expected = answer.status_code in RETRIED or (answer.status_code, code[1:]) in REFUSALS
            if not expected:
                self._journal.wrong.append(f"{what}: {answer.status_code} {answer.text[:300]}")
        self._journal.counts[f"{what} {answer.status_code}{code}"] += 1

    def _place(self) -> Place:
        return self._random.choice(self._plan.hot if self._random.random() < 0.6 else self._plan.others)

    def _one(self, of: list[Any]) -> Any:
        return self._random.choice(of) if of else None

    # how they listen

    async def listen(self, tab: Tab) -> None:
        """Follow the stream for ever; now and then the connection breaks."""
        while True:
            try:
                await self._listen_once(tab)
            except LOST:
                tab.breaks += 1
                await asyncio.sleep(0.1)

    async def _listen_once(self, tab: Tab) -> None:
        server = self._random.choice(self._site.servers)
        headers = {} if tab.last is None else {"Last-Event-ID": str(tab.last)}
        breaks_after = self._random.randrange(20, 200)
        request = self._client.stream("GET", f"{server.url}/api/live?tab={tab.id}", headers=headers, timeout=60.0)
        async with request as stream:
            if stream.status_code != 200:
                raise httpx.ReadError(f"refused: {stream.status_code}")
            name, data = "", ""
            async for line in stream.aiter_lines():
                field_name, _, value = line.partition(": ")
                if field_name == "event":
                    name = value
                elif field_name == "data":
                    data = value
                elif field_name == "id":
                    tab.last = int(value)
                elif line == "" and name:
                    self._told(tab, name, data)
                    name = ""
                    breaks_after -= 1
                    if breaks_after == 0 and not self._plan.over:
                        raise httpx.ReadError("broken on purpose")
        raise httpx.ReadError("ended")

    def _told(self, tab: Tab, name: str, data: str) -> None:
        self._journal.read(self.id, data)
        if name == "hello" and tab.first is None:
            tab.first = json.loads(data)["stream"]
        elif name == "reset":
            tab.resets += 1
        elif name == "said":
            body = json.loads(data)
            if tab.last != body["stream"]:
                self._journal.wrong.append(f"event {body['stream']} came under the number {tab.last}")
            tab.heard.append((body["stream"], body["id"]))


REFUSALS = {
    (403, "not_yours"),
    (404, "unknown_label"),
    (404, "unknown_comment"),
    (404, "unknown_target"),
    (409, "stale"),
    (409, "already_undone"),
    (409, "already_redacted"),
    (409, "cannot_undo"),
    (409, "already_given"),
    (409, "quota_full"),
    (409, "lease_lost"),
}
"""What may be answered to somebody who acts on what they saw a moment ago."""
