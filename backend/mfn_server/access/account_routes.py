"""Routes for one's own account: password, logins, tokens. By a login alone; a token cannot make tokens."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Connection

from mfn_server.access import sessions, tokens
from mfn_server.access.accounts import set_password
from mfn_server.access.audit import Action, Actor, address_of, record
from mfn_server.access.cookies import set_session
from mfn_server.access.desk import now, proven, reading, writing
from mfn_server.access.login_routes import begin
from mfn_server.access.passwords import check_password
from mfn_server.access.person import lifetime_of, own_login
from mfn_server.access.roles import Person
from mfn_server.access.schemas import (
    ChangePassword,
    MadeToken,
    NewToken,
    SessionList,
    SessionRow,
    TokenList,
    TokenRow,
)
from mfn_server.access.throttle import forgive
from mfn_server.errors import ERROR_RESPONSES, APIError
from mfn_server.studio import StudioDep

router = APIRouter(prefix="/api/account", tags=["people"], responses=ERROR_RESPONSES)

Me = Annotated[Person, Depends(own_login)]


@router.put("/password", status_code=204)
async def put_password(studio: StudioDep, me: Me, request: Request, response: Response, body: ChangePassword) -> None:
    """Change the password. All other logins are over; this browser gets a new one."""
    new = body.new.get_secret_value()
    check_password(new, me.name)
    try:
        account, _ = await proven(studio, request, me.name, body.old.get_secret_value())
    except APIError as error:
        if error.status != 401:
            raise
        raise APIError(403, "wrong_password", "the old password is wrong", field="old") from None
    hashed = await studio.passwords.hash_aside(new)

    def change(connection: Connection) -> str:
        forgive(connection, me.name, address_of(request), studio.allowance)
        set_password(connection, account.id, hashed)
        record(connection, Action.PASSWORD_CHANGED, Actor.of(request, me), me.name)
        return begin(studio, connection, request, account.id)

    set_session(request, response, await writing(studio, change), lifetime_of(studio.settings).longest)


@router.get("/sessions")
async def get_sessions(studio: StudioDep, me: Me) -> SessionList:
    """Where you are logged in."""
    lifetime = lifetime_of(studio.settings)
    rows = await reading(studio, lambda c: sessions.list_sessions(c, uuid.UUID(me.id), now(), lifetime))
    return SessionList(
        items=[
            SessionRow(
                id=row.id,
                created_at=row.created_at,
                seen_at=row.seen_at,
                expires_at=row.expires_at,
                address=row.address,
                agent=row.agent,
                current=row.id == me.session,
            )
            for row in rows
        ]
    )


@router.delete("/sessions", status_code=204)
async def delete_sessions(studio: StudioDep, me: Me, request: Request) -> None:
    """End all your logins but this one."""

    def end(connection: Connection) -> None:
        ended = sessions.end_all(connection, uuid.UUID(me.id), but=me.session)
        if ended:
            record(connection, Action.SESSION_ENDED, Actor.of(request, me), me.name, logins=ended)

    await writing(studio, end)


@router.delete("/sessions/{session_id}", status_code=204)
async def delete_session(studio: StudioDep, me: Me, request: Request, session_id: uuid.UUID) -> None:
    """End one of your logins."""

    def end(connection: Connection) -> None:
        sessions.end_session(connection, uuid.UUID(me.id), session_id)
        record(connection, Action.SESSION_ENDED, Actor.of(request, me), me.name, logins=1)

    await writing(studio, end)


@router.get("/tokens")
async def get_tokens(studio: StudioDep, me: Me) -> TokenList:
    """Your tokens that are good for something."""
    rows = await reading(studio, lambda c: tokens.list_tokens(c, uuid.UUID(me.id), now()))
    shown = TokenRow.model_fields
    return TokenList(items=[TokenRow(**{name: getattr(row, name) for name in shown}) for row in rows])


@router.post("/tokens", status_code=201)
async def post_token(studio: StudioDep, me: Me, request: Request, body: NewToken) -> MadeToken:
    """Make a token. The answer has it in full; nothing else ever does."""
    name, scopes = " ".join(body.name.split()), sorted(set(body.scopes))
    if not name:
        raise APIError(422, "invalid_request", "name: must not be blank", field="name")
    moment = now()

    def make(connection: Connection) -> MadeToken:
        made, token = tokens.make_token(connection, me, name, scopes, body.days, moment)
        record(connection, Action.TOKEN_MADE, Actor.of(request, me), name, scopes=list(scopes), days=body.days)
        row = next(row for row in tokens.list_tokens(connection, uuid.UUID(me.id), moment) if row.id == made)
        return MadeToken(token=token, **{name: getattr(row, name) for name in TokenRow.model_fields})

    return await writing(studio, make)


@router.delete("/tokens/{token_id}", status_code=204)
async def delete_token(studio: StudioDep, me: Me, request: Request, token_id: uuid.UUID) -> None:
    """Revoke a token."""

    def revoke(connection: Connection) -> None:
        name = tokens.revoke_token(connection, uuid.UUID(me.id), token_id, now())
        record(connection, Action.TOKEN_REVOKED, Actor.of(request, me), name)

    await writing(studio, revoke)
