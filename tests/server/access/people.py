"""A server with accounts, its people and their browsers, and a hasher that costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pwdlib.hashers.argon2 import Argon2Hasher
from starlette.testclient import TestClient

from mfn_server.access.accounts import add_account
from mfn_server.access.passwords import Passwords
from mfn_server.access.roles import Role
from mfn_server.studio import Studio

PASSWORD = "seven grey geese over water"
ORIGIN = "http://127.0.0.1"


def cheap() -> Passwords:
    """As in use, but for the cost."""
    return Passwords(Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1))


@dataclass
class Team:
    """A running server with accounts."""

    app: FastAPI
    path: Path

    @property
    def studio(self) -> Studio:
        studio: Studio = self.app.state.studio
        return studio

    def browser(self, url: str = ORIGIN, address: str = "192.0.2.1") -> TestClient:
        """A browser that nobody is logged in with. As browsers do, it says from where it asks."""
        client = TestClient(self.app, base_url=url, headers={"origin": url}, client=(address, 40000))
        client.raise_server_exceptions = False  # type: ignore[attr-defined]
        return client

    def add(self, name: str, role: Role = Role.LABELLER) -> str:
        """A person, with the password of all."""
        with self.studio.database.write() as connection:
            hashed = self.studio.passwords.hash(PASSWORD)
            return str(add_account(connection, name, role, hashed, datetime.now(UTC)))

    def enter(self, name: str, **how: Any) -> TestClient:
        """A browser in which somebody has logged in."""
        browser = self.browser(**how)
        answer = log_in(browser, name)
        assert answer.status_code == 200, answer.text
        return browser


def log_in(browser: TestClient, name: str, password: str = PASSWORD) -> Any:
    return browser.post("/api/session", json={"name": name, "password": password})
