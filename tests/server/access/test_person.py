"""Who may do what."""

from __future__ import annotations

import asyncio

import pytest

from mfn_server.access.person import Permission, Person, Role, require
from mfn_server.errors import APIError

ALLOWED = {
    Role.VIEWER: "read generate",
    Role.LABELLER: "read generate save label",
    Role.REVIEWER: "read generate save label review",
    Role.ADMIN: "read generate save label review measure administer",
}


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_what_is_its_own_and_nothing_else(role: Role) -> None:
    person = Person("7", "ann", role, is_local=False)
    for permission in Permission:
        asked = require(permission)
        if permission in ALLOWED[role].split():
            assert asyncio.run(asked(person)) is person
            continue
        with pytest.raises(APIError, match=role) as caught:
            asyncio.run(asked(person))
        assert (caught.value.status, caught.value.detail.code) == (403, "not_allowed")
