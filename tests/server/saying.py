"""Says something of a feature: as a page does, or straight to the log."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
from sqlalchemy import Connection, insert
from starlette.testclient import TestClient

from mfn_server.access.person import Person, Role
from mfn_server.db.tables import Model, Source
from mfn_server.labels.commands import record
from mfn_server.labels.payloads import Payload
from mfn_server.labels.schemas import EventView

MODEL = 1
ANN, BOB = (Person(name, name.title(), Role.LABELLER, is_local=False) for name in ("ann", "bob"))
ADA = Person("ada", "Ada", Role.ADMIN, is_local=False)


def say(client: TestClient, path: str, author: str = "ann", **event: Any) -> httpx.Response:
    """Sends an event of a feature's page (`path`), under a name. Kinds other than `propose` are said with `kind`."""
    body = {"id": str(uuid.uuid4()), "event": {"kind": "propose", **event}}
    return client.post(f"{path}/events", json=body, headers={"Cookie": f"mfn_name={quote(author)}"})


def name_feature(client: TestClient, path: str, text: str, author: str = "ann") -> None:
    """Proposes a label, which is taken in."""
    answer = say(client, path, author, text=text)
    assert answer.status_code == 201, answer.text


def add_features(connection: Connection) -> None:
    """A model of two sources, `a` and `b`, of 10 features each, and another model's source `c`."""
    for model in (MODEL, 2):
        row = {"id": model, "fingerprint": f"f{model}", "name": "m", "created_at": datetime.now(UTC)}
        connection.execute(insert(Model).values(row))
    for i, key in enumerate("abc", start=1):
        source = {"id": i, "model_id": 2 if key == "c" else MODEL, "key": key, "kind": "mfn", "site": "resid_mid"}
        connection.execute(insert(Source).values(source | {"layer": i, "weights_hash": key, "n_features": 10}))


def put(
    connection: Connection,
    person: Person,
    said: Payload,
    *,
    feature: tuple[str, int] = ("a", 0),
    model: int = MODEL,
    identity: uuid.UUID | None = None,
    base: int | None = None,
    reason: str | None = None,
) -> EventView:
    """Record one event in a transaction that is open. Raises APIError."""
    more: dict[str, Any] = {"identity": identity or uuid.uuid4(), "base_version": base, "reason": reason}
    return record(connection, model, *feature, person, said, **more)[0]
