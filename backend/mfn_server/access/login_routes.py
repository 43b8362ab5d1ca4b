"""Routes by which people come in and leave: login, logout, invitations, resets."""

from __future__ import annotations

import uuid
from dataclasses import replace

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Connection, update

from mfn_server.access import links
from mfn_server.access.accounts import account_of, add_account, set_password
from mfn_server.access.audit import Action, Actor, address_of, record
from mfn_server.access.cookies import clear_session, session_token, set_session
from mfn_server.access.desk import check_accounts, now, proven, reading, writing
from mfn_server.access.links import Kind
from mfn_server.access.local_name import keep_local_name
from mfn_server.access.names import clean_name
from mfn_server.access.passwords import check_password
from mfn_server.access.person import KnownPerson, anybody, check_same_origin, lifetime_of
from mfn_server.access.roles import PERMISSIONS, Permission, Person, Role
from mfn_server.access.schemas import (
    CallBody,
    InvitationSeen,
    JoinBody,
    LinkBody,
    LoginBody,
    PersonView,
    ResetBody,
    ResetSeen,
    SessionView,
)
from mfn_server.access.sessions import end_by_token, open_session
from mfn_server.access.throttle import forgive
from mfn_server.db.access_tables import Account
from mfn_server.errors import ERROR_RESPONSES, APIError
from mfn_server.studio import Studio, StudioDep

router = APIRouter(prefix="/api", tags=["people"], responses=ERROR_RESPONSES, dependencies=[Depends(anybody)])


@router.get("/session")
async def get_session(studio: StudioDep, person: KnownPerson) -> SessionView:
    """Whether people log in here, and who you are."""
    return SessionView(accounts=studio.settings.accounts, person=view_of(person) if person is not None else None)


@router.put("/session")
async def put_session(studio: StudioDep, person: KnownPerson, body: CallBody, response: Response) -> SessionView:
    """Say how one wants to be called on a server without accounts. The browser keeps it."""
    if person is None or not person.is_local:
        raise APIError(409, "has_account", "the name of an account is changed with the account")
    keep_local_name(response, body.name)
    return SessionView(accounts=False, person=view_of(replace(person, name=body.name)))


@router.post("/session", dependencies=[Depends(check_same_origin)])
async def post_session(studio: StudioDep, request: Request, response: Response, body: LoginBody) -> SessionView:
    """Log in. The answer sets a cookie; whatever login the browser had before is over."""
    check_accounts(studio)
    account, newer = await proven(studio, request, body.name, body.password.get_secret_value())

    def enter(connection: Connection) -> str:
        forgive(connection, body.name, address_of(request), studio.allowance)
        if newer is not None:
            same = (Account.id == account.id, Account.password_hash == account.password_hash)
            connection.execute(update(Account).where(*same).values(password_hash=newer))
        standing = account_of(connection, account.id)
        if standing.deactivated_at is not None or standing.password_hash not in (account.password_hash, newer):
            raise APIError(401, "wrong_login", "name or password is wrong")  # it changed while it was looked at
        actor = Actor(account.id, account.name, "session", address_of(request))
        record(connection, Action.LOGGED_IN, actor, account.name)
        return begin(studio, connection, request, account.id)

    token = await writing(studio, enter)
    set_session(request, response, token, lifetime_of(studio.settings).longest)
    return _entered(account.id, account.name, Role(account.role))


@router.delete("/session", status_code=204, dependencies=[Depends(check_same_origin)])
async def delete_session(studio: StudioDep, request: Request, response: Response, person: KnownPerson) -> None:
    """Log out."""
    check_accounts(studio)
    token = session_token(request)
    if token is not None and person is not None and person.session is not None:

        def leave(connection: Connection) -> None:
            end_by_token(connection, token)
            record(connection, Action.LOGGED_OUT, Actor.of(request, person), person.name)

        await writing(studio, leave)
    clear_session(request, response)


@router.post("/join/look")
async def post_join_look(studio: StudioDep, body: LinkBody) -> InvitationSeen:
    """What an invitation is for, while it works."""
    check_accounts(studio)
    secret = body.token.get_secret_value()
    link = await reading(studio, lambda c: links.look_at(c, Kind.INVITATION, secret, now()))
    return InvitationSeen(role=link.role, expires_at=link.expires_at)


@router.post("/join", status_code=201, dependencies=[Depends(check_same_origin)])
async def post_join(studio: StudioDep, request: Request, response: Response, body: JoinBody) -> SessionView:
    """Accept an invitation: makes the account, uses the link up, and logs in."""
    check_accounts(studio)
    secret, password = body.token.get_secret_value(), body.password.get_secret_value()
    await reading(studio, lambda c: links.look_at(c, Kind.INVITATION, secret, now()))  # before any work is done for it
    name = clean_name(body.name)
    check_password(password, name)
    hashed = await studio.passwords.hash_aside(password)

    def enter(connection: Connection) -> tuple[str, uuid.UUID, Role]:
        moment = now()
        role = Role(links.look_at(connection, Kind.INVITATION, secret, moment).role)
        account_id = add_account(connection, name, role, hashed, moment)
        links.use(connection, Kind.INVITATION, secret, moment, account_id)
        actor = Actor(account_id, name, "link", address_of(request))
        record(connection, Action.ACCOUNT_CREATED, actor, name, role=role)
        return begin(studio, connection, request, account_id), account_id, role

    token, account_id, role = await writing(studio, enter)
    set_session(request, response, token, lifetime_of(studio.settings).longest)
    return _entered(account_id, name, role)


@router.post("/reset/look")
async def post_reset_look(studio: StudioDep, body: LinkBody) -> ResetSeen:
    """Whose password a link resets, while it works."""
    check_accounts(studio)
    secret = body.token.get_secret_value()
    link = await reading(studio, lambda c: links.look_at(c, Kind.RESET, secret, now()))
    return ResetSeen(name=link.name)


@router.post("/reset", status_code=204, dependencies=[Depends(check_same_origin)])
async def post_reset(studio: StudioDep, request: Request, body: ResetBody) -> None:
    """Set a new password by a link. Every login of that account is over; log in with the new one."""
    check_accounts(studio)
    secret, password = body.token.get_secret_value(), body.password.get_secret_value()
    link = await reading(studio, lambda c: links.look_at(c, Kind.RESET, secret, now()))
    check_password(password, link.name)
    hashed = await studio.passwords.hash_aside(password)

    def change(connection: Connection) -> None:
        links.use(connection, Kind.RESET, secret, now(), link.account_id)
        set_password(connection, link.account_id, hashed)
        actor = Actor(link.account_id, link.name, "link", address_of(request))
        record(connection, Action.PASSWORD_RESET, actor, link.name)

    await writing(studio, change)


def begin(studio: Studio, connection: Connection, request: Request, account_id: uuid.UUID) -> str:
    """A new login for a browser, in place of the one it had; gives its token."""
    earlier = session_token(request)
    if earlier is not None:
        end_by_token(connection, earlier)
    agent = request.headers.get("user-agent", "")
    lifetime = lifetime_of(studio.settings)
    return open_session(connection, account_id, address_of(request), agent, now(), lifetime)


def view_of(person: Person) -> PersonView:
    """A person as pages see them."""
    permissions = [permission for permission in Permission if person.may(permission)]
    return PersonView(id=person.id, name=person.name, role=person.role, permissions=permissions)


def _entered(account_id: uuid.UUID, name: str, role: Role) -> SessionView:
    permissions = [permission for permission in Permission if permission in PERMISSIONS[role]]
    return SessionView(
        accounts=True, person=PersonView(id=str(account_id), name=name, role=role, permissions=permissions)
    )
