"""Routes for admins: people, invitations, resets, the audit log."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection, Row

from mfn_server.access import accounts, links
from mfn_server.access.audit import Action, Actor, read_log, record
from mfn_server.access.desk import check_accounts, now, reading, writing
from mfn_server.access.links import LASTS, Kind
from mfn_server.access.person import require
from mfn_server.access.roles import Permission, Person, Role
from mfn_server.access.schemas import (
    AccountList,
    AccountRow,
    AuditPage,
    AuditRow,
    ChangeAccount,
    InvitationList,
    InvitationRow,
    MadeLink,
    NewInvitation,
)
from mfn_server.errors import ERROR_RESPONSES, APIError
from mfn_server.studio import StudioDep

Admin = Annotated[Person, Depends(require(Permission.ADMINISTER))]


async def _with_accounts(admin: Admin, studio: StudioDep) -> None:
    check_accounts(studio)


router = APIRouter(
    prefix="/api/admin", tags=["people"], responses=ERROR_RESPONSES, dependencies=[Depends(_with_accounts)]
)


@router.get("/people")
async def get_people(studio: StudioDep) -> AccountList:
    """Everybody who has, or had, an account."""
    rows = await reading(studio, accounts.list_accounts)
    return AccountList(items=[_account(row) for row in rows])


@router.patch("/people/{account_id}")
async def patch_person(
    studio: StudioDep, admin: Admin, request: Request, account_id: uuid.UUID, body: ChangeAccount
) -> AccountRow:
    """Give another role, take out of use, put back into use. Nothing that they wrote changes."""

    def change(connection: Connection) -> AccountRow:
        account, actor = accounts.account_of(connection, account_id), Actor.of(request, admin)
        if body.active is True and accounts.reactivate(connection, account_id):
            record(connection, Action.ACCOUNT_REACTIVATED, actor, account.name)
        if body.role is not None and accounts.set_role(connection, account_id, body.role, now()):
            record(connection, Action.ACCOUNT_ROLE, actor, account.name, before=account.role, after=body.role)
        if body.active is False and accounts.deactivate(connection, account_id, now()):
            record(connection, Action.ACCOUNT_DEACTIVATED, actor, account.name)
        return next(_account(row) for row in accounts.list_accounts(connection) if row.id == account_id)

    return await writing(studio, change)


@router.post("/people/{account_id}/reset", status_code=201)
async def post_reset_link(studio: StudioDep, admin: Admin, request: Request, account_id: uuid.UUID) -> MadeLink:
    """A link by which a person sets a new password. The old one works until then."""

    def make(connection: Connection) -> MadeLink:
        account = accounts.account_of(connection, account_id)
        if account.deactivated_at is not None:
            raise APIError(409, "not_active", "this account is out of use", hint="put it back into use first")
        moment = now()
        made, path = links.make_reset(connection, account_id, _id(admin), moment)
        record(connection, Action.RESET_MADE, Actor.of(request, admin), account.name)
        return MadeLink(id=made, path=path, expires_at=moment + LASTS[Kind.RESET])

    return await writing(studio, make)


@router.get("/invitations")
async def get_invitations(studio: StudioDep) -> InvitationList:
    """The latest invitations, used ones, too; without their secrets, which nobody has any more."""
    rows, moment = await reading(studio, links.list_invitations), now()
    return InvitationList(
        items=[
            InvitationRow(
                id=row.id,
                role=Role(row.role),
                note=row.note,
                state=_state(row, moment),
                made_by=row.by,
                created_at=row.created_at,
                expires_at=row.expires_at,
                name=row.name,
            )
            for row in rows
        ]
    )


@router.post("/invitations", status_code=201)
async def post_invitation(studio: StudioDep, admin: Admin, request: Request, body: NewInvitation) -> MadeLink:
    """A link by which one person makes an account. It works once, for a week."""
    note, moment = " ".join(body.note.split()), now()

    def make(connection: Connection) -> MadeLink:
        made, path = links.make_invitation(connection, body.role, note, _id(admin), moment)
        record(connection, Action.INVITATION_MADE, Actor.of(request, admin), note, role=body.role)
        return MadeLink(id=made, path=path, expires_at=moment + LASTS[Kind.INVITATION])

    return await writing(studio, make)


@router.delete("/invitations/{invitation_id}", status_code=204)
async def delete_invitation(studio: StudioDep, admin: Admin, request: Request, invitation_id: uuid.UUID) -> None:
    """Revoke an invitation that was not used."""

    def revoke(connection: Connection) -> None:
        note = links.revoke_invitation(connection, invitation_id, now())
        record(connection, Action.INVITATION_REVOKED, Actor.of(request, admin), note)

    await writing(studio, revoke)


@router.get("/audit")
async def get_audit(
    studio: StudioDep,
    before: Annotated[int | None, Query(ge=1, description="Events older than this one.")] = None,
    action: Annotated[str | None, Query(max_length=100, description="Of this kind alone.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> AuditPage:
    """What was done to accounts, and by admins: who, what, when, from where. The latest first."""
    rows = await reading(studio, lambda connection: read_log(connection, before, action, limit + 1))
    items = [AuditRow(**{name: getattr(row, name) for name in AuditRow.model_fields}) for row in rows[:limit]]
    return AuditPage(items=items, next=items[-1].id if len(rows) > limit else None)


def _account(row: Row[Any]) -> AccountRow:
    return AccountRow(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        active=row.deactivated_at is None,
        created_at=row.created_at,
        seen_at=row.seen_at,
    )


def _state(row: Row[Any], now: datetime) -> str:
    if row.used_at is not None:
        return "used"
    if row.revoked_at is not None:
        return "revoked"
    return "open" if row.expires_at > now else "expired"


def _id(admin: Person) -> uuid.UUID:
    return uuid.UUID(admin.id)
