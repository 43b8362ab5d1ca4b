"""Who one is here."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import AfterValidator, Field

from mfn_server.access.local_name import LONGEST, keep_local_name
from mfn_server.access.person import CurrentPerson, Permission, Role
from mfn_server.errors import ERROR_RESPONSES, APIError
from mfn_server.schemas import Schema, Text

router = APIRouter(prefix="/api/me", tags=["access"], responses=ERROR_RESPONSES)


class Me(Schema):
    """Who is asking, and what they may do."""

    id: str
    name: str
    role: Role
    is_local: bool
    permissions: list[Permission]


def _name(name: str) -> str:
    words = " ".join(name.split())
    if not words:
        raise ValueError("must not be blank")
    return words


class NameBody(Schema):
    """How one wants to be called."""

    name: Annotated[Text, AfterValidator(_name)] = Field(max_length=LONGEST)


@router.get("")
async def get_me(person: CurrentPerson) -> Me:
    """Who one is here."""
    allowed = [permission for permission in Permission if person.may(permission)]
    return Me(id=person.id, name=person.name, role=person.role, is_local=person.is_local, permissions=allowed)


@router.put("")
async def put_me(person: CurrentPerson, body: NameBody, response: Response) -> Me:
    """Say how one wants to be called on a server without accounts. The browser keeps it."""
    if not person.is_local:
        raise APIError(409, "has_account", "the name of an account is changed with the account")
    keep_local_name(response, body.name)
    return await get_me(replace(person, name=body.name))
